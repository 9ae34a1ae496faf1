"""What readers make of notifications: whom they reached, which alerts they carry, whether those fire or are over."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from lab import LabError
from lab.fakes.receivers import record
from lab.fakes.receivers.client import Receivers, show_notifications
from lab.fakes.receivers.record import DEAD_MANS_SWITCH, HEARTBEAT, MAIL, PHONE, SLACK, SMS, Notification
from lab.fakes.receivers.settings import READER, addresses_of, topics_of
from lab.paths import LabPaths
from tests.unit.lab.receivers_fakes import TOPIC, Fakes

DISK = "KafkaDiskFull/instance=kafka-1/mountpoint=%2Fvar%2Flib"
OTHER = "KafkaDiskFull/instance=kafka-1/mountpoint=%2Fvar%2Flib2"
CONTACTS = {"operators": ["operators@example.org", TOPIC, "#alerts"], "team-leader": ["leader@example.org"]}


def notification(channel: str, title: str, body: Any, audience: str = "x") -> Notification:
    return Notification(number=1, channel=channel, audience=audience, title=title, body=body, received_at=0.0)


FIRING = (
    notification(
        PHONE,
        "[CRITICAL 緊急] KafkaDiskFull: disk is full",
        {"event_action": "trigger", "payload": {"custom_details": {"firing": f"- Disk\n  確認: ops ack {DISK}\n"}}},
    ),
    notification(
        SLACK,
        "[CRITICAL 緊急] KafkaDiskFull x2",
        {"attachments": [{"text": f"*Disk*\nAcknowledge: `ops ack {DISK}`\n<https://x/runbooks/Other.md|Runbook>"}]},
    ),
    notification(
        SMS, "[CRITICAL 緊急] KafkaDiskFull", {"message": f"[CRITICAL 緊急] KafkaDiskFull\nDisk\nops ack {DISK}"}
    ),
    notification(
        MAIL,
        "[CRITICAL 緊急] KafkaDiskFull: disk",
        {"text": "", "html": f"<code>ops ack {DISK}</code> <a href='https://x/a?b=c&amp;d=e'>x</a>"},
    ),
    notification(
        HEARTBEAT,
        "heartbeat",
        {"status": "firing", "alerts": [{"labels": {"alertname": "KafkaDiskFull", "alert_id": DISK}}]},
    ),
)


@pytest.mark.parametrize("told", FIRING, ids=lambda sample: sample.channel)
def test_every_channels_form_mentions_the_alert_and_gives_its_state(told: Notification) -> None:
    assert record.status(told) == "firing"
    assert record.mentions(told, DISK)
    assert record.mentions(told, "KafkaDiskFull")
    for other in (OTHER, DISK[:-1], "KafkaDisk", "DiskFull", "KafkaDiskFull/instance=kafka-1"):
        assert not record.mentions(told, other), other


@pytest.mark.parametrize(
    "told",
    [
        notification(PHONE, "[RESOLVED 復旧] KafkaDiskFull", {"event_action": "resolve"}),
        notification(SLACK, "[RESOLVED 復旧] KafkaDiskFull", {"attachments": []}),
        notification(SMS, "[RESOLVED 復旧] KafkaDiskFull", {"message": "x"}),
        notification(MAIL, "[RESOLVED] KafkaDiskFull -> team-leader", {"text": "x"}),
    ],
    ids=lambda sample: sample.channel,
)
def test_what_is_over_has_its_name(told: Notification) -> None:
    assert record.status(told) == "resolved"
    assert record.mentions(told, "KafkaDiskFull")


def test_an_escalated_alert_goes_by_its_originals_name() -> None:
    told = notification(
        PHONE, "x", {"payload": {"class": "KafkaDiskFullEscalated"}, "labels": {"alertname": "LagEscalated"}}
    )
    assert record.mentions(told, "KafkaDiskFull")
    assert record.mentions(told, "Lag")


def test_other_states_are_told_apart() -> None:
    assert record.status(notification(PHONE, "x", {"event_action": "acknowledge"})) == "acknowledged"
    assert record.status(notification(DEAD_MANS_SWITCH, "The monitoring itself is down", {"state": "silent"})) is None
    assert record.status(notification(HEARTBEAT, "heartbeat", None)) is None


def client(receivers: Fakes, password: str | None = None, base: str | None = None) -> Receivers:
    login = (READER, password or receivers.secrets.reader_password)
    return Receivers(base or receivers.base, login, Path(receivers.ca), CONTACTS)


def test_a_reader_finds_by_alert_channel_contact_and_state(all_fakes: Fakes) -> None:
    record, receivers = all_fakes.record, client(all_fakes)
    for sent in FIRING:
        record.add(sent.channel, TOPIC if sent.channel == SMS else "operators", sent.title, sent.body)
    resolved = record.add(MAIL, "leader@example.org", "[RESOLVED 復旧] KafkaDiskFull", {"text": ""})
    assert receivers.since() == record.since()
    assert receivers.newest() == 6
    assert receivers.since(5) == [resolved]
    assert receivers.since(resolved.received_at) == [resolved]
    assert len(receivers.find(alert_id=DISK)) == 5
    assert receivers.find(alert_id=OTHER) == []
    assert receivers.find(alert="KafkaDiskFull", status="resolved") == [resolved]
    assert [received.channel for received in receivers.find(channel=SLACK)] == [SLACK]
    assert [received.channel for received in receivers.find(contact="operators")] == [PHONE, SLACK, SMS]
    assert receivers.find(contact="team-leader") == [resolved]
    assert receivers.find(2, contact="operators", alert_id=DISK, status="firing")[0].channel == SMS
    with pytest.raises(TypeError, match="unexpected keyword argument 'chanel'"):
        receivers.find(chanel=SLACK)


def test_a_reader_waits_for_what_is_still_to_come(all_fakes: Fakes) -> None:
    receivers = client(all_fakes)

    def later() -> None:
        time.sleep(0.5)
        all_fakes.record.add(PHONE, "operators", FIRING[0].title, FIRING[0].body)
        all_fakes.record.add(SMS, TOPIC, FIRING[2].title, FIRING[2].body)

    thread = threading.Thread(target=later)
    thread.start()
    notifications = receivers.wait_for(timeout_s=60, count=2, alert_id=DISK)
    thread.join()
    assert [received.channel for received in notifications] == [PHONE, SMS]


def test_a_reader_does_not_wait_for_ever_and_says_what_came_instead(all_fakes: Fakes) -> None:
    all_fakes.record.add(PHONE, "operators", "[HIGH 高] Lag", {})
    with pytest.raises(LabError) as raised:
        client(all_fakes).wait_for(timeout_s=0.3, alert_id=DISK, channel=PHONE)
    assert str(raised.value) == (
        f"receivers: 0 of 1 notifications with alert_id {DISK}, channel phone within 0 s; "
        "the last ones: phone operators: [HIGH 高] Lag"
    )


def test_a_reader_sees_the_switch(all_fakes: Fakes) -> None:
    assert client(all_fakes).switch()["armed"] is False
    assert client(all_fakes).answers()


def test_a_reader_that_is_refused_or_not_answered_gets_one_line(all_fakes: Fakes, tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"do not answer \(HTTPError\): see `make status`"):
        client(all_fakes, password="wrong").since()
    nobody = client(all_fakes, base="https://localhost:1")
    with pytest.raises(LabError, match=r"do not answer \(ConnectionError\)"):
        nobody.since()
    assert not nobody.answers()


def test_contacts_and_topics_come_from_the_stack_file(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.x.yaml"
    file.write_text(
        "config:\n  observability:settings:\n    alerting:\n      contacts:\n"
        f"        operators: {{mail: o@example.org, phone: true, sms_topic: '{TOPIC}', slack: true}}\n"
        "        team-leader: {mail: l@example.org, phone: false, sms_topic: null, slack: false}\n"
    )
    assert addresses_of(file) == {
        "operators": {"mail": "o@example.org", "sms_topic": TOPIC},
        "team-leader": {"mail": "l@example.org"},
    }
    assert topics_of(file) == (TOPIC,)
    file.write_text("config:\n  observability:settings:\n    platform: x\n")
    assert (addresses_of(file), topics_of(file)) == ({}, ())


def test_people_see_notifications_open_incidents_and_the_switch(
    all_fakes: Fakes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Receivers, "of_lab", classmethod(lambda cls, paths=None: client(all_fakes)))
    key = all_fakes.secrets.phone_keys["operators"]
    payload = {"summary": "[CRITICAL 緊急] Lag: late", "source": "x", "severity": "critical"}
    for dedup_key in ("a", "a", "b"):
        event = {"routing_key": key, "event_action": "trigger", "dedup_key": dedup_key, "payload": payload}
        url = f"{all_fakes.base}/v2/enqueue"
        assert requests.post(url, json=event, verify=all_fakes.ca, timeout=60).status_code == 202
    show_notifications(LabPaths(instance="none"), last=5, alert=None, heartbeats=False)
    shown = capsys.readouterr().out
    assert shown.count("phone") == 2
    assert "pager: 2 incidents open, 1 triggers merged into open ones" in shown
    assert "dead man's switch: not armed yet" in shown
