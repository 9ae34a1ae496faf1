"""Alert events on three real brokers: keyed, in order, acknowledged only when they are safe, none missing."""

from __future__ import annotations

import gc
import json
import re
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import requests

from services.alert_events.events import ProcessedEvent, RawEvent
from tests.config.alert_events_process import Brokers, EventsProcess, brokers, events_process
from tests.config.servers import eventually
from tests.unit.services.alert_events_fakes import PASSWORDS, PROCESSED, RAW, alert, notification

_UNCLOSED = pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
pytestmark = [pytest.mark.drill, pytest.mark.timed, _UNCLOSED]
PROMETHEUS_S = 10.0
"""After that Prometheus gives a post up."""
GRACE_S = 30
"""What a pod has to end."""
_REFUSED_PAUSE_S = 0.2


@pytest.fixture(autouse=True)
def connections() -> Iterator[None]:
    """Connections that a killed service left half open are collected here, and not in somebody else's test."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brokers]:
    with brokers(tmp_path_factory.mktemp("kafka"), 3) as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("events")


@pytest.fixture(scope="module")
def events(kafka: Brokers, folder: Path) -> Iterator[EventsProcess]:
    with events_process(folder, kafka, "module") as running:
        yield running


@contextmanager
def sending(events: EventsProcess, *keys: str, pause_s: float = 0.05) -> Iterator[list[Numbered]]:
    """A sender for each key; they end with the block, however it ends."""
    senders = [Numbered(events, key, pause_s) for key in keys]
    try:
        yield senders
    finally:
        for sender in senders:
            sender.stop()


@dataclass
class Numbered:
    """A sender as a Prometheus is one: one post at a time, and again until it is taken.

    Attributes:
        key: Identity of its alert.
        taken: Numbers that were answered with 200.
        answers: Every answer.
    """

    events: EventsProcess
    key: str
    pause_s: float = 0.05
    taken: list[int] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the post that is under way."""
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            self.answers.append(self.events.post(RAW, [alert("Numbered", alert_id=self.key, number=str(number))]))
            if self.answers[-1] == 200:
                self.taken.append(number)
                number += 1
            self._stop.wait(self.pause_s if self.answers[-1] else _REFUSED_PAUSE_S)

    def assert_kept(self, sequence: Sequence[int]) -> None:
        """Everything that was taken is there, in order, however often."""
        assert set(self.taken) <= set(sequence), f"missing: {sorted(set(self.taken) - set(sequence))[:10]}"
        assert sequence == sorted(sequence), "the order of an alert's events is not the order of its posts"


def numbers(kafka: Brokers) -> dict[str, list[int]]:
    """Key -> numbers of its events, in order."""
    numbers_by_key: dict[str, list[int]] = {}
    for _, key, value in kafka.records("alerts-raw"):
        number = json.loads(value)["labels"].get("number")
        if number is not None:
            numbers_by_key.setdefault(key, []).append(int(number))
    return numbers_by_key


def of_key(kafka: Brokers, key: str, topic: str = "alerts-raw") -> list[tuple[int, bytes]]:
    return [(partition, value) for partition, record_key, value in kafka.records(topic) if record_key == key]


def test_a_posted_alert_is_in_its_topic_under_its_key(events: EventsProcess, kafka: Brokers) -> None:
    assert events.post(RAW, [alert(alert_id="Landed/a=1"), alert(alert_id="Landed/a=2")]) == 200
    assert events.post(PROCESSED, notification(alert(alert_id="Landed/a=1"))) == 200
    [(_, raw)] = of_key(kafka, "Landed/a=1")
    [(_, processed)] = of_key(kafka, "Landed/a=1", "alerts-processed")
    assert RawEvent.model_validate_json(raw).sender == "prometheus-primary-0"
    assert ProcessedEvent.model_validate_json(processed).sender == "127.0.0.1"
    assert len(of_key(kafka, "Landed/a=2")) == 1


