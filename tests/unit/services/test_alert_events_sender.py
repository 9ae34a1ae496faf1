"""The producer of alert events: nothing counts as written that was not acknowledged, and posts keep their order."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from confluent_kafka import KafkaError

from services.alert_events import AlertEventsSettings
from services.runtime import kafka_sender as sender
from services.runtime.kafka_sender import BrokersError, BusyError, Record, Sender
from tests.unit.services.alert_events_fakes import Producer, content, kafka_exception

TOPIC = "alerts-raw"


def records(*names: str) -> list[Record]:
    return [Record(key=name.encode(), value=f'"{name}"'.encode()) for name in names]


def new_sender(folder: Path, producer: Producer) -> Sender:
    return Sender(AlertEventsSettings.parse(content(folder)), "alert-events", producer)


def test_it_returns_when_everything_is_acknowledged(tmp_path: Path) -> None:
    producer = Producer()
    new_sender(tmp_path, producer).send(TOPIC, records("a", "b", "a"))
    assert [(topic, key) for topic, key, _ in producer.records] == [(TOPIC, "a"), (TOPIC, "b"), (TOPIC, "a")]
    assert producer.waiting == []


def test_the_producer_is_one_that_loses_and_reorders_nothing(tmp_path: Path) -> None:
    producer = Producer()
    new_sender(tmp_path, producer).send(TOPIC, records("a"))
    [settings] = producer.produced
    assert settings["acks"] == "all"
    assert settings["enable.idempotence"] is True
    assert settings["compression.type"] == "snappy"
    assert settings["partitioner"] == "murmur2_random"
    assert settings["security.protocol"] == "sasl_ssl"
    assert settings["sasl.mechanism"] == "SCRAM-SHA-512"
    assert settings["sasl.username"] != settings["client.id"] == "alert-events", "the name of a login changes"
    assert settings["sasl.password"] == "sesame-for-kafka"
    assert settings["ssl.ca.pem"] == "authority"


def test_senders_hear_of_it_before_they_give_up() -> None:
    assert sender.DELIVERY_S < sender.ANSWER_S - sender.TURN_S, "librdkafka's answer must come within the flush"
    assert sender.ANSWER_S < 10, "Prometheus and Alertmanager wait 10 s"


def test_one_record_that_is_not_acknowledged_is_told(tmp_path: Path) -> None:
    producer = Producer(answers=[None, KafkaError(KafkaError._MSG_TIMED_OUT), None])
    with pytest.raises(BrokersError, match=r"alerts-raw: 2 of 3 acknowledged: Local: Message timed out"):
        new_sender(tmp_path, producer).send(TOPIC, records("a", "b", "c"))


def test_a_record_without_any_answer_is_told(tmp_path: Path) -> None:
    with pytest.raises(BrokersError, match="0 of 1 acknowledged: no answer in time"):
        new_sender(tmp_path, Producer(silent=True)).send(TOPIC, records("a"))


def test_an_answer_that_comes_after_its_post_does_not_count_for_the_next(tmp_path: Path) -> None:
    producer = Producer(silent=True)
    target = new_sender(tmp_path, producer)
    with pytest.raises(BrokersError):
        target.send(TOPIC, records("late"))
    producer.silent = False
    producer.answers = [KafkaError(KafkaError._MSG_TIMED_OUT)]
    with pytest.raises(BrokersError, match="0 of 1"):
        target.send(TOPIC, records("a"))


def test_what_the_client_heard_from_the_brokers_is_told_too(tmp_path: Path) -> None:
    producer = Producer(answers=[KafkaError(KafkaError._MSG_TIMED_OUT)])
    producer.during_flush = lambda: producer.produced[0]["error_cb"](KafkaError(KafkaError._AUTHENTICATION))
    with pytest.raises(BrokersError, match=r"Message timed out \(Local: Authentication failure\)"):
        new_sender(tmp_path, producer).send(TOPIC, records("a"))


@pytest.mark.parametrize("error", [BufferError("full"), kafka_exception(KafkaError._MSG_TIMED_OUT)])
def test_a_client_that_takes_no_record_is_told(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(BrokersError):
        new_sender(tmp_path, Producer(refuses=error)).send(TOPIC, records("a"))


@pytest.mark.parametrize(
    "error", [KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, "gap", fatal=True), KafkaError(KafkaError._FATAL)]
)
def test_a_producer_that_can_never_write_again_is_replaced(tmp_path: Path, error: KafkaError) -> None:
    producer = Producer(answers=[error])
    target = new_sender(tmp_path, producer)
    with pytest.raises(BrokersError):
        target.send(TOPIC, records("a"))
    target.send(TOPIC, records("a"))
    assert len(producer.produced) == 2


def test_any_other_error_keeps_the_producer_and_with_it_the_order(tmp_path: Path) -> None:
    producer = Producer(answers=[KafkaError(KafkaError.NOT_ENOUGH_REPLICAS)])
    target = new_sender(tmp_path, producer)
    with pytest.raises(BrokersError):
        target.send(TOPIC, records("a"))
    target.send(TOPIC, records("a"))
    assert len(producer.produced) == 1


def test_a_renewed_authority_makes_a_new_producer_and_the_password_is_that_of_the_start(tmp_path: Path) -> None:
    producer = Producer()
    target = new_sender(tmp_path, producer)
    target.send(TOPIC, records("a"))
    (tmp_path / "kafka").write_text("of another user")
    target.send(TOPIC, records("a"))
    assert len(producer.produced) == 1
    (tmp_path / "ca.crt").write_text("renewed")
    target.send(TOPIC, records("a"))
    assert [(seen["ssl.ca.pem"], seen["sasl.password"]) for seen in producer.produced] == [
        ("authority", "sesame-for-kafka"),
        ("renewed", "sesame-for-kafka"),
    ]


def test_a_missing_file_or_a_client_that_cannot_be_made_is_told_without_a_password(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    settings = AlertEventsSettings.parse(content(tmp_path / "other"))
    with pytest.raises(BrokersError, match="no producer can be made") as caught:
        Sender(settings, "alert-events").send(TOPIC, records("a"))
    assert "sesame" not in str(caught.value)
    (tmp_path / "other" / "kafka").unlink()
    with pytest.raises(BrokersError, match="kafka cannot be read: No such file"):
        Sender(settings, "alert-events", Producer()).send(TOPIC, records("a"))


def test_posts_are_written_one_after_the_other_and_a_long_wait_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    producer, entered, go = Producer(), threading.Event(), threading.Event()

    def hold() -> None:
        entered.set()
        assert go.wait(60)

    producer.during_flush = hold
    target = new_sender(tmp_path, producer)
    first = threading.Thread(target=target.send, args=(TOPIC, records("first")))
    first.start()
    assert entered.wait(60)
    monkeypatch.setattr(sender, "TURN_S", 0.05)
    with pytest.raises(BusyError):
        target.send(TOPIC, records("second"))
    assert [key for _, key, _ in producer.records] == ["first"]
    monkeypatch.setattr(sender, "TURN_S", 10)
    third = threading.Thread(target=target.send, args=(TOPIC, records("third")))
    third.start()
    go.set()
    for thread in (first, third):
        thread.join(60)
    assert [key for _, key, _ in producer.records] == ["first", "third"]


def test_it_is_alive_unless_a_post_is_stuck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    producer = Producer()
    target = new_sender(tmp_path, producer)
    producer.during_flush = lambda: seen.append(target.alive())
    target.send(TOPIC, records("a"))
    monkeypatch.setattr(sender, "_STUCK_S", 0.0)
    target.send(TOPIC, records("a"))
    assert seen == [True, False]
    assert target.alive()


def test_it_reaches_the_brokers_when_they_know_both_topics(tmp_path: Path) -> None:
    producer = Producer()
    target = new_sender(tmp_path, producer)
    target.reach()
    producer.unknown = {"alerts-processed"}
    with pytest.raises(BrokersError, match="alerts-processed: "):
        target.reach()
    producer.refuses = kafka_exception(KafkaError._TRANSPORT)
    with pytest.raises(BrokersError, match="transport failure"):
        target.reach()


def test_closing_waits_for_what_is_under_way(tmp_path: Path) -> None:
    producer = Producer(silent=True)
    target = new_sender(tmp_path, producer)
    target.close()
    with pytest.raises(BrokersError):
        target.send(TOPIC, records("a"))
    producer.silent = False
    target.close()
    assert producer.waiting == []
