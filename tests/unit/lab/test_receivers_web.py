"""Fakes of the pager and Slack, heartbeats and the record: the real clients, over verified TLS."""

from __future__ import annotations

import json
import ssl
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pagerduty
import pytest
import requests
from slack_sdk.webhook import WebhookClient

from lab import LabError
from lab.fakes.receivers import channels as phone_module
from lab.fakes.receivers.__main__ import application
from lab.fakes.receivers.channels import Incident, Phone, State
from lab.fakes.receivers.client import Receivers
from lab.fakes.receivers.record import Record
from lab.fakes.receivers.settings import READER
from services.runtime.https import HttpsServer
from tests.config.pki import write_certificates
from tests.unit.lab.receivers_fakes import Fakes


def post(receivers: Fakes, path: str, content: Any = None, **options: Any) -> requests.Response:
    return requests.post(f"{receivers.base}{path}", json=content, verify=receivers.ca, timeout=60, **options)


def trigger(**changes: Any) -> dict[str, Any]:
    payload = {"summary": "s", "source": "x", "severity": "critical"}
    event = {"routing_key": "k" * 32, "event_action": "trigger", "payload": payload, **changes}
    return {key: value for key, value in event.items() if value is not None}


def phone(receivers: Fakes, key: str) -> pagerduty.EventsApiV2Client:
    context = ssl.create_default_context(cafile=receivers.ca)
    return pagerduty.EventsApiV2Client(key, base_url=receivers.base, verify=context, trust_env=False)


def test_the_pager_takes_the_real_clients_events(all_fakes: Fakes) -> None:
    with phone(all_fakes, all_fakes.secrets.phone_keys["senior-manager"]) as client:
        key = client.trigger("[CRITICAL] Brokers down", "kafka", custom_details={"firing": "x/a=b"})
        client.acknowledge(key)
        client.resolve(key)
    first, second, third = all_fakes.record.since()
    assert {notification.audience for notification in (first, second, third)} == {"senior-manager"}
    assert first.title == "[CRITICAL] Brokers down"
    assert first.body["payload"]["custom_details"] == {"firing": "x/a=b"}
    assert "routing_key" not in first.body
    assert [notification.body["event_action"] for notification in (first, second, third)] == [
        "trigger",
        "acknowledge",
        "resolve",
    ]
    assert {notification.body["dedup_key"] for notification in (first, second, third)} == {key}


def incidents(receivers: Fakes) -> list[Incident]:
    contacts = Receivers(receivers.base, (READER, receivers.secrets.reader_password), Path(receivers.ca))
    return contacts.incidents()


def send(receivers: Fakes, action: str, key: str, contact: str = "operators") -> None:
    event = trigger(routing_key=receivers.secrets.phone_keys[contact], event_action=action, dedup_key=key)
    assert post(receivers, "/v2/enqueue", event).status_code == 202


def actions(receivers: Fakes) -> list[tuple[str, str]]:
    """What people noticed at the pager."""
    return [(notification.audience, notification.body["event_action"]) for notification in receivers.record.since()]


def test_a_second_trigger_of_an_open_incident_is_merged_and_rings_nobody(all_fakes: Fakes) -> None:
    for _ in range(3):
        send(all_fakes, "trigger", "a")
    assert actions(all_fakes) == [("operators", "trigger")]
    (incident,) = incidents(all_fakes)
    assert (incident.state, incident.rang, incident.merged) == (State.TRIGGERED, 1, 2)


def test_an_acknowledged_incident_stays_open_and_merges_what_comes(all_fakes: Fakes) -> None:
    for action in ("trigger", "acknowledge", "trigger", "acknowledge"):
        send(all_fakes, action, "a")
    assert actions(all_fakes) == [("operators", "trigger"), ("operators", "acknowledge")]
    (incident,) = incidents(all_fakes)
    assert (incident.state, incident.merged) == (State.ACKNOWLEDGED, 1)


def test_after_a_resolve_a_trigger_opens_a_new_incident_and_rings(all_fakes: Fakes) -> None:
    for action in ("trigger", "acknowledge", "resolve", "resolve", "trigger"):
        send(all_fakes, action, "a")
    noticed = [action for _, action in actions(all_fakes)]
    assert noticed == ["trigger", "acknowledge", "resolve", "trigger"]
    (incident,) = incidents(all_fakes)
    assert (incident.state, incident.rang) == (State.TRIGGERED, 2)


