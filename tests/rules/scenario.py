"""One alert's test as data: silent just before, firing just after, and a control that stays silent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Series = Mapping[str, str]
"""Series -> promtool values, for example ``up{job="kafka"}: "1x10 0x20"``."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What makes one alert fire.

    Attributes:
        alert: Name of the alert.
        bad: Series under which it fires.
        good: Series, as close to ``bad`` as possible, under which it never fires.
        silent_at: Last moment at which it is silent, a Prometheus duration.
        firing_at: A moment soon after, at which it fires.
        labels: Labels of the firing alert, without ``alertname`` and ``severity``.
        interval: Distance of the values.
    """

    alert: str
    bad: Series
    good: Series
    silent_at: str
    firing_at: str
    labels: Mapping[str, str] = field(default_factory=dict)
    interval: str = "30s"


def promtool_tests(scenario: Scenario, rule_file: str, expected: Mapping[str, Any]) -> dict[str, Any]:
    """The scenario as promtool reads it; ``expected`` has the rule's severity under ``labels``."""
    firing = {"exp_labels": {**expected["labels"], **scenario.labels}}

    def case(series: Series, moments: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
        return {
            "interval": scenario.interval,
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "alert_rule_test": [
                {"eval_time": moment, "alertname": scenario.alert, "exp_alerts": alerts}
                for moment, alerts in moments.items()
            ],
        }

    return {
        "rule_files": [rule_file],
        "evaluation_interval": "15s",
        "fuzzy_compare": True,
        "tests": [
            case(scenario.bad, {scenario.silent_at: [], scenario.firing_at: [firing]}),
            case(scenario.good, {scenario.silent_at: [], scenario.firing_at: []}),
        ],
    }