def test_an_alert_has_one_partition_and_the_topics_fit_together(events: EventsProcess, kafka: Brokers) -> None:
    keys = [f"Spread/device=device-{number}" for number in range(40)]
    for _ in range(3):
        assert events.post(RAW, [alert(alert_id=key) for key in keys]) == 200
    assert events.post(PROCESSED, notification(*[alert(alert_id=key) for key in keys])) == 200
    raw, processed = ({}, {})
    for places, topic in ((raw, "alerts-raw"), (processed, "alerts-processed")):
        for partition, key, _ in kafka.records(topic):
            places.setdefault(key, set()).add(partition)
    for key in keys:
        [one], [other] = raw[key], processed[key]
        assert other == one % 2, "a reader of a processed partition needs two of the raw partitions"
    assert {partition for key in keys for partition in raw[key]} == {0, 1, 2, 3}


def test_the_records_of_a_post_keep_its_order(events: EventsProcess, kafka: Brokers) -> None:
    for first in (0, 100, 200):
        assert events.post(RAW, [alert(alert_id="Order", number=str(first + index)) for index in range(100)]) == 200
    assert numbers(kafka)["Order"] == list(range(300))


def test_senders_at_once_keep_each_their_order(events: EventsProcess, kafka: Brokers) -> None:
    with sending(events, *(f"Twin/replica={replica}" for replica in range(4)), pause_s=0.0) as senders:
        eventually(lambda: all(len(sender.taken) > 50 for sender in senders), 60, "posts of all are taken")
    numbers_by_sender = numbers(kafka)
    for sender in senders:
        assert set(sender.answers) <= {200, 503}
        sender.assert_kept(numbers_by_sender[sender.key])


def test_a_storm_in_one_notification_is_written(events: EventsProcess, kafka: Brokers) -> None:
    storm = [alert("Storm", alert_id=f"Storm/device=device-{number}") for number in range(10_000)]
    before = kafka.ends("alerts-processed")
    began = time.monotonic()
    assert events.post(PROCESSED, notification(*storm)) == 200
    print(f"10,000 alerts in one notification: {time.monotonic() - began:.1f} s")
    assert len({key for _, key, _ in kafka.records("alerts-processed", before)}) == 10_000


def test_a_broker_that_dies_loses_and_reorders_nothing(events: EventsProcess, kafka: Brokers) -> None:
    with sending(events, "OneDies/sender=0", "OneDies/sender=1", pause_s=0.1) as senders:
        eventually(lambda: all(len(sender.taken) > 5 for sender in senders), 30, "posts of both are taken")
        kafka.nodes[1].kill()
        taken = len(senders[0].taken)
        eventually(lambda: len(senders[0].taken) > taken + 20, 45, "posts are taken with two of three brokers")
        kafka.start(kafka.nodes[1])
        time.sleep(3)
    numbers_by_sender = numbers(kafka)
    for sender in senders:
        assert set(sender.answers) <= {200, 503}
        sender.assert_kept(numbers_by_sender[sender.key])
    print(f"a broker dies: {senders[0].answers.count(503)} of {len(senders[0].answers)} posts had to come again")


def test_two_dead_brokers_make_senders_come_again_in_time_and_nothing_is_lost(
    events: EventsProcess, kafka: Brokers
) -> None:
    with sending(events, "TwoDie") as [sender]:
        eventually(lambda: len(sender.taken) > 5, 30, "posts are taken")
        for node in kafka.nodes[:2]:
            node.kill()
        time.sleep(1)
        began = time.monotonic()
        assert events.post(RAW, [alert(alert_id="Refused")]) == 503
        assert time.monotonic() - began < PROMETHEUS_S, "the sender must hear of it before it gives up"
        eventually(lambda: 503 in sender.answers, 20, "the sender hears of it")
        assert events.ready(), "brokers that are away are no reason to take the service away"
        assert events.get("/livez").status_code == 200
        taken = len(sender.taken)
        kafka.start(*kafka.nodes[:2])
        eventually(lambda: len(sender.taken) > taken + 5, 60, "posts are taken again")
    sender.assert_kept(numbers(kafka)["TwoDie"])
    log = events.log.read_text()
    assert re.search(r"raw: a post of 127\.0\.0\.1 was refused \((brokers|busy)\): ", log)
    assert "raw: posts of 127.0.0.1 are written again" in log


