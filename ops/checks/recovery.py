"""D1 and M2: backups that are whole and were restored, maintenance that looks at everything; D2, D3: the other region
has what it needs, exactly one of both is active, and the drill kept its targets.

What is copied is measured where it arrives: run with the standby's stack, D2 has the figures of now; with the
primary's it has parity, and the copy's figures of the drill.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from components.alerting.escalation import milliseconds
from components.backups.config import job_schedule
from components.mirror.rules import LAG_LIMIT_S
from components.regions.rules import LEASE_LIMIT_S, PEER_LIMIT_S
from components.telemetry.topics import METRICS_TOPIC, TOPIC_NAMES
from ops.backups import runs
from ops.backups.options import opened
from ops.backups.runs import Archived, Shipped
from ops.backups.verify import prove
from ops.checks.grace_period import first_run, grace_period_end
from ops.core.access import BackupAccess, backup_access
from ops.core.context import Context
from ops.core.errors import one_line, waiting_for
from ops.core.kube import Kube
from ops.core.rows import Check, Finding, listed, not_set_up
from ops.evidence import files as evidence
from ops.maintenance.check_functions import judge, kinds_with_age
from ops.maintenance.checks import DAILY, checks
from ops.maintenance.command import tools_of
from ops.maintenance.model import Check as Looked
from ops.maintenance.model import Period, Tools
from services.backup import BackupError
from services.backup.manifest import Manifest, object_key
from services.backup.store import Store
from services.failover_agent import STANDBY

RESTORED, OUTAGE, MAINTAINED = "backups-restored", "archive-storage-outage", "maintenance"
"""Drills: every kind restored and compared; the object storage away; maintenance of all periods run."""
CREATED_WITHIN = timedelta(minutes=20)
"""From the creation of the namespace until every workload runs."""
ARCHIVED_WITHIN = CREATED_WITHIN + timedelta(minutes=10)
_HELD_BLOCKS = 2
"""Blocks of samples in memory before one must have been stored: one and a half to cut it, and the upload."""
AGE_HEADER = b"age-encryption.org/v1\n"
_MOST_BYTES = 2**28
"""Objects of a run that are compared with their checksums here; larger ones wait for `ops backup verify`."""


def d1(context: Context) -> Finding:
    """Each kind has a young, whole, encrypted, signed run; the archive has no gap; blocks arrive; restored."""
    finding, access = Finding(), backup_access(context.platform)
    kube = context.kube
    tools = tools_of(context, silence_age=timedelta(), identity=None)
    storage = waiting_for(lambda: f"object storage ({access.endpoint})")
    with storage, opened(access) as store, tempfile.TemporaryDirectory(prefix="obs-d1-") as folder:
        for kind, allowed in kinds_with_age(access).items():
            held = runs.runs(store, kind, last=1)
            finding.wrong.extend(held.problems)
            if held.newest is None:
                if not held.damaged:
                    never_made(context, kind, access, finding)
                continue
            judge(kind, held.newest, allowed, tools.now, finding)
            whole(store, held.newest, access, Path(folder) / kind, finding)
        archive(runs.archived(store), finding, kube.created() + ARCHIVED_WITHIN)
        finding.seen.append(deletions(store))
    with opened(access, access.metrics_prefix) as store:
        blocks(runs.shipped(store), context.platform.prometheus_servers, finding, lambda name: first_block(kube, name))
    late = context.thanos.number("max(min by (server) (time() - backup_metrics_due_timestamp_seconds)) > 0")
    finding.expect(late is None, f"the next block of metrics is overdue by {(late or 0) / 60:.0f} min")
    failed = context.thanos.number("max(backup_poll_failed)")
    if failed is None:
        problem = "backups are not monitored: backup_poll_failed has no series"
        finding.expect_by(grace_period_end(context), False, "first poll of the backups", problem)
    else:
        finding.expect_equal("backup_poll_failed", failed, 0.0)
    signed, refused = (
        context.thanos.number(f"sum(max by (kind) (backup_{what}_runs))") for what in ("signed", "refused")
    )
    finding.figures.append(f"{signed or 0:.0f} runs signed")
    finding.expect(not refused, f"{refused or 0:.0f} runs are not what a job of this platform made (BackupForged)")
    for key in ("backups.search", "object_storage.roles", "object_storage.encryption"):
        finding.seen.extend(context.platform.left_out(key))
    finding.drill(RESTORED, OUTAGE)
    return finding


def deletions(store: Store) -> str:
    """What becomes of a backup that the pods' own key deletes."""
    try:
        kept = store.keeps_versions()
    except BackupError as error:
        return f"cannot determine whether the bucket keeps versions of deleted backups: {error}"
    if kept:
        return "the bucket keeps versions of deleted objects"
    return "deleted backups cannot be recovered: the bucket keeps no versions (docs/operations/backups.md)"


