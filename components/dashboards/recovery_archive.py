"""Row about the archive of Kafka's records (requirement D1): is every record stored, and how late?"""

from __future__ import annotations

from components.dashboards import limits
from components.dashboards.model import RATE, Query, Row, series, stat, table

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
