"""What is made of the reviewed file: alerts per layer, objectives, and what keeps what quiet."""

from __future__ import annotations

import re

import pytest

from components.alerting.escalation import Way
from components.alerting.inhibitions import collected
from components.rules import Alert, Recording, RuleGroup, Severity
from components.telemetry.file import CatalogueError
from components.telemetry.rules import INHIBITIONS, RULES, SLO_ALERTS, inhibitions, layer_groups, slo_groups, sound
from components.telemetry.thresholds import DOCUMENT, SLOS, THRESHOLDS, Slo, Threshold, threshold

ALERTS = {alert.name: alert for group in RULES for alert in group.alerts}
GROUPS = {group.name: group for group in RULES}
RECORDED = [rule for group in slo_groups(DOCUMENT) for rule in group.rules if isinstance(rule, Recording)]

PRIORITIES = {
    "critical": {"recording-failures", "inconsistency"},
    "high": {
        "delivery-delay",
        "disconnected",
        "stream-delay",
        "adls-stalled",
        "api-latency",
        "db-pool",
        "event-delay",
        "etl-failed",
        "screen-display",
    },
    "medium": {"battery", "stream-quality", "storage", "report-late", "cpu"},
    "low": {"speech-accuracy", "sessions"},
}


@pytest.mark.parametrize("priority", PRIORITIES)
def test_thresholds_have_the_priorities_of_the_requirement(priority: str) -> None:
    assert {limit.name for limit in THRESHOLDS if limit.priority == priority} == PRIORITIES[priority]


@pytest.mark.parametrize("row", THRESHOLDS, ids=lambda row: row.name)
def test_an_alert_says_what_its_threshold_says(row: Threshold) -> None:
    alert = ALERTS[row.alert]
    assert (alert.expr, alert.for_, alert.severity) == (row.expression, row.hold, row.priority)
    assert (alert.summary, alert.description) == (row.summary, row.description)
    assert alert.labels["layer"] == row.layer.name
    assert alert.labels["owner"] == row.owner
    assert dict(alert.annotations) == {"summary_ja": row.summary_ja, "description_ja": row.description_ja}


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_texts_in_japanese_are_japanese_and_those_in_english_are_not(name: str) -> None:
    japanese = re.compile("[\u3040-\u30ff\u4e00-\u9fff]")
    alert = ALERTS[name]
    assert japanese.search(alert.annotations["summary_ja"])
    assert japanese.search(alert.annotations["description_ja"])
    assert not japanese.search(alert.summary + alert.description)


def test_an_alert_of_a_layer_is_evaluated_as_often_as_its_promise_asks_and_no_more() -> None:
    often = {alert.name: group.interval for group in layer_groups(DOCUMENT) for alert in group.alerts}
    for row in THRESHOLDS:
        expected = "5s" if row.priority == "critical" else "10s" if row.priority == "high" and not row.hold_s else "30s"
        assert often[row.alert] == expected, row.name
    assert [group.name for group in layer_groups(DOCUMENT)][:5] == [
        "layer-device-10s",
        "layer-device-30s",
        "layer-streaming-5s",
        "layer-streaming-10s",
        "layer-streaming-30s",
    ]


@pytest.mark.parametrize("row", THRESHOLDS, ids=lambda row: row.name)
def test_a_first_notification_of_a_layer_is_there_within_the_time_of_its_priority(row: Threshold) -> None:
    (group,) = (group for group in layer_groups(DOCUMENT) if row.alert in {alert.name for alert in group.alerts})
    longest_s = Way().longest_ms(row.priority, group) / 1000
    # Critical: 30 s in 95 of 100 cases, of which the scrape and the evaluation take half at the mean.
    assert longest_s <= {"critical": 30, "high": 120, "medium": 3600, "low": 86400}[row.priority]


def test_what_reads_a_series_of_every_device_is_evaluated_once_for_an_alert_and_its_twin() -> None:
    wide = {alert.name for group in layer_groups(DOCUMENT) for alert in group.alerts if alert.wide}
    assert wide == {row.alert for row in THRESHOLDS if row.layer.name == "device"}


def test_recorded_names_say_level_metric_and_operation() -> None:
    for rule in RECORDED:
        assert re.fullmatch(r"slo:[a-z_]+:(rate|ratio)(\d+[mhd])?", rule.record), rule.record
        assert set(rule.labels) == {"slo", "layer", "owner"}


@pytest.mark.parametrize("slo", SLOS, ids=lambda slo: slo.name)
def test_every_objective_is_recorded_over_every_window(slo: Slo) -> None:
    assert [rule.record for rule in RECORDED if rule.labels["slo"] == slo.name] == [
        "slo:objective:ratio",
        "slo:events:rate5m",
        "slo:errors:rate5m",
        *(f"slo:burn:rate{window}" for window in ("5m", "30m", "1h", "2h", "6h", "1d", "3d")),
        "slo:error_budget_remaining:ratio",
    ]


