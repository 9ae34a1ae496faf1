"""Backups: are there copies, how old are they, and what would be lost now? And the other region (requirements D1, G4).

How old a backup may get depends on its schedule, and the backup exporter tells it.
"""

from __future__ import annotations

from components.dashboards import limits
from components.dashboards.model import Dashboard, Limit, Query, Row, bars, series, stat, table
from components.dashboards.recovery_archive import ARCHIVE, WAITING
from components.dashboards.recovery_regions import REGIONS

_SUCCESS = "max by (kind) (backup_last_success_timestamp_seconds)"
_DUE = "max by (kind) (backup_due_timestamp_seconds)"
_BLOCK = "max(backup_metrics_last_block_timestamp_seconds)"
_BLOCK_DUE = "max(backup_metrics_due_timestamp_seconds)"
_AGE = f"time() - {_SUCCESS}"
_MISSING = f"count({_DUE} < time()) or vector(0)"
_NONE = f"count({_DUE} unless on (kind) {_SUCCESS}) or vector(0)"
_ALLOWED = (Limit(value=1.0, label="missing"),)
_LOOK_OLD = (Limit(value=600, label="old", tone="warning"),)
"""The exporter polls once a minute."""

SUMMARY = Row(
    title="Backups and recovery",
    panels=(
        bars(
            "Age of backups, of the most allowed",
            "At 100 % the next backup of this kind, or the next block of metrics, is missing.",
            "1",
            Query(expr=f"({_AGE}) / on (kind) ({_DUE} - {_SUCCESS})", legend="{{kind}}"),
            Query(expr=f"(time() - {_BLOCK}) / ({_BLOCK_DUE} - {_BLOCK})", legend="metrics"),
            limits=_ALLOWED,
            width=12,
            height=6,
        ),
        stat(
            "Backups that are missing",
            "Kinds whose next backup should be there and is not.",
            "{kind}",
            Query(expr=_MISSING, legend="missing"),
            limits=limits.at_most("missing"),
            height=6,
        ),
        stat(
            "Database would lose",
            "Time since the newest whole backup of PostgreSQL began.",
            "s",
            Query(expr='time() - max(backup_last_success_timestamp_seconds{kind="database"})', legend="ago"),
            height=6,
        ),
        stat(
            "Archive would lose",
            "Records of Kafka that the archive has read and not stored yet.",
            "{record}",
            Query(expr=WAITING, legend="waiting"),
            height=6,
        ),
    ),
)
"""For the dashboard of operations."""

_LOST = Row(
    title="What would be lost now",
    panels=(
        stat(
            "Changes since the newest backup",
            "Time since the newest whole backup of each kind began. A kind that is not here has none, or nobody waits "
            "for any: where the search cluster makes snapshots of its own, there is no `search`.",
            "s",
            Query(expr=_AGE, legend="{{kind}}"),
            width=14,
            height=5,
        ),
        stat(
            "Metrics",
            "Time since the end of the newest block of metrics in the object storage. A block is sent when it is full.",
            "s",
            Query(expr=f"time() - {_BLOCK}", legend="ago"),
            width=5,
            height=5,
        ),
        stat(
            "Kafka's records",
            "Records that the archive has read and not stored yet. It reads them again when it starts anew, so they "
            "are lost only with the brokers.",
            "{record}",
            Query(expr=WAITING, legend="waiting"),
            width=5,
            height=5,
        ),
    ),
)

_STATE = Row(
    title="State",
    panels=(
        bars(
            "Time until the next one is missing",
            "Below zero it is: it should have been stored by then.",
            "s",
            Query(expr=f"{_DUE} - time()", legend="{{kind}}"),
            Query(expr=f"{_BLOCK_DUE} - time()", legend="metrics"),
            limits=limits.OVERDUE,
        ),
        stat(
            "Missing",
            "Kinds whose next backup should be there and is not.",
            "{kind}",
            Query(expr=_MISSING, legend="missing"),
            limits=limits.at_most("missing"),
            width=3,
            height=8,
        ),
        stat(
            "Never made",
            "Kinds that somebody waits for and of which there is no whole backup.",
            "{kind}",
            Query(expr=_NONE, legend="none"),
            limits=limits.at_most("none"),
            width=3,
            height=8,
        ),
        stat(
            "Damaged",
            "Backups newer than the newest whole one, of which something is missing.",
            "{backup}",
            Query(expr="sum(max by (kind) (backup_damaged_runs))", legend="damaged"),
            limits=limits.at_most("damaged"),
            width=3,
            height=8,
        ),
        stat(
            "Polls of the object storage",
            "Whether the last poll of the object storage succeeded.",
            "",
            Query(expr="1 - max(backup_poll_failed)", legend="last poll"),
            states=limits.WORKS,
            width=3,
            height=8,
        ),
        stat(
            "Last poll",
            "Time since the object storage was last read. Beyond the limit, all of this dashboard is old.",
            "s",
            Query(expr="time() - max(backup_last_poll_timestamp_seconds)", legend="ago"),
            limits=_LOOK_OLD,
            height=8,
        ),
    ),
)

_RUNS = Row(
    title="Backups",
    panels=(
        table(
            "Backups by kind",
            "How many are kept; the newest whole one: its age, size, objects, and how long it took.",
            {"kind": "Kind"},
            Query(expr="max by (kind) (backup_runs)", legend="Kept"),
            Query(expr=_AGE, legend="Age of the newest", unit="s"),
            Query(expr="max by (kind) (backup_last_bytes)", legend="Size", unit="By"),
            Query(expr="max by (kind) (backup_last_objects)", legend="Objects"),
            Query(expr="max by (kind) (backup_last_duration_seconds)", legend="Took", unit="s"),
            width=12,
        ),
        series(
            "Age of the newest backup",
            "It grows until the next one is whole, so each line is a saw. A line that keeps growing lacks backups.",
            "s",
            Query(expr=_AGE, legend="{{kind}}"),
            width=12,
        ),
        series(
            "Size of the newest backup",
            "As stored: compressed and encrypted. One that is suddenly much smaller wants a look.",
            "By",
            Query(expr="max by (kind) (backup_last_bytes)", legend="{{kind}}"),
        ),
        series(
            "Time that a backup takes",
            "Of the newest one of each kind. Near the distance of two runs, they get into each other's way.",
            "s",
            Query(expr="max by (kind) (backup_last_duration_seconds)", legend="{{kind}}"),
        ),
        series(
            "Age of the newest block of metrics",
            "Time since its end. It grows until the next block is full and sent.",
            "s",
            Query(expr=f"time() - {_BLOCK}", legend="newest block"),
        ),
    ),
)

DASHBOARD = Dashboard(
    name="recovery",
    title="Backups and recovery",
    description="Are there copies of everything, what would be lost now, and could the other region take over?",
    tags=("operations", "backup"),
    since="24h",
    rows=(_LOST, _STATE, REGIONS, _RUNS, ARCHIVE),
)
"""For those who have to bring it back."""
