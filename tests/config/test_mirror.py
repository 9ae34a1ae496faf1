"""The mirror between two real Kafka clusters: what arrives, by which permissions, and where groups go on.

Figures are printed (``pytest -s``) and bounded.
"""

from __future__ import annotations

import itertools
import re
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from confluent_kafka import TIMESTAMP_CREATE_TIME, Producer, TopicPartition

from components.mirror import config
from components.mirror.rules import RULES
from tests.config import mirror_harness
from tests.config.mirror_harness import (
    ANSWER_S,
    TOPICS,
    Harness,
    consumer,
    drain,
    numbers,
)
from tests.config.mirror_process import SOURCE_PASSWORD, TARGET_PASSWORD
from tests.config.servers import eventually

pytestmark = pytest.mark.drill
OWN = {
    "mm2-configs.region-a.internal",
    "mm2-offsets.region-a.internal",
    "mm2-status.region-a.internal",
    "mm2-offset-syncs.region-a.internal",
    "region-a.checkpoints.internal",
}
LIVE = {"enable.auto.commit": True, "auto.commit.interval.ms": 1000, "socket.timeout.ms": 5000}
"""A consumer that commits while it reads."""
KAFKAS = {"__consumer_offsets"}


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    with mirror_harness.running(tmp_path_factory.mktemp("mirror")) as running_world:
        print(f"\nfirst record copied {time.monotonic() - running_world.mirror.starts[0]:.1f} s after the start")
        yield running_world


def test_records_arrive_with_name_partition_key_value_headers_and_time(harness: Harness) -> None:
    producer = Producer(harness.source.login(acks="all"))
    now = int(time.time() * 1000)
    for number in range(300):
        producer.produce(
            "telemetry-logs",
            None if number % 50 == 49 else f"value-{number}-日本語".encode(),
            key=None if number % 7 == 0 else f"key-{number}".encode(),
            headers=[("trace", f"t-{number}".encode()), ("empty", b""), ("none", None), ("trace", b"twice")],
            timestamp=now - number * 1000,
        )
    producer.flush(ANSWER_S)
    harness.wait_for_copy("telemetry-logs", 300)

    def seen(where: mirror_harness.Cluster) -> list[tuple[object, ...]]:
        return [
            (
                message.partition(),
                message.offset(),
                message.key(),
                message.value(),
                message.headers(),
                message.timestamp(),
            )
            for message in where.everything("telemetry-logs", 300)
        ]

    before, after = seen(harness.source), seen(harness.target)
    assert len(before) == 300
    assert after == before
    assert {fields[5][0] for fields in after} == {TIMESTAMP_CREATE_TIME}  # type: ignore[index]


