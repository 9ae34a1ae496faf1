"""Thresholds that panels show: those of the reviewed file, and those of the platform's own rules.

A dashboard may not import the parts that it watches, so the platform's limits stand here once more; a test compares
each with the rule that it belongs to.
"""

from __future__ import annotations

from typing import Final

from components.dashboards.model import Limit, Side, State, Tone
from components.rules import Severity
from components.telemetry.schema import Comparison
from components.telemetry.thresholds import Threshold, threshold

_TONES: Final[dict[Severity, Tone]] = {
    Severity.CRITICAL: "bad",
    Severity.HIGH: "bad",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
}

PLATFORM: Final[dict[str, float]] = {
    "TelemetryStale": 120,
    "KafkaConsumerLag": 5000,
    "KafkaDiskFilling": 0.75,
    "KafkaDiskFull": 0.9,
    "PrometheusDiskFilling": 0.85,
    "PrometheusHeadFilling": 0.8,
    "SearchDiskFull": 0.85,
    "SearchHeapHigh": 0.85,
    "GatewayQueueFilling": 0.5,
    "GatewayQueueFull": 0.9,
    "GateBudgetNearlyUsed": 0.8,
    "SamplerLag": 30,
    "SpanErrorRateHigh": 0.05,
    "PostgresDiskFilling": 0.75,
    "VolumeFilling": 0.85,
    "NodeCpuSaturated": 0.95,
    "NodeMemoryLow": 0.9,
    "NodeDiskBusy": 10,
    "PostgresConnectionsNearLimit": 0.8,
    "PostgresReplicationLag": 0.5,
    "PostgresLongTransaction": 900,
    "GrafanaErrors": 0.05,
    "GrafanaLoginsFail": 20,
    "GrafanaDatabasePoolFull": 0.9,
    "GrafanaSourceFails": 0.1,
    "ReportStorageUnreadable": 900,
    "MirrorLag": 30,
    "RegionPeerSilent": 60,
    "RegionLeaseUnreadable": 120,
    "RegionPagerUnreachable": 60,
}
"""Alert of the platform's own rules -> its limit."""

ANSWER_S: Final = 5.0
"""Requirement S2: seconds within which nineteen of twenty answers come."""
MEAN_ANSWER_S: Final = 3.0
"""The same of the average answer."""

_URGENT: Final = frozenset({"KafkaDiskFull", "GatewayQueueFull", "SpanErrorRateHigh", "TelemetryStale"})

SEVERITIES: Final = tuple(Severity)
"""Most urgent first."""

BUDGET: Final = (Limit(value=0.0, label="used up", bad="below"),)
"""Error budgets: at nothing the objective is missed."""

OVERDUE: Final = (Limit(value=0.0, label="missing", bad="below"),)
"""Time that is left: at nothing, what should be there is missing."""

WORKS: Final = (State(value=1, text="OK", tone="good"), State(value=0, text="failed", tone="bad"))
"""Words for a value that is 1 or 0."""

URGENCY: Final = (
    State(value=0, text="OK", tone="good"),
    State(value=1, text="low", tone="note"),
    State(value=2, text="medium", tone="warning"),
    State(value=3, text="high", tone="bad"),
    State(value=4, text="critical", tone="bad"),
)
"""Words for the most urgent alert that fires: 0 none, then from low to critical."""


def of(name: str) -> tuple[Limit, ...]:
    """Line of a threshold of the reviewed file; none where it is a state and not a size."""
    return line(threshold(name))


def line(row: Threshold) -> tuple[Limit, ...]:
    """The same for a row of that file."""
    if row.comparison is Comparison.EQUAL:
        return ()
    side: Side = "above" if row.comparison is Comparison.ABOVE else "below"
    return (Limit(value=row.limit, label=row.alert, bad=side, tone=_TONES[row.priority]),)


def platform(*alerts: str) -> tuple[Limit, ...]:
    """Lines of the platform's own rules.

    Raises:
        KeyError: `PLATFORM` does not have the alert.
    """
    return tuple(
        Limit(value=PLATFORM[alert], label=alert, tone="bad" if alert in _URGENT else "warning") for alert in alerts
    )


def at_least(label: str, least: int) -> tuple[Limit, ...]:
    """Line of a count that may not be smaller; half-way between two numbers, so that it is on neither."""
    return (Limit(value=least - 0.5, label=label, bad="below"),)


def at_most(label: str, most: int = 0, tone: Tone = "bad") -> tuple[Limit, ...]:
    """Line of a count that may not be larger."""
    return (Limit(value=most + 0.5, label=label, tone=tone),)


def urgency(selector: str, by: str) -> str:
    """PromQL of the most urgent alert that fires, 1 (low) to 4 (critical); nothing where none does.

    Args:
        selector: Matchers of ``ALERTS``.
        by: Labels to tell apart.
    """
    return " or ".join(
        f'max by ({by}) (ALERTS{{alertstate="firing",severity="{severity}",{selector}}}) * {4 - index}'
        for index, severity in enumerate(SEVERITIES)
    )


def every_severity(counted: str) -> str:
    """A count by ``severity`` with a zero for each that has none, so that nothing firing is seen and not missing."""
    zeros = (f'label_replace(vector(0), "severity", "{severity}", "", "")' for severity in SEVERITIES)
    return f"({counted}) or on (severity) ({' or on (severity) '.join(zeros)})"
