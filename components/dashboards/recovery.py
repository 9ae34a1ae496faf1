"""Backups: are there copies, how old are they, and what would be lost now? And the other region (requirements D1, G4).

How old a backup may get depends on its schedule, and the backup exporter tells it.

Where there is no other region, or nothing is copied into this one, panels say so in words: their queries then answer
`_NONE`, so that no panel is empty.
"""

from __future__ import annotations

from typing import Final

from components.dashboards import limits
from components.dashboards.model import RATE, Dashboard, Limit, Query, Row, State, bars, series, stat, table

WAITING = "sum(kafka_archive_waiting_records)"
"""Records that would be read again, or be lost with the brokers."""

ARCHIVE = Row(
    title="Archive of Kafka's records",
    panels=(
        stat(
            "Waiting",
            "Age of the oldest record that is read and not stored yet.",
            "s",
            Query(expr="max(kafka_archive_waiting_seconds)", legend="oldest"),
            width=6,
        ),
        stat(
            "Removed too early",
            "Records that Kafka's retention removed before they were archived. None is right: they are in no copy.",
            "{record}",
            Query(expr="sum(kafka_archive_gap_records_total)", legend="lost"),
            limits=limits.at_most("lost"),
            width=6,
        ),
        stat(
            "Holes",
            "Offsets between the first and the last one of a topic's archive that no stored segment holds.",
            "{record}",
            Query(expr="sum(max by (topic) (backup_archive_missing_records))", legend="missing"),
            limits=limits.at_most("missing"),
            width=6,
        ),
        stat(
            "Stores that failed",
            "Tries of the last hour to store an object that failed. They are repeated, and nothing is skipped.",
            "{try}",
            Query(expr="round(sum(increase(kafka_archive_failed_stores_total[1h])))", legend="last hour"),
            limits=limits.at_most("failed", tone="warning"),
            width=6,
        ),
        series(
            "Records archived",
            "Records per second that the archive stored, by topic.",
            "{record}/s",
            Query(expr=f"sum by (topic) (rate(kafka_archive_records_total[{RATE}]))", legend="{{topic}}"),
            stacked=True,
        ),
        series(
            "Records that wait",
            "Records read and not stored yet. They are stored when there are enough, or after a while.",
            "{record}",
            Query(expr="sum by (instance) (kafka_archive_waiting_records)", legend="{{instance}}"),
        ),
        series(
            "Objects stored",
            "Objects per second.",
            "{object}/s",
            Query(expr="sum(rate(kafka_archive_stored_objects_total[5m]))", legend="stored"),
        ),
        table(
            "Archive by topic",
            "Bytes and segments in the object storage, and how long ago the newest segment was stored.",
            {"topic": "Topic"},
            Query(expr="max by (topic) (backup_archive_bytes)", legend="Size", unit="By"),
            Query(expr="max by (topic) (backup_archive_segments)", legend="Segments"),
            Query(
                expr="time() - max by (topic) (backup_archive_last_timestamp_seconds)",
                legend="Newest segment",
                unit="s",
            ),
            width=12,
        ),
        series(
            "Time since something was stored",
            "By topic. A quiet topic grows old without a loss.",
            "s",
            Query(
                expr="time() - max by (topic) (kafka_archive_last_stored_timestamp_seconds)",
                legend="{{topic}}",
            ),
            width=12,
        ),
    ),
)


_NO_STATE: Final = -1
OF_THE_OTHER: Final = frozenset(
    ("failover_agent_peer_age_seconds", "failover_agent_peer_differs", "failover_agent_peer_notifies")
)
"""Series that are there once another region has been heard of."""
OF_THE_COPY: Final = frozenset(("obs:mirror_lag:records", "obs:mirror_latency:seconds", "obs:mirror_records:rate1m"))
"""Series that are there in the region into which the other one is copied."""
_PEER_AGE: Final = "max(failover_agent_peer_age_seconds)"
_FRESH_S: Final = limits.PLATFORM["RegionPeerSilent"]
_MOST_KINDS: Final = 6
"""Kinds of definitions that are compared, and one more."""

_HERE = (State(value=1, text="active", tone="good"), State(value=0, text="is silent", tone="note"))
_OTHER = (
    State(value=3, text="active", tone="good"),
    State(value=2, text="is silent", tone="note"),
    State(value=1, text="says nothing", tone="bad"),
    State(value=0, text="there is none", tone="note"),
)
_CUT_OFF = (State(value=0, text="no", tone="good"), State(value=1, text="yes", tone="bad"))
_NO_REGION = State(value=_NO_STATE, text="no other region", tone="note")
_DIFFER = (
    _NO_REGION,
    State(value=0, text="the same", tone="good"),
    *(State(value=number, text=f"{number} differ", tone="warning") for number in range(1, _MOST_KINDS + 1)),
)
_NO_MIRROR = (State(value=_NO_STATE, text="no copy here", tone="note"),)


def _or_none(expr: str) -> str:
    return f"{expr} or vector({_NO_STATE})"