def test_an_incident_belongs_to_one_key_and_one_contact(all_fakes: Fakes) -> None:
    send(all_fakes, "trigger", "a")
    send(all_fakes, "trigger", "b")
    send(all_fakes, "trigger", "a", "senior-manager")
    send(all_fakes, "resolve", "a")
    assert [(incident.contact, incident.dedup_key, incident.state.value) for incident in incidents(all_fakes)] == [
        ("operators", "a", "resolved"),
        ("operators", "b", "triggered"),
        ("senior-manager", "a", "triggered"),
    ]


@pytest.mark.parametrize("action", ["acknowledge", "resolve"])
def test_an_event_for_no_open_incident_does_nothing(all_fakes: Fakes, action: str) -> None:
    send(all_fakes, action, "never-triggered")
    assert (all_fakes.record.since(), incidents(all_fakes)) == ([], [])


def test_a_person_acknowledges_in_the_pagers_app(all_fakes: Fakes) -> None:
    send(all_fakes, "trigger", "a")
    reader = Receivers(all_fakes.base, (READER, all_fakes.secrets.reader_password), Path(all_fakes.ca))
    (incident,) = reader.incidents()
    reader.acknowledge(incident)
    assert [listed.state for listed in reader.incidents()] == [State.ACKNOWLEDGED]
    with pytest.raises(LabError, match="cannot be acknowledged: no such incident is open"):
        reader.acknowledge(incident)
    assert post(all_fakes, "/incidents", {"contact": "operators"}).status_code == 401


def test_a_pager_that_restarts_knows_its_open_incidents(tmp_path: Path) -> None:
    def take(pager: Phone, action: str) -> None:
        assert pager.enqueue(json.dumps(trigger(event_action=action, dedup_key="a")).encode()).accepted

    take(Phone(Record(tmp_path / "notifications.jsonl"), None), "trigger")
    again = Record(tmp_path / "notifications.jsonl")
    take(Phone(again, None), "trigger")
    assert len(again.since()) == 1
    take(Phone(again, None), "resolve")
    take(Phone(Record(tmp_path / "notifications.jsonl"), None), "trigger")
    assert [notification.body["event_action"] for notification in Record(tmp_path / "notifications.jsonl").since()] == [
        "trigger",
        "resolve",
        "trigger",
    ]


def test_a_pager_forgets_the_oldest_incidents_and_closed_ones_first() -> None:
    pager = Phone(Record(), None, most=2)
    for key, action in (("a", "trigger"), ("b", "trigger"), ("b", "resolve"), ("c", "trigger"), ("d", "trigger")):
        pager.enqueue(json.dumps(trigger(event_action=action, dedup_key=key)).encode())
    assert [incident["dedup_key"] for incident in pager.data()["incidents"]] == ["c", "d"]