def test_a_service_that_is_told_to_stop_answers_what_it_took(kafka: Brokers, folder: Path) -> None:
    keys = [f"Stopped/sender={number}" for number in range(4)]
    with (
        events_process(folder, kafka, "stopped") as stopping,
        sending(stopping, *keys, pause_s=0.0) as senders,
    ):
        eventually(lambda: all(len(sender.taken) > 5 for sender in senders), 60, "each sends under load")
        stopping.process.send_signal(signal.SIGTERM)
        assert stopping.process.wait(GRACE_S) == 0
    numbers_by_sender = numbers(kafka)
    for sender in senders:
        assert set(sender.answers) <= {200, 503, 0}
        sender.assert_kept(numbers_by_sender[sender.key])
        assert numbers_by_sender[sender.key] == sender.taken, "every post that was written was answered"
    assert stopping.log.read_text().splitlines()[-1] == "alert-events: stopped"


def enough(sender: Numbered) -> bool:
    return len(sender.taken) > 5


def test_a_killed_service_loses_nothing_that_it_acknowledged(kafka: Brokers, folder: Path) -> None:
    for turn in range(2):
        with ExitStack() as stack, events_process(folder, kafka, f"killed-{turn}", kill=True) as killed:
            [sender] = stack.enter_context(sending(killed, f"Killed/turn={turn}", pause_s=0.0))
            eventually(partial(enough, sender), 60, "posts are taken")
        sender.assert_kept(numbers(kafka)[sender.key])


def test_a_service_with_a_wrong_password_is_not_ready_and_says_why(
    kafka: Brokers, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PASSWORDS, "kafka", "a-wrong-one")
    with events_process(folder / "other", kafka, "other", ready=False) as unready:
        # The first answer may be that a connection broke; the brokers' own reason comes with the next one.
        eventually(lambda: "uthentication" in unready.log.read_text(), 60, "it says why it is not ready")
        assert not unready.ready()
        assert unready.get("/livez").status_code == 200
        assert unready.post(RAW, [alert()]) == 503
    log = unready.log.read_text()
    assert "not ready: " in log
    assert "a-wrong-one" not in log


def test_it_speaks_https_only_and_its_metrics_need_their_own_login(events: EventsProcess) -> None:
    text = events.get("/metrics").text
    written = re.search(r'^alert_events_written_total\{endpoint="raw"\} (\S+)$', text, re.MULTILINE)
    assert written
    assert float(written[1]) > 100
    for user in ("prometheus", "alertmanager"):
        answer = requests.get(
            f"{events.url}/metrics", auth=(user, PASSWORDS[user]), verify=events.authority, timeout=60
        )
        assert answer.status_code == 401
    with pytest.raises(requests.ConnectionError):
        requests.post(f"http://localhost:{events.url.rpartition(':')[2]}{RAW}", json=[], timeout=60)
    with pytest.raises(requests.exceptions.SSLError):
        requests.post(f"{events.url}{RAW}", json=[], timeout=60)


def test_no_password_is_in_its_log(events: EventsProcess) -> None:
    log = events.log.read_text()
    assert "the brokers know both topics" in log
    for password in PASSWORDS.values():
        assert password not in log


def test_a_large_post_that_is_refused_hears_why(events: EventsProcess) -> None:
    large = [alert("Large", summary="x" * 1000) for _ in range(20_000)]
    assert events.post(RAW, large, 30) == 413
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PASSWORDS, "prometheus", "another")
        assert events.post(RAW, large[:800]) == 401
    assert events.post(RAW, large[:800]) == 200
