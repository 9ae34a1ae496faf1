"""Every alert of the reviewed file, run by the real promtool on the examples that stand beside it."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.rules import Alert, rule_file
from components.telemetry.fields import seconds
from components.telemetry.rules import ALERT_OF_PRIORITY, INHIBITIONS, RULES, layer_groups, slo_groups
from components.telemetry.schema import BurnRate, Slo, Threshold
from components.telemetry.thresholds import BURN_RATES, DOCUMENT, SLOS, THRESHOLDS
from tests.rules.conftest import CHOSEN
from tests.rules.promtool import accepted, verdicts
from tests.rules.thresholds_promtool import (
    crossing_min,
    run,
    slo_labels,
    slo_series,
    threshold_tests,
    write,
)

RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks"
ALERTS: dict[str, Alert] = {alert.name: alert for group in RULES for alert in group.alerts}
BURNS = [pytest.param(slo, rate, id=f"{slo.name}-{rate.name}") for slo, rate in itertools.product(SLOS, BURN_RATES)]


def test_promtool_accepts_the_rules(tmp_path: Path) -> None:
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump(rule_file(RULES, "https://runbooks.example.org")))
    accepted("check", "rules", "--lint=all", "--lint-fatal", str(path))


@pytest.fixture(scope="module")
def against(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Name of an alert, of an objective and a rate, or of an objective -> what promtool has against its tests.

    Of those only whose tests run.
    """
    folder, chosen = tmp_path_factory.mktemp("thresholds"), request.node.stash[CHOSEN]
    files = {
        row.alert: write(folder / row.alert, layer_groups(DOCUMENT), *threshold_tests(row), every="5s")
        for row in THRESHOLDS
        if row.alert in chosen
    }
    for slo in SLOS:
        if slo.name in chosen:
            files[slo.name] = _written_unburnt(slo, folder / slo.name)
        for rate in BURN_RATES:
            name = f"{slo.name}-{rate.name}"
            if name in chosen:
                files[name] = _written_burn(slo, rate, folder / name)
    judged = verdicts(files.values())
    return {name: judged[file] for name, file in files.items()}


@pytest.mark.parametrize("row", THRESHOLDS, ids=lambda row: row.alert)
def test_an_alert_is_silent_one_evaluation_before_fires_at_the_next_and_leaves_the_control_alone(
    row: Threshold, against: dict[str, str]
) -> None:
    assert against[row.alert] == ""


@pytest.mark.parametrize(("slo", "rate"), BURNS)
def test_a_burn_rate_fires_when_that_much_of_the_budget_is_gone_and_not_before(
    slo: Slo, rate: BurnRate, against: dict[str, str]
) -> None:
    assert against[f"{slo.name}-{rate.name}"] == ""


def _written_burn(slo: Slo, rate: BurnRate, folder: Path) -> Path:
    # The longer the window, the less often: five minutes apart, a value would be too old when it is read.
    healthy = math.ceil(seconds(rate.long) / 60)
    step = 1 if healthy <= 360 else 2 if healthy <= 1440 else 4
    predicted = healthy + crossing_min(slo, rate)
    before, after = math.floor(predicted) - 3 * step, math.ceil(predicted) + 3 * step
    name = ALERT_OF_PRIORITY[slo.priorities[rate.name]]
    alone = slo.model_copy(update={"priorities": {rate.name: slo.priorities[rate.name]}})
    *rules, _ = slo_groups(DOCUMENT.model_copy(update={"burn_rates": (rate,), "slos": (alone,)}))
    moments = {before: [], after: [{"exp_labels": slo_labels(slo, rate)}]}
    return write(folder, rules, _at(slo, healthy, after - healthy + 5, moments, name), every=f"{step}m")


def _at(slo: Slo, healthy: int, failing: int, expected: dict[int, list[dict[str, Any]]], name: str) -> dict[str, Any]:
    series = slo_series(slo, healthy, failing)
    return {
        "interval": "1m",
        "input_series": [{"series": key, "values": values} for key, values in series.items()],
        "alert_rule_test": [
            {"eval_time": f"{moment}m", "alertname": name, "exp_alerts": alerts} for moment, alerts in expected.items()
        ],
    }


@pytest.mark.parametrize("slo", SLOS, ids=lambda slo: slo.name)
def test_while_all_goes_well_no_budget_is_used_and_nobody_is_told(slo: Slo, against: dict[str, str]) -> None:
    assert against[slo.name] == ""


