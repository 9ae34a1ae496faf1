"""What is posted becomes records: keys that both topics share, fields as documented, mistakes left out and named."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from components import rules
from services.alert_events import events as posts
from services.alert_events.events import (
    MODELS,
    ContentError,
    ProcessedEvent,
    RawEvent,
    fingerprint,
    identity,
    schema_text,
    write_schemas,
)
from tests.unit.services.alert_events_fakes import alert, notification

DOCS = Path(__file__).parents[3] / "docs"
NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


def raw(*alerts: object) -> list[dict[str, Any]]:
    return [json.loads(record.value) for record in posts.raw(json.dumps(alerts).encode(), NOW, "10.88.0.7").records]


def processed(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(record.value) for record in posts.processed(json.dumps(body).encode(), NOW, "10.88.0.8").records]


def test_a_firing_alert_of_a_prometheus() -> None:
    [event] = raw(alert())
    assert event == {
        "schema_version": 1,
        "received_at": "2026-11-24T09:30:00.000Z",
        "sender": "prometheus-primary-0",
        "alert_id": "KafkaBrokerDown/instance=kafka-1",
        "fingerprint": fingerprint(alert()["labels"]),
        "status": "firing",
        "startsAt": "2026-11-24T09:29:00.123Z",
        "endsAt": None,
        "labels": alert()["labels"],
        "annotations": {"summary": "kafka-1 is down"},
        "generatorURL": "http://prometheus-primary-0:9090/graph?g0.expr=up+%3D%3D+0",
        "valid_until": "2026-11-24T09:32:00.000Z",
    }


def test_an_alert_whose_end_is_past_has_ended() -> None:
    [event] = raw(alert(ends="2026-11-24T18:29:59.9+09:00"))
    assert (event["status"], event["endsAt"], event["valid_until"]) == ("resolved", "2026-11-24T09:29:59.900Z", None)


def test_a_notification_is_one_record_for_each_of_its_alerts() -> None:
    body = notification(alert(), alert(instance="kafka-2", alert_id="KafkaBrokerDown/instance=kafka-2"))
    body["alerts"][1] |= {"status": "resolved", "endsAt": "2026-11-24T09:29:30Z"}
    first, second = processed(body)
    assert first == {
        "schema_version": 1,
        "received_at": "2026-11-24T09:30:00.000Z",
        "sender": "10.88.0.8",
        "alert_id": "KafkaBrokerDown/instance=kafka-1",
        "fingerprint": "0123456789abcdef",
        "status": "firing",
        "startsAt": "2026-11-24T09:29:00.123Z",
        "endsAt": None,
        "labels": alert()["labels"],
        "annotations": {"summary": "kafka-1 is down"},
        "generatorURL": "http://prometheus-primary-0:9090/graph?g0.expr=up+%3D%3D+0",
        "receiver": "operators-critical",
        "groupKey": '{}/{severity="critical"}:{alertname="KafkaBrokerDown"}',
        "groupLabels": {"alertname": "KafkaBrokerDown"},
        "group_status": "firing",
        "truncatedAlerts": 0,
        "externalURL": "https://alerts.example.org",
    }
    assert (second["alert_id"], second["status"]) == ("KafkaBrokerDown/instance=kafka-2", "resolved")
    assert second["endsAt"] == "2026-11-24T09:29:30.000Z"


def test_both_topics_and_both_levels_of_an_alert_have_one_key() -> None:
    escalated = alert("KafkaBrokerDownEscalated", alert_id="KafkaBrokerDown/instance=kafka-1", escalation="boss")
    body = json.dumps([alert(), escalated]).encode()
    sent = posts.raw(body, NOW, "").records
    notified = posts.processed(json.dumps(notification(alert(), escalated)).encode(), NOW, "").records
    assert {record.key for record in (*sent, *notified)} == {b"KafkaBrokerDown/instance=kafka-1"}
    assert len({json.loads(record.value)["fingerprint"] for record in sent}) == 2


def test_an_alert_without_its_id_is_known_by_its_labels_as_rules_would_write_them() -> None:
    series = {"job": "kafka", "instance": "a b/c=d"}
    assert identity({"alertname": "Down", **series}) == rules.alert_id("Down", series)
    assert identity({"alertname": "Down", "alert_id": "given", **series}) == "given"
    assert identity({"job": "x"}) == "/job=x"


def test_the_fingerprint_is_the_one_of_prometheus_libraries() -> None:
    labels = {"name": "garland, briggs", "fear": "love is not enough"}
    assert int(fingerprint(labels), 16) == 5799056148416392346


def test_an_empty_label_is_none() -> None:
    [event] = raw(alert(job=""))
    assert "job" not in event["labels"]
    assert event["fingerprint"] == fingerprint(alert()["labels"])


def test_what_the_sender_did_not_say_is_filled_in() -> None:
    [event] = raw({"labels": {"alertname": "Bare"}})
    assert event["startsAt"] == event["received_at"]
    assert (event["status"], event["valid_until"], event["endsAt"]) == ("firing", None, None)
    assert (event["sender"], event["annotations"], event["generatorURL"]) == ("10.88.0.7", {}, "")


def test_fields_that_the_schema_does_not_name_are_passed_over() -> None:
    assert raw({**alert(), "colour": "red"}) == raw(alert())
    assert processed(notification(colour="red")) == processed(notification())


def test_letters_of_all_languages_stay_readable() -> None:
    body = json.dumps([alert(summary="ブローカー停止")]).encode()
    assert "ブローカー停止".encode() in posts.raw(body, NOW, "").records[0].value


@pytest.mark.parametrize(
    ("item", "complaint"),
    [
        ({}, "labels: missing"),
        ({"labels": {}}, "labels: too_short"),
        ({"labels": {"alertname": ""}}, "labels: too_short"),
        ({"labels": {"alertname": 5}}, "labels: string_type"),
        ("himitsu", "model_type"),
        ({**alert(), "startsAt": "himitsu"}, "startsAt: datetime_from_date_parsing"),
        ({**alert(), "startsAt": 5}, "startsAt: value_error"),
        ({**alert(), "startsAt": "2026-11-24T09:29:00"}, "startsAt: timezone_aware"),
        ({**alert(), "startsAt": "9999-12-31T23:59:59-05:00"}, "startsAt: value_error"),
        (alert(summary="x" * 900_000), "it is larger than 900000 bytes"),
    ],
)
def test_what_is_no_alert_is_left_out_and_does_not_hold_up_the_others(item: object, complaint: str) -> None:
    post = posts.raw(json.dumps([alert(), item, alert(), item]).encode(), NOW, "")
    assert len(post.records) == 2
    assert post.unusable == 2
    assert post.complaint.startswith(f"alert 1: {complaint}")
    assert "himitsu" not in post.complaint


def test_the_zero_time_of_go_is_none() -> None:
    zero = "0001-01-01T00:00:00Z"
    [event] = raw({**alert(ends=zero), "startsAt": zero})
    assert (event["startsAt"], event["status"]) == (event["received_at"], "firing")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[NaN]", b'["\\ud800"', b"[" * 5000, b"5", b"{}", b"null"])
def test_what_is_no_list_of_alerts_is_refused(body: bytes) -> None:
    with pytest.raises(ContentError):
        posts.raw(body, NOW, "")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"version": "5"}, "version: literal_error"),
        ({"alerts": None}, "alerts: list_type"),
        ({"groupKey": 1}, "groupKey: string_type"),
        ({"status": "himitsu"}, "status: literal_error"),
    ],
)
def test_what_is_no_notification_is_refused_without_quoting_it(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ContentError) as caught:
        processed(notification(**change))
    assert str(caught.value) == complaint


def test_of_records_that_are_too_large_together_the_first_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    [event] = processed(notification())
    monkeypatch.setattr(posts, "MOST_POST_BYTES", 3 * len(json.dumps(event)))
    assert len(processed(notification(alert(), alert()))) == 2
    post = posts.processed(json.dumps(notification(*[alert()] * 6)).encode(), NOW, "")
    assert 2 <= len(post.records) < 6
    assert len(post.records) + post.unusable == 6
    assert post.complaint.endswith("in all")


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_schemas_in_docs_are_those_of_the_code(name: str) -> None:
    told = "write them again: python -m services.alert_events.events docs/schemas"
    assert (DOCS / "schemas" / name).read_text() == schema_text(MODELS[name]), told


def test_the_schema_command_writes_both(tmp_path: Path) -> None:
    write_schemas(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(MODELS)


def test_records_fit_the_schemas_in_docs_and_the_models_that_read_them() -> None:
    ended = alert(ends="2026-11-24T09:29:59Z")
    for topic, model, events in (
        ("raw", RawEvent, raw(alert(), ended, {"labels": {"alertname": "Bare"}})),
        ("processed", ProcessedEvent, processed(notification(alert(), ended))),
    ):
        validator = jsonschema.Draft202012Validator(
            json.loads((DOCS / "schemas" / f"alert-events-{topic}.v1.json").read_text()),
            format_checker=jsonschema.FormatChecker(["date-time"]),
        )
        for event in events:
            validator.validate(event)
            assert json.loads(model.model_validate(event).value()) == event
            for field in event:
                missing = {key: value for key, value in event.items() if key != field}
                assert not validator.is_valid(missing), f"{field} is always there"


def test_every_field_is_explained() -> None:
    page = (DOCS / "alert-events.md").read_text()
    for model in (RawEvent, ProcessedEvent):
        for name, field in model.model_fields.items():
            assert f"| `{field.alias or name}` |" in page, f"docs/alert-events.md does not explain {name}"