def test_the_pager_refuses_what_comes_too_quickly_for_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(phone_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    pager = Phone(Record(), None)

    def statuses(events: int, key: str) -> Counter[int]:
        bodies = (trigger(dedup_key=f"{number}", routing_key=key) for number in range(events))
        return Counter(pager.enqueue(json.dumps(body).encode()).status for body in bodies)

    assert statuses(125, "a" * 32) == {202: 120, 429: 5}
    assert statuses(2, "b" * 32) == {202: 2}
    now[0] += 59.0
    assert statuses(1, "a" * 32) == {429: 1}
    now[0] += 1.0
    assert statuses(125, "a" * 32) == {202: 120, 429: 5}
    assert (pager.data()["throttled"], len(pager.data()["incidents"])) == (11, 122)


def test_the_pager_refuses_a_key_that_nobody_has(all_fakes: Fakes) -> None:
    with phone(all_fakes, "0" * 32) as client, pytest.raises(pagerduty.HttpError, match="Invalid routing key"):
        client.trigger("x", "y")
    assert all_fakes.record.since() == []


@pytest.mark.parametrize(
    ("event", "errors"),
    [
        (trigger(routing_key=None), ["'routing_key' cannot be blank"]),
        (trigger(routing_key="short"), ["Length of 'routing_key' is incorrect (should be 32 characters)"]),
        (trigger(routing_key=7), ["Length of 'routing_key' is incorrect (should be 32 characters)"]),
        (trigger(event_action=None), ["'event_action' is missing or blank"]),
        (
            trigger(event_action="ring"),
            ["'event_action' is invalid (must be one of the following: 'trigger', 'acknowledge' or 'resolve')"],
        ),
        (trigger(event_action="resolve"), ["'dedup_key' is missing or blank"]),
        (trigger(payload=None), ["'payload' is missing or blank"]),
        (
            trigger(payload={"severity": "bad"}),
            [
                "'payload.summary' is missing or blank",
                "'payload.source' is missing or blank",
                "'payload.severity' is invalid "
                "(must be one of the following: 'critical', 'warning', 'error' or 'info')",
            ],
        ),
        ([], ["Event object must be a JSON object"]),
    ],
)
def test_the_pager_tells_what_is_wrong_with_an_event(all_fakes: Fakes, event: Any, errors: list[str]) -> None:
    answer = post(all_fakes, "/v2/enqueue", event)
    assert answer.status_code == 400
    assert (answer.json()["status"], answer.json()["errors"]) == ("invalid event", errors)
    assert all_fakes.record.since() == []


def test_the_pager_refuses_what_is_no_json_and_what_is_too_large(all_fakes: Fakes) -> None:
    assert post(all_fakes, "/v2/enqueue", data=b"{").json()["errors"] == ["JSON parse error"]
    large = trigger(routing_key=all_fakes.secrets.phone_keys["operators"], client="x" * 600_000)
    assert post(all_fakes, "/v2/enqueue", large).status_code == 413
    assert post(all_fakes, "/v2/enqueue", data=b"x" * 1_100_000).status_code == 413
    assert all_fakes.record.since() == []


def slack(receivers: Fakes, token: str) -> WebhookClient:
    return WebhookClient(f"{receivers.base}/services/{token}", ssl=ssl.create_default_context(cafile=receivers.ca))


def test_slack_takes_the_real_clients_messages(all_fakes: Fakes) -> None:
    client = slack(all_fakes, all_fakes.secrets.slack_tokens["operators"])
    answers = [
        client.send(text="[HIGH 高] Lag\nmore"),
        client.send_dict({"channel": "#alerts", "attachments": [{"title": "[RESOLVED 復旧] Lag", "text": "t"}]}),
    ]
    assert [(answer.status_code, answer.body) for answer in answers] == [(200, "ok")] * 2
    assert [(notification.audience, notification.title) for notification in all_fakes.record.since()] == [
        ("operators", "[HIGH 高] Lag"),
        ("operators", "[RESOLVED 復旧] Lag"),
    ]


def test_slack_tells_whom_the_webhook_belongs_to_whatever_channel_a_message_names(all_fakes: Fakes) -> None:
    tokens = all_fakes.secrets.slack_tokens
    assert len(set(tokens.values())) == len(tokens) > 1
    for token in tokens.values():
        answer = slack(all_fakes, token).send_dict({"channel": "#alerts", "username": "x", "text": "hello"})
        assert (answer.status_code, answer.body) == (200, "ok")
    assert [notification.audience for notification in all_fakes.record.since()] == list(tokens)


def test_slack_takes_a_form_as_well(all_fakes: Fakes) -> None:
    path = f"/services/{all_fakes.secrets.slack_tokens['operators']}"
    assert post(all_fakes, path, data={"payload": '{"text": "hello"}'}).text == "ok"
    assert all_fakes.record.since()[0].title == "hello"


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"no json", "invalid_payload"),
        (b"[]", "invalid_payload"),
        (b'{"attachments": ["x"]}', "invalid_payload"),
        (b'{"attachments": 1}', "invalid_payload"),
        (b'{"channel": "#alerts"}', "no_text"),
    ],
)
def test_slack_says_in_a_word_what_is_wrong(all_fakes: Fakes, content: bytes, word: str) -> None:
    answer = post(all_fakes, f"/services/{all_fakes.secrets.slack_tokens['operators']}", data=content)
    assert (answer.status_code, answer.text) == (400, word)
    assert all_fakes.record.since() == []


@pytest.mark.parametrize("token", ["T/B/other", "", "T"])
def test_slack_knows_its_webhooks_only(all_fakes: Fakes, token: str) -> None:
    answer = slack(all_fakes, token).send(text="x")
    assert (answer.status_code, answer.body) == (404, "no_service")
    assert all_fakes.record.since() == []


