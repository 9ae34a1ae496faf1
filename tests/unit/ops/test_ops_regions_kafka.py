"""What a failover asks of Kafka, and what it reads there, on a real broker."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition

from ops.core.access import MirrorAccess
from ops.core.errors import OpsError
from ops.core.kafka import KafkaAdmin, client_settings
from ops.core.platform import Platform, parse
from ops.regions import mirror_offsets, steps, takeover
from ops.regions.journal import Done, FailoverContext
from ops.regions.region import opened
from services.regions.witness import Heartbeat, Lease
from tests.support import kafka_broker
from tests.unit.ops.regions_harness import TOPICS, A, B, harness, operation


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, made_up: Mapping[str, Any]) -> Iterator[Platform]:
    with kafka_broker.running(tmp_path_factory.mktemp("broker")) as broker:
        test_platform = parse(
            {
                **made_up,
                "ca_certificate": broker.ca,
                "kafka_bootstrap": broker.bootstrap,
                "kafka_admin": {"username": broker.username, "password": broker.password},
            }
        )
        broker.create_topics(TOPICS, 2, **{"min.insync.replicas": "1"})
        broker.create_topics(["careful"], 1, **{"min.insync.replicas": "2"})
        yield test_platform


def produce(platform: Platform, topic: str, count: int, at: datetime | None = None) -> None:
    producer = Producer({**client_settings(platform, platform.kafka_admin), "acks": "all"})
    stamp = int((at or datetime.now(UTC)).timestamp() * 1000)
    for number in range(count):
        producer.produce(topic, str(number).encode(), key=str(number).encode(), timestamp=stamp)
    assert producer.flush(60) == 0


def test_topics_that_can_be_written_are_good(platform: Platform) -> None:
    assert takeover.kafka(KafkaAdmin(platform), TOPICS) == "6 partitions online and in sync"


def test_a_topic_with_too_few_copies_or_that_is_not_there_is_named(platform: Platform) -> None:
    with pytest.raises(OpsError) as caught:
        takeover.kafka(KafkaAdmin(platform), (*TOPICS, "careful", "none"))
    assert str(caught.value) == ("careful has partitions with less than 2 copies in sync: 0; topic none is not there")


def test_the_newest_record_of_each_topic_has_its_writers_time(platform: Platform) -> None:
    old = datetime.now(UTC) - timedelta(hours=1)
    produce(platform, "alerts-raw", 4, old)
    times = takeover.newest(KafkaAdmin(platform), ("alerts-raw", "alerts-processed"))
    assert set(times) == {"alerts-raw"}
    assert abs((times["alerts-raw"] - old).total_seconds()) < 0.01


def test_notes_are_read_as_they_were_written_and_each_look_reads_only_what_is_new(platform: Platform) -> None:
    offsets = mirror_offsets.ConnectOffsets(platform, "region-a")
    assert offsets.read() == {}
    mirror_offsets.write(platform, "region-a", {"telemetry-metrics": {0: 7, 1: 3}})
    assert offsets.read() == {"telemetry-metrics": {0: 7, 1: 3}}
    mirror_offsets.write(platform, "region-a", {"telemetry-metrics": {1: 9}})
    began = time.monotonic()
    assert offsets.read() == {"telemetry-metrics": {0: 7, 1: 9}}
    assert offsets.read() == {"telemetry-metrics": {0: 7, 1: 9}}
    assert time.monotonic() - began < 60


def test_what_is_behind_is_what_is_kept_and_not_copied(platform: Platform) -> None:
    produce(platform, "telemetry-metrics", 10)
    marks = mirror_offsets.marks(platform, ["telemetry-metrics"])
    assert sum(marks.ends["telemetry-metrics"].values()) == 10
    assert marks.behind({}) == 10
    assert marks.behind(marks.ends) == 0
    gone = mirror_offsets.Marks(lows=marks.ends, ends=marks.ends)
    assert gone.behind({}) == 0
    with pytest.raises(OpsError, match="topic none is not there"):
        mirror_offsets.marks(platform, ["none"])


@pytest.fixture
def context(platform: Platform, made_up: Mapping[str, Any]) -> Iterator[FailoverContext]:
    """A failback whose two regions are one broker: what one of them has and what the other copied is told by notes."""

    def of(region: str, role: str) -> Platform:
        own = shared.platform(made_up, region, role)
        return platform.model_copy(update={"regions": own.regions, "topics": TOPICS})

    with harness() as shared, opened(platform=of(A, "primary")) as target, opened(platform=of(B, "primary")) as other:
        journal = operation(shared.witness, kind="failback", target=A, source=B, planned=True)
        yield FailoverContext(
            target=target, source=B, witness=shared.witness, journal=journal, by="me", tell=lambda _: None, other=other
        )


def test_a_mirror_is_told_where_to_begin_unless_it_runs(context: FailoverContext, platform: Platform) -> None:
    ends = mirror_offsets.marks(platform, TOPICS).ends
    now = datetime.now(UTC)
    context.journal.operation.steps["both"] = Done(
        began=now, ended=now, figures={"offsets": mirror_offsets.as_json(ends)}
    )
    assert steps.set_target_offsets(context) == {"offsets_written": 6}
    assert mirror_offsets.ConnectOffsets(platform, B).read() == {topic: dict(parts) for topic, parts in ends.items()}
    context.target.access = context.target.access.model_copy(update={"role": "standby"})
    assert steps.set_target_offsets(context) == {"offsets_written": 0}
    assert context.problems == ["region-a is a standby already: its mirror goes on where it is"]


def test_caught_up_is_who_has_copied_what_there_is(
    context: FailoverContext, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror_offsets.write(platform, B, mirror_offsets.marks(platform, TOPICS).ends)
    waits: list[float] = []
    with monkeypatch.context() as copied:
        copied.setattr(steps, "time", SimpleNamespace(monotonic=time.monotonic, sleep=waits.append))
        assert steps.catch_up(context)["caught_up_after_s"] is not None
    assert waits == [], "there was nothing to wait for"
    produce(platform, "telemetry-metrics", 7)
    monkeypatch.setattr(steps, "CATCH_UP_S", 3.0)
    monkeypatch.setattr(steps, "WITHIN_S", 1.0)
    with pytest.raises(
        OpsError, match=r"the mirror of region-a is 7 records behind after .* s; --accept-behind goes on"
    ):
        steps.catch_up(context)
    monkeypatch.setattr(steps, "COPIED_S", 3.0)
    monkeypatch.setattr(steps, "_MARGIN_S", 0.0)
    vain = "waited 3 s in vain for region-a to have copied what region-b had: 7 records are in region-b alone"
    with pytest.raises(OpsError, match=f"^{vain}; --accept-behind goes on all the same$"):
        steps.drain(context)
    context.accept_behind = True
    assert steps.drain(context)["not_copied"] == 7
    assert steps.catch_up(context)["not_copied"] == 7
    assert context.problems[0] == vain
    assert context.problems[1].startswith("the mirror of region-a is 7 records behind after")
    mirror_offsets.write(platform, B, mirror_offsets.marks(platform, TOPICS).ends)
    assert steps.drain(context)["waited_s"] == 1.0


def test_a_region_that_is_lost_while_it_is_drained_holds_nobody_up_who_accepts_that(
    context: FailoverContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise OpsError("Kafka does not answer")

    monkeypatch.setattr(mirror_offsets, "marks", gone)
    monkeypatch.setattr(steps, "_MARGIN_S", 0.0)
    with pytest.raises(OpsError, match=r"has that region-a has not: Kafka does not answer; --accept-behind goes on"):
        steps.drain(context)
    context.accept_behind = True
    assert steps.drain(context)["not_copied"] is None
    assert context.problems == ["nobody knows what region-b has that region-a has not: Kafka does not answer"]


def read(platform: Platform, group: str, topic: str, left: int) -> None:
    """Let a group have read all but so many records of each partition."""
    kafka = KafkaAdmin(platform)
    ends = kafka.end_offsets(topic)
    at = [TopicPartition(topic, partition, max(0, end - left)) for partition, end in ends.items()]
    request = ConsumerGroupTopicPartitions(group, at)
    kafka.client.alter_consumer_group_offsets([request])[group].result(timeout=60)


def test_the_lease_waits_for_consumers_that_have_hours_to_read(
    context: FailoverContext, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    produce(platform, "telemetry-metrics", 40)
    context.target.platform = context.target.platform.model_copy(update={"consumer_groups": ("feeder", "never-read")})
    read(platform, "feeder", "telemetry-metrics", 0)
    read(platform, "feeder", "alerts-raw", 0)
    produce(platform, "alerts-raw", 5)
    assert steps.consumers(context)["read_after_s"] < 20, "rules judge by metrics alone"
    read(platform, "feeder", "telemetry-metrics", 3)
    monkeypatch.setattr(steps, "CATCH_UP_S", 3.0)
    monkeypatch.setattr(steps, "WITHIN_S", 1.0)
    with pytest.raises(
        OpsError, match=r"consumers of region-a have not read all after .* s: feeder 6; --accept-behind"
    ):
        steps.consumers(context)
    context.accept_behind = True
    assert steps.consumers(context)["not_read"] == {"feeder": 6}
    assert "feeder 6" in context.problems[0]


def test_a_partition_without_a_position_is_unread_as_a_whole(context: FailoverContext, platform: Platform) -> None:
    kafka = KafkaAdmin(platform)
    ends = kafka.end_offsets("telemetry-metrics")
    request = ConsumerGroupTopicPartitions("half", [TopicPartition("telemetry-metrics", 0, ends[0])])
    kafka.client.alter_consumer_group_offsets([request])["half"].result(timeout=60)
    marks = mirror_offsets.marks(platform, TOPICS)
    assert ends[1] > 0
    known = platform.model_copy(update={"consumer_groups": ("half",)})
    assert mirror_offsets.unread(known, marks) == {"half": ends[1]}


def test_a_group_without_a_position_is_named_and_stops_nothing(context: FailoverContext, platform: Platform) -> None:
    read(platform, "sampler", "telemetry-metrics", 0)
    mirror = MirrorAccess(source=B, topics=TOPICS, groups=("sampler", "billing"))
    context.target.access = context.target.access.model_copy(update={"mirror": mirror})
    answers = {check.name: check for check in takeover.target(context.target, context.witness, planned=False)}
    assert answers["positions"].problem == (
        "no position of billing in region-a: where it begins says its own auto.offset.reset: earliest reads everything "
        "again, latest leaves out what it had not read"
    )
    assert not answers["positions"].fatal
    read(platform, "billing", "alerts-raw", 0)
    assert takeover.positions(context.target) == "2 groups have a position"


def test_what_the_returning_region_has_alone_is_counted_until_its_mirror_copies_into_it(
    context: FailoverContext, platform: Platform
) -> None:
    ends = mirror_offsets.marks(platform, TOPICS).ends
    took_over = operation(context.witness, id="20261101T000000Z-failover-region-b-0000", target=B, source=A)
    now = datetime.now(UTC)
    for step, figures in {"offsets": {"offsets": mirror_offsets.as_json(ends)}, "fence": {}}.items():
        took_over.operation.steps[step] = Done(began=now, ended=now, figures=figures)
    took_over.operation.ended = now
    took_over.save()
    mirror_offsets.write(platform, A, ends)
    produce(platform, "telemetry-metrics", 5)
    context.witness.take(Lease(holder=B, epoch=3, notify=True, since=now, by="test", reason="test"), None)
    for region in (A, B):
        beat = {"role": "primary", "epoch": 3, "holder": B, "notifies": region == B, "isolated": False}
        context.witness.beat(Heartbeat(region=region, at=now, fingerprints={}, silences=(), **beat))
    assert steps.both(context)["alone"] == 5
    assert context.problems == ["5 records of region-a were never copied to region-b: they stay there"]
    context.target.access = context.target.access.model_copy(update={"role": "standby"})
    assert steps.both(context)["alone"] is None


def test_what_came_to_the_old_region_too_late_is_counted(context: FailoverContext, platform: Platform) -> None:
    ends = mirror_offsets.marks(platform, TOPICS).ends
    mirror_offsets.write(platform, B, ends)
    now = datetime.now(UTC)
    context.journal.operation.steps["offsets"] = Done(
        began=now, ended=now, figures={"offsets": mirror_offsets.as_json(ends)}
    )
    produce(platform, "telemetry-metrics", 3)
    assert steps.set_source_offsets(context) == {"offsets_written": 6, "left_behind": 3}
    assert mirror_offsets.ConnectOffsets(platform, A).read()["telemetry-metrics"] == ends["telemetry-metrics"]
    assert context.problems == ["3 records came to region-b after its names led elsewhere: they are there alone"]


def test_offsets_survive_a_journal(platform: Platform) -> None:
    ends = mirror_offsets.marks(platform, ["telemetry-metrics"]).ends
    assert mirror_offsets.from_json(json.loads(json.dumps(mirror_offsets.as_json(ends)))) == ends


@pytest.mark.parametrize(
    "key", [None, b"", b"[]", b'["Other",{"cluster":"region-a"}]', b'["MirrorSourceConnector",{}]']
)
def test_what_is_no_note_of_the_mirror_is_passed_over(key: bytes | None) -> None:
    assert mirror_offsets.parse(key, b'{"offset":1}', "region-a") is None


def test_a_note_holds_the_last_copied_record_and_none_means_from_the_first_on() -> None:
    key = mirror_offsets.offset_key("region-a", "telemetry-logs", 4)
    assert key == b'["MirrorSourceConnector",{"cluster":"region-a","partition":4,"topic":"telemetry-logs"}]'
    assert mirror_offsets.offset_value(8) == b'{"offset":7}'
    assert mirror_offsets.offset_value(0) is None
    assert mirror_offsets.parse(key, mirror_offsets.offset_value(8), "region-a") == ("telemetry-logs", 4, 8)
    assert mirror_offsets.parse(key, None, "region-a") == ("telemetry-logs", 4, 0)
    assert mirror_offsets.parse(key, mirror_offsets.offset_value(8), "region-b") is None
