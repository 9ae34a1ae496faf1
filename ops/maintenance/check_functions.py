"""Checks of the maintenance that are more than one query."""

from __future__ import annotations

from datetime import timedelta

from components.dashboards.registry import DASHBOARDS
from components.rules import Severity
from components.telemetry.topics import TOPIC_NAMES, TOPICS
from ops.alerts.ack import acknowledgements
from ops.alerts.silences import WATCHDOG, span
from ops.core import health
from ops.core.errors import OpsError
from ops.core.grafana import METRICS, Grafana, address, administrator, panels_of
from ops.core.rows import Finding, listed
from ops.incidents.sources import cluster
from ops.incidents.times import TimeWindow
from ops.maintenance.certificates import readers
from ops.maintenance.model import Tools

DAY = timedelta(days=1)
URGENT = (Severity.CRITICAL.value, Severity.HIGH.value)


def healthy(tools: Tools) -> Finding:
    """Every workload and the two things that must answer."""
    finding, lines = Finding(), health.check(tools.context)
    for line in lines:
        finding.expect(line.healthy, f"{line.name}: {line.detail}")
    finding.figures.append(f"{sum(line.healthy for line in lines)} of {len(lines)} lines good")
    return finding


def restarts(tools: Tools) -> Finding:
    """Containers that ended with an error in the last day; Kubernetes remembers the last end of each."""
    finding = Finding()
    events, _ = cluster(tools.context.kube, TimeWindow(start=tools.now - DAY, end=tools.now))
    ended = [event for event in events if event.kind == "restart" and event.warning]
    for event in ended:
        finding.wrong.append(f"{event.subject} at {event.at:%H:%M} UTC: {event.reason}, {event.text}")
    finding.figures.append(f"{len(ended)} in 24 h")
    return finding


def alerts_taken(tools: Tools) -> Finding:
    """Urgent alerts that are active and not acknowledged."""
    finding, alertmanager = Finding(), tools.context.alertmanager()
    alerts = [alert for alert in alertmanager.alerts() if alert.name != WATCHDOG]
    taken = acknowledgements(alertmanager.silences())
    urgent = [alert for alert in alerts if alert.labels.get("severity") in URGENT and alert.state != "suppressed"]
    for alert in urgent:
        if alert.identity not in taken:
            since = span(tools.now - alert.starts)
            finding.wrong.append(f"{alert.identity or alert.name} ({alert.labels['severity']}) for {since}")
    finding.figures.append(f"{len(alerts)} fire, {len(urgent)} of them Critical or High, {len(taken)} acknowledged")
    return finding


def certificates_read(tools: Tools) -> Finding:
    """Pods that read their certificate only when they start, and did so before it was renewed."""
    finding, pod_readers = Finding(), readers(tools.context.kube)
    for reader in pod_readers:
        since = span(tools.now - reader.issued)
        finding.expect(not reader.late, f"{reader.pod} shows a certificate that was renewed {since} ago")
    finding.figures.append(
        f"{sum(not reader.late for reader in pod_readers)} of {len(pod_readers)} pods have read the newest"
    )
    return finding


def silences_young(tools: Tools) -> Finding:
    """Silences in force that are older than is allowed: somebody forgot them."""
    finding = Finding()
    active = [silence for silence in tools.context.alertmanager().silences() if silence.state == "active"]
    for silence in active:
        age = tools.now - silence.starts
        finding.expect(
            age <= tools.silence_age,
            f"{silence.id[:8]} by {silence.author or '?'} for {span(age)}: {', '.join(map(str, silence.matchers))} "
            f"({silence.comment or 'no comment'})",
        )
    finding.figures.append(f"{len(active)} in force")
    return finding


def dashboards_present(tools: Tools) -> Finding:
    """Every dashboard is in Grafana with the panels that it has here, and Grafana reaches the metrics."""
    finding, platform = Finding(), tools.context.platform
    with Grafana(tools.context.ca_file, address(platform), auth=administrator(platform)) as grafana:
        status = grafana.status("GET", f"/api/datasources/uid/{METRICS}/health")
        finding.expect_equal("health of the data source of metrics", status, 200)
        present = 0
        for dashboard in DASHBOARDS:
            try:
                dashboard_model = grafana.get(f"/api/dashboards/uid/{dashboard.uid}")["dashboard"]
            except OpsError as error:
                finding.wrong.append(f"{dashboard.name}: {error}")
                continue
            shown = {str(panel["title"]) for panel in panels_of(dashboard_model)}
            missing = {panel.title for panel in dashboard.panels} - shown
            finding.expect(not missing, f"{dashboard.name} lacks {listed(missing)}")
            present += not missing
    finding.figures.append(f"{present} of {len(DASHBOARDS)} whole")
    return finding


def topics_retention(tools: Tools) -> Finding:
    """Retention of every topic is what was promised (requirement K4)."""
    finding = Finding()
    settings = tools.context.kafka.topic_settings(list(TOPIC_NAMES))
    for topic in TOPICS:
        retention_ms = settings.get(topic.name, {}).get("retention.ms", "no topic")
        finding.expect_equal(f"retention.ms of {topic.name}", retention_ms, str(topic.retention_ms))
        finding.figures.append(f"{topic.name} {topic.retention_days} d")
    return finding
