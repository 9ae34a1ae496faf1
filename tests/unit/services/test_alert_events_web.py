"""The two endpoints: who may post where, what each answer means, what is counted and told."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError

from components.alertmanager.receivers import MOST_EVENTS
from services.alert_events import __main__ as program
from services.alert_events import events
from services.runtime import serving
from services.runtime.kafka_sender import BusyError
from tests.unit.services.alert_events_fakes import (
    PASSWORDS,
    PROCESSED,
    RAW,
    Producer,
    Service,
    alert,
    notification,
)


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path)


def refused(service: Service, endpoint: str, reason: str) -> float:
    return service.count("alert_events_refused_total", endpoint=endpoint, reason=reason)


def test_alerts_of_prometheus_go_to_the_raw_topic(service: Service) -> None:
    assert service.post(RAW, [alert(), alert(instance="kafka-2")]) == (200, "written")
    assert [(topic, key) for topic, key, _ in service.producer.records] == [
        ("alerts-raw", "KafkaBrokerDown/instance=kafka-1")
    ] * 2
    assert service.count("alert_events_written_total", endpoint="raw") == 2
    assert service.count("alert_events_last_write_timestamp_seconds", endpoint="raw") > 0
    assert service.count("alert_events_post_seconds_count", endpoint="raw") == 1
    assert service.count("alert_events_written_total", endpoint="processed") == 0
    assert service.told == []


def test_notifications_of_alertmanager_go_to_the_processed_topic(service: Service) -> None:
    assert service.post(PROCESSED, notification(alert(), alert("Other", alert_id="Other")))[0] == 200
    assert [(topic, key) for topic, key, _ in service.producer.records] == [
        ("alerts-processed", "KafkaBrokerDown/instance=kafka-1"),
        ("alerts-processed", "Other"),
    ]
    assert service.producer.records[0][2]["sender"] == "10.88.0.7"


def test_a_post_without_alerts_is_fine(service: Service) -> None:
    assert service.post(RAW, [])[0] == 200


@pytest.mark.parametrize("path", [RAW, PROCESSED])
@pytest.mark.parametrize("user", ["", "kafka", "prometheus", "alertmanager", "metrics"])
def test_each_endpoint_lets_its_own_sender_in_and_nobody_else(service: Service, path: str, user: str) -> None:
    own = {RAW: "prometheus", PROCESSED: "alertmanager"}[path]
    body = [alert()] if path == RAW else notification()
    status, text = service.post(path, body, login=f"{user}:{PASSWORDS.get(user, '')}")
    assert status == (200 if user == own else 401)
    assert len(service.producer.records) == (1 if user == own else 0)
    assert (text == "user and password, please") == (user != own)


def test_a_wrong_password_is_counted_and_told_without_it(service: Service) -> None:
    for _ in range(3):
        assert service.post(RAW, [alert()], login="prometheus:himitsu")[0] == 401
    assert refused(service, "raw", "login") == 3
    assert service.told == ["raw: a post of 10.88.0.7 was refused (login): user and password, please"]
    assert service.post(RAW, [alert()])[0] == 200
    assert service.told[1:] == ["raw: posts of 10.88.0.7 are written again"]


def test_a_renewed_password_counts_at_once(service: Service) -> None:
    (service.folder / "prometheus").write_text("new\n")
    assert service.post(RAW, [alert()])[0] == 401
    assert service.post(RAW, [alert()], login="prometheus:new")[0] == 200
    (service.folder / "prometheus").write_text("")
    assert service.post(RAW, [alert()], login="prometheus:")[0] == 401, "an empty password is none"
    (service.folder / "prometheus").unlink()
    assert service.post(RAW, [alert()])[0] == 503


def test_other_paths_are_not_its_business(service: Service) -> None:
    assert service.post("/metrics", b"") == (418, "rest")
    assert service.post("/raw/api/v1/alerts", [alert()], login="prometheus:x")[0] == 418


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_only_posts_are_taken(service: Service, method: str) -> None:
    assert service.post(RAW, [alert()], REQUEST_METHOD=method)[0] == 405


@pytest.mark.parametrize(
    ("path", "body"), [(RAW, b"{"), (RAW, b"{}"), (PROCESSED, b"[]"), (PROCESSED, b'{"version":"3"}')]
)
def test_what_is_neither_is_refused_for_good(service: Service, path: str, body: bytes) -> None:
    endpoint = "raw" if path == RAW else "processed"
    assert service.post(path, body)[0] == 400
    assert refused(service, endpoint, "content") == 1
    assert service.producer.records == []


def test_good_alerts_are_written_though_others_are_none(service: Service) -> None:
    answer = service.post(RAW, [alert(), {"labels": {"secret": 5}}, alert(), "x"])
    assert answer == (200, "2 were left out, the others are written: alert 1: labels: string_type")
    assert service.count("alert_events_written_total", endpoint="raw") == 2
    assert refused(service, "raw", "content") == 1
    assert service.told == [f"raw: a post of 10.88.0.7 was refused (content): {answer[1]}"]


def test_one_bad_alert_does_not_make_alertmanager_repeat_its_group(service: Service) -> None:
    large = {**alert("Large"), "annotations": {"summary": "x" * events.MOST_RECORD_BYTES}}
    status, text = service.post(PROCESSED, notification(alert(), large))
    assert status == 200
    assert (
        text == f"1 were left out, the others are written: alert 1: it is larger than {events.MOST_RECORD_BYTES} bytes"
    )
    assert service.count("alert_events_written_total", endpoint="processed") == 1
    assert refused(service, "processed", "content") == 1
    assert service.post(PROCESSED, notification(large))[0] == 200
    assert refused(service, "processed", "content") == 2


def test_brokers_that_do_not_acknowledge_make_the_sender_come_again(tmp_path: Path) -> None:
    lost = KafkaError(KafkaError._MSG_TIMED_OUT)
    service = Service(tmp_path, Producer(answers=[None, lost, lost]))
    assert service.post(RAW, [alert(), alert()])[0] == 503
    assert service.post(PROCESSED, notification())[0] == 503
    assert service.count("alert_events_written_total", endpoint="raw") == 0
    assert service.count("alert_events_last_write_timestamp_seconds", endpoint="raw") == 0
    assert [refused(service, endpoint, "brokers") for endpoint in ("raw", "processed")] == [1, 1]
    assert service.post(RAW, [alert(), alert()])[0] == 200
    assert service.count("alert_events_written_total", endpoint="raw") == 2
    assert [line.partition(": ")[0] for line in service.told] == ["raw", "processed", "raw"]
    assert "1 of 2 acknowledged: Local: Message timed out" in service.told[0]


def test_while_the_brokers_are_away_a_sender_is_told_of_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(tmp_path, Producer(answers=[KafkaError(KafkaError._MSG_TIMED_OUT)] * 2))

    def busy(topic: str, records: object) -> None:
        raise BusyError("other posts are still being written")

    assert service.post(RAW, [alert()])[0] == 503
    with monkeypatch.context() as patch:
        patch.setattr(service.sender, "send", busy)
        assert service.post(RAW, [alert()])[0] == 503
    assert service.post(RAW, [alert()])[0] == 503
    assert [refused(service, "raw", reason) for reason in ("brokers", "busy")] == [2, 1]
    assert len(service.told) == 1
    assert service.post(RAW, [alert()])[0] == 200
    assert len(service.told) == 2


def test_a_bad_alert_does_not_hide_that_a_good_one_was_not_acknowledged(tmp_path: Path) -> None:
    service = Service(tmp_path, Producer(answers=[KafkaError(KafkaError._MSG_TIMED_OUT)]))
    assert service.post(RAW, [alert(), "x"])[0] == 503


def test_no_part_of_an_alert_and_no_login_is_told(service: Service) -> None:
    secret = {"labels": {"alertname": "A", "himitsu": 1}, "startsAt": "himitsu"}
    for path, body in ((RAW, [secret]), (RAW, b"himitsu"), (PROCESSED, notification(status="himitsu"))):
        _, text = service.post(path, body)
        assert "himitsu" not in text
    service.post(RAW, [], login="himitsu:himitsu")
    assert len(service.told) == 3
    assert "himitsu" not in "".join(service.told)


@pytest.mark.parametrize("length", ["", "-1", "1e3", "²", "x", "9" * 5000])
def test_a_post_must_say_how_long_it_is(service: Service, length: str) -> None:
    assert service.post(RAW, [alert()], CONTENT_LENGTH=length)[0] == 411


def test_a_post_that_is_too_large_is_refused_before_it_is_read(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "MOST_BODY_BYTES", 1000)
    stream = io.BytesIO(b"x" * 5000)
    assert service.post(RAW, b"x" * 1001, **{"wsgi.input": stream, "CONTENT_LENGTH": "5000"})[0] == 413
    assert refused(service, "raw", "size") == 1
    assert stream.tell() == 4000, "a part is read, so that the sender hears the answer"


def test_nothing_is_read_of_a_post_without_a_login_but_a_bounded_rest(service: Service) -> None:
    stream = io.BytesIO(b"x" * 3_000_000)
    environ: dict[str, Any] = {"wsgi.input": stream, "CONTENT_LENGTH": "3000000"}
    assert service.post(RAW, b"", login="x:y", **environ)[0] == 401
    assert stream.tell() == 1024 * 1024


def test_a_sender_whose_post_ends_early_is_to_come_again(service: Service) -> None:
    assert service.post(RAW, b"[]", CONTENT_LENGTH="3")[0] == 503

    class Broken(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            raise TimeoutError

    assert service.post(RAW, b"[]", **{"wsgi.input": Broken()})[0] == 503
    assert refused(service, "raw", "cut") == 2


def test_the_bytes_that_are_held_at_once_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "MOST_BYTES_AT_ONCE", 600)
    monkeypatch.setattr(serving, "_ROOM_S", 0.05)
    service = Service(tmp_path)
    entered, go, answers = threading.Event(), threading.Event(), list[int]()

    def hold() -> None:
        entered.set()
        assert go.wait(60)

    service.producer.during_flush = hold
    first = threading.Thread(target=lambda: answers.append(service.post(RAW, [alert()])[0]))
    first.start()
    assert entered.wait(60)
    assert service.post(RAW, [alert()])[0] == 503
    assert refused(service, "raw", "busy") == 1
    go.set()
    first.join(60)
    assert answers == [200]
    assert service.post(RAW, [alert()])[0] == 200


def test_news_of_senders_without_number_are_forgotten(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "_MOST_LOGGED", 5)
    for number in range(12):
        service.post(RAW, [], login="x:y", REMOTE_ADDR=f"10.0.0.{number}")
    assert len(service.told) == 12
    service.post(RAW, [], login="x:y", REMOTE_ADDR="10.0.0.11")
    assert len(service.told) == 12


def test_a_post_of_the_largest_size_has_room() -> None:
    assert program.MOST_BODY_BYTES <= program.MOST_BYTES_AT_ONCE
    assert events.MOST_POST_BYTES >= 2 * program.MOST_BODY_BYTES
    assert MOST_EVENTS * 3 * 1024 <= program.MOST_BODY_BYTES, "a whole notification of Alertmanager, 3 kB an alert"
