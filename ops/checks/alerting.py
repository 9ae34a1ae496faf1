"""P3, A1 to A3, D4, M4: from the reviewed thresholds to a notification and an event in Kafka."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from components.shards import ruler_name
from components.telemetry.rules import RULES
from components.telemetry.thresholds import THRESHOLDS
from ops.alerts import events as alert_events
from ops.alerts.silences import WATCHDOG
from ops.checks.grace_period import grace_period_end
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.platform import Platform
from ops.core.rows import Check, Finding, listed, not_set_up

WORKLOAD = "alertmanager"
CLOSER = "incident-closer"
MEMBERS = 2
RULER_PORT = 10902
EVENTS_WINDOW = timedelta(minutes=10)
HEARTBEAT_WINDOW = "5m"
CHANGE_DRILL = "change-reviewed"
LATENCY_DRILLS = ("alert-latency-both", "alert-latency-one-killed", "alert-latency-partitioned")


def live_rules(context: Context, replica: str) -> dict[str, Mapping[str, Any]]:
    """Alerting rules that a replica evaluates, by name: the first shard, and the ruler where there are shards.

    Raises:
        OpsError: One of them does not answer.
    """
    platform = context.platform
    evaluators = [(f"prometheus-{replica}", context.prometheus_url(replica), platform.prometheus_credentials[replica])]
    if platform.prometheus_shards > 1:
        ruler = ruler_name(replica)
        url = context.tunnels.url(context.kube.ready_pod(ruler).name, RULER_PORT)
        evaluators.append((ruler, url, platform.scrape_credentials[ruler]))
    rules: dict[str, Mapping[str, Any]] = {}
    for name, base, login in evaluators:
        with context.web.call("GET", f"{base}/api/v1/rules", auth=login.pair, params={"type": "alert"}) as response:
            if response.status_code != 200:
                raise OpsError(f"{name} answered {response.status_code} to the query for its rules")
            groups = response.json()["data"]["groups"]
        rules |= {rule["name"]: rule for group in groups for rule in group["rules"]}
    return rules


def p3(context: Context) -> Finding:
    """Both Prometheus evaluate an alert of every threshold, each with a priority and a runbook, without errors."""
    finding = Finding()
    for replica in context.platform.prometheus_replicas:
        rules = live_rules(context, replica)
        missing = {threshold.alert for threshold in THRESHOLDS} - set(rules)
        finding.expect(not missing, f"prometheus-{replica} has no rule {listed(missing)}")
        broken = [name for name, rule in rules.items() if rule["health"] == "err"]
        finding.expect(not broken, f"rules of prometheus-{replica} fail: {listed(broken)}")
        bare = [
            name
            for name, rule in rules.items()
            if not rule["labels"].get("severity") or not rule["annotations"].get("runbook_url")
        ]
        finding.expect(not bare, f"without priority or runbook: {listed(bare)}")
        finding.seen.append(f"prometheus-{replica} evaluates {len(rules)} alerting rules")
    finding.figures.append(f"{len(THRESHOLDS)} thresholds")
    finding.drill("alert-thresholds")
    return finding


def a1(context: Context) -> Finding:
    """Two members that see each other, behind TLS and a login; a notification arrives also with one of them."""
    finding = Finding()
    members = [pod.name for pod in context.kube.pods(WORKLOAD) if pod.ready]
    finding.expect_equal("number of ready Alertmanagers", len(members), MEMBERS)
    for member in members:
        cluster = context.alertmanager(member).cluster()
        finding.expect_equal(f"members that {member} sees", cluster.members, MEMBERS)
        finding.expect_equal(f"state of {member}", cluster.status, "ready")
    anonymous = context.web.status(f"{context.platform.alertmanager_url}/api/v2/status")
    finding.expect_equal("response without a login", anonymous, 401)
    finding.seen.append(f"{listed(members)} in one cluster, anonymous requests answered {anonymous}")
    finding.drill(*LATENCY_DRILLS)
    return finding


def a2(context: Context) -> Finding:
    """What fires now reaches the receivers of its priority; escalation as the drill saw it."""
    finding = Finding()
    failed = context.thanos.number("sum(increase(alertmanager_notifications_failed_total[10m]))") or 0.0
    sent = context.thanos.number("sum(alertmanager_notifications_total)") or 0.0
    firing = [alert for alert in context.alertmanager().alerts() if alert.name != WATCHDOG]
    astray = [alert.identity or alert.name for alert in firing if not alert.receivers]
    finding.expect(not astray, f"no receiver for {listed(astray)}")
    finding.expect_by(grace_period_end(context), sent > 0, "first notification", "no notification has been sent")
    closers = context.thanos.instant(f'incident_closer_failing{{job="{CLOSER}"}}')
    failing = [closer.labels["instance"] for closer in closers if closer.value]
    finding.expect_equal("number of incident closers that report", len(closers), MEMBERS * pages(context.platform))
    finding.expect(not failing, f"incident closers fail at {listed(failing)}")
    finding.figures.append(f"{sent:.0f} notifications, {failed:.0f} attempts failed in 10m")
    finding.seen.append(f"{len(firing)} alerts firing, {len(closers)} incident closers running")
    for line in context.platform.left_out("alerting.contacts"):
        finding.set_up(line, "pulumi up --policy-pack policy")
    finding.drill("alert-escalation", "alert-thresholds", "alert-incidents")
    return finding


def pages(platform: Platform) -> bool:
    """Whether anybody is paged."""
    channels = platform.notify_channels
    return channels is None or any(contact.get("phone") for contact in channels.contacts.values())


def a3(context: Context) -> Finding:
    """Both topics get events; every record can be read by its schema."""
    finding = Finding()
    start = datetime.now(UTC) - EVENTS_WINDOW
    for stage in alert_events.Stage:
        history = alert_events.read(context.platform, stage, start)
        topic = alert_events.TOPICS[stage]
        problem = f"no event in {topic} of the last 10 minutes"
        finding.expect_by(grace_period_end(context), bool(history.events), f"first event in {topic}", problem)
        finding.expect_equal(f"unreadable records in {alert_events.TOPICS[stage]}", history.unreadable, 0)
        keys = {event.alert_id for event in history.events}
        finding.figures.append(
            f"{alert_events.TOPICS[stage]}: {len(history.events)} events of {len(keys)} alerts in 10m"
        )
    return finding


def d4(context: Context) -> Finding:
    """The watchdog fires and its heartbeat leaves the platform; the drill stopped it and the switch noticed."""
    if lines := context.platform.left_out("alerting.heartbeat"):
        return not_set_up(lines)
    finding = Finding()
    alive = any(alert.name == WATCHDOG for alert in context.alertmanager().alerts())
    finding.expect(alive, f"{WATCHDOG} does not reach Alertmanager")
    beats = context.thanos.number(
        f'sum(increase(alertmanager_notifications_total{{receiver_name="heartbeat"}}[{HEARTBEAT_WINDOW}]))'
    )
    finding.expect(bool(beats), f"no heartbeat in the last {HEARTBEAT_WINDOW}")
    finding.figures.append(f"{beats or 0:.0f} heartbeats in {HEARTBEAT_WINDOW}")
    finding.drill("dead-mans-switch")
    return finding


def m4(context: Context) -> Finding:
    """Both Prometheus evaluate what this checkout says; the drill changed a threshold, reviewed and previewed it."""
    finding = Finding()
    wanted = {alert.name: alert for group in RULES for alert in group.alerts}
    for replica in context.platform.prometheus_replicas:
        rules = live_rules(context, replica)
        differ = [
            name
            for name, alert in wanted.items()
            if name in rules and rules[name]["labels"].get("severity") != alert.severity.value
        ]
        finding.expect(not differ, f"prometheus-{replica} has another priority for {listed(differ)}")
        finding.expect(set(wanted) <= set(rules), f"prometheus-{replica} lacks {listed(set(wanted) - set(rules))}")
    finding.figures.append(f"{len(wanted)} alerts generated from components/telemetry/thresholds.yaml")
    finding.drill(CHANGE_DRILL)
    return finding


CHECKS: dict[str, Check] = {"P3": p3, "A1": a1, "A2": a2, "A3": a3, "D4": d4, "M4": m4}
