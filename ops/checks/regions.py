"""D2, D3: the other region has what it needs, exactly one of both is active, and the drill kept its targets.

What is copied is measured where it arrives: run with the standby's stack, D2 has the figures of now; with the
primary's it has parity, and the copy's figures of the drill.
"""

from __future__ import annotations

import math
import os
from typing import Final

from components.mirror.rules import LAG_LIMIT_S
from components.regions.rules import LEASE_LIMIT_S, PEER_LIMIT_S
from components.telemetry.topics import METRICS_TOPIC
from ops.core.context import Context
from ops.core.rows import Check, Finding, listed, not_set_up
from ops.evidence import files as evidence
from services.failover_agent.settings import STANDBY

METRICS: Final = METRICS_TOPIC.name
DRILL: Final = "region-drill"
RTO, RPO = "RTO s", "RPO s"
"""Figures of the drill; the catalog of evidence holds their targets."""
FINGERPRINTS: Final = frozenset(
    {"rules", "dashboards", "topics", "permissions", "passwords", "notifications", "catalogue", "groups"}
)
"""What has to be compared at least: all that both regions have to agree on."""


def d2(context: Context) -> Finding:
    """Both regions are alive and have the same definitions; records arrive in the standby in time."""
    finding = Finding()
    if not _alive(context, finding):
        return finding
    _parity(context, finding)
    if STANDBY in _roles(context):
        _copied(context, finding)
    else:
        finding.seen.append("replication is measured in the standby region: run it with the other region's stack")
        finding.drill(DRILL)
    return finding


def d3(context: Context) -> Finding:
    """The lease can be read, exactly one region is active, and the newest drill met its targets."""
    finding = Finding()
    if lines := context.platform.left_out("regions.witness"):
        return not_set_up(lines, second_region())
    if _alive(context, finding):
        tells = [
            context.thanos.number(f"max({name})")
            for name in ("failover_agent_notifies", "failover_agent_peer_notifies")
        ]
        finding.expect_equal("number of regions that notify", sum(tell or 0.0 for tell in tells), 1.0)
    age = context.thanos.number("max(failover_agent_lease_read_age_seconds)")
    finding.expect(age is not None, "no failover agent reports")
    if age is not None:
        finding.expect(age <= LEASE_LIMIT_S, f"the lease was last read {age:.0f} s ago")
        epoch = context.thanos.number("max(failover_agent_lease_epoch)")
        finding.figures.append(f"epoch {epoch or 0:.0f}")
    isolated = context.thanos.number("max(failover_agent_isolated)")
    finding.expect(not isolated, "the region reaches neither the witness nor any pager")
    finding.drill(DRILL, show=(RTO, RPO))
    return finding


def second_region() -> str:
    """Command that brings the other region up."""
    return "make up-dr" if os.environ.get(evidence.SCOPE_VARIABLE) == "checkout" else "pulumi up --stack dr"


def _alive(context: Context, finding: Finding) -> bool:
    """Whether the other region says something."""
    age = context.thanos.number("max(failover_agent_peer_age_seconds)")
    if age is None:
        finding.set_up("no second region has reported", second_region())
        return False
    finding.expect(age <= PEER_LIMIT_S, f"the other region last reported {age:.0f} s ago, at most {PEER_LIMIT_S} s")
    return True


def _roles(context: Context) -> set[str]:
    return {
        sample.labels.get("role", "") for sample in context.thanos.instant("max by (role) (failover_agent_role) == 1")
    }


def _parity(context: Context, finding: Finding) -> None:
    samples = context.thanos.instant("max by (definition) (failover_agent_peer_differs)")
    compared = {sample.labels.get("definition", "") for sample in samples}
    differing = [sample.labels.get("definition", "") for sample in samples if sample.value]
    finding.expect(compared >= FINGERPRINTS, f"not compared: {listed(FINGERPRINTS - compared)}")
    finding.expect(
        not differing, f"the regions differ in {listed(differing)}: `ops regions parity` shows the differences"
    )
    finding.figures.append(f"{len(compared) - len(differing)} of {len(compared)} kinds of definitions are identical")


def _copied(context: Context, finding: Finding) -> None:
    """The copy runs, metrics arrive, and what arrives is young."""
    failed = context.thanos.number('sum(kafka_mirror_tasks{state="failed"})')
    finding.expect(failed is not None, "no mirror is running")
    finding.expect(not failed, f"{failed or 0:.0f} tasks of the mirror have failed")
    samples = context.thanos.instant("obs:mirror_latency:seconds")
    # Of a topic in which nothing arrived lately, no time is known.
    late = {sample.labels.get("topic", ""): sample.value for sample in samples if not math.isnan(sample.value)}
    finding.expect(METRICS in late, f"no record of {METRICS} has arrived recently")
    for topic, seconds in sorted(late.items()):
        finding.expect(seconds <= LAG_LIMIT_S, f"{topic} arrives {seconds:.1f} s late, at most {LAG_LIMIT_S} s")
    if late:
        behind = context.thanos.number("sum(obs:mirror_lag:records)")
        finding.figures.append(
            f"{len(late)} topics, the slowest {max(late.values()):.2f} s late, {behind or 0:.0f} records behind"
        )


CHECKS: dict[str, Check] = {"D2": d2, "D3": d3}
