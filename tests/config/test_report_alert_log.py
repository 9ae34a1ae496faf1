"""The reader of alerts in Kafka with a real broker: from a moment on, to the end, and without leaving a trace."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from services.reports import KafkaAccess, alert_topics
from services.reports.alert_topics import Firing, KafkaAlertLog
from services.reports.model import ReportError
from tests.support import kafka_broker
from tests.unit.services.reports.events import event, raised

pytestmark = pytest.mark.timed

TOPIC, RAW = "alerts-processed", "alerts-raw"
NOW = time.time()
HOUR = 3600.0
LATER = NOW + HOUR


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("alert-log")


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[dict[str, str]]:
    """Settings of the administrator, while a broker with the topics runs."""
    (folder / "kafka").mkdir()
    with kafka_broker.running(folder / "kafka") as broker:
        (folder / "ca.pem").write_text(broker.ca)
        (folder / "password").write_text(broker.password + "\n")
        broker.create_topics((TOPIC, RAW, "empty", "cut"), 2)
        _fill(broker.client())
        _cut(broker.client())
        yield broker.client()


def _fill(client: dict[str, str]) -> None:
    """Ten notifications, an hour apart, the last one now; and records that are none."""
    producer = Producer(client)
    for number in range(10):
        at = NOW - number * HOUR
        told = event("KafkaBrokerDown", at - 60, received=at, instance=f"kafka-{number}")
        producer.produce(TOPIC, key=told.key, value=told.value(), timestamp=int(at * 1000))
    for number in range(60):
        at = NOW - HOUR + number * 10
        one = raised("KafkaBrokerDown", NOW - HOUR, received=at, end=at if number > 30 else None, instance="kafka-1")
        producer.produce(RAW, key=one.key, value=one.value(), timestamp=int(at * 1000))
    for value in (b"no JSON", b'{"schema_version": 2}', None):
        producer.produce(TOPIC, key=b"x", value=value, timestamp=int(NOW * 1000))
    assert producer.flush(60) == 0


def _cut(client: dict[str, str]) -> None:
    """A topic whose older half was removed in the one partition that has records."""
    producer = Producer(client)
    for number in range(10):
        at = NOW - (10 - number) * HOUR
        one = event("KafkaBrokerDown", at, received=at, instance="kafka-1")
        producer.produce("cut", key=one.key, value=one.value(), timestamp=int(at * 1000), partition=0)
    assert producer.flush(60) == 0
    # Kept in a name: what is asked of a client ends with it.
    admin = AdminClient(client)
    [removed] = admin.delete_records([TopicPartition("cut", 0, 5)]).values()
    removed.result(60)


def access(folder: Path, client: dict[str, str], **changed: str) -> KafkaAccess:
    values = {"topic": TOPIC, "raw_topic": RAW, "user": client["sasl.username"], "password": "password", **changed}
    return KafkaAccess(
        bootstrap=client["bootstrap.servers"],
        topic=values["topic"],
        raw_topic=values["raw_topic"],
        ca_file=folder / "ca.pem",
        user=values["user"],
        group=values["user"],
        password_file=folder / values["password"],
    )


def test_everything_from_a_moment_on_is_read_in_order_and_what_is_no_record_is_counted(
    folder: Path, client: dict[str, str]
) -> None:
    log_read = KafkaAlertLog(access(folder, client)).since(NOW - 4.5 * HOUR, LATER)
    assert [notification.identity.partition("instance=")[2][:7] for notification in log_read.events] == [
        f"kafka-{number}" for number in (4, 3, 2, 1, 0)
    ]
    assert (log_read.unreadable, log_read.left_out, log_read.known_since) == (3, 0, None)
    earlier = KafkaAlertLog(access(folder, client)).since(NOW - 4.5 * HOUR, NOW - 2 * HOUR)
    assert [notification.received for notification in earlier.events] == [
        notification.received for notification in log_read.events[:3]
    ]


def test_when_an_alert_ended_is_read_from_what_was_raised(folder: Path, client: dict[str, str]) -> None:
    own = raised("KafkaBrokerDown", NOW - HOUR, received=NOW, instance="kafka-1")
    log = KafkaAlertLog(access(folder, client))
    (firing,) = log.firings({own.alert_id}, NOW - 2 * HOUR)[own.fingerprint]
    assert isinstance(firing, Firing)
    assert firing.started == pytest.approx(NOW - HOUR, abs=0.01)
    assert firing.ended == pytest.approx(NOW - HOUR + 590, abs=0.01)
    assert log.firings({"other"}, NOW - 2 * HOUR) == {}
    with pytest.raises(ReportError, match="topic nothing cannot be read"):
        KafkaAlertLog(access(folder, client, raw_topic="nothing")).firings({"other"}, NOW - HOUR)


def test_a_topic_that_no_longer_reaches_back_says_from_when_on_it_is_whole(
    folder: Path, client: dict[str, str]
) -> None:
    log = KafkaAlertLog(access(folder, client, topic="cut"))
    assert log.since(NOW - 9.5 * HOUR, LATER).known_since == pytest.approx(NOW - 5 * HOUR, abs=0.01)
    assert log.since(NOW - 4.5 * HOUR, LATER).known_since is None


def test_a_report_holds_a_bounded_number_of_notifications_and_counts_the_others(
    folder: Path, client: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_topics, "MOST_NOTIFICATIONS", 4)
    log_read = KafkaAlertLog(access(folder, client)).since(NOW - 30 * 24 * HOUR, LATER)
    assert (len(log_read.events), log_read.left_out) == (4, 6)


def test_reading_twice_gives_the_same_and_leaves_no_group_behind(folder: Path, client: dict[str, str]) -> None:
    log = KafkaAlertLog(access(folder, client))
    first, second = log.since(NOW - 30 * 24 * HOUR, LATER), log.since(NOW - 30 * 24 * HOUR, LATER)
    assert len(first.events) == 10
    assert first == second
    admin = AdminClient(client)
    groups = admin.list_consumer_groups().result(60)
    assert [group.group_id for group in groups.valid] == []


def test_a_topic_without_records_or_a_moment_after_the_last_gives_nothing(folder: Path, client: dict[str, str]) -> None:
    assert KafkaAlertLog(access(folder, client, topic="empty")).since(NOW - HOUR, LATER).events == ()
    assert KafkaAlertLog(access(folder, client)).since(NOW + HOUR, LATER).events == ()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"topic": "nothing"}, "topic nothing cannot be read: Broker: Unknown topic or partition"),
        ({"password": "missing"}, "missing: cannot be read: No such file"),
    ],
)
def test_what_cannot_be_read_is_one_line(
    folder: Path, client: dict[str, str], changed: dict[str, str], told: str
) -> None:
    with pytest.raises(ReportError, match=told):
        KafkaAlertLog(access(folder, client, **changed)).since(NOW - HOUR, LATER)


def test_brokers_that_do_not_answer_are_waited_for_a_bounded_time(
    folder: Path, client: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.reports.alert_topics._REQUEST_S", 2.0)
    (folder / "wrong").write_text("wrong")
    begin = time.monotonic()
    with pytest.raises(ReportError, match=f"topic {TOPIC} cannot be read: "):
        KafkaAlertLog(access(folder, client, password="wrong")).since(NOW - HOUR, LATER)
    assert time.monotonic() - begin < 20
