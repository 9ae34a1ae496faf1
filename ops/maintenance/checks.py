"""All checks by period.

Every day: is it healthy, what fires, do the dashboards stand, were the backups made? Every week: is there room, does
data end when it was promised, what was forgotten, can backups be read? Every month: were restores and failovers tried,
is it still fast, does what is pinned run?
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from components.backups.config import ARCHIVE_USER
from components.kafka.rules import DISK_CRITICAL
from components.kafka.rules import DISK_HIGH as KAFKA_DISK
from components.postgres.rules import DISK_HIGH as DATABASE_DISK
from components.prometheus.rules import DISK_HIGH as PROMETHEUS_DISK
from components.reports import SCHEDULES
from components.versions import IMAGES
from ops.audit.log import DAYS, SILENT
from ops.core.errors import OpsError
from ops.maintenance import check_functions
from ops.maintenance.check_functions import FRESH_LIMIT, archive_kept, backups_made, backups_whole
from ops.maintenance.model import Check, Metric, Period, Unit, metric

LAG = 5_000.0
LAYER_AGE_S = 120.0
NOTIFICATIONS_FAILED = 0.05
_BROKEN_CHAIN = (
    "`ops audit check` names the places; docs/audit.md, 'When the chain does not hold', says what to do then"
)

DAILY: tuple[Check, ...] = (
    Check(
        id="pods",
        what="every pod is ready, Kafka and Thanos Query answer",
        query="Kubernetes: pods; Kafka: topics and brokers; Thanos Query: up (as `ops health`)",
        limit="all",
        remediation="`ops health` names them; `kubectl describe pod NAME`, then the runbook of what fires",
        run=check_functions.healthy,
    ),
    Check(
        id="restarts",
        what="no container ended by itself in the last 24 hours",
        query="Kubernetes: state and last state of every container",
        limit="none",
        remediation="`kubectl logs --previous POD`: exit code 137 is memory (raise its limit) or a killed node",
        run=check_functions.restarts,
    ),
    metric(
        "targets",
        "Prometheus reaches every target",
        Metric(expression="count by (job) (up == 0)", limit=0, labels=("job",), none="every target answers"),
        "docs/runbooks/TargetDown.md: is the pod there, does its certificate and its scrape password fit?",
    ),
    metric(
        "layers-fresh",
        "every layer sends",
        Metric(expression="obs:layer_age:seconds", limit=LAYER_AGE_S, unit=Unit.SECONDS, labels=("layer",)),
        "docs/runbooks/TelemetryStale.md: ask the layer's team, look at what the gateway refuses",
    ),
    metric(
        "kafka-replicas",
        "every partition has all its copies",
        Metric(expression='sum(kafka_server_replicamanager_underreplicatedpartitions{job="kafka"})', limit=0),
        "docs/runbooks/KafkaUnderReplicated.md; roll nothing until it is 0",
    ),
    metric(
        "kafka-full",
        "no broker is about to stop",
        Metric(
            expression="max by (instance) (obs:kafka_disk_used:ratio)",
            limit=DISK_CRITICAL,
            unit=Unit.SHARE,
            labels=("instance",),
        ),
        "docs/runbooks/KafkaDiskFull.md: shorter retention now, a larger volume next",
    ),
    metric(
        "consumers",
        "every consumer keeps up",
        # The archive commits once a minute, after it has stored; it has a check of its own.
        Metric(
            expression=f'min_over_time(obs:consumer_lag:sum{{consumergroup!="{ARCHIVE_USER}"}}[10m])',
            limit=LAG,
            labels=("consumergroup", "topic"),
        ),
        "docs/runbooks/KafkaConsumerLag.md: is it down, refused, or slower than what comes in?",
    ),
    Check(
        id="alerts",
        what="no Critical or High alert fires that nobody has taken",
        query="Alertmanager: GET /api/v2/alerts, /api/v2/silences",
        limit="none",
        remediation="`ops alerts` shows them; take one with `ops ack ALERT`, open `ops incident open ALERT`",
        run=check_functions.alerts_taken,
    ),
    metric(
        "notifications",
        "what had to be told was told",
        Metric(
            expression="sum by (integration) (increase(alertmanager_notifications_failed_total[1d])) "
            "/ (sum by (integration) (increase(alertmanager_notifications_total[1d])) > 0)",
            limit=NOTIFICATIONS_FAILED,
            unit=Unit.SHARE,
            labels=("integration",),
            none="nothing had to be told",
        ),
        "docs/runbooks/AlertmanagerNotificationsFail.md: is the receiver down, is its key still good?",
    ),
    metric(
        "heartbeat",
        "the dead man's switch outside hears us",
        Metric(
            expression='sum(increase(alertmanager_notifications_total{receiver_name="heartbeat"}[5m]))',
            limit=1,
            least=True,
        ),
        "docs/operations/emergency.md: the switch calls people soon; look at Alertmanager's log",
    ),
    Check(
        id="dashboards",
        what="Grafana has every dashboard as it is in this checkout",
        query="Grafana: GET /api/dashboards/uid/UID, health of the data source of metrics",
        limit="all, with all their panels",
        remediation="`pulumi up --policy-pack policy` brings them back; who changed one by hand is in Grafana's log",
        run=check_functions.dashboards_present,
    ),
    metric(
        "reports",
        f"the {', '.join(map(str, SCHEDULES))} reports were made in time",
        Metric(
            expression="max by (kind) (time() - report_due_timestamp_seconds)",
            limit=0,
            unit=Unit.SECONDS,
            labels=("kind",),
        ),
        "`ops report list` says how the last run ended; `ops report run KIND` makes it now",
    ),
    Check(
        id="backups",
        what="every kind of backup was made when it was due, and holds something",
        query="object storage: manifests of all runs",
        limit=FRESH_LIMIT,
        remediation="docs/runbooks/BackupTooOld.md; `ops backup run KIND` makes one now and says why it fails",
        run=backups_made,
    ),
    Check(
        id="archive",
        what="the archive of Kafka goes on for every topic that gets records",
        query="Kafka: committed offsets of the archive; Thanos Query: kafka_archive_last_stored_timestamp_seconds",
        limit="at most 30 minutes behind, no failed store in that time, nothing missed in a day",
        remediation="docs/runbooks/KafkaArchiveBehind.md; records are safe in Kafka until the topic's retention ends",
        run=archive_kept,
    ),
    metric(
        "metrics-blocks",
        "blocks of metrics reach the object storage",
        Metric(
            expression="time() - min(max by (server) (backup_metrics_due_timestamp_seconds))",
            limit=0,
            unit=Unit.SECONDS,
        ),
        "docs/runbooks/MetricsBlocksTooOld.md; Prometheus keeps its blocks for its retention",
    ),
    metric(
        "backup-exporter",
        "who watches the backups sees them",
        Metric(expression="max(backup_poll_failed)", limit=0),
        "docs/runbooks/BackupExporterPollFailed.md: is the object storage there, is its key still good?",
    ),
    Check(
        id="audit",
        what="no record of the audit log of the last two days is missing or was changed, and it is written",
        query="Kafka: topic audit, hashes and numbers of its records (as `ops audit check --since 2d`)",
        limit=f"whole, the newest record at most {SILENT.seconds // 60} minutes old",
        remediation=_BROKEN_CHAIN,
        run=check_functions.chain_holds(timedelta(days=2)),
    ),
)
"""Checks of each day."""


SEARCH_DISK = 0.85
FORECAST_DAYS = 14
FULL = 0.9
CERTIFICATE_S = 14 * 86_400.0
_DAY_S = 86_400


def _volumes(name: str, what: str, expression: str, label: str, limit: float, remediation: str) -> tuple[Check, Check]:
    """How full volumes are, and how full they are two weeks on by the line through a week.

    A volume that is measured for less than a day has no forecast.
    """

    def check(kind: str, what: str, expression: str, limit: float, none: str = "") -> Check:
        query = Metric(expression=expression, limit=limit, unit=Unit.SHARE, labels=(label,), none=none)
        return metric(f"{name}-{kind}", f"volumes of {what}", query, remediation)

    later = f"max by ({label}) (predict_linear({expression}[7d], {FORECAST_DAYS * _DAY_S}))"
    measured = f"and on ({label}) max by ({label}) ({expression} offset 1d)"
    return (
        check("disk", f"{what} have room", f"max by ({label}) ({expression})", limit),
        check(
            "forecast",
            f"{what} last for {FORECAST_DAYS} days more",
            f"{later} {measured}",
            FULL,
            "measured for less than a day: no forecast",
        ),
    )


_VOLUMES = (
    _volumes(
        "kafka",
        "Kafka",
        "obs:kafka_disk_used:ratio",
        "instance",
        KAFKA_DISK,
        "`storage.kafka` of the stack file, or shorter `topics.*.retention_days`; docs/runbooks/KafkaDiskFilling.md",
    ),
    _volumes(
        "prometheus",
        "Prometheus",
        "obs:prometheus_disk_used:ratio",
        "job",
        PROMETHEUS_DISK,
        "`storage.prometheus` or `prometheus.retention_size` of the stack file; which metric grew: "
        "topk(10, count by (__name__) ({__name__=~'.+'}))",
    ),
    _volumes(
        "search",
        "the search cluster",
        "search_node_disk_used_ratio",
        "node",
        SEARCH_DISK,
        "`storage.search`, or fewer `search.trace_days` and `search.log_days` of the stack file",
    ),
    _volumes(
        "database",
        "PostgreSQL",
        "obs:postgres_disk_used:ratio",
        "instance",
        DATABASE_DISK,
        "`storage.database` of the stack file; docs/runbooks/PostgresDiskFilling.md",
    ),
)

WEEKLY: tuple[Check, ...] = (
    *(disk for disk, _ in _VOLUMES),
    *(forecast for _, forecast in _VOLUMES),
    Check(
        id="kafka-retention",
        what="every topic keeps records for as long as was promised",
        query="Kafka: effective retention.ms of every topic",
        limit="as components/telemetry/topics.py says",
        remediation="`pulumi up --policy-pack policy` sets it back; a change belongs into "
        "components/telemetry/topics.py",
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
            expression="sum by (job) (increase(prometheus_tsdb_size_retentions_total[7d]))", limit=0, labels=("job",)
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
        run=check_functions.panels_full,
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


MONTH, QUARTER = timedelta(days=35), timedelta(days=100)


def _measured(id: str, what: str, evidence: str, title: str, limit: timedelta, remediation: str) -> Check:
    """A check that the evidence of a drill or of a measurement is good and young."""
    return Check(
        id=id,
        what=f"{what} in the last {'month' if limit == MONTH else 'quarter'}",
        query=f"evidence/{evidence}",
        limit=f"passed, at most {limit.days} days ago",
        remediation=remediation,
        run=check_functions.fresh(evidence, title, limit),
    )


MONTHLY: tuple[Check, ...] = (
    _measured(
        "restore-drill",
        "backups were restored and compared",
        "backups-restored",
        "Restore drill",
        MONTH,
        "`ops drill restore`, or by hand: docs/operations/backups.md, 'The drill of a month'",
    ),
    _measured(
        "dr-drill",
        "a failover to the other region and back was tried",
        "region-drill",
        "DR drill",
        MONTH,
        "do it (requirement D3); until then nobody knows RTO and RPO",
    ),
    Check(
        id="queries",
        what="dashboards answer in time",
        query="Thanos Query: the queries of all panels, timed; the slowest are named",
        limit=f"average {check_functions.MEAN_S:g} s, P95 {check_functions.P95_S:g} s (requirement S2)",
        remediation="make the slowest a recording rule, or shorten its range",
        run=check_functions.slow_queries,
        seconds=110,
    ),
    _measured(
        "notifications-quick",
        "how long notifications take was measured",
        "alert-latency-both",
        "Drill of alert latency",
        QUARTER,
        "`make e2e` measures it; what it says: docs/measured.md",
    ),
    *(
        _measured(
            f"bench-{signal}",
            f"the throughput of {signal} was measured",
            f"bench-{signal}",
            "Bench",
            QUARTER,
            f"`make bench SIGNAL={signal}`; compare with docs/measured.md",
        )
        for signal in ("metrics", "traces")
    ),
    Check(
        id="passwords",
        what="no password that the program made is older than a year",
        query="Pulumi: when each RandomPassword of the selected stack's state was made",
        limit=f"{check_functions.LONGEST.days} days",
        remediation="Kafka's clients: `ops kafka rotate-logins`; others, one by one, as docs/secrets.md says",
        run=check_functions.young(),
        seconds=90,
    ),
    Check(
        id="audit-whole",
        what="no record of the audit log is missing or was changed, the oldest were not removed before their time",
        query="Kafka: the whole topic audit, hashes and numbers of its records (as `ops audit check`)",
        limit=f"whole, for {DAYS} days",
        remediation=_BROKEN_CHAIN,
        run=check_functions.chain_holds(timedelta(days=DAYS)),
        seconds=600,
    ),
    Check(
        id="versions",
        what="every container runs the version that is pinned here",
        query="Kubernetes: images of all pods against components/versions.py, their digests against `images.digests` "
        "of the stack, what nodes run, and the tags that former revisions had with them",
        limit="all",
        remediation="`pulumi up --policy-pack policy`; a digest that an older tag had: `ops images digests --write "
        "Pulumi.NAME.yaml` first; "
        "a newer release goes into components/versions.py by review, with its tests",
        run=check_functions.versions(IMAGES),
    ),
)
"""Checks of each month, besides those of each week and each day."""


OWN: dict[Period, tuple[Check, ...]] = {Period.DAILY: DAILY, Period.WEEKLY: WEEKLY, Period.MONTHLY: MONTHLY}
"""Checks that a period adds to those of the shorter ones."""


def checks(period: Period) -> tuple[Check, ...]:
    """Checks of a period, those of the shorter ones first."""
    order = list(Period)
    return tuple(check for included in order[: order.index(period) + 1] for check in OWN[included])


def chosen(all_checks: Iterable[Check], only: str | None) -> tuple[Check, ...]:
    """All, or those that a comma-separated list names.

    Raises:
        OpsError: A name is not known.
    """
    known = {check.id: check for check in all_checks}
    if not only:
        return tuple(known.values())
    names = [part.strip() for part in only.split(",") if part.strip()]
    if unknown := [wanted_name for wanted_name in names if wanted_name not in known]:
        raise OpsError(f"--only: no check {', '.join(unknown)}: use some of {', '.join(known)}")
    return tuple(check for name, check in known.items() if name in names)