def test_heartbeats_need_the_right_address(all_fakes: Fakes) -> None:
    alert = {"status": "firing", "alerts": [{"labels": {"alertname": "Watchdog"}}]}
    assert post(all_fakes, "/heartbeat/other", alert).status_code == 404
    assert post(all_fakes, "/heartbeat", alert).status_code == 404
    assert all_fakes.record.since() == []
    assert post(all_fakes, f"/heartbeat/{all_fakes.secrets.heartbeat_token}", alert).status_code == 200
    assert requests.get(
        f"{all_fakes.base}/heartbeat/{all_fakes.secrets.heartbeat_token}", verify=all_fakes.ca, timeout=60
    ).ok
    assert [notification.channel for notification in all_fakes.record.since()] == ["heartbeat"] * 2
    assert all_fakes.record.since()[0].body == alert


def test_a_watchdog_that_is_over_is_no_heartbeat(all_fakes: Fakes) -> None:
    path = f"/heartbeat/{all_fakes.secrets.heartbeat_token}"
    assert post(all_fakes, path, {"status": "resolved"}).status_code == 200
    assert all_fakes.record.since() == []


def test_the_record_is_for_its_reader_only(all_fakes: Fakes) -> None:
    all_fakes.record.add("phone", "operators", "x", {})

    def read(password: str | None, since: str = "0") -> requests.Response:
        auth = (READER, password) if password is not None else None
        query = {"since": since}
        return requests.get(f"{all_fakes.base}/notifications", query, auth=auth, verify=all_fakes.ca, timeout=60)

    right = all_fakes.secrets.reader_password
    assert [read(secret).status_code for secret in (None, "", "wrong", right)] == [401, 401, 401, 200]
    assert [notification["title"] for notification in read(right).json()["notifications"]] == ["x"]
    assert read(right, "1").json()["notifications"] == []
    assert len(read(right, "1.5").json()["notifications"]) == 1
    assert read(right, "x").status_code == 400
    assert read(right).json()["switch"]["armed"] is False


def test_nobody_reads_a_record_without_a_reader(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    web = application(Record())
    server = HttpsServer("127.0.0.1", 0, tmp_path / "tls.crt", tmp_path / "tls.key", web)
    server.start()
    answer = requests.get(
        f"https://localhost:{server.server_port}/notifications",
        auth=("", ""),
        verify=str(tmp_path / "ca.crt"),
        timeout=60,
    )
    server.stop()
    assert answer.status_code == 401


def test_without_secrets_every_secret_is_taken_and_the_pagers_key_is_the_audience(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    record = Record()
    server = HttpsServer("127.0.0.1", 0, tmp_path / "tls.crt", tmp_path / "tls.key", application(record))
    server.start()
    base = f"https://localhost:{server.server_port}"
    for path, content in (
        ("/v2/enqueue", trigger()),
        ("/services/T/B/x", {"text": "hello"}),
        ("/heartbeat", {}),
        ("/heartbeat/x", {}),
    ):
        assert requests.post(base + path, json=content, verify=str(tmp_path / "ca.crt"), timeout=60).ok
    server.stop()
    assert [(notification.channel, notification.audience) for notification in record.since()] == [
        ("phone", "k" * 32),
        ("slack", "T/B/x"),
        ("heartbeat", "operators"),
        ("heartbeat", "operators"),
    ]


def test_other_paths_and_methods_are_refused_without_showing_a_secret(
    all_fakes: Fakes, capfd: pytest.CaptureFixture[str]
) -> None:
    assert post(all_fakes, "/elsewhere", {}).status_code == 404
    assert requests.get(f"{all_fakes.base}/v2/enqueue", verify=all_fakes.ca, timeout=60).status_code == 405
    assert requests.get(f"{all_fakes.base}/healthz", verify=all_fakes.ca, timeout=60).text == "ok\n"
    post(all_fakes, f"/services/{all_fakes.secrets.slack_tokens['operators']}x", {"text": "x"})
    post(all_fakes, f"/heartbeat/{all_fakes.secrets.heartbeat_token}x", {})
    told = capfd.readouterr().err
    assert "refused: /services: 404 no_service" in told
    assert not [secret for secret in all_fakes.secrets.all() if secret in told]
