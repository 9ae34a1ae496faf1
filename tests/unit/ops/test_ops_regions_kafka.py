"""What a failover asks of Kafka, and what it reads there, on a real broker."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from confluent_kafka import Producer

from ops.errors import OpsError
from ops.kafka import ADMIN, KafkaAdmin, client_settings
from ops.platform import Platform, parse
from ops.regions import act, back, look, seed
from ops.regions.journal import Done
from ops.regions.region import opened
from ops.regions.work import Work
from tests.support import kafka_broker
from tests.unit.ops.regions_world import TOPICS, A, B, operation, world

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, made_up: Mapping[str, Any]) -> Iterator[Platform]:
    with kafka_broker.running(tmp_path_factory.mktemp("broker")) as broker:
        found = parse(
            {
                **made_up,
                "ca_certificate": broker.ca,
                "kafka_bootstrap": broker.bootstrap,
                "kafka_admin": {"username": broker.username, "password": broker.password},
            }
        )
        wanted = [ADMIN.NewTopic(name, 2, 1, config={"min.insync.replicas": "1"}) for name in TOPICS]
        wanted.append(ADMIN.NewTopic("careful", 1, 1, config={"min.insync.replicas": "2"}))
        admin = KafkaAdmin(found)
        for future in admin.client.create_topics(wanted).values():
            future.result(timeout=20)
        yield found


def produce(platform: Platform, topic: str, count: int, at: datetime | None = None) -> None:
    producer = Producer({**client_settings(platform, platform.kafka_admin), "acks": "all"})
    stamp = int((at or datetime.now(UTC)).timestamp() * 1000)
    for number in range(count):
        producer.produce(topic, str(number).encode(), key=str(number).encode(), timestamp=stamp)
    assert producer.flush(20) == 0


def test_topics_that_can_be_written_are_good(platform: Platform) -> None:
    assert look.kafka(KafkaAdmin(platform), TOPICS) == "6 partitions online and in sync"


def test_a_topic_with_too_few_copies_or_that_is_not_there_is_named(platform: Platform) -> None:
    with pytest.raises(OpsError) as caught:
        look.kafka(KafkaAdmin(platform), (*TOPICS, "careful", "none"))
    assert str(caught.value) == ("careful has partitions with less than 2 copies in sync: 0; topic none is not there")


def test_the_newest_record_of_each_topic_has_its_writers_time(platform: Platform) -> None:
    old = datetime.now(UTC) - timedelta(hours=1)
    produce(platform, "alerts-raw", 4, old)
    found = look.newest(KafkaAdmin(platform), ("alerts-raw", "alerts-processed"))
    assert set(found) == {"alerts-raw"}
    assert abs((found["alerts-raw"] - old).total_seconds()) < 0.01


def test_notes_are_read_as_they_were_written_and_each_look_reads_only_what_is_new(platform: Platform) -> None:
    notes = seed.Notes(platform, "region-a")
    assert notes.read() == {}
    seed.seed(platform, "region-a", {"telemetry-metrics": {0: 7, 1: 3}})
    assert notes.read() == {"telemetry-metrics": {0: 7, 1: 3}}
    seed.seed(platform, "region-a", {"telemetry-metrics": {1: 9}})
    began = time.monotonic()
    assert notes.read() == {"telemetry-metrics": {0: 7, 1: 9}}
    assert notes.read() == {"telemetry-metrics": {0: 7, 1: 9}}
    assert time.monotonic() - began < 10


def test_what_is_behind_is_what_is_kept_and_not_copied(platform: Platform) -> None:
    produce(platform, "telemetry-metrics", 10)
    found = seed.marks(platform, ["telemetry-metrics"])
    assert sum(found.ends["telemetry-metrics"].values()) == 10
    assert found.behind({}) == 10
    assert found.behind(found.ends) == 0
    gone = seed.Marks(lows=found.ends, ends=found.ends)
    assert gone.behind({}) == 0
    with pytest.raises(OpsError, match="topic none is not there"):
        seed.marks(platform, ["none"])


@pytest.fixture
def work(platform: Platform, made_up: Mapping[str, Any]) -> Iterator[Work]:
    """A failback whose two regions are one broker: what one of them has and what the other copied is told by notes."""

    def of(region: str, role: str) -> Platform:
        own = shared.platform(made_up, region, role)
        return platform.model_copy(update={"regions": own.regions, "topics": TOPICS})

    with world() as shared, opened(platform=of(A, "primary")) as target, opened(platform=of(B, "primary")) as other:
        journal = operation(shared.witness, kind="failback", target=A, source=B, planned=True)
        yield Work(
            target=target, source=B, witness=shared.witness, journal=journal, by="me", tell=lambda _: None, other=other
        )


def test_a_mirror_is_told_where_to_begin_unless_it_runs(work: Work, platform: Platform) -> None:
    ends = seed.marks(platform, TOPICS).ends
    now = datetime.now(UTC)
    work.journal.operation.steps["both"] = Done(began=now, ended=now, figures={"offsets": seed.as_json(ends)})
    assert back.seed_target(work) == {"notes": 6}
    assert seed.Notes(platform, B).read() == {topic: dict(parts) for topic, parts in ends.items()}
    work.target.access = work.target.access.model_copy(update={"role": "standby"})
    assert back.seed_target(work) == {"notes": 0}
    assert work.problems == ["region-a is a standby already: its mirror goes on where it is"]


def test_caught_up_is_who_has_copied_what_there_is(
    work: Work, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed.seed(platform, B, seed.marks(platform, TOPICS).ends)
    assert back.catch_up(work)["caught_up_after_s"] < 20
    produce(platform, "telemetry-metrics", 7)
    monkeypatch.setattr(back, "CATCH_UP_S", 3.0)
    monkeypatch.setattr(back, "WITHIN_S", 1.0)
    with pytest.raises(OpsError, match="the mirror of region-a is 7 records behind after 3 s"):
        back.catch_up(work)
    monkeypatch.setattr(act, "COPIED_S", 3.0)
    monkeypatch.setattr(act, "_MARGIN_S", 0.0)
    with pytest.raises(OpsError, match="waited 3 s in vain for region-a to have copied what region-b had"):
        act.drain(work)
    seed.seed(platform, B, seed.marks(platform, TOPICS).ends)
    assert act.drain(work)["waited_s"] == 1.0


def test_what_came_to_the_old_region_too_late_is_counted(work: Work, platform: Platform) -> None:
    ends = seed.marks(platform, TOPICS).ends
    seed.seed(platform, B, ends)
    now = datetime.now(UTC)
    work.journal.operation.steps["offsets"] = Done(began=now, ended=now, figures={"offsets": seed.as_json(ends)})
    produce(platform, "telemetry-metrics", 3)
    assert back.seed_source(work) == {"notes": 6, "left_behind": 3}
    assert seed.Notes(platform, A).read()["telemetry-metrics"] == ends["telemetry-metrics"]
    assert work.problems == ["3 records came to region-b after its names led elsewhere: they are there alone"]


def test_offsets_survive_a_journal(platform: Platform) -> None:
    found = seed.marks(platform, ["telemetry-metrics"]).ends
    assert seed.from_json(json.loads(json.dumps(seed.as_json(found)))) == found


@pytest.mark.parametrize(
    "key", [None, b"", b"[]", b'["Other",{"cluster":"region-a"}]', b'["MirrorSourceConnector",{}]']
)
def test_what_is_no_note_of_the_mirror_is_passed_over(key: bytes | None) -> None:
    assert seed.parse(key, b'{"offset":1}', "region-a") is None


def test_a_note_holds_the_last_copied_record_and_none_means_from_the_first_on() -> None:
    key = seed.key_of("region-a", "telemetry-logs", 4)
    assert key == b'["MirrorSourceConnector",{"cluster":"region-a","partition":4,"topic":"telemetry-logs"}]'
    assert seed.note_of(8) == b'{"offset":7}'
    assert seed.note_of(0) is None
    assert seed.parse(key, seed.note_of(8), "region-a") == ("telemetry-logs", 4, 8)
    assert seed.parse(key, None, "region-a") == ("telemetry-logs", 4, 0)
    assert seed.parse(key, seed.note_of(8), "region-b") is None
