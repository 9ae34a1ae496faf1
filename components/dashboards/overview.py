"""System overview (requirement G2): is all well, what is going on, and what was reported in the last 24 hours?"""

from __future__ import annotations

from components.dashboards import limits
from components.dashboards.model import RATE, Dashboard, Query, Row, Variable, bars, series, stat, table
from components.telemetry import catalogue, summaries
from components.telemetry.layers import LAYER_NAMES

_OWN = 'layer=~"$layer",layer!=""'
_FIRING = 'alertstate="firing",escalation=""'

_NEWS = f'{_FIRING},alertname!="Watchdog"'
_EVENTS = "work_event.processed"
_DEVICES = catalogue.metric("device.connected")
_CONNECTED = f"sum({summaries.recorded(_DEVICES, 'sum')})"


def _rate(name: str, window: str) -> str:
    """How fast a counter grew on average in a window."""
    counter = catalogue.metric(name)
    return f"avg_over_time({summaries.recorded(counter, *summaries.operations(counter))}[{window}])"


def _different(window: str, offset: str = "") -> str:
    """How many alerts fired in a window, each of them once."""
    return f"count(count by (alert_id) (count_over_time(ALERTS{{{_NEWS}}}[{window}]{offset}))) or vector(0)"


_LAYER = Variable(name="layer", label="Layer", description="Layers that are shown", values=LAYER_NAMES)

_SUMMARY = Row(
    title="Layers",
    panels=(
        stat(
            "State of the layers",
            "Priority of the most urgent alert that fires, by layer; OK when none does.",
            "",
            Query(
                expr=limits.urgency(_OWN, "layer") + f" or 0 * max by (layer) (obs:layer_age:seconds{{{_OWN}}})",
                legend="{{layer}}",
            ),
            states=limits.URGENCY,
            width=12,
            height=6,
            detail="layer",
        ),
        bars(
            "Last heard from",
            "Age of the newest sample of each layer. Above the limit, its dashboard shows the past.",
            "s",
            Query(expr=f"obs:layer_age:seconds{{{_OWN}}}", legend="{{layer}}"),
            limits=limits.platform("TelemetryStale"),
            width=6,
            height=6,
            detail="layer",
        ),
        bars(
            "Error budgets left",
            "Share of each objective's error budget that is left; at 0 % the objective is missed.",
            "1",
            Query(expr="slo:error_budget_remaining:ratio", legend="{{slo}}"),
            limits=limits.BUDGET,
            width=6,
            height=6,
        ),
    ),
)

_NOW = Row(
    title="Now",
    panels=(
        stat("Live streams", "Streams that are live now.", "{stream}", Query(expr="sum(stream_active)", legend="live")),
        stat(
            "Recordings",
            "Recordings in progress.",
            "{recording}",
            Query(expr="sum(recording_active)", legend="in progress"),
        ),
        stat(
            "Work events",
            "Work events processed per minute, over five minutes.",
            "{event}/min",
            Query(expr=f"sum({_rate(_EVENTS, '5m')}) * 60", legend="per minute"),
        ),
        stat(
            "Devices connected",
            "Devices that are connected, of all that told anything.",
            "{device}",
            Query(expr=_CONNECTED, legend="connected"),
            Query(expr=f"sum({summaries.recorded(_DEVICES, 'count')})", legend="known"),
        ),
        stat(
            "Users",
            "Signed-in sessions.",
            "{session}",
            Query(expr="sum(user_session_active)", legend="signed in"),
            limits=limits.of("sessions"),
        ),
        stat(
            "Alerts that fire",
            "All alerts that fire, the one that always does left out; escalations are not counted twice.",
            "{alert}",
            Query(expr=f"count(ALERTS{{{_NEWS}}}) or vector(0)", legend="firing"),
        ),
    ),
)

_WORK = Row(
    title="Work",
    panels=(
        series(
            "Live streams and recordings",
            "Streams that are live, recordings in progress, devices connected.",
            "",
            Query(expr="sum(stream_active)", legend="live streams"),
            Query(expr="sum(recording_active)", legend="recordings"),
            Query(expr=_CONNECTED, legend="connected devices"),
        ),
        series(
            "Work events by type",
            "Work events processed per second.",
            "{event}/s",
            Query(
                expr=f"sum by (work_event_type) ({_rate(_EVENTS, RATE)})",
                legend="{{work_event_type}}",
            ),
            stacked=True,
        ),
        series(
            "Recordings that fail",
            "Share of recording segments that were not stored, over five minutes.",
            "1",
            Query(
                expr=f"sum({_rate('recording.failures', '5m')}) / sum({_rate('recording.attempts', '5m')})",
                legend="failed",
            ),
            limits=limits.of("recording-failures"),
        ),
    ),
)

_ALERTS = Row(
    title="Alerts of the last 24 hours",
    panels=(
        series(
            "Alerts that fired",
            "How many alerts fired at each time, by priority. The one that always fires is left out.",
            "{alert}",
            Query(
                expr=limits.every_severity(f"count by (severity) (ALERTS{{{_NEWS}}})"),
                legend="{{severity}}",
            ),
            width=12,
            height=9,
            since="24h",
            stacked=True,
        ),
        series(
            "Trend: alerts per hour",
            "Different alerts that fired in the hour before each time, by priority.",
            "{alert}",
            Query(
                expr=limits.every_severity(
                    f"count by (severity) (count by (alert_id, severity) (count_over_time(ALERTS{{{_NEWS}}}[1h:1m])))"
                ),
                legend="{{severity}}",
            ),
            width=12,
            height=9,
            since="24h",
        ),
        stat(
            "Alerts in 24 hours",
            "Different alerts that fired in the last 24 hours, and in the 24 hours before: the trend.",
            "{alert}",
            Query(expr=_different("24h:1m"), legend="last 24 h"),
            Query(expr=_different("24h:1m", " offset 24h"), legend="24 h before"),
            width=6,
            height=9,
        ),
        table(
            "History",
            "Alerts that fired in the last 24 hours, and for how long in all. Watchdog always fires: it shows that "
            "the way to people works.",
            {"alertname": "Alert", "layer": "Layer", "severity": "Priority"},
            Query(
                expr=f"sum by (alertname, layer, severity) (count_over_time(ALERTS{{{_FIRING}}}[24h:1m])) * 60",
                legend="Firing for",
                unit="s",
            ),
            Query(
                expr=f"count by (alertname, layer, severity) (count_over_time(ALERTS{{{_FIRING}}}[24h:1m]))",
                legend="Subjects",
            ),
            width=18,
            height=9,
            top=20,
        ),
    ),
)

DASHBOARD = Dashboard(
    name="overview",
    title="System overview",
    description="The whole system on one page: state of the five layers, streams, recordings and work events, and the "
    "alerts of the last 24 hours with their trend.",
    tags=("overview",),
    variables=(_LAYER,),
    rows=(_SUMMARY, _NOW, _WORK, _ALERTS),
)
"""What people look at first."""
