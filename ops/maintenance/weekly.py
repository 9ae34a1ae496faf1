"""Every week: is there room, does data end when it was promised, what was forgotten, can backups be read?"""

from __future__ import annotations

from components.kafka.rules import DISK_HIGH as KAFKA_DISK
from components.postgres.rules import DISK_HIGH as DATABASE_DISK
from components.prometheus.rules import DISK_HIGH as PROMETHEUS_DISK
from ops.maintenance import check_functions, dashboards
from ops.maintenance.backup_checks import backups_whole
from ops.maintenance.metric import Metric, Unit, metric
from ops.maintenance.model import Check

SEARCH_DISK = 0.85
FORECAST_DAYS = 14
FULL = 0.9
CERTIFICATE_S = 14 * 86_400.0
_DAY_S = 86_400


def _used(name: str, what: str, expression: str, label: str, limit: float, remediation: str) -> Check:
    query = Metric(expression=f"max by ({label}) ({expression})", limit=limit, unit=Unit.SHARE, labels=(label,))
    return metric(f"{name}-disk", f"volumes of {what} have room", query, remediation)


def _forecast(name: str, what: str, expression: str, label: str, remediation: str) -> Check:
    """The line through a week, two weeks on; a volume that is measured for less than a day has no forecast."""
    used = f"max by ({label}) ({expression})"
    query = Metric(
        expression=f"max by ({label}) (predict_linear({expression}[7d], {FORECAST_DAYS * _DAY_S})) "
        f"and on ({label}) {used.replace(expression, f'{expression} offset 1d')}",
        limit=FULL,
        unit=Unit.SHARE,
        labels=(label,),
        none="measured for less than a day: no forecast",
    )
    return metric(f"{name}-forecast", f"volumes of {what} last for {FORECAST_DAYS} days more", query, remediation)


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
    *(
        _used(name, what, expression, label, limit, remediation)
        for name, what, expression, label, limit, remediation in _DISKS
    ),
    *(
        _forecast(name, what, expression, label, remediation)
        for name, what, expression, label, _, remediation in _DISKS
    ),
    Check(
        id="kafka-retention",
        what="every topic keeps records for as long as was promised",
        query="Kafka: effective retention.ms of every topic",
        limit="as components/telemetry/topics.py says",
        remediation="`pulumi up` sets it back; a change belongs into `topics` of the stack file",
        run=check_functions.topics_retention,
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
        query="Kubernetes: pods that say so, and the certificates in their Secrets",
        limit="all",
        remediation="`ops certificates --roll` rolls them, one workload after the other",
        run=check_functions.certificates_read,
    ),
    Check(
        id="silences",
        what="no silence was forgotten",
        query="Alertmanager: GET /api/v2/silences",
        limit="no older than --silences",
        remediation="ask who made it; `ops silence end ID`, or make the threshold right in thresholds.yaml",
        run=check_functions.silences_young,
    ),
    Check(
        id="panels",
        what="every panel of every dashboard has data",
        query="Thanos Query: the queries of all panels, over 15 minutes (as `ops dashboard check`)",
        limit="all",
        remediation="`ops dashboard check --only NAME`: does the metric still exist, does its source run?",
        run=dashboards.panels_full,
        seconds=110,
    ),
    Check(
        id="backups-whole",
        what="the newest run of every kind is whole; with --identity, it can be opened and counts what it says",
        query="object storage: every object of the newest runs, its sha256; with --identity: decrypted, counted",
        limit="all",
        remediation="`ops backup verify --identity FILE`; `ops backup run KIND` makes a new one now",
        run=backups_whole,
        seconds=600,
    ),
)
"""Checks of each week, besides those of each day."""