REGIONS = Row(
    title="Second region",
    panels=(
        stat(
            "This region",
            "Whether its Alertmanagers notify on-call of the layers' alerts. One region of two does.",
            "",
            Query(expr="max by (region) (failover_agent_notifies)", legend="{{region}}"),
            states=_HERE,
        ),
        stat(
            "Other region",
            "What it said of itself last; older than a minute, it says nothing.",
            "",
            Query(
                expr=f"({_PEER_AGE} <= bool {_FRESH_S:g}) * (1 + max(failover_agent_peer_notifies)) + 1 or vector(0)",
                legend="other region",
            ),
            states=_OTHER,
        ),
        stat(
            "Other region's last word",
            "Time since its heartbeat in the witness bucket. It comes every 5 s.",
            "s",
            Query(expr=_or_none(_PEER_AGE), legend="ago"),
            limits=limits.platform("RegionPeerSilent"),
            states=(_NO_REGION,),
        ),
        stat(
            "Definitions of both regions",
            "Kinds of definitions (rules, dashboards, topics, permissions, notifications) in which the regions differ. "
            "`ops regions parity` names them.",
            "{kind}",
            Query(expr=_or_none("sum(max by (definition) (failover_agent_peer_differs))"), legend="differ"),
            states=_DIFFER,
        ),
        stat(
            "Copied late",
            "Age of records when they arrive here from the other region, of the slowest topic. If that region is lost "
            "now, about so much is lost.",
            "s",
            Query(expr=_or_none("max(obs:mirror_latency:seconds)"), legend="slowest topic"),
            limits=limits.platform("MirrorLag"),
            states=_NO_MIRROR,
        ),
        stat(
            "Not copied yet",
            "Records that the other region has and this one has not.",
            "{record}",
            Query(expr=_or_none("sum(obs:mirror_lag:records)"), legend="waiting"),
            states=_NO_MIRROR,
        ),
        series(
            "Records copied",
            "Records per second that arrive from the other region; 0 where nothing is copied into this one.",
            "{record}/s",
            Query(expr="sum(obs:mirror_records:rate1m) or vector(0)", legend="copied"),
            width=6,
        ),
        series(
            "Age of the last lease poll",
            "The failover agent reads the lease every 2 s. Beyond the limit, a failover could not silence this region.",
            "s",
            Query(expr="max by (region) (failover_agent_lease_read_age_seconds)", legend="{{region}}"),
            limits=limits.platform("RegionLeaseUnreadable"),
            width=6,
        ),
        stat(
            "Pagers reached",
            "Time since the address of each channel took a connection from this region. Each is tried every 4 s.",
            "s",
            Query(expr="max by (address) (failover_agent_egress_reached_age_seconds)", legend="{{address}}"),
            limits=limits.platform("RegionPagerUnreachable"),
            height=8,
        ),
        stat(
            "Changes of the holder",
            "Epoch of the lease: one more at each failover and failback.",
            "{change}",
            Query(expr=_or_none("max(failover_agent_lease_epoch)"), legend="epoch"),
            states=(State(value=_NO_STATE, text="not read yet", tone="warning"),),
            height=8,
        ),
        stat(
            "Cut off",
            "Whether neither the witness nor any pager could be reached, so that the region fell silent by itself.",
            "",
            Query(expr="max by (region) (failover_agent_isolated)", legend="{{region}}"),
            states=_CUT_OFF,
            height=8,
        ),
    ),
)
"""For those who have to decide whether the other region can take over."""


_SUCCESS = "max by (kind) (backup_last_success_timestamp_seconds)"
_DUE = "max by (kind) (backup_due_timestamp_seconds)"
_BLOCKS = "max by (server) (backup_metrics_last_block_timestamp_seconds)"
_BLOCK = f"min({_BLOCKS})"
_BLOCKS_DUE = "max by (server) (backup_metrics_due_timestamp_seconds)"
"""Of each server; the one that is furthest behind counts."""
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
            Query(expr=f"max((time() - {_BLOCKS}) / ({_BLOCKS_DUE} - {_BLOCKS}))", legend="metrics"),
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
            "for any: where the search cluster is not backed up, there is no `search`.",
            "s",
            Query(expr=_AGE, legend="{{kind}}"),
            width=14,
            height=5,
        ),
        stat(
            "Metrics",
            "Time since the end of the newest block of metrics in the object storage, of the Prometheus that is "
            "furthest behind. A block is sent when it is full.",
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
            Query(expr=f"min({_BLOCKS_DUE}) - time()", legend="metrics"),
            limits=limits.OVERDUE,
            width=6,
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
            "Not ours",
            "Backups whose manifest no job of this platform made as it is. They are not signed, and not restored.",
            "{backup}",
            Query(expr="sum(max by (kind) (backup_refused_runs))", legend="refused"),
            limits=limits.at_most("refused"),
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
            width=3,
            height=8,
        ),
    ),
)

_RUNS = Row(
    title="Backups",
    panels=(
        table(
            "Backups by kind",
            "How many are kept, how many of them are signed; the newest whole one: its age, size, objects, and how "
            "long it took.",
            {"kind": "Kind"},
            Query(expr="max by (kind) (backup_runs)", legend="Kept"),
            Query(expr="max by (kind) (backup_signed_runs)", legend="Signed"),
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
