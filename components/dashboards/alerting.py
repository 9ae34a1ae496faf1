"""Alerting: what fires, what is escalated, and does the word get out in time? (requirements A1 to A3, S2)"""

from __future__ import annotations

from components.dashboards import limits
from components.dashboards.model import RATE, Dashboard, Query, Row, series, stat, table

_NEWS = 'alertstate="firing",escalation="",alertname!="Watchdog"'
_USED = 'integration=~"email|pagerduty|slack|sns|webhook"'
_LATENCY = "alertmanager_notification_latency_seconds_bucket"

_FIRING = Row(
    title="Firing",
    panels=(
        stat(
            "By priority",
            "Alerts that fire now. Escalations are not counted twice, and the one that always fires is left out.",
            "{alert}",
            Query(expr=limits.every_severity(f"count by (severity) (ALERTS{{{_NEWS}}})"), legend="{{severity}}"),
            width=12,
        ),
        stat(
            "Escalated",
            "Alerts that nobody acknowledged in time and that are told to somebody else now.",
            "{alert}",
            Query(expr='count(ALERTS{alertstate="firing",escalation!=""}) or vector(0)', legend="firing"),
        ),
        stat(
            "On the way to escalation",
            "Alerts whose escalation waits: it comes unless somebody acknowledges.",
            "{alert}",
            Query(expr='count(ALERTS{alertstate="pending",escalation!=""}) or vector(0)', legend="waiting"),
        ),
        stat(
            "Silences",
            "Silences that are active: acknowledgements and planned work.",
            "{silence}",
            Query(expr='max(alertmanager_silences{state="active"})', legend="active"),
        ),
        table(
            "Now",
            "Everything that fires or is about to, with how long it has. Watchdog always fires: it shows that the way "
            "to people works.",
            {
                "alertname": "Alert",
                "alertstate": "State",
                "severity": "Priority",
                "layer": "Layer",
                "alert_id": "About",
            },
            Query(
                expr="max by (alertname, alertstate, severity, layer, alert_id) "
                "(ALERTS * on (alertname, alert_id) group_left () (time() - max by (alertname, alert_id) "
                "(ALERTS_FOR_STATE)))",
                legend="For",
                unit="s",
            ),
            width=24,
            height=9,
            top=30,
        ),
        series(
            "Firing over time",
            "Alerts that fired, by priority.",
            "{alert}",
            Query(expr=limits.every_severity(f"count by (severity) (ALERTS{{{_NEWS}}})"), legend="{{severity}}"),
            width=12,
            stacked=True,
        ),
        series(
            "Escalations over time",
            "Alerts that are told to the next contact, by contact.",
            "{alert}",
            Query(
                expr='count by (escalation) (ALERTS{alertstate="firing",escalation!=""})'
                ' or on (escalation) label_replace(vector(0), "escalation", "none", "", "")',
                legend="{{escalation}}",
            ),
            width=12,
            stacked=True,
        ),
    ),
)

_NOTIFICATIONS = Row(
    title="Notifications",
    panels=(
        stat(
            "Notifications in the last hour",
            "Notifications by channel; the webhook writes them to Kafka and is the heartbeat.",
            "{notification}",
            Query(
                expr=f"round(sum by (integration) (increase(alertmanager_notifications_total{{{_USED}}}[1h])))",
                legend="{{integration}}",
            ),
            width=12,
        ),
        stat(
            "Notifications that failed",
            "Notifications of the last hour that a channel refused after all attempts.",
            "{notification}",
            Query(expr="round(sum(increase(alertmanager_notifications_failed_total[1h])))", legend="failed"),
            width=6,
        ),
        stat(
            "Slowest channel",
            "P99 of the time in which a channel took a notification, over the last hour.",
            "s",
            Query(
                expr=f"max(histogram_quantile(0.99, sum by (integration, le) (rate({_LATENCY}{{{_USED}}}[1h]))))",
                legend="P99",
            ),
            width=6,
        ),
        series(
            "Notifications by channel",
            "Notifications per second.",
            "{notification}/s",
            Query(
                expr=f"sum by (integration) (rate(alertmanager_notifications_total{{{_USED}}}[5m]))",
                legend="{{integration}}",
            ),
            stacked=True,
        ),
        series(
            "Time to hand a notification over",
            "Mean time in which each channel took a notification.",
            "s",
            Query(
                expr="sum by (integration) (increase(alertmanager_notification_latency_seconds_sum[1h]))"
                " / (sum by (integration) (increase(alertmanager_notification_latency_seconds_count[1h])) > 0)",
                legend="{{integration}}",
            ),
        ),
        series(
            "From Prometheus to Alertmanager",
            "P90 of the time in which an Alertmanager took a batch of alerts.",
            "s",
            Query(
                expr="histogram_quantile(0.9, sum by (job, le) "
                "(rate(prometheus_notifications_latency_histogram_seconds_bucket[5m])))",
                legend="{{job}}",
            ),
        ),
    ),
)

_CHAIN = Row(
    title="The way of an alert",
    panels=(
        stat(
            "Alertmanagers",
            "Members that answer, and those that each of them sees.",
            "{member}",
            Query(expr='sum(up{job="alertmanager"})', legend="answer"),
            Query(expr="min(alertmanager_cluster_members)", legend="seen"),
            width=6,
        ),
        stat(
            "Alertmanagers that Prometheus finds",
            "Fewest that a Prometheus sends to; the service of alert events is one of them.",
            "{receiver}",
            Query(expr="min(prometheus_notifications_alertmanagers_discovered)", legend="found"),
            width=6,
        ),
        stat(
            "Alerts dropped by Prometheus",
            "Alerts of the last hour that no Alertmanager was told of.",
            "{alert}",
            Query(expr="round(sum(increase(prometheus_notifications_dropped_total[1h])))", legend="last hour"),
            width=6,
        ),
        stat(
            "Rounds of rules left out",
            "Rounds of the last hour in which alerts were not looked at.",
            "{round}",
            Query(expr="round(sum(increase(prometheus_rule_group_iterations_missed_total[1h])))", legend="last hour"),
            width=6,
        ),
        series(
            "Alerts sent by Prometheus",
            "Alerts per second, repeats included.",
            "{alert}/s",
            Query(expr=f"sum by (job) (rate(prometheus_notifications_sent_total[{RATE}]))", legend="{{job}}"),
        ),
        series(
            "Alert events in Kafka",
            "Events per second by endpoint: what Prometheus raised, what Alertmanager notified.",
            "{event}/s",
            Query(expr="sum by (endpoint) (rate(alert_events_written_total[5m]))", legend="{{endpoint}}"),
        ),
        series(
            "Gossip between Alertmanagers",
            "Messages per second by kind: silences and notifications that one member tells the other.",
            "{message}/s",
            Query(
                expr="sum by (msg_type) (rate(alertmanager_cluster_messages_received_total[5m]))", legend="{{msg_type}}"
            ),
        ),
    ),
)

DASHBOARD = Dashboard(
    name="alerting",
    title="Alerting",
    description="What fires, what is escalated, who was notified how fast, and whether the alert path is complete.",
    tags=("alerting",),
    rows=(_FIRING, _NOTIFICATIONS, _CHAIN),
)
"""For those on call."""