def _written_unburnt(slo: Slo, folder: Path) -> Path:
    series = slo_series(slo, 180, 0)
    burns = [f'slo:burn:rate{window}{{slo="{slo.name}"}}' for window in ("5m", "30m", "1h", "2h", "6h", "1d", "3d")]
    labels = f'slo="{slo.name}",layer="{slo.layer}",owner="{slo.owner}"'
    expected = dict.fromkeys(burns, 0.0) | {f'slo:error_budget_remaining:ratio{{slo="{slo.name}"}}': 1.0}
    test = {
        "interval": "1m",
        "input_series": [{"series": key, "values": values} for key, values in series.items()],
        "promql_expr_test": [
            {
                "expr": expr,
                "eval_time": "170m",
                "exp_samples": [{"labels": expr.replace(f'slo="{slo.name}"', labels), "value": value}],
            }
            for expr, value in expected.items()
        ]
        + [
            {"expr": 'ALERTS{alertname=~"SloBurn.*"}', "eval_time": f"{minute}m", "exp_samples": []}
            for minute in (9, 170)
        ],
    }
    return write(folder, slo_groups(DOCUMENT.model_copy(update={"slos": (slo,)})), test, every="1m")


def test_what_is_left_of_a_budget_is_what_was_not_used(tmp_path: Path) -> None:
    slo = next(slo for slo in SLOS if slo.name == "recording-success")
    # Of 1,000 minutes 5 fail: half a percent of the events, half of a budget of one percent.
    series = {
        'recording_attempts_total{job="recorder"}': "0+60x1000",
        'recording_failures_total{job="recorder"}': "50x499 50+60x5 350x600",
    }
    test = {
        "interval": "1m",
        "input_series": [{"series": key, "values": values} for key, values in series.items()],
        "promql_expr_test": [
            {
                "expr": "round(slo:error_budget_remaining:ratio, 0.01)",
                "eval_time": "1000m",
                "exp_samples": [
                    {"labels": '{slo="recording-success",layer="streaming",owner="streaming"}', "value": 0.5}
                ],
            }
        ],
    }
    run(tmp_path, slo_groups(DOCUMENT.model_copy(update={"slos": (slo,)})), test, every="1m")


def test_an_alert_about_a_budget_says_which_promise_is_at_stake_in_both_languages(tmp_path: Path) -> None:
    slo = next(slo for slo in SLOS if slo.name == "recording-success")
    fast = next(burn_rate for burn_rate in BURN_RATES if burn_rate.name == "fast")
    annotations = {
        "summary": "Error budget of recording-success: used 100.0 times too fast",
        "description": "Objective: 99 % over 30d, recording segments are stored (docs/runbooks/RecordingFailures.md). "
        "At this speed it is missed.",
        "summary_ja": "recording-success: エラーバジェットの消費が 100.0 倍速",
        "description_ja": "目標: 30d で 99 %、録画セグメントが保存される (docs/runbooks/RecordingFailures.md)。"
        "この速度では達成できません。",
        "runbook_url": "https://runbooks.example.org/SloBurnCritical.md",
    }
    firing = [{"exp_labels": slo_labels(slo, fast), "exp_annotations": annotations}]
    test = _at(slo, 1, 90, {90: firing}, "SloBurnCritical")
    run(tmp_path, slo_groups(DOCUMENT), test, every="1m", annotations=True)


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_every_alert_has_a_page_for_somebody_who_was_woken(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {name}\n")
    parts = text.split("\n## ")
    assert [part.partition("\n")[0] for part in parts[1:]] == ["What it means", "What to look at", "What to do"]
    assert "\n1. " in parts[3], f"{name}.md has no numbered steps"
    assert "- " in parts[2], f"{name}.md names nothing to look at"


@pytest.mark.parametrize("slo", SLOS, ids=lambda slo: slo.name)
def test_every_objective_has_a_page(slo: Slo) -> None:
    assert (RUNBOOKS.parents[1] / slo.runbook).is_file()


def test_inhibitions_name_alerts_of_which_the_source_is_at_least_as_urgent() -> None:
    urgency = ["critical", "high", "medium", "low"]
    severities = {name: alert.severity.value for name, alert in ALERTS.items()}
    severities |= {name: severity.value for name, severity in DOCUMENT.alerts_elsewhere.items()}
    for inhibition in INHIBITIONS:
        for source, target in itertools.product(inhibition.source, inhibition.targets):
            assert urgency.index(severities[source]) <= urgency.index(severities[target]), inhibition


def test_alerts_that_are_made_elsewhere_have_the_priority_that_the_file_says() -> None:
    from tests.rules import test_rules

    severities = {name: test_rules.ALERTS[name].severity for name in DOCUMENT.alerts_elsewhere}
    assert severities == dict(DOCUMENT.alerts_elsewhere)
