"""``ops alert-events``: against a real broker, with records as the service of alert events writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from confluent_kafka import Producer
from typer.testing import CliRunner

from ops import __main__ as cli
from ops.alerts import events as alert_events_command
from ops.alerts.events import TOPICS, Stage, about, read, runs
from ops.core import kafka as ops_kafka
from ops.core.errors import OpsError
from ops.core.kafka import client_settings
from ops.core.platform import Platform, parse
from services.alert_events import events as posts
from tests.support import kafka_broker
from tests.support.kafka_broker import Broker

NOW = datetime.now(UTC)


def prometheus_alert(name: str, instance: str, sender: str, **labels: str) -> dict[str, Any]:
    """As a Prometheus posts it."""
    return {
        "labels": {"alertname": name, "instance": instance, "severity": "critical", **labels},
        "annotations": {"summary": f"{name} in words"},
        "startsAt": (NOW - timedelta(minutes=5)).isoformat(),
        "endsAt": (NOW + timedelta(minutes=4)).isoformat(),
        "generatorURL": f"https://{sender}:9090/graph?g0.expr=up",
    }


def notification(receiver: str, *alerts: dict[str, Any]) -> dict[str, Any]:
    """As Alertmanager's webhook posts it."""
    return {
        "version": "4",
        "status": "firing",
        "receiver": receiver,
        "groupKey": "{}:{}",
        "groupLabels": {},
        "externalURL": "https://alertmanager.example.org",
        "alerts": [{**alert, "status": "firing", "fingerprint": "0123456789abcdef"} for alert in alerts],
    }


