"""Checks of a maintenance that look at backups; a check of `ops.maintenance` gets one of these functions."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from components.backups.config import ARCHIVE_USER
from ops.alerts.silences import span
from ops.backups import runs
from ops.backups.options import identities, opened
from ops.backups.verify import Proof, prove
from ops.core.backup_access import BackupAccess, access_of
from ops.core.rows import Finding
from services.backup.manifest import Manifest

if TYPE_CHECKING:
    from ops.maintenance.model import Tools

FRESH_LIMIT = "as old as its schedule allows, late start and run included; pulumi-state 8 days; not empty"
STATE_AGE_S = 8 * 86_400.0
"""How old the newest copy of Pulumi's state may be: operators make it, weekly."""
ARCHIVE_LATE = timedelta(minutes=30)
_LAST_STORED = "max by (topic) (kafka_archive_last_stored_timestamp_seconds)"
_GAPS = "max by (topic) (backup_archive_missing_records) > 0"
_FAILED = f"sum(increase(kafka_archive_failed_stores_total[{ARCHIVE_LATE.seconds // 60}m]))"


def kinds_with_age(access: BackupAccess) -> dict[str, float]:
    """Kind -> how old its newest run may be, seconds; the state of Pulumi is saved by operators."""
    return {**access.scheduled, runs.PULUMI_STATE: STATE_AGE_S}


def judge(kind: str, manifest: Manifest | None, allowed_s: float, now: datetime, finding: Finding) -> None:
    """Whether the newest run of a kind is young enough and holds something."""
    if manifest is None:
        finding.wrong.append(f"no {kind} backup is stored: `ops backup run {kind}` makes one")
        return
    age = now - manifest.started
    finding.figures.append(f"{kind} {span(age)} ago, {manifest.total_bytes:,} bytes")
    limit = timedelta(seconds=allowed_s)
    finding.expect(age <= limit, f"{kind}: the newest run is {span(age)} old, must be at most {span(limit)}")
    finding.expect(bool(manifest.objects) and manifest.total_bytes > 0, f"{kind}: run {manifest.run} has no objects")
    finding.expect(any(manifest.counts.values()), f"{kind}: run {manifest.run} counts nothing")


def backups_made(tools: Tools) -> Finding:
    """Every kind has a run that is as young as its schedule asks for."""
    finding, access = Finding(), access_of(tools.context.platform)
    with opened(access) as store:
        for kind, allowed in kinds_with_age(access).items():
            judge(kind, runs.newest(store, kind), allowed, tools.now, finding)
    return finding


def archive_kept(tools: Tools) -> Finding:
    """The archive's group reads on, and what it reads is stored."""
    finding, context = Finding(), tools.context
    lag = context.kafka.lag(ARCHIVE_USER)
    finding.expect(bool(lag), f"group {ARCHIVE_USER} has committed nothing: does the archive run?")
    stored = {sample.labels.get("topic", "?"): sample.value for sample in context.thanos.instant(_LAST_STORED)}
    for topic, waiting in sorted(lag.items()):
        if not waiting:
            continue
        at = stored.get(topic)
        late = tools.now - datetime.fromtimestamp(at, UTC) if at else None
        finding.expect(
            late is not None and late <= ARCHIVE_LATE,
            f"{topic}: {waiting} records wait, the last one was stored {f'{span(late)} ago' if late else 'never'}",
        )
    failed = context.thanos.number(_FAILED) or 0.0
    finding.expect(failed == 0, f"{failed:.0f} stores failed in the last {span(ARCHIVE_LATE)}")
    for sample in context.thanos.instant(_GAPS):
        topic = sample.labels.get("topic", "?")
        finding.wrong.append(f"{topic}: {sample.value:.0f} offsets between the first and the last are in no segment")
    finding.figures.append(f"{sum(lag.values())} records of {len(lag)} topics wait to be stored")
    return finding


def backups_whole(tools: Tools) -> Finding:
    """The newest run of every kind is what its manifest says; opened where there is an identity."""
    finding, access = Finding(), access_of(tools.context.platform)
    keys = identities(tools.identity) if tools.identity else None
    with opened(access) as store, tempfile.TemporaryDirectory(prefix="obs-verify-") as folder:
        for kind in kinds_with_age(access):
            newest = runs.newest(store, kind)
            if newest is None:
                finding.wrong.append(f"no {kind} backup is stored")
                continue
            note(prove(store, newest, keys, Path(folder) / kind), finding)
    if keys is None:
        finding.seen.append("encrypted objects compared with their checksums, none opened: give --identity FILE")
    return finding


def note(proof: Proof, finding: Finding) -> None:
    """What a proof says, as part of a finding."""
    how = "opened" if proof.opened else "encrypted"
    finding.figures.append(f"{proof.kind} {proof.run} {how}, {proof.objects} objects")
    finding.wrong.extend(f"{proof.kind} {proof.run}: {problem}" for problem in proof.problems)
    finding.seen.extend(f"{proof.kind}: {remark}" for remark in proof.seen)
