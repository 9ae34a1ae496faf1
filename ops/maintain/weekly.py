"""Every week: is there room, does data end when it was promised, what was forgotten, can backups be read?"""

from __future__ import annotations

from components.kafka.rules import DISK_HIGH as KAFKA_DISK
from components.postgres.rules import DISK_HIGH as DATABASE_DISK
from components.prometheus.rules import DISK_HIGH as PROMETHEUS_DISK
from ops.backup.maintained import backups_whole
from ops.maintain import boards, looks
from ops.maintain.metric import Metric, Unit, metric
from ops.maintain.model import Check

SEARCH_DISK = 0.85
FORECAST_DAYS = 14
FULL = 0.9
CERTIFICATE_S = 14 * 86_400.0
_DAY_S = 86_400


def _used(name: str, what: str, expression: str, label: str, limit: float, advice: str) -> Check:
    asked = Metric(expression=f"max by ({label}) ({expression})", limit=limit, unit=Unit.SHARE, labels=(label,))
    return metric(f"{name}-disk", f"volumes of {what} have room", asked, advice)


def _forecast(name: str, what: str, expression: str, label: str, advice: str) -> Check:
    """The line through a week, two weeks on; a volume that is measured for less than a day has no forecast."""
    used = f"max by ({label}) ({expression})"
    asked = Metric(
        expression=f"max by ({label}) (predict_linear({expression}[7d], {FORECAST_DAYS * _DAY_S})) "
        f"and on ({label}) {used.replace(expression, f'{expression} offset 1d')}",
        limit=FULL,
        unit=Unit.SHARE,
        labels=(label,),
        none="measured for less than a day: no forecast",
    )
    return metric(f"{name}-forecast", f"volumes of {what} last for {FORECAST_DAYS} days more", asked, advice)


_DISKS = (
    (
        "kafka",
        "Kafka",
        "obs:kafka_disk_used:ratio",
        "instance",
        KAFKA_DISK,
        "`storage.kafka` of the stack file, or shorter `topics.*.retention_days`; docs/runbooks/KafkaDiskFilling.md",
    ),
    (
        "prometheus",
        "Prometheus",
        "obs:prometheus_disk_used:ratio",
        "job",
        PROMETHEUS_DISK,
        "`storage.prometheus` or `prometheus.retention_size` of the stack file; which metric grew: "
        "topk(10, count by (__name__) ({__name__=~'.+'}))",
    ),
    (
        "search",
        "the search cluster",
        "search_node_disk_used_ratio",
        "node",
        SEARCH_DISK,
        "`storage.search`, or fewer `search.trace_days` and `search.log_days` of the stack file",
    ),
    (
        "database",
        "PostgreSQL",
        "obs:postgres_disk_used:ratio",
        "instance",
        DATABASE_DISK,
        "`storage.database` of the stack file; docs/runbooks/PostgresDiskFilling.md",
    ),
)

WEEKLY: tuple[Check, ...] = (
    *(_used(name, what, expression, label, limit, advice) for name, what, expression, label, limit, advice in _DISKS),
    *(_forecast(name, what, expression, label, advice) for name, what, expression, label, _, advice in _DISKS),
    Check(
        id="kafka-retention",
        what="every topic keeps records for as long as was promised",
        asked="Kafka: effective retention.ms of every topic",
        limit="as components/telemetry/topics.py says",
        advice="`pulumi up` sets it back; a change belongs into `topics` of the stack file",
        look=looks.topics_retention,
    ),
    metric(
        "prometheus-retention",
        "samples go when they are as old as was set, not later",
        Metric(
            expression="max by (job) ((time() - prometheus_tsdb_lowest_timestamp_seconds) "
            "/ (prometheus_tsdb_retention_limit_seconds > 0))",
            limit=1.25,
            labels=("job",),
            none="no retention by time is set",
        ),
        "log of Prometheus: compaction fails? A block is deleted when all of it is too old",
    ),
    metric(
        "prometheus-cut",
        "no samples went before their time for lack of room",
        Metric(
            expression="sum by (job) (increase(prometheus_tsdb_size_retentions_total[7d]))",
            limit=0,
            labels=("job",),
        ),
        "`prometheus.retention_size` is too small for `retention_time`: raise it with `storage.prometheus`",
    ),
    metric(
        "search-retention",
        "indices go when they are as old as was set",
        Metric(
            expression="max by (family) (search_family_oldest_age_seconds - search_family_keep_seconds "
            "- 2 * search_family_rollover_seconds)",
            limit=0,
            unit=Unit.SECONDS,
            labels=("family",),
        ),
        "docs/runbooks/SearchIndexTooOld.md",
    ),
    metric(
        "certificates",
        "no certificate ends in the next two weeks",
        Metric(
            expression="min by (instance) (probe_ssl_earliest_cert_expiry) - time()",
            limit=CERTIFICATE_S,
            unit=Unit.SECONDS,
            least=True,
            labels=("instance",),
        ),
        "cert-manager renews by itself: `kubectl describe certificate NAME` says why it did not",
    ),
    Check(
        id="certificates-read",
        what="who reads a certificate only at the start has read the newest",
        asked="Kubernetes: pods that say so, and the certificates in their Secrets",
        limit="all",
        advice="`ops certificates --roll` rolls them, one workload after the other",
        look=looks.certificates_read,
    ),
    Check(
        id="silences",
        what="no silence was forgotten",
        asked="Alertmanager: GET /api/v2/silences",
        limit="no older than --silences",
        advice="ask who made it; `ops silence end ID`, or make the threshold right in thresholds.yaml",
        look=looks.silences_young,
    ),
    Check(
        id="panels",
        what="every panel of every dashboard has data",
        asked="Thanos Query: the queries of all panels, over 15 minutes (as `ops dashboard check`)",
        limit="all",
        advice="`ops dashboard check --only NAME`: does the metric still exist, does its source run?",
        look=boards.panels_full,
        seconds=110,
    ),
    Check(
        id="backups-whole",
        what="the newest run of every kind is whole; with --identity, it can be opened and counts what it says",
        asked="object storage: every object of the newest runs, its sha256; with --identity: decrypted, counted",
        limit="all",
        advice="`ops backup verify --identity FILE`; `ops backup run KIND` makes a new one now",
        look=backups_whole,
        seconds=600,
    ),
)
"""Checks of each week, besides those of each day."""