def identified(name: str, instance: str, sender: str = "prometheus-primary", **labels: str) -> dict[str, Any]:
    return prometheus_alert(
        name, instance, sender, alert_id=f"{name.removesuffix('Escalated')}/instance={instance}", **labels
    )


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with kafka_broker.running(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@pytest.fixture(scope="module")
def empty(broker: Broker, made_up: dict[str, Any]) -> Platform:
    """A platform that is one broker, without topics."""
    return parse(
        {
            **made_up,
            "kafka_bootstrap": broker.bootstrap,
            "ca_certificate": broker.ca,
            "kafka_admin": {"username": broker.username, "password": broker.password},
        }
    )


@pytest.fixture(scope="module")
def platform(broker: Broker, empty: Platform) -> Platform:
    """The same with both topics and events in them."""
    with pytest.raises(OpsError, match="topic alerts-raw does not exist: deploy a version"):
        read(empty, Stage.RAW, NOW)
    broker.create_topics([TOPICS[Stage.RAW]], 4)
    broker.create_topics([TOPICS[Stage.PROCESSED]], 2)
    raw = TOPICS[Stage.RAW]
    old = posts.raw(_body([identified("KafkaOldNews", "kafka-0")]), NOW - timedelta(hours=3), "10.0.0.1")
    _write(empty, raw, old.records, NOW - timedelta(hours=3))
    for sender in ("prometheus-primary", "prometheus-secondary"):
        for _ in range(3):
            several = [identified("KafkaBrokerDown", f"kafka-{number}", sender) for number in range(5)]
            _write(empty, raw, posts.raw(_body(several), datetime.now(UTC), "10.0.0.1").records)
    escalated = identified("KafkaBrokerDownEscalated", "kafka-1", escalation="senior-manager")
    _write(empty, raw, posts.raw(_body([escalated]), datetime.now(UTC), "10.0.0.1").records)
    _write(empty, raw, [posts.Record(key=b"x", value=b'{"schema_version": 2}'), posts.Record(key=b"x", value=b"[")])
    for receiver, alert in (("critical", identified("KafkaBrokerDown", "kafka-1")), ("senior-manager", escalated)):
        body = json.dumps(notification(receiver, alert)).encode()
        _write(empty, TOPICS[Stage.PROCESSED], posts.processed(body, datetime.now(UTC), "10.0.0.2").records)
    return empty


def _body(alerts: list[dict[str, Any]]) -> bytes:
    return json.dumps(alerts).encode()


def _write(platform: Platform, topic: str, records: Any, at: datetime | None = None) -> None:
    producer = Producer(client_settings(platform, platform.kafka_admin))
    for record in records:
        stamp = {"timestamp": int(at.timestamp() * 1000)} if at else {}
        producer.produce(topic, record.value, record.key, **stamp)
    assert producer.flush(60) == 0


def run(monkeypatch: pytest.MonkeyPatch, platform: Platform, *words: str) -> Any:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(alert_events_command.platform_module, "load", lambda: platform)
    return CliRunner().invoke(cli.app, ["alert-events", *words])


def test_events_come_in_order_from_all_partitions_and_old_ones_are_left_out(platform: Platform) -> None:
    history = read(platform, Stage.RAW, NOW - timedelta(hours=1))
    assert len(history.events) == 2 * 3 * 5 + 1
    times = [event.received_at for event in history.events]
    assert times == sorted(times)
    assert {event.labels["alertname"] for event in history.events} == {"KafkaBrokerDown", "KafkaBrokerDownEscalated"}
    assert (history.unreadable, history.silent) == (2, ())


def test_a_longer_look_back_finds_the_old_ones_too(platform: Platform) -> None:
    history = read(platform, Stage.RAW, NOW - timedelta(hours=4))
    assert "KafkaOldNews" in {event.labels["alertname"] for event in history.events}


def test_nothing_is_read_when_everything_is_older(platform: Platform) -> None:
    assert read(platform, Stage.RAW, datetime.now(UTC) + timedelta(hours=1)).events == ()


def test_repetitions_are_one_run_with_their_number_and_senders(platform: Platform) -> None:
    events = about(read(platform, Stage.RAW, NOW - timedelta(hours=1)).events, "KafkaBrokerDown/instance=kafka-2")
    [only] = runs(events)
    assert (only.count, only.senders) == (6, ("prometheus-primary", "prometheus-secondary"))
    assert only.first.received_at < only.last


def test_an_alert_is_named_with_its_escalation(platform: Platform) -> None:
    events = read(platform, Stage.RAW, NOW - timedelta(hours=1)).events
    assert len(about(events, "KafkaBrokerDown")) == 31
    assert len(about(events, "KafkaBrokerDown/instance=kafka-1")) == 7
    assert about(events, "KafkaBrokerUp") == []


def test_the_table_of_notifications_shows_who_was_told(monkeypatch: pytest.MonkeyPatch, platform: Platform) -> None:
    done = run(monkeypatch, platform)
    assert done.exit_code == 0, done.output
    lines = [line for line in done.stdout.splitlines() if "KafkaBrokerDown/instance=kafka-1" in line]
    assert ["senior-manager" in line for line in lines] == [False, True], done.stdout
    assert "critical" in lines[0]
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_the_table_of_raised_alerts_has_a_row_per_alert_and_says_what_it_cannot_read(
    monkeypatch: pytest.MonkeyPatch, platform: Platform
) -> None:
    done = run(monkeypatch, platform, "--topic", "raw", "--since", "1h")
    assert done.exit_code == 0, done.output
    assert done.stdout.count("KafkaBrokerDown/instance=kafka-3") == 1
    assert "escalated to senior-manager" in done.stdout
    assert "2 records are not alert events of a known version" in done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_json_has_the_events_as_they_are_in_kafka(monkeypatch: pytest.MonkeyPatch, platform: Platform) -> None:
    done = run(monkeypatch, platform, "--topic", "raw", "--alert", "KafkaBrokerDown", "--limit", "3", "--json")
    content = json.loads(done.stdout)
    assert [event["alert_id"].partition("/")[0] for event in content["events"]] == ["KafkaBrokerDown"] * 3
    assert {"schema_version", "received_at", "startsAt", "labels", "valid_until"} <= set(content["events"][0])
    assert content["unreadable"] == 2


def test_nothing_found_is_exit_code_1(monkeypatch: pytest.MonkeyPatch, platform: Platform) -> None:
    done = run(monkeypatch, platform, "--alert", "Nothing")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "no matching event in the last 1h" in done.stderr


def test_a_partition_that_does_not_answer_is_told_and_is_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, platform: Platform
) -> None:
    monkeypatch.setattr(ops_kafka, "FIRST_SECONDS", 0.0)
    history = read(platform, Stage.RAW, NOW - timedelta(hours=1), 0.0)
    assert history.silent
    monkeypatch.setattr(alert_events_command, "read", lambda *_: history)
    done = run(monkeypatch, platform)
    assert done.exit_code == 1
    assert "did not answer in full: the list may be incomplete" in done.stderr


def test_a_mistake_is_found_before_the_platform_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def never() -> None:
        raise AssertionError("the platform was asked")

    monkeypatch.setattr(alert_events_command.platform_module, "load", never)
    done = CliRunner().invoke(cli.app, ["alert-events", "--since", "fortnight"])
    assert isinstance(done.exception, OpsError)