def test_a_record_as_large_as_the_topic_takes_arrives(harness: Harness) -> None:
    before = harness.count(harness.target, "alerts-raw")
    # Text that compresses by more than the topics' limit allows uncompressed.
    large = (b"a line of a log that says the same again and again; " * 60_000)[
        : 3 * mirror_harness.MAX_MESSAGE_BYTES // 2
    ]
    producer = Producer(
        harness.source.login(acks="all", **{"compression.type": "snappy", "message.max.bytes": 3 * len(large)})
    )
    problems: list[object] = []
    producer.produce(
        "alerts-raw", large[: mirror_harness.MAX_MESSAGE_BYTES // 2], on_delivery=lambda e, _: problems.append(e)
    )
    producer.produce("alerts-raw", large, on_delivery=lambda e, _: problems.append(e))
    producer.flush(ANSWER_S)
    assert problems == [None, None]
    harness.wait_for_copy("alerts-raw", before + 2)


def test_the_source_has_nothing_new_and_the_target_only_the_mirrors_own_topics(harness: Harness) -> None:
    assert harness.source.topics() - KAFKAS == set(TOPICS)
    assert harness.target.topics() - KAFKAS == set(TOPICS) | OWN


def test_its_permissions_suffice_and_do_not_let_it_write_in_the_source(harness: Harness) -> None:
    refused = [line for line in harness.mirror.log.splitlines() if re.search(r"[Nn]ot authorized|Authorization", line)]
    assert refused == []
    user = harness.source.login(**{"sasl.username": config.SOURCE_USER, "sasl.password": SOURCE_PASSWORD})
    problems: list[object] = []
    producer = Producer({**user, "message.timeout.ms": 3000})
    producer.produce("alerts-raw", b"from the mirror", on_delivery=lambda error, _: problems.append(error))
    producer.flush(ANSWER_S)
    assert problems, "the client neither sent the record nor gave it up"
    assert problems[0] is not None, "the mirror's user may write in the source"


def test_passwords_are_nowhere_but_in_their_file(harness: Harness) -> None:
    assert harness.mirror.process is not None
    said = Path(f"/proc/{harness.mirror.process.pid}/cmdline").read_text() + harness.mirror.log
    with consumer(harness.target, "no-group") as reader:
        reader.assign([TopicPartition("mm2-configs.region-a.internal", 0, 0)])
        kept = b"".join((message.value() or b"") for message in drain(reader, 3, ANSWER_S))
    assert b"${file:" in kept, "the configuration topic does not hold what the test looks into"
    for password in (SOURCE_PASSWORD, TARGET_PASSWORD):
        assert password not in said
        assert password.encode() not in kept


def test_metrics_need_tls_and_the_scrape_password(harness: Harness) -> None:
    assert harness.mirror.metrics().status_code == 200
    assert harness.mirror.metrics("wrong").status_code == 401
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://{harness.mirror.address}:9404/metrics", timeout=60)


def test_a_record_is_in_the_other_region_within_seconds(harness: Harness) -> None:
    """Latency of single records at 20 a second, from before they are written until a client in the target has them."""
    count, delays = 200, list[float]()
    with consumer(harness.target, "no-group") as reader:
        ends = [
            TopicPartition(
                "telemetry-metrics",
                number,
                reader.get_watermark_offsets(TopicPartition("telemetry-metrics", number), timeout=ANSWER_S)[1],
            )
            for number in range(TOPICS["telemetry-metrics"])
        ]
        reader.assign(ends)
        writer = threading.Thread(
            target=harness.source.produce, args=("telemetry-metrics", range(count)), kwargs={"pause_s": 0.05}
        )
        writer.start()
        deadline = time.monotonic() + 60
        while len(delays) < count and time.monotonic() < deadline:
            message = reader.poll(0.2)
            if message is not None and message.error() is None:
                delays.append(time.time() - message.timestamp()[1] / 1000)
        writer.join()
    assert len(delays) == count
    ordered = sorted(delays)
    p95 = ordered[int(0.95 * count)]
    print(
        f"\nlatency of {count} records: p50 {statistics.median(delays):.3f} s, p95 {p95:.3f} s, max {ordered[-1]:.3f} s"
    )
    print(f"memory of the mirror: {harness.mirror.memory_mib()} MiB")
    assert p95 < 5


def test_every_metric_that_a_rule_uses_is_served(harness: Harness) -> None:
    harness.source.produce("telemetry-traces", [0])
    with consumer(harness.source, "reports") as reader:
        reader.subscribe(["telemetry-traces"])
        drain(reader, 1, ANSWER_S)
        reader.commit(asynchronous=False)
    used = {name for group in RULES for rule in group.rules for name in re.findall(r"kafka_mirror_\w+", rule.expr)}
    assert used
    wanted = [
        *(f"{name}{{" for name in sorted(used)),
        'kafka_mirror_tasks{connector="MirrorSourceConnector",state="running"} 2.0',
        'kafka_mirror_tasks{connector="MirrorSourceConnector",state="failed"} 0.0',
        'kafka_mirror_fetches_total{task="0"} ',
        'kafka_mirror_lag_records{partition="0",topic="telemetry-traces"} 0.0',
        'kafka_mirror_checkpoint_latency_milliseconds{group="reports",partition="0",statistic="avg",topic="telemetry-traces"}',
        'kafka_mirror_written_total{connector="MirrorCheckpointConnector",task="0"} ',
        'kafka_mirror_records_total{partition="0",topic="telemetry-traces"} ',
    ]
    deadline = time.monotonic() + 60
    while missing := [metric for metric in wanted if metric not in harness.mirror.metrics().text]:
        assert time.monotonic() < deadline, f"not served: {missing}\n{harness.mirror.metrics().text}"
        time.sleep(1)


def _read(harness: Harness, group: str, topic: str, count: int) -> list[int]:
    """Read exactly ``count`` records in the source and commit them; their numbers."""
    number_list: list[int] = []
    with consumer(harness.source, group) as reader:
        reader.subscribe([topic])
        deadline = time.monotonic() + 40
        while len(number_list) < count and time.monotonic() < deadline:
            message = reader.poll(0.2)
            if message is not None and message.error() is None:
                number_list += numbers([message])
        reader.commit(asynchronous=False)
    assert len(number_list) == count
    return number_list


def _go_on(harness: Harness, group: str, topic: str, least: int, quiet_s: float = 6) -> list[int]:
    """What the group reads when its consumer starts in the target."""
    with consumer(harness.target, group) as reader:
        reader.subscribe([topic])
        return numbers(drain(reader, least, 40, quiet_s))


def test_a_group_that_has_read_all_reads_nothing_again(harness: Harness) -> None:
    topic, group = "telemetry-metrics", "metrics-consumer-primary"
    known = harness.count(harness.source, topic)
    written = harness.source.produce(topic, range(10_000, 11_000))
    assert len(written) == 1000
    _read(harness, group, topic, known + 1000)
    harness.wait_for_copy(topic, known + 1000)
    harness.wait_for_groups(group, topic)
    new = harness.source.produce(topic, range(11_000, 11_100))
    harness.wait_for_copy(topic, known + 1100)
    got = _go_on(harness, group, topic, 100)
    print(
        f"\ngroup at the end: {len(got) - len(set(got) & set(new))} of {known + 1000} read again, "
        f"{len(set(new) - set(got))} of 100 lost"
    )
    assert sorted(got) == sorted(new)


def test_a_group_that_has_read_a_part_loses_nothing_and_what_it_reads_again_is_counted(harness: Harness) -> None:
    """The hardest case: the mirror first sees the group when all is copied. Kafka may then begin far earlier."""
    topic, group, written = "telemetry-logs", "log-indexer", range(20_000, 22_000)
    before = harness.count(harness.source, topic)
    with consumer(harness.source, group) as reader:
        reader.subscribe([topic])
        drain(reader, before, ANSWER_S)
        reader.commit(asynchronous=False)
    assert len(harness.source.produce(topic, written, pause_s=0.004)) == len(written)
    harness.wait_for_copy(topic, before + len(written))
    read = _read(harness, group, topic, 1200)
    harness.wait_for_groups(group, topic)
    got = _go_on(harness, group, topic, len(written) - 1200)
    lost = set(written) - set(read) - set(got)
    again = len(set(read) & set(got))
    print(
        f"\ngroup that had read 1200 of 2000, written at 250/s and copied before: {again} read again, {len(lost)} lost"
    )
    assert lost == set()
    assert again <= len(read)


@pytest.mark.parametrize("kill", [False, True], ids=["SIGTERM", "SIGKILL"])
def test_a_restart_of_the_mirror_loses_nothing_and_doubles_only_what_was_on_its_way(
    harness: Harness, kill: bool
) -> None:
    topic = "telemetry-traces"
    first = 30_000 + 10_000 * kill
    before = harness.count(harness.target, topic)
    load = range(first, first + 1500)
    acknowledged: list[int] = []
    writer = threading.Thread(target=lambda: acknowledged.extend(harness.source.produce(topic, load, pause_s=0.01)))
    writer.start()
    time.sleep(6)
    harness.mirror.stop(kill=kill)
    stopped = time.monotonic()
    harness.mirror.start()
    held = harness.count(harness.target, topic)
    eventually(lambda: harness.count(harness.target, topic) > held, 90, "the copy goes on")
    away = time.monotonic() - stopped
    writer.join()
    assert sorted(acknowledged) == list(load)
    harness.wait_for_copy(topic, before + len(load))
    time.sleep(3)
    arrived = [number for number in numbers(harness.target.everything(topic, before + len(load))) if number in load]
    doubled = len(arrived) - len(set(arrived))
    how = "SIGKILL" if kill else "SIGTERM"
    print(
        f"\n{how} of the mirror at 100 records/s: copy goes on after {away:.1f} s, {doubled} of 1500 doubled, "
        f"{len(set(load) - set(arrived))} missing"
    )
    assert set(arrived) == set(load)
    if kill:
        assert doubled <= 100 * (config.FLUSH_INTERVAL_MS / 1000 + 2)
    else:
        assert doubled == 0


def test_when_the_source_is_killed_groups_go_on_in_the_target(harness: Harness) -> None:
    """The last test of the file: the source does not come back."""
    topic, group = "telemetry-traces", "sampler"
    before = harness.count(harness.source, topic)
    acknowledged: list[int] = []
    read: list[int] = []
    stop = threading.Event()

    def consume() -> None:
        with consumer(harness.source, group, **LIVE) as reader:
            reader.subscribe([topic])
            while not stop.is_set():
                message = reader.poll(0.1)
                if message is not None and message.error() is None:
                    read.extend(numbers([message]))

    readers = threading.Thread(target=consume)
    readers.start()
    load = range(50_000, 56_000)
    until_then = itertools.takewhile(lambda _: not stop.is_set(), load)
    writer = threading.Thread(
        target=lambda: acknowledged.extend(harness.source.produce(topic, until_then, pause_s=0.01))
    )
    writer.start()
    eventually(lambda: len(read) >= before + 500, 60, "the group reads in the source")
    eventually(lambda: bool(harness.target.committed(group, topic)), 60, "the group is known in the target")
    time.sleep(5)
    harness.source.node.kill()
    killed = time.monotonic()
    stop.set()
    readers.join()
    writer.join()
    time.sleep(3)
    copied = [number for number in numbers(harness.target.everything(topic, 1)) if number in load]
    got = _go_on(harness, group, topic, 0, quiet_s=12)
    resumed = time.monotonic() - killed
    had = {number for number in read if number in load}
    again, skipped = len(had & set(got)), set(copied) - had - set(got)
    print(
        f"\nsource killed at 100 records/s: {len(acknowledged)} acknowledged, "
        f"{len(set(acknowledged) - set(copied))} not copied; the group goes on in the target: {again} read again, "
        f"{len(skipped)} of {len(copied)} copied ones skipped ({resumed:.0f} s after the kill, waiting included)"
    )
    assert skipped == set()
    assert again <= 100 * 10, "the group's offsets were more than ten seconds old"
    assert len(set(acknowledged) - set(copied)) <= 100 * 5, "the copy was more than five seconds behind"


def test_each_task_of_the_mirror_says_that_it_gets_nothing_when_the_source_is_gone(harness: Harness) -> None:
    """``MirrorStalled`` rests on this: the count of a task's answers stands still."""

    def answers() -> dict[str, float]:
        counts = re.findall(
            r'^kafka_mirror_fetches_total\{task="(\d+)"\S* (\S+)$', harness.mirror.metrics().text, re.MULTILINE
        )
        return {task: float(count) for task, count in counts}

    first = answers()
    assert set(first) == {"0", "1"}
    time.sleep(5)
    assert answers() == first
