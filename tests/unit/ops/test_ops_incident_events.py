"""What Kafka keeps of an alert: from a real broker, with records as the service of alert events writes them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from confluent_kafka import Producer

from components.rules import Severity
from ops.core.errors import OpsError
from ops.core.kafka import KafkaAdmin, client_settings
from ops.core.platform import Platform, parse
from ops.incidents import alerts
from ops.incidents.alerts import Read, choose, expression, notifications, past_alert, transitions
from ops.incidents.record import TimeWindow
from services.alert_events import events
from services.alert_events.events import RawEvent
from tests.support import kafka_broker

NOW = datetime.now(UTC)
OWN = "RecordingFailures/site=tokyo"
OTHER = "RecordingFailures/site=osaka"
RULE = "sample > 5"


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def alert(
    identity: str, starts: datetime, ends: datetime, sender: str = "prometheus-primary", **labels: str
) -> dict[str, Any]:
    """As a Prometheus posts it."""
    named = {
        "alertname": identity.partition("/")[0],
        "alert_id": identity,
        "severity": "critical",
        "layer": "streaming",
    }
    return {
        "labels": {**named, **labels},
        "annotations": {"summary": f"{identity} in words"},
        "startsAt": starts.isoformat(),
        "endsAt": ends.isoformat(),
        "generatorURL": f"https://{sender}:9090/graph?g0.expr=sample+%3E+5&g0.tab=1",
    }


def raw(received: datetime, *alerts: dict[str, Any]) -> list[tuple[datetime, events.Record]]:
    return [(received, record) for record in events.raw(json.dumps(alerts).encode(), received, "10.0.0.1").records]


def told(
    received: datetime, receiver: str, *alerts: dict[str, Any], status: str = "firing"
) -> list[tuple[datetime, events.Record]]:
    content = {
        "version": "4",
        "status": status,
        "receiver": receiver,
        "groupKey": "{}:{}",
        "groupLabels": {},
        "externalURL": "https://alertmanager.example.org",
        "alerts": [{**labelled, "status": status, "fingerprint": "0123456789abcdef"} for labelled in alerts],
    }
    return [
        (received, record) for record in events.processed(json.dumps(content).encode(), received, "10.0.0.2").records
    ]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, made_up: dict[str, Any]) -> Iterator[Platform]:
    """A platform that is one broker, with the events of two hours."""
    with kafka_broker.running(tmp_path_factory.mktemp("broker")) as broker:
        test_platform = parse(
            {
                **made_up,
                "kafka_bootstrap": broker.bootstrap,
                "ca_certificate": broker.ca,
                "kafka_admin": {"username": broker.username, "password": broker.password},
            }
        )
        admin = KafkaAdmin(test_platform)
        with pytest.raises(OpsError, match="Kafka has no topic alerts-raw"):
            alerts.raw_events(admin, OWN, TimeWindow(start=ago(60), end=NOW), Read())
        broker.create_topics(["alerts-raw"], 4)
        broker.create_topics(["alerts-processed"], 2)
        write(test_platform)
        yield test_platform


def write(platform: Platform) -> None:
    records = []
    for sender, late in (("prometheus-primary", 0.0), ("prometheus-secondary", 0.2)):
        for minutes in range(30, 10, -1):
            fires = alert(OWN, ago(30), ago(minutes - 4), sender)
            other = alert(OTHER, ago(28), ago(minutes - 4), sender)
            records += [("alerts-raw", *record) for record in raw(ago(minutes - late), fires, other)]
        ended = alert(OWN, ago(30), ago(10), sender)
        records += [("alerts-raw", *record) for minutes in (9, 8) for record in raw(ago(minutes - late), ended)]
    twin = alert(OWN, ago(25), ago(10), alertname="RecordingFailuresEscalated", escalation="senior-manager")
    records += [("alerts-raw", *record) for record in raw(ago(25), twin)]
    earlier = alert(OWN, ago(115), ago(100))
    records += [("alerts-raw", *record) for record in raw(ago(112), {**earlier, "endsAt": ago(100).isoformat()})]
    records += [("alerts-raw", *record) for record in raw(ago(99), earlier)]
    both = [alert(OWN, ago(30), ago(10)), alert(OTHER, ago(28), ago(10))]
    records += [("alerts-processed", *record) for record in told(ago(29), "operators-critical", *both)]
    records += [("alerts-processed", *record) for record in told(ago(25), "senior-manager", twin)]
    records += [("alerts-processed", *record) for record in told(ago(24), "operators-critical", both[1])]
    records += [
        ("alerts-processed", *record) for record in told(ago(9), "operators-critical", *both, status="resolved")
    ]
    records += [
        (topic, NOW, events.Record(key=OWN.encode(), value=value))
        for topic in ("alerts-raw", "alerts-processed")
        for value in (b'{"schema_version": 2}', b"[", b"")
    ]
    producer = Producer(client_settings(platform, platform.kafka_admin))
    for topic, at, record in sorted(records, key=lambda record: record[1]):
        producer.produce(topic, record.value, record.key, timestamp=int(at.timestamp() * 1000))
    assert producer.flush(60) == 0


def window(begin: float = 60, end: float = 0) -> TimeWindow:
    return TimeWindow(start=ago(begin), end=ago(end))


def read_raw(platform: Platform, seen: TimeWindow, read: Read | None = None, identity: str = OWN) -> list[RawEvent]:
    return alerts.raw_events(KafkaAdmin(platform), identity, seen, read or Read())


def test_of_repeated_events_those_that_say_something_new_are_told(platform: Platform) -> None:
    read = Read()
    alert_transitions = transitions(read_raw(platform, window(), read), OWN, read)
    assert [
        (event.alert, event.replica, event.status) for event in sorted(alert_transitions, key=lambda event: event.at)
    ] == [
        ("RecordingFailures", "prometheus-primary", "firing"),
        ("RecordingFailures", "prometheus-secondary", "firing"),
        ("RecordingFailuresEscalated", "prometheus-primary", "firing"),
        ("RecordingFailures", "prometheus-primary", "resolved"),
        ("RecordingFailures", "prometheus-secondary", "resolved"),
    ]
    assert all(event.own for event in alert_transitions)
    # The escalated twin was never sent again, nor as ended.
    assert [event.alert for event in alert_transitions if event.expired] == ["RecordingFailuresEscalated"]


def test_a_prometheus_that_is_gone_is_known_by_what_it_did_not_send_again() -> None:
    def sent(minutes: float, sender: str, ends: float) -> RawEvent:
        return RawEvent.model_validate_json(raw(ago(minutes), alert(OWN, ago(30), ago(ends), sender))[0][1].value)

    seen = [sent(20, "a", 19), sent(20, "b", 19), sent(15, "a", 14), sent(15, "b", 14), sent(5, "a", 6)]
    dead = [event for event in transitions(seen, OWN, Read(latest=ago(5))) if event.expired]
    assert [(event.replica, event.expired) for event in dead] == [("b", seen[3].valid_until)]
    # Nobody was heard after that time: it may be the service that was away. And what was not read tells nothing.
    for read in (Read(latest=ago(14.5)), Read(latest=ago(5), whole=False)):
        assert not any(event.expired for event in transitions(seen[:4], OWN, read))
    assert choose(seen, OWN, ago(10), Read(latest=ago(5))).ends == seen[4].ends_at
    assert choose(seen[:4], OWN, ago(10), Read(latest=ago(5))).ends == seen[3].valid_until
    assert choose(seen[:4], OWN, ago(10), Read()).ends is None
    assert choose([*seen, sent(4, "b", 1)], OWN, ago(10), Read(latest=ago(4))).ends is None


def test_of_very_many_entries_the_first_and_the_last_are_taken() -> None:
    assert alerts.first_and_last([1, 2], "events") == ((1, 2), "")
    shown, remark = alerts.first_and_last(range(1001), "events")
    assert (shown[0], shown[-1], len(shown)) == (0, 1000, alerts.MOST_SHOWN)
    assert remark == "the first and the last 250 of 1001 events"


def test_events_before_and_after_the_window_are_left_out(platform: Platform) -> None:
    assert {event.received_at for event in read_raw(platform, window(20, 15))} == {
        event.received_at for event in read_raw(platform, window()) if ago(20) <= event.received_at <= ago(15)
    }
    assert len(read_raw(platform, window(20, 15))) > 5
    assert [event.status for event in read_raw(platform, window(120, 60))] == ["firing", "resolved"]


def test_events_of_another_alert_are_left_out(platform: Platform) -> None:
    assert {event.alert_id for event in read_raw(platform, window(), identity=OTHER)} == {OTHER}
    assert read_raw(platform, window(), identity="Nothing") == []


def test_reading_ends_after_so_many_records_and_says_so(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "MOST_RECORDS", 10)
    read = Read()
    assert len(read_raw(platform, window(), read)) <= 10
    assert not read.whole
    whole = Read()
    monkeypatch.setattr(alerts, "MOST_RECORDS", 1000)
    read_raw(platform, window(), whole)
    assert whole.whole
    assert whole.records > 80
    assert abs(whole.latest - NOW) < timedelta(seconds=1)


def test_a_broker_that_falls_silent_in_the_middle_is_not_taken_for_the_end(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = KafkaAdmin.read
    monkeypatch.setattr(KafkaAdmin, "read", lambda admin, *words: itertools.islice(complete(admin, *words), 40))
    read = Read()
    read_raw(platform, window(), read)
    assert not read.whole


def test_a_notification_is_one_notification_with_all_its_alerts(platform: Platform) -> None:
    seen = alerts.processed_events(KafkaAdmin(platform), OWN, window(), Read())
    notification_list = notifications(seen, OWN)
    assert [(notification.receiver, notification.status) for notification in notification_list] == [
        ("operators-critical", "firing"),
        ("senior-manager", "firing"),
        ("operators-critical", "resolved"),
    ]
    assert notification_list[1].alerts == ("RecordingFailuresEscalated",)
    assert all(notification.own for notification in notification_list)


def test_a_past_alert_is_found_by_the_time_at_which_it_fired(platform: Platform) -> None:
    alert_record = past_alert(KafkaAdmin(platform), OWN, ago(20), NOW)
    assert (alert_record.alert_id, alert_record.name, alert_record.severity, alert_record.layer) == (
        OWN,
        "RecordingFailures",
        Severity.CRITICAL,
        "streaming",
    )
    assert abs(alert_record.starts - ago(30)) < timedelta(seconds=1)
    assert alert_record.ends is not None
    assert abs(alert_record.ends - ago(10)) < timedelta(seconds=1)
    assert (alert_record.expression, alert_record.source) == (RULE, "alerts-raw")
    assert "escalation" not in alert_record.labels


def test_of_several_firings_the_nearest_is_meant(platform: Platform) -> None:
    admin = KafkaAdmin(platform)
    earlier = past_alert(admin, "RecordingFailures/site=tok", ago(105), NOW)
    assert abs(earlier.starts - ago(115)) < timedelta(seconds=1)
    near = past_alert(admin, OWN, ago(95), NOW)
    assert abs(near.starts - ago(115)) < timedelta(seconds=1)
    later = past_alert(admin, OWN, ago(35), NOW)
    assert abs(later.starts - ago(30)) < timedelta(seconds=1)


def test_an_alert_that_may_be_several_is_refused_with_their_names(platform: Platform) -> None:
    with pytest.raises(OpsError, match=f"'RecordingFailures' may mean 2 alerts: give one of {OTHER}, {OWN} as a whole"):
        past_alert(KafkaAdmin(platform), "RecordingFailures", ago(20), NOW)


def test_an_alert_that_did_not_fire_is_refused(platform: Platform) -> None:
    with pytest.raises(OpsError, match="no alert that is, is called or begins with 'Kafka' fired within an hour of"):
        past_alert(KafkaAdmin(platform), "Kafka", ago(20), NOW)


def raw_event(identity: str, starts: datetime, name: str = "") -> RawEvent:
    labels = {"alertname": name or identity.partition("/")[0]}
    [record] = [record for _, record in raw(ago(1), alert(identity, starts, NOW + timedelta(minutes=3), **labels))]
    return RawEvent.model_validate_json(record.value)


def test_a_whole_identity_means_more_than_a_name_and_a_name_more_than_a_beginning() -> None:
    seen = [raw_event("A", ago(9)), raw_event("A/x=1", ago(9)), raw_event("AB/x=1", ago(9))]
    assert choose(seen, "A/x=1", ago(5), Read()).alert_id == "A/x=1"
    assert choose(seen[1:], "A", ago(5), Read()).alert_id == "A/x=1"
    assert choose(seen[2:], "A", ago(5), Read()).alert_id == "AB/x=1"
    assert choose(seen, "A", ago(5), Read()).alert_id == "A"


def test_the_original_says_since_when_people_could_know() -> None:
    seen = [raw_event("A/x=1", ago(4), "AEscalated"), raw_event("A/x=1", ago(9))]
    alert_record = choose(seen, "AEscalated", ago(3), Read())
    assert (alert_record.name, alert_record.labels["alertname"]) == ("A", "A")
    assert abs(alert_record.starts - ago(9)) < timedelta(seconds=1)


@pytest.mark.parametrize(
    ("url", "expected"),
    [("https://p/graph?g0.expr=a+%3E+1&g0.tab=1", "a > 1"), ("", ""), ("https://p/graph", ""), ("http://[x", "")],
)
def test_the_rule_is_in_the_address_that_prometheus_sends(url: str, expected: str) -> None:
    assert expression(url) == expected
