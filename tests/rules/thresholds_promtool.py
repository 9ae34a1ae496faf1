"""Tests of the generated rules as promtool reads them, made of the examples in the reviewed file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from components.rules import ID_LABEL, RuleGroup, alert_id, rule_file
from components.telemetry.fields import PLATFORM, seconds
from components.telemetry.rules import ALERT_OF_PRIORITY
from components.telemetry.schema import BurnRate, Slo, Threshold
from tests.rules.promtool import accepted

EVALUATED_S = 5
"""Distance of evaluations, as the layers' groups have it."""
BASE_S = 300
"""The base window of objectives."""


def write(
    folder: Path, groups: Iterable[RuleGroup], *tests: Mapping[str, Any], every: str, annotations: bool = False
) -> Path:
    """Write tests of rules, which are evaluated every so often; the file that promtool reads."""
    rules = rule_file(groups, "https://runbooks.example.org")
    for group in rules["groups"]:
        for rule in group["rules"]:
            if not annotations:
                rule.pop("annotations", None)  # promtool would compare them word for word.
    folder.mkdir(exist_ok=True)
    (folder / "rules.yml").write_text(json.dumps(rules))
    content = {"rule_files": ["rules.yml"], "evaluation_interval": every, "fuzzy_compare": True, "tests": list(tests)}
    path = folder / "test.yml"
    path.write_text(json.dumps(content))
    return path


def run(
    folder: Path, groups: Iterable[RuleGroup], *tests: Mapping[str, Any], every: str, annotations: bool = False
) -> None:
    """Run tests against rules, which are evaluated every so often."""
    accepted("test", "rules", str(write(folder, groups, *tests, every=every, annotations=annotations)))


def case(
    series: Mapping[str, str], interval: str, expected: Mapping[int, list[dict[str, Any]]], alert: str
) -> dict[str, Any]:
    """One test: what fires of an alert at some seconds."""
    return {
        "interval": interval,
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [
            {"eval_time": f"{moment}s", "alertname": alert, "exp_alerts": alerts} for moment, alerts in expected.items()
        ],
    }


def threshold_tests(row: Threshold) -> tuple[dict[str, Any], ...]:
    """Silent at the last evaluation before, firing at the first after; the control silent to its end."""
    example, fires = row.example, seconds(row.example.fires_at)
    end = max(_length(values) for values in example.good.values()) * seconds(example.interval)
    labels = {
        "severity": row.priority.value,
        "layer": row.layer.name,
        "owner": row.owner,
        **({"slo": row.slo} if row.slo else {}),
        **example.labels,
        ID_LABEL: alert_id(row.alert, example.labels),
    }
    firing = [{"exp_labels": labels}]
    silent = {moment: list[dict[str, Any]]() for moment in range(0, end, EVALUATED_S)}
    return (
        case(example.bad, example.interval, {fires - EVALUATED_S: [], fires: firing}, row.alert),
        case(example.good, example.interval, silent, row.alert),
    )


def _length(values: str) -> int:
    """Number of values in promtool's notation."""
    return sum(int(part.rpartition("x")[2]) + 1 if "x" in part else 1 for part in values.split())


def slo_labels(slo: Slo, rate: BurnRate) -> dict[str, str]:
    """Labels of the alert that a burn rate of an objective raises; ``layer`` would mute it in a region on standby."""
    name = ALERT_OF_PRIORITY[slo.priorities[rate.name]]
    layer = {} if slo.layer == PLATFORM else {"layer": slo.layer}
    series = {"slo": slo.name, **layer, "owner": slo.owner}
    return {"severity": slo.priorities[rate.name].value, **series, ID_LABEL: alert_id(name, series)}


def slo_series(slo: Slo, healthy_min: int, failing_min: int) -> dict[str, str]:
    """A value per minute: healthy first, then failing; counters go on where they were."""

    def values(healthy: str, failing: str) -> str:
        if not healthy.startswith("+"):
            return f"{healthy}x{healthy_min - 1} {failing}x{failing_min}"
        grown = float(healthy) * healthy_min
        return f"0{healthy}x{healthy_min - 1} {grown + float(failing):.10g}{failing}x{failing_min}"

    return {name: values(text, slo.example.failing[name]) for name, text in slo.example.healthy.items()}


def crossing_min(slo: Slo, rate: BurnRate) -> float:
    """Minutes of complete failure until a burn rate is exceeded, worked out by hand and not by the rules.

    The share of bad events in a window of W is that of the failing time, which has to exceed ``factor * budget``. The
    base rate needs its whole window to see a change, during which it counts half: hence the second term.
    """

    def needed(window: str) -> float:
        failing = rate.factor * (1 - slo.objective) * seconds(window) / 60
        base = BASE_S / 60
        return failing + base / 2 if failing > base / 2 else (2 * failing * base) ** 0.5

    return max(needed(rate.long), needed(rate.short))