def test_burn_rates_are_those_of_two_percent_of_a_month_in_an_hour_and_so_on() -> None:
    assert [(burn_rate.factor, burn_rate.long, burn_rate.short) for burn_rate in DOCUMENT.burn_rates] == [
        (14.4, "1h", "5m"),
        (6, "6h", "30m"),
        (3, "1d", "2h"),
        (1, "3d", "6h"),
    ]
    assert SLO_ALERTS == ("SloBurnCritical", "SloBurnHigh", "SloBurnMedium", "SloBurnLow")


def test_an_objectives_priorities_decide_which_alert_a_burn_rate_raises() -> None:
    critical, high = ALERTS["SloBurnCritical"], ALERTS["SloBurnHigh"]
    assert critical.expr == (
        'label_replace((slo:burn:rate1h{slo=~"api-availability|recording-success"} > 14.4'
        ' and slo:burn:rate5m{slo=~"api-availability|recording-success"} > 14.4), "layer", "", "layer", "platform")'
    )
    assert 'slo:burn:rate1h{slo=~"stream-delivery|screen-display|telemetry-path"} > 14.4' in high.expr
    assert ' or (slo:burn:rate6h{slo=~"api-availability|' in high.expr
    assert [ALERTS[name].severity for name in SLO_ALERTS] == list(Severity)


def test_without_objectives_there_are_no_rules_about_them() -> None:
    empty = DOCUMENT.model_copy(
        update={"slos": (), "thresholds": tuple(limit.model_copy(update={"slo": None}) for limit in THRESHOLDS)}
    )
    assert slo_groups(empty) == ()
    assert not [
        inhibition for inhibition in inhibitions(empty) if set(SLO_ALERTS) & {*inhibition.source, *inhibition.targets}
    ]


def test_what_keeps_quiet_is_accepted_together_with_the_alerts() -> None:
    elsewhere = RuleGroup(
        name="elsewhere",
        rules=tuple(
            Alert(name=name, expr="x", for_="0s", severity=severity, summary="", description="")
            for name, severity in DOCUMENT.alerts_elsewhere.items()
        ),
    )
    assert len(collected((*RULES, elsewhere), INHIBITIONS)) == len(INHIBITIONS)
    assert all(inhibition.reason.endswith(".") for inhibition in INHIBITIONS)


def test_a_disconnected_device_keeps_only_its_own_alerts_quiet() -> None:
    quiet = [inhibition for inhibition in INHIBITIONS if inhibition.source == ("DeviceDisconnected",)]
    assert {target for inhibition in quiet for target in inhibition.targets} == {
        "DeviceBatteryLow",
        "DeviceDeliveryDelayed",
        "DeviceStreamQualityPoor",
        "DeviceSpeechAccuracyLow",
    }
    assert {inhibition.equal for inhibition in quiet} == {("device_id",)}


def test_an_alert_about_one_screen_or_device_leaves_the_objective_of_all_of_them_alone() -> None:
    of_one = {row.alert for row in THRESHOLDS if row.slo and re.match(r"max by|histogram_quantile", row.value)}
    assert of_one == {"DeviceDeliveryDelayed", "ScreenDisplaySlow"}
    sources = {
        name for inhibition in INHIBITIONS if set(inhibition.targets) & set(SLO_ALERTS) for name in inhibition.source
    }
    assert sources == {"RecordingFailures", *SLO_ALERTS[:-1]}


def test_alerts_about_burns_are_evaluated_as_often_as_a_critical_group_is_looked_at() -> None:
    assert {alert.name for alert in GROUPS["slo-burn"].alerts} == set(SLO_ALERTS)
    assert GROUPS["slo-burn"].interval == "10s"
    assert not [rule for rule in GROUPS["slo-burn"].rules if isinstance(rule, Recording)]
    assert GROUPS["slo"].interval == "30s"


def test_a_thresholds_alert_keeps_those_of_its_objective_quiet_that_are_not_more_urgent() -> None:
    targets = {inhibition.source[0]: inhibition.targets for inhibition in INHIBITIONS if inhibition.equal == ("slo",)}
    assert targets["RecordingFailures"] == SLO_ALERTS
    whole = threshold("screen-display").model_copy(
        update={"example": threshold("screen-display").example.model_copy(update={"labels": {}})}
    )
    of_whole = inhibitions(DOCUMENT.model_copy(update={"thresholds": (whole,)}))
    assert {inhibition.source: inhibition.targets for inhibition in of_whole}["ScreenDisplaySlow",] == SLO_ALERTS[1:]
    assert targets["SloBurnCritical"] == SLO_ALERTS[1:]
    assert targets["SloBurnMedium"] == SLO_ALERTS[3:]
    assert "SloBurnLow" not in targets


def test_rules_are_not_made_of_a_file_that_contradicts_the_catalogue() -> None:
    broken = threshold("battery").model_copy(update={"metrics": ("no.such.metric",)})
    with pytest.raises(
        CatalogueError, match=r"^threshold battery: metric no\.such\.metric is not in the catalogue: name one"
    ):
        sound(DOCUMENT.model_copy(update={"thresholds": (broken,)}))
