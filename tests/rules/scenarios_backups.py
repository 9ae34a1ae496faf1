"""Scenarios of the alerts about backups and the archive of Kafka."""

from __future__ import annotations

from tests.rules.scenario import Scenario

_ONE = 'job="backup-exporter",instance="10-88-0-7"'
_OTHER = 'job="backup-exporter",instance="10-88-0-8"'
_ARCHIVE = 'job="kafka-archive",instance="10-88-0-9"'
_UP = f"up{{{_ONE}}}"
_DAY = 2880
"""Values of a day, one each 30 s."""


def _due(pod: str, kind: str) -> str:
    return f'backup_due_timestamp_seconds{{{pod},kind="{kind}"}}'


def _damaged(pod: str, kind: str) -> str:
    return f'backup_damaged_runs{{{pod},kind="{kind}"}}'


def _refused(pod: str, kind: str) -> str:
    return f'backup_refused_runs{{{pod},kind="{kind}"}}'


def _signed_until(pod: str, kind: str) -> str:
    return f'backup_signed_until_timestamp_seconds{{{pod},kind="{kind}"}}'


def _of_pod(name: str, pod: str) -> str:
    return f"{name}{{{pod}}}"


def _poll(pod: str) -> str:
    return _of_pod("backup_last_poll_timestamp_seconds", pod)


def _retention(pod: str) -> str:
    return _of_pod("backup_last_retention_timestamp_seconds", pod)


def _blocks(pod: str, server: str = "primary-shard-1") -> str:
    return f'backup_metrics_due_timestamp_seconds{{{pod},server="{server}"}}'


def _missing(pod: str, topic: str) -> str:
    return f'backup_archive_missing_records{{{pod},topic="{topic}"}}'


def _stored(topic: str) -> str:
    return f'kafka_archive_last_stored_timestamp_seconds{{{_ARCHIVE},topic="{topic}"}}'


def _seen(topic: str) -> str:
    return f'backup_archive_last_timestamp_seconds{{{_ONE},topic="{topic}"}}'


def _lag(topic: str, group: str = "archive", partition: int = 0) -> str:
    return f'kafka_consumergroup_lag{{job="kafka-lag",consumergroup="{group}",topic="{topic}",partition="{partition}"}}'


def _gap(topic: str) -> str:
    return f'kafka_archive_gap_records_total{{{_ARCHIVE},topic="{topic}"}}'


