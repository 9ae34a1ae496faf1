"""The reader of ``alerts-processed`` with a real broker: from a moment on, to the end, and without leaving a trace."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from services.reports.alert_log import KafkaAlertLog
from services.reports.model import ReportError
from services.reports.settings import KafkaAccess
from tests.support import kafka_broker
from tests.unit.services.reports.events import event

pytestmark = pytest.mark.timed

TOPIC = "alerts-processed"
NOW = time.time()
HOUR = 3600.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("alert-log")


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[dict[str, str]]:
    """Settings of the administrator, while a broker with the two topics runs."""
    (folder / "kafka").mkdir()
    with kafka_broker.running(folder / "kafka") as broker:
        (folder / "ca.pem").write_text(broker.ca)
        (folder / "password").write_text(broker.password + "\n")
        broker.create_topics((TOPIC, "empty"), 2)
        _fill(broker.client())
        yield broker.client()


def _fill(client: dict[str, str]) -> None:
    """Ten notifications, an hour apart, the last one now; and records that are none."""
    producer = Producer(client)
    for number in range(10):
        at = NOW - number * HOUR
        told = event("KafkaBrokerDown", at - 60, received=at, instance=f"kafka-{number}")
        producer.produce(TOPIC, key=told.key, value=told.value(), timestamp=int(at * 1000))
    for value in (b"no JSON", b'{"schema_version": 2}', None):
        producer.produce(TOPIC, key=b"x", value=value, timestamp=int(NOW * 1000))
    assert producer.flush(60) == 0


def access(folder: Path, client: dict[str, str], **changed: str) -> KafkaAccess:
    values = {"topic": TOPIC, "user": client["sasl.username"], "password": "password", **changed}
    return KafkaAccess(
        bootstrap=client["bootstrap.servers"],
        topic=values["topic"],
        ca_file=folder / "ca.pem",
        user=values["user"],
        group=values["user"],
        password_file=folder / values["password"],
    )


def test_everything_from_a_moment_on_is_read_in_order_and_what_is_no_record_is_counted(
    folder: Path, client: dict[str, str]
) -> None:
    log_read = KafkaAlertLog(access(folder, client)).since(NOW - 4.5 * HOUR)
    assert [processed.labels["instance"] for processed in log_read.events] == [
        f"kafka-{number}" for number in (4, 3, 2, 1, 0)
    ]
    assert log_read.unreadable == 3


def test_reading_twice_gives_the_same_and_leaves_no_group_behind(folder: Path, client: dict[str, str]) -> None:
    log = KafkaAlertLog(access(folder, client))
    first, second = log.since(NOW - 30 * 24 * HOUR), log.since(NOW - 30 * 24 * HOUR)
    assert len(first.events) == 10
    assert first == second
    admin = AdminClient(client)
    groups = admin.list_consumer_groups().result(60)
    assert [group.group_id for group in groups.valid] == []


def test_a_topic_without_records_or_a_moment_after_the_last_gives_nothing(folder: Path, client: dict[str, str]) -> None:
    assert KafkaAlertLog(access(folder, client, topic="empty")).since(NOW - HOUR).events == ()
    assert KafkaAlertLog(access(folder, client)).since(NOW + HOUR).events == ()


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
        KafkaAlertLog(access(folder, client, **changed)).since(NOW - HOUR)


def test_brokers_that_do_not_answer_are_waited_for_a_bounded_time(
    folder: Path, client: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.reports.alert_log._REQUEST_S", 2.0)
    (folder / "wrong").write_text("wrong")
    begin = time.monotonic()
    with pytest.raises(ReportError, match=f"topic {TOPIC} cannot be read: "):
        KafkaAlertLog(access(folder, client, password="wrong")).since(NOW - HOUR)
    assert time.monotonic() - begin < 20
