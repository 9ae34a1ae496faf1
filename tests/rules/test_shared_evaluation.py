"""An alert that shares one evaluation with its twin is told as if each had its own (real promtool)."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from components.alerting.escalation import EscalationDelays, escalated
from components.rules import Alert, RuleGroup, Severity, alert_id
from tests.rules.thresholds_promtool import case, run

EVERY_S = 10
DELAYS = EscalationDelays(critical="1m", high="2m", medium="4m")
PLAIN = Alert(
    name="Slow",
    expr="max by (device) (delay) > 2",
    for_="25s",
    severity=Severity.HIGH,
    summary="{{ $labels.device }} is {{ $value }} s late",
    description="Only for tests.",
    labels={"layer": "device", "owner": "devices"},
    annotations={"summary_ja": "{{ $labels.device }} {{ $value }}"},
)
TWIN_FOR_S = 30 + 80
"""The alert's own time as evaluations round it up, and two minutes less the 40 s of the way."""


def group(*alerts: Alert) -> tuple[RuleGroup, ...]:
    return escalated([RuleGroup(name="sample", rules=alerts, interval=f"{EVERY_S}s")], DELAYS)


def annotations(value: str, device: str, escalated_after: str = "") -> dict[str, str]:
    english, japanese = ("Not acknowledged for 2 minutes: ", "2分確認されていません: ") if escalated_after else ("", "")
    return {
        "summary": f"{english}{device} is {value} s late",
        "summary_ja": f"{japanese}{device} {value}",
        "description": "Only for tests.",
        "runbook_url": "https://runbooks.example.org/Slow.md",
    }


def labels(device: str, **more: str) -> dict[str, str]:
    identity = alert_id("Slow", {"device": device})
    return {"device": device, "severity": "high", "layer": "device", "owner": "devices", "alert_id": identity, **more}


@pytest.mark.parametrize("wide", [False, True])
def test_labels_and_values_in_texts_are_those_of_the_expression(wide: bool, tmp_path: Path) -> None:
    series = {'delay{device="a"}': "0 3x14 5x20 0x20", 'delay{device="b"}': "0x60"}
    fires, escalates = EVERY_S + 30, EVERY_S + TWIN_FOR_S
    shown = {
        moment: [{"exp_labels": labels("a"), "exp_annotations": annotations(value, "a")}]
        for moment, value in ((fires, "3"), (150, "3"), (160, "5"), (360, "5"))
    }
    raised = {
        moment: [
            {
                "exp_labels": labels("a", escalation="on-call-engineer"),
                "exp_annotations": annotations(value, "a", "2m"),
            }
        ]
        for moment, value in ((escalates, "3"), (160, "5"), (360, "5"))
    }
    silent = {fires - EVERY_S: list[dict[str, object]](), 370: list[dict[str, object]]()}
    quiet = {escalates - EVERY_S: list[dict[str, object]](), 370: list[dict[str, object]]()}
    run(
        tmp_path,
        group(replace(PLAIN, wide=wide)),
        case(series, f"{EVERY_S}s", {**silent, **shown}, "Slow"),
        case(series, f"{EVERY_S}s", {**quiet, **raised}, "SlowEscalated"),
        every=f"{EVERY_S}s",
        annotations=True,
    )


LENGTH_S = 1800
METRICS = ("ALERTS", "ALERTS_FOR_STATE")


def _values(seed: int) -> Iterable[str]:
    """Trouble, short and long recoveries, missing samples, and series that end."""
    generator = random.Random(seed)
    for _ in range(60):
        value = generator.choice(["0", "3", "3", "4.5", "7", "_", "stale"])
        yield value if value == "stale" else f"{value}x{generator.choice([1, 1, 3, 8, 20])}"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("severity", [Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM])
def test_at_every_evaluation_the_same_alerts_are_pending_and_firing_since_the_same_moment(
    severity: Severity, seed: int, tmp_path: Path
) -> None:
    one = replace(PLAIN, severity=severity)
    rules = group(one, replace(one, name="Wide", wide=True))
    series = {f'delay{{device="d{number}"}}': " ".join(_values(100 * seed + number)) for number in range(8)}

    def read(metric: str, wide: bool) -> str:
        name = "Wide" if wide else "Slow"
        renamed = f'label_replace({metric}{{alertname=~"{name}.*"}}, "alert", "$1", "alertname", "{name}(.*)")'
        return f"max by (device, alert, alertstate, severity, layer, owner, escalation) ({renamed})"

    def sometimes(expr: str) -> str:
        return f"count(count_over_time(({expr})[{LENGTH_S}s:{EVERY_S}s]))"

    differs = [
        f"{plain} unless {wide} or {wide} unless {plain} or {plain} != {wide}"
        for plain, wide in ((read(metric, wide=False), read(metric, wide=True)) for metric in METRICS)
    ]
    raised = 'ALERTS{alertname="WideEscalated",alertstate="firing"}'
    seen = [
        *({"expr": sometimes(expr), "eval_time": f"{LENGTH_S}s", "exp_samples": []} for expr in differs),
        {
            "expr": f"{sometimes(raised)} > bool 0",
            "eval_time": f"{LENGTH_S}s",
            "exp_samples": [{"labels": "{}", "value": 1}],
        },
    ]
    test = {
        "interval": f"{EVERY_S}s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": seen,
    }
    run(tmp_path, rules, test, every=f"{EVERY_S}s")