_FAILED = f"kafka_archive_failed_stores_total{{{_ARCHIVE}}}"

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        alert="BackupTooOld",
        bad={
            _due(_ONE, "database"): "600x60",
            _due(_OTHER, "database"): "600x60",
            _due(_ONE, "grafana"): "90000x60",
        },
        # One pod has just started, and has not seen the newest run yet.
        good={_due(_ONE, "database"): "600x60", _due(_OTHER, "database"): "7800x60"},
        silent_at="14m45s",
        firing_at="15m30s",
        labels={"job": "backup-exporter", "kind": "database"},
    ),
    Scenario(
        alert="BackupDamaged",
        bad={_damaged(_ONE, "search"): "0x9 2x40", _damaged(_OTHER, "search"): "0x9 2x40"},
        # A run that is stored just now looks so for one poll.
        good={_damaged(_ONE, "search"): "0x9 1x4 0x40", _damaged(_OTHER, "search"): "0x9 1x40"},
        silent_at="9m45s",
        firing_at="10m30s",
        labels={"job": "backup-exporter", "kind": "search"},
    ),
    Scenario(
        alert="BackupForged",
        bad={_refused(_ONE, "database"): "0x9 1x40", _refused(_OTHER, "database"): "0x9 1x40"},
        good={_refused(_ONE, "database"): "0x9 1x40", _refused(_OTHER, "database"): "0x49"},
        silent_at="5m15s",
        firing_at="6m30s",
        labels={"job": "backup-exporter", "kind": "database"},
    ),
    Scenario(
        alert="BackupUnsigned",
        bad={_signed_until(_ONE, "search"): "0+30x20 600x60", _signed_until(_OTHER, "search"): "0+30x20 600x60"},
        # One of them cannot read; what the other one signs is signed. A run waits for a poll.
        good={_signed_until(_ONE, "search"): "600x80", _signed_until(_OTHER, "search"): "0+30x20 600x4 750+30x60"},
        silent_at="25m45s",
        firing_at="26m30s",
        labels={"job": "backup-exporter", "kind": "search"},
    ),
    Scenario(
        alert="BackupRetentionFailing",
        bad={_retention(_ONE): "0x800", _retention(_OTHER): "0x800"},
        # One of them may not remove anything; what the other one removes is removed.
        good={_retention(_ONE): "0x800", _retention(_OTHER): "0+30x800"},
        silent_at="364m45s",
        firing_at="365m30s",
        labels={"job": "backup-exporter"},
    ),
    Scenario(
        alert="MetricsBlocksTooOld",
        # The first shard ships on, from both replicas.
        bad={
            **{_blocks(pod): "600x60" for pod in (_ONE, _OTHER)},
            **{_blocks(pod, server): "4800x60" for pod in (_ONE, _OTHER) for server in ("primary", "secondary")},
        },
        good={_blocks(_ONE): "600x60", _blocks(_OTHER): "600x10 4800x50"},
        silent_at="14m45s",
        firing_at="15m30s",
        labels={"job": "backup-exporter", "server": "primary-shard-1"},
    ),
    Scenario(
        alert="BackupExporterPollFailed",
        bad={_poll(_ONE): "0+30x20 600x60", _poll(_OTHER): "0+30x20 600x60"},
        good={_poll(_ONE): "0+30x20 600x60", _poll(_OTHER): "0+30x80"},
        silent_at="25m45s",
        firing_at="26m30s",
        labels={"job": "backup-exporter"},
    ),
    Scenario(
        alert="BackupExporterDown",
        bad={_UP: "1x9 0x40", f"up{{{_OTHER}}}": "1x9 0x40"},
        good={_UP: "1x9 0x40", f"up{{{_OTHER}}}": "1x50"},
        silent_at="5m45s",
        firing_at="6m30s",
        labels={"job": "backup-exporter"},
    ),
    Scenario(
        alert="BackupExporterDown",
        bad={_UP: "1x9 stale", 'up{job="other",instance="o"}': "1x50"},
        good={_UP: "1x50", 'up{job="other",instance="o"}': "1x9 stale"},
        silent_at="5m15s",
        firing_at="6m30s",
        labels={"job": "backup-exporter"},
    ),
    Scenario(
        alert="KafkaArchiveBehind",
        bad={
            _stored("telemetry-logs"): "0+30x20 600x60",
            _stored("alerts-raw"): "0x80",
            _lag("telemetry-logs"): "7x80",
            _lag("alerts-raw"): "0x80",
        },
        # What waits is stored every minute; a quiet topic has nothing that waits, and another group is no archive.
        good={
            _stored("telemetry-logs"): "0+30x80",
            _stored("alerts-raw"): "0x80",
            _lag("telemetry-logs"): "7x80",
            _lag("alerts-raw"): "0x30 1x2 0x50",
            _lag("alerts-raw", "log-indexer"): "7x80",
        },
        silent_at="19m45s",
        firing_at="20m30s",
        labels={"topic": "telemetry-logs"},
    ),
    Scenario(
        alert="KafkaArchiveBehind",
        # The archive's pods are gone: the backup exporter still says when something was stored last.
        bad={
            _stored("telemetry-logs"): "0+30x20 stale",
            _seen("telemetry-logs"): "0+30x20 600x60",
            _lag("telemetry-logs"): "7x80",
        },
        good={
            _seen("telemetry-logs"): "0+30x20 600x60",
            _stored("telemetry-logs"): "0+30x80",
            _lag("telemetry-logs"): "7x80",
        },
        silent_at="19m45s",
        firing_at="20m30s",
        labels={"topic": "telemetry-logs"},
    ),
    Scenario(
        alert="KafkaArchiveFailing",
        bad={_FAILED: "0x9 1+1x80"},
        good={_FAILED: "0x9 1+1x8 10x60"},
        silent_at="14m45s",
        firing_at="15m30s",
        labels={"job": "kafka-archive"},
    ),
    Scenario(
        alert="KafkaArchiveGap",
        bad={_gap("telemetry-logs"): "0x9 40x60", _gap("alerts-raw"): "0x70"},
        good={_gap("telemetry-logs"): "40x70", _gap("alerts-raw"): "0x70"},
        silent_at="14m45s",
        firing_at="15m30s",
        labels={"topic": "telemetry-logs"},
    ),
    Scenario(
        alert="KafkaArchiveGap",
        bad={_missing(_ONE, "telemetry-logs"): "0x9 5x60", _missing(_OTHER, "telemetry-logs"): "0x9 5x60"},
        # Only one of them says so.
        good={_missing(_ONE, "telemetry-logs"): "0x9 5x60", _missing(_OTHER, "telemetry-logs"): "0x70"},
        silent_at="14m45s",
        firing_at="15m30s",
        labels={"topic": "telemetry-logs"},
    ),
    Scenario(
        alert="KafkaArchiveGap",
        # Told for a day: what was missing before is no news, what is missing since then is.
        bad={_missing(_ONE, "telemetry-logs"): f"5x{_DAY} 8x80"},
        good={_missing(_ONE, "telemetry-logs"): f"5x{_DAY} 5x80"},
        silent_at="24h10m15s",
        firing_at="24h11m",
        labels={"topic": "telemetry-logs"},
        evaluated="1m",
    ),
)