def never_made(context: Context, kind: str, access: BackupAccess, finding: Finding) -> None:
    """A kind of which no run is stored: its job has not come round yet, or operators make it."""
    command = f"ops backup run {kind}"
    cron = access.schedules.get(kind.replace("-", "_"))
    if cron is None:
        finding.set_up(f"no {kind} backup is stored", command)
        return
    schedule = job_schedule(cron)
    first_run(
        finding,
        context.kube.cron_job(f"backup-{kind}"),
        timedelta(seconds=schedule.start_within_s + schedule.limit_s),
        f"first {kind} backup",
        f"no {kind} backup is stored",
        command,
    )


def first_block(kube: Kube, replica: str) -> datetime:
    """When the first block of a Prometheus must be stored: it is cut once the head holds one and a half."""
    duration = milliseconds(kube.argument(f"prometheus-{replica}", "storage.tsdb.min-block-duration"))
    return kube.created() + CREATED_WITHIN + timedelta(milliseconds=_HELD_BLOCKS * duration)


def whole(store: Store, manifest: Manifest, access: BackupAccess, folder: Path, finding: Finding) -> None:
    """Objects are what was stored, and encrypted for those who are named."""
    finding.expect(
        set(manifest.recipients) <= set(access.recipients),
        f"{manifest.kind} {manifest.run} is encrypted for a recipient that the settings do not name",
    )
    if manifest.total_bytes > _MOST_BYTES:
        finding.seen.append(f"{manifest.kind} {manifest.run} is too large to verify here: use `ops backup verify`")
        return
    for problem in prove(store, manifest, None, folder).problems:
        finding.wrong.append(f"{manifest.kind} {manifest.run}: {problem}")
    for stored_object in manifest.objects[:1]:
        head = store.get(object_key(manifest.kind, manifest.run, stored_object.name), _MOST_BYTES)[: len(AGE_HEADER)]
        finding.expect(head == AGE_HEADER, f"{manifest.kind} {manifest.run}: {stored_object.name} is not encrypted")


def archive(archives: list[Archived], finding: Finding, due: datetime) -> None:
    """Every topic is archived since ``due``, without a gap."""
    missing = set(TOPIC_NAMES) - {topic_archive.topic for topic_archive in archives}
    problem = f"the archive has no records of {listed(missing)}"
    finding.expect_by(due, not missing, f"first archived records of {listed(missing)}", problem)
    for topic_archive in archives:
        finding.expect(
            not topic_archive.missing, f"the archive of {topic_archive.topic} lacks {topic_archive.missing} offsets"
        )
    total = sum(topic_archive.offsets for topic_archive in archives)
    finding.figures.append(
        f"archive: {len(archives)} topics, {total:,} records, {sum(e.bytes for e in archives):,} bytes"
    )


def blocks(shipped: list[Shipped], servers: tuple[str, ...], finding: Finding, due: Callable[[str], datetime]) -> None:
    """Every Prometheus ships its blocks, each since it is ``due`` to."""
    for name in sorted(set(servers) - {replica.name for replica in shipped}):
        problem = f"no block of metrics of {name} is stored"
        finding.expect_by(due(name), False, f"first block of metrics of {name}", problem)
    for replica in shipped:
        finding.figures.append(f"{replica.name} {replica.blocks} blocks, {replica.samples:,} samples")


def m2(context: Context) -> Finding:
    """Every daily check can look at the live platform; the drill ran all periods and kept the records.

    What a check finds wrong is for who does the maintenance, and no failure of maintenance itself.
    """
    finding = Finding()
    tools = tools_of(context, silence_age=timedelta(days=7), identity=None)
    to_do = [check.id for check in DAILY if _asks(check, tools, finding)]
    counts = [f"{period} {len(checks(period))}" for period in Period]
    finding.figures.append(f"checks: {', '.join(counts)}; {len(to_do)} of {len(DAILY)} daily ones need action now")
    finding.seen.append(f"to do: {listed(to_do) or 'nothing'}")
    finding.drill(MAINTAINED)
    return finding


def _asks(check: Looked, tools: Tools, finding: Finding) -> bool:
    """Whether a check asks for somebody; one that cannot look is a problem."""
    try:
        return bool(check.run(tools).wrong)
    except Exception as error:  # any failure of a check is this row's
        finding.wrong.append(f"{check.id} cannot run: {one_line(error)}")
        return False


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
    return (
        "make up-dr"
        if os.environ.get(evidence.SCOPE_VARIABLE) == "checkout"
        else "pulumi up --stack dr --policy-pack policy"
    )


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


CHECKS: dict[str, Check] = {"D1": d1, "M2": m2, "D2": d2, "D3": d3}
