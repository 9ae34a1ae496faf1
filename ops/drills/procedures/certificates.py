"""Every certificate renewed at once on the live platform, under load (K5)."""

from __future__ import annotations

import time
from typing import Any, Final

from ops.core.context import Context
from ops.core.kube import wait_until
from ops.core.terminal import say
from ops.drills.tools import durations
from ops.drills.tools.accounts import unmet
from ops.drills.tools.certificates import Certificates, Port
from ops.drills.tools.load import TOPIC, OtlpLoad
from ops.drills.tools.markers import Ticker
from ops.maintenance.certificates import readers, roll

SERVERS: Final = frozenset(
    {"gateway", "kafka", "prometheus-primary", "thanos-query", "alertmanager", "search", "postgres"}
)
"""Some of those that must be among what is looked at, so that the look itself is not blind."""
_ISSUED_S, _TAKEN_UP_S, _LOOK_S = 180.0, 450.0, 5.0
"""Collectors look every five minutes, and a kubelet takes up to one and a half to bring a changed Secret."""


def renew_certificates(context: Context, figures: dict[str, Any]) -> list[str]:
    """Renew every certificate at once, and roll what reads its own only at the start."""
    certificates = Certificates(context)
    old = certificates.serials()
    names = {serial: name for name, serial in old.items()}
    shown = certificates.presented(certificates.ports())
    # By workload, since a roll gives a Deployment's pods other names.
    servers = {(port.workload, port.number): names[serial] for port, serial in shown.items() if serial in names}
    figures["certificates"] = len(old)
    figures["ports"] = sum(serial in names for serial in shown.values())
    at_start = {reader.workload for reader in readers(context.kube)}
    figures["read theirs at the start"] = sorted(at_start)
    unseen, late = SERVERS - {workload for workload, _ in servers}, late_pods(context)
    if unseen or late:
        return unmet(
            (not unseen, f"before the drill no certificate was seen of {', '.join(sorted(unseen))}"),
            (not late, f"before the drill these had not read their newest certificate: {', '.join(late)}"),
        )
    start, began = context.kafka.end_offsets(TOPIC), time.time()
    with OtlpLoad(context) as load, Ticker(context, f"{int(began)}", context.thanos) as ticker:
        load.run_for(durations.WARM_UP)
        requested_at = time.time()
        say(f"renewing {len(old)} certificates")
        for name in old:
            certificates.renew(name)
        wait_until(
            lambda: not {name for name, serial in certificates.serials().items() if serial == old[name]},
            _ISSUED_S,
            f"{len(old)} new certificates",
        )
        figures["issued after s"] = round(time.time() - requested_at, 1)
        new = certificates.serials()

        def stale() -> set[Port]:
            there = [port for port in certificates.ports() if (port.workload, port.number) in servers]
            shown = certificates.presented(there)
            return {port for port in there if shown.get(port) != new[servers[port.workload, port.number]]}

        def only_those_at_start() -> bool:
            return {port.workload for port in stale()} <= at_start

        problems = unmet(
            (
                {reader.workload for reader in readers(context.kube) if reader.late} == at_start,
                "not every workload that reads its certificate at the start is named as one to roll",
            )
        )
        try:
            wait_until(only_those_at_start, _TAKEN_UP_S, "renewed certificates to be presented", _LOOK_S)
        finally:
            figures["presented after s"] = round(time.time() - requested_at, 1)
            figures["old ones still presented by"] = sorted({port.workload for port in stale()})
        rolled = time.time()
        figures["rolled"] = roll(context.kube, say)
        figures["rolled after s"] = round(time.time() - rolled, 1)
        late = late_pods(context)
        figures["old ones presented at the end"] = sorted({port.pod for port in stale()})
    figures["queries"], figures["failed queries"] = ticker.queries, len(ticker.failed)
    missing = load.ledger.missing(load.in_kafka(start, durations.ARRIVAL))
    acknowledged = len(load.ledger.acknowledged)
    figures["acknowledged"], figures["missing"] = acknowledged, len(missing)
    figures["retries"] = load.ledger.retries
    presented = figures["old ones presented at the end"]
    return problems + unmet(
        (not late, f"after the roll these had not read their newest certificate: {', '.join(late)}"),
        (not presented, f"old certificates are still presented by {', '.join(presented)}"),
        (ticker.queries > 0, "nobody asked at the read address"),
        (ticker.failed == [], f"{len(ticker.failed)} of {ticker.queries} queries failed: {ticker.failed[:3]}"),
        (acknowledged > 0, "nothing was acknowledged"),
        (not missing, f"{len(missing)} of {acknowledged} acknowledged points are missing"),
    )


def late_pods(context: Context) -> list[str]:
    """Pods that run with an older certificate than they have."""
    return [reader.pod for reader in readers(context.kube) if reader.late]
