"""Every day: is it healthy, what fires, do the dashboards stand, were the backups made?"""

from __future__ import annotations

from components.backups.config import ARCHIVE_USER
from components.kafka.rules import DISK_CRITICAL
from components.reports.schedule import SCHEDULES
from ops.maintenance import check_functions
from ops.maintenance.backup_checks import FRESH_LIMIT, archive_kept, backups_made
from ops.maintenance.metric import Metric, Unit, metric
from ops.maintenance.model import Check

LAG = 5_000.0
LAYER_AGE_S = 120.0
NOTIFICATIONS_FAILED = 0.05

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
        Metric(
            expression="count by (job) (up == 0)",
            limit=0,
            labels=("job",),
            none="every target answers",
        ),
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
        remediation="`pulumi up` brings them back; who changed one by hand is in Grafana's log",
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
            expression="time() - max(backup_metrics_due_timestamp_seconds)",
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
)
"""Checks of each day."""
