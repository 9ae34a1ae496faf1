"""The catalogue agrees with itself, with the requirements and with the document made from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from components.telemetry.__main__ import main
from components.telemetry.attributes import (
    KEY_ATTRIBUTES,
    PROMOTED_ATTRIBUTES,
    allowed_attributes,
    required_attributes,
)
from components.telemetry.catalogue import METRICS, metric, metrics_of
from components.telemetry.document import markdown, threshold_markdown
from components.telemetry.layers import (
    DATA,
    DEVICE,
    LAYERS,
    TOPIC_OF_SIGNAL,
    Signal,
    layer,
    layers_sending,
)
from components.telemetry.naming import Kind, prometheus_label, prometheus_name
from components.telemetry.thresholds import (
    DOCUMENT,
    SLOS,
    THRESHOLDS,
    Comparison,
    problems,
    series_in,
    slo,
    threshold,
    thresholds_on,
)
from components.telemetry.topics import TOPICS, TopicSpec, topic

DOCS = Path(__file__).parents[3] / "docs"


def test_the_catalogue_has_no_contradiction() -> None:
    assert problems() == []


def test_the_committed_documents_are_current() -> None:
    told = "run: python -m components.telemetry {0} > docs/{0}.md"
    assert (DOCS / "telemetry.md").read_text(encoding="utf-8") == markdown(), told.format("telemetry")
    assert (DOCS / "thresholds.md").read_text(encoding="utf-8") == threshold_markdown(DOCUMENT), told.format(
        "thresholds"
    )


@pytest.mark.parametrize(("arguments", "written"), [([], markdown()), (["thresholds"], threshold_markdown(DOCUMENT))])
def test_the_command_prints_a_document(arguments: list[str], written: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    assert capsys.readouterr().out == written


def test_devices_and_data_management_may_send_no_traces_and_every_layer_may_send_metrics_and_logs() -> None:
    assert {known_layer.name for known_layer in LAYERS if not known_layer.may_send(Signal.TRACES)} == {"device", "data"}
    for signal in (Signal.METRICS, Signal.LOGS):
        assert layers_sending(signal) == LAYERS
    assert DEVICE.topics == ("telemetry-metrics", "telemetry-logs")


def test_a_layer_signs_in_under_its_own_name() -> None:
    assert [known_layer.user for known_layer in LAYERS] == ["device", "streaming", "business", "data", "analytics"]
    assert [known_layer.source for known_layer in LAYERS] == ["L1", "L2", "L3", "L4", "L5"]


def test_an_unknown_layer_is_named_together_with_those_there_are() -> None:
    with pytest.raises(KeyError, match="layer 'robot' does not exist: use one of device, streaming"):
        layer("robot")


@pytest.mark.parametrize(
    ("name", "partitions", "days"),
    [
        ("telemetry-metrics", 12, 30),
        ("telemetry-traces", 8, 7),
        ("telemetry-logs", 6, 14),
        ("alerts-raw", 4, 30),
        ("alerts-processed", 2, 30),
    ],
)
def test_topics_have_the_required_partitions_and_retention(name: str, partitions: int, days: int) -> None:
    assert topic(name).partitions == partitions
    assert topic(name).retention_ms == days * 86_400_000


def test_every_signal_has_a_topic_and_no_topic_is_listed_twice() -> None:
    names = [topic_spec.name for topic_spec in TOPICS]
    assert set(TOPIC_OF_SIGNAL.values()) <= set(names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"name": "a b"}, "topic name 'a b' is not legal"),
        ({"partitions": 0}, "partitions is 0, must be at least 1"),
        ({"retention_days": 0}, "retention_days is 0, must be at least 1"),
    ],
)
def test_a_topic_that_kafka_would_refuse_is_refused_at_once(broken: dict[str, object], message: str) -> None:
    good: dict[str, object] = {"name": "a", "partitions": 1, "retention_days": 1, "description": ""}
    TopicSpec(**good)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        TopicSpec(**{**good, **broken})  # type: ignore[arg-type]


def test_only_devices_may_send_a_device_id_and_they_must() -> None:
    assert "device_id" in required_attributes(DEVICE)
    assert "device_id" not in allowed_attributes(DATA)


def test_keys_and_labels_survive_the_gateways_allow_list() -> None:
    assert KEY_ATTRIBUTES == ("device_id", "service.name")
    for known_layer in LAYERS:
        allowed = allowed_attributes(known_layer)
        assert {"layer", "service.name", "service.instance.id"} <= set(allowed)
        assert any(key in allowed for key in KEY_ATTRIBUTES)
    assert PROMOTED_ATTRIBUTES == ("layer", "device_id")


def test_no_allowed_attribute_names_a_person_or_changes_the_job_label() -> None:
    for known_layer in LAYERS:
        for key in allowed_attributes(known_layer):
            assert not key.startswith(("enduser.", "user.", "client.", "geo."))
            assert key != "service.namespace"


@pytest.mark.parametrize(
    ("name", "unit", "kind", "expected"),
    [
        ("hw.battery.charge", "1", Kind.GAUGE, "hw_battery_charge_ratio"),
        ("recording.attempts", "{recording}", Kind.COUNTER, "recording_attempts_total"),
        ("recording.stored", "By", Kind.COUNTER, "recording_stored_bytes_total"),
        ("http.server.request.duration", "s", Kind.HISTOGRAM, "http_server_request_duration_seconds"),
        ("stream.throughput", "By/s", Kind.GAUGE, "stream_throughput_bytes_per_second"),
        ("db.client.connection.count", "{connection}", Kind.UP_DOWN_COUNTER, "db_client_connection_count"),
        ("x.total.seen", "1", Kind.COUNTER, "x_seen_total"),
        ("x.ratio", "1", Kind.GAUGE, "x_ratio"),
        ("wait.seconds", "s", Kind.GAUGE, "wait_seconds"),
        ("device.speech_recognition.accuracy", "1", Kind.GAUGE, "device_speech_recognition_accuracy_ratio"),
    ],
)
def test_names_are_spelled_as_prometheus_spells_them(name: str, unit: str, kind: Kind, expected: str) -> None:
    assert prometheus_name(name, unit, kind) == expected


def test_labels_are_spelled_as_prometheus_spells_them() -> None:
    assert prometheus_label("http.response.status_code") == "http_response_status_code"


def test_every_layer_has_metrics_and_thresholds() -> None:
    for known_layer in LAYERS:
        assert [m for m in METRICS if m.layer is known_layer]
        assert [t for t in THRESHOLDS if t.layer is known_layer]


@pytest.mark.parametrize(
    ("name", "comparison", "limit", "hold_s"),
    [
        ("battery", "<=", 0.20, 0),
        ("delivery-delay", ">", 1, 0),
        ("disconnected", "==", 0, 180),
        ("stream-delay", ">", 1, 60),
        ("recording-failures", ">", 0.05, 0),
        ("storage", ">", 0.80, 0),
        ("api-latency", ">", 3, 0),
        ("db-pool", ">", 0.90, 0),
        ("event-delay", ">", 300, 0),
        ("inconsistency", ">", 0, 0),
        ("report-late", ">", 86400, 0),
        ("screen-display", ">", 10, 0),
        ("sessions", ">", 100, 0),
        ("cpu", ">", 0.90, 0),
    ],
)
def test_thresholds_have_the_required_limits(name: str, comparison: str, limit: float, hold_s: int) -> None:
    limits = threshold(name)
    assert limits.stated
    assert (limits.comparison, limits.limit, limits.hold_s) == (Comparison(comparison), limit, hold_s)


def test_a_threshold_is_crossed_beyond_its_limit_only() -> None:
    sessions, battery = threshold("sessions"), threshold("battery")
    assert not sessions.crossed(sessions.limit)
    assert sessions.crossed(sessions.limit + 1)
    assert battery.crossed(battery.limit)
    assert not battery.crossed(battery.limit + 0.001)


def test_the_series_of_a_promql_expression_are_found_without_its_labels_and_groupings() -> None:
    assert series_in('sum by (job, a_b) (rate(x_y_total{k_v="z_w"}[5m])) / on (job) m_n') == {"x_y_total", "m_n"}


def test_lookups_know_which_threshold_reads_which_metric() -> None:
    assert [t.name for t in thresholds_on("recording.failures")] == ["recording-failures"]
    assert {m.name for m in metrics_of("dashboard-ui")} == {"user.session.active", "screen.display.duration"}
    with pytest.raises(KeyError, match=r"add it under `services` in components/telemetry/thresholds\.yaml"):
        metric("nothing.like.this")
    assert slo("screen-display").owner == "analytics"
    for lookup in (threshold, slo):
        with pytest.raises(KeyError, match=r"'nothing' does not exist: see components/telemetry/thresholds\.yaml"):
            lookup("nothing")


def test_the_validator_reports_each_kind_of_contradiction() -> None:
    battery, duration = metric("hw.battery.charge"), metric("http.server.request.duration")

    def problems_of(*metrics_changed: object, **changes: object) -> str:
        kept = [m for m in METRICS if m not in (battery, duration)]
        return "\n".join(problems(metrics=[*kept, *metrics_changed], **changes))  # type: ignore[arg-type, list-item]

    assert "hw.battery.charge: listed twice" in problems_of(battery, battery, duration)
    assert "must be lower-case words" in problems_of(replace(battery, name="Battery"), duration)
    assert "attribute layer is a resource attribute" in problems_of(replace(battery, attributes=("layer",)), duration)
    assert "only a histogram, has buckets" in problems_of(battery, replace(duration, buckets=()))
    assert "buckets must rise" in problems_of(battery, replace(duration, buckets=(3, 1)))
    assert "limit 3 is no bucket boundary" in problems_of(battery, replace(duration, buckets=(1, 2)))
    assert "metric hw.battery.charge is not in the catalogue" in problems_of(duration)
    assert "two metrics share this name" in problems_of(
        battery, duration, replace(battery, name="hw.battery.charge.ratio")
    )
    assert "its PromQL reads other_series" in problems_of(
        battery, duration, thresholds=[threshold("battery").model_copy(update={"value": "other_series"})]
    )
    assert "belongs to layer device" in problems_of(
        battery, duration, thresholds=[threshold("battery").model_copy(update={"layer": layer("data")})]
    )
    assert "service device-agent: sends as layer device and as layer data" in problems_of(
        replace(battery, layer=layer("data")), duration
    )
    delivery = slo("stream-delivery")
    assert (
        "objective stream-delivery: its PromQL reads other_series, which no metric of the catalogue has"
        in problems_of(
            battery, duration, slos=[delivery.model_copy(update={"bad": "sum(rate(other_series[{window}]))"})]
        )
    )
    assert "device_delivery_delay_seconds belongs to layer device, not to data" in problems_of(
        battery, duration, slos=[delivery.model_copy(update={"layer": "data"})]
    )
    assert [objective.name for objective in SLOS if objective.layer == "platform"] == ["telemetry-path"]
    silent = replace(DEVICE, name="x", signals=frozenset())
    assert "layer x may not send metrics" in problems_of(replace(battery, layer=silent), duration)
    assert "layer device: listed twice" in problems_of(battery, duration, layers=[DEVICE, DEVICE])
