"""The indexer's loop: nothing is committed that the index has not, nothing is lost, nothing blocks for ever."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData

from services.log_indexer import __main__ as program
from services.log_indexer.__main__ import Indexer, Outcome, first
from services.log_indexer.documents import Document, name_of
from services.runtime.json_api import ApiError
from tests.unit.services.indexer_fakes import Consumer, Message, Writer, indexer, logs


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "_PAUSES_S", (0.0,))


def value(log_indexer: Indexer, name: str, **labels: str) -> float:
    sample = log_indexer.registry.get_sample_value(name, labels)
    return sample or 0.0


def test_offsets_are_committed_after_the_index_has_everything(tmp_path: Path) -> None:
    consumer = Consumer([[Message(4, logs("a", "b")), Message(5, logs("c")), Message(9, logs("d"), partition=1)]])
    writer = Writer()
    log_indexer = indexer(tmp_path, consumer, writer)
    assert log_indexer.turn() == 3
    assert consumer.committed == [[(0, 6), (1, 10)]]
    assert sorted(writer.index) == [f"telemetry-logs-{end}" for end in ("0-4-0", "0-4-1", "0-5-0", "1-9-0")]
    assert value(log_indexer, "log_indexer_documents_total") == 4
    assert value(log_indexer, "log_indexer_records_total") == 3


def test_documents_that_have_to_wait_are_sent_again_and_only_those(tmp_path: Path) -> None:
    consumer = Consumer([[Message(1, logs("a", "b", "c"))]])
    writer = Writer(lambda sent: Outcome(written=2, waiting=[sent[1]], reason="429 busy"))
    log_indexer = indexer(tmp_path, consumer, writer)
    log_indexer.turn()
    assert writer.requests[1] == ["telemetry-logs-0-1-1"]
    assert len(writer.index) == 3
    assert consumer.committed == [[(0, 2)]]
    assert value(log_indexer, "log_indexer_documents_total") == 3
    assert value(log_indexer, "log_indexer_failures_total", stage="search") == 1


def test_a_search_cluster_that_is_away_blocks_and_loses_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    consumer = Consumer([[Message(1, logs("a"))]])
    writer = Writer(*[ApiError("https://search cannot be reached") for _ in range(20)])
    log_indexer = indexer(tmp_path, consumer, writer)
    log_indexer.turn()
    assert len(writer.requests) == 21
    assert consumer.committed == [[(0, 2)]]
    assert (consumer.paused, consumer.resumed) == (20, 20), "while it waits, Kafka must not think it dead"
    told = capsys.readouterr().err.splitlines()
    assert told == [
        "log-indexer: search: https://search cannot be reached",
        "log-indexer: the index takes documents again",
    ]


def test_a_document_that_the_index_can_never_take_is_counted_and_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    consumer = Consumer([[Message(1, logs("good", "himitsu"))]])
    writer = Writer(lambda sent: Outcome(written=1, rejected=[(sent[1], "mapper_parsing_exception")]))
    log_indexer = indexer(tmp_path, consumer, writer)
    log_indexer.turn()
    assert consumer.committed == [[(0, 2)]]
    assert value(log_indexer, "log_indexer_rejected_documents_total", reason="mapper_parsing_exception") == 1
    told = capsys.readouterr().err
    assert "telemetry-logs-0-1-1 for good: mapper_parsing_exception" in told
    assert "himitsu" not in told


def test_a_record_that_holds_no_logs_is_counted_and_passed_over(tmp_path: Path) -> None:
    consumer = Consumer([[Message(1, b"\xff\xffgarbage"), Message(2, logs("a"))]])
    writer = Writer()
    log_indexer = indexer(tmp_path, consumer, writer)
    log_indexer.turn()
    assert list(writer.index) == ["telemetry-logs-0-2-0"]
    assert consumer.committed == [[(0, 3)]]
    assert value(log_indexer, "log_indexer_undecodable_records_total") == 1


def test_records_beside_an_error_are_not_lost(tmp_path: Path) -> None:
    grave = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    consumer = Consumer([[Message(1, logs("a")), Message(0, None, error=grave)], [Message(0, None, error=grave)]])
    writer = Writer()
    log_indexer = indexer(tmp_path, consumer, writer)
    log_indexer.turn()
    assert list(writer.index) == ["telemetry-logs-0-1-0"]
    with pytest.raises(KafkaException):
        log_indexer.turn()


def test_a_commit_that_fails_is_tried_again_without_reading_on(tmp_path: Path) -> None:
    consumer = Consumer([[Message(1, logs("a"))], [Message(2, logs("b"))]])
    consumer.commit_errors = [KafkaException(KafkaError(KafkaError.REQUEST_TIMED_OUT))]
    writer = Writer()
    log_indexer = indexer(tmp_path, consumer, writer)
    with pytest.raises(KafkaException):
        log_indexer.turn()
    assert log_indexer.turn() == 1
    assert consumer.committed == [[(0, 2)]]
    assert writer.requests == [["telemetry-logs-0-1-0"]]


def test_who_cannot_commit_polls_since_a_member_that_was_silent_for_long_only_comes_back_so(tmp_path: Path) -> None:
    consumer = Consumer([[Message(1, logs("a"))]])
    consumer.commit_errors = [KafkaException(KafkaError(KafkaError.UNKNOWN_MEMBER_ID))]
    consumer.polled = [Message(7, logs("given anew"), partition=3)]
    log_indexer = indexer(tmp_path, consumer, Writer())
    with pytest.raises(KafkaException):
        log_indexer.turn()
    assert log_indexer.turn() == 2
    assert consumer.polled == []
    assert consumer.committed == [[(0, 2), (3, 8)]]


def test_a_record_that_comes_while_it_waits_is_kept(tmp_path: Path) -> None:
    consumer = Consumer([[Message(1, logs("a"))]])
    consumer.polled = [Message(7, logs("early"), partition=3)]
    writer = Writer(ApiError("away"))
    log_indexer = indexer(tmp_path, consumer, writer)
    assert log_indexer.turn() == 2
    assert sorted(writer.index) == ["telemetry-logs-0-1-0", "telemetry-logs-3-7-0"]
    assert consumer.committed == [[(0, 2), (3, 8)]]


def test_reading_the_same_again_makes_no_second_document(tmp_path: Path) -> None:
    writer = Writer()
    for _ in range(2):
        indexer(tmp_path, Consumer([[Message(1, logs("a", "b"))]]), writer).turn()
    assert len(writer.index) == 2


def test_when_asked_to_stop_it_commits_nothing_that_the_index_lacks(tmp_path: Path) -> None:
    consumer = Consumer([[Message(1, logs("a"))]])
    writer = Writer(*[ApiError("away") for _ in range(100)])
    log_indexer = indexer(tmp_path, consumer, writer)
    log_indexer.stop()
    assert log_indexer.turn() == 0
    log_indexer.run()
    assert consumer.committed == []
    assert consumer.closed


def test_no_offset_is_stored_behind_its_back(tmp_path: Path) -> None:
    consumer = Consumer([])
    indexer(tmp_path, consumer, Writer())
    assert consumer.options["enable.auto.commit"] is False
    assert consumer.options["auto.offset.reset"] == "earliest"
    assert consumer.options["group.id"] == consumer.options["sasl.username"] == "log-indexer"
    assert consumer.options["security.protocol"] == "sasl_ssl"


def test_requests_are_cut_by_size_and_hold_one_document_at_least() -> None:
    documents = [Document(b"x" * 1000) for number in range(5)]
    assert len(first(documents, 2500)) == 2
    assert len(first(documents, 10)) == 1
    assert len(first(documents, 10**6)) == 5
    assert first([], 10) == []


def test_a_backlog_is_decoded_request_by_request(tmp_path: Path) -> None:
    """Documents are several times as large as their records: all of a backlog at once would not fit into memory."""
    consumer = Consumer([[Message(number, logs(*["x" * 1000] * 100)) for number in range(50)]])
    held: list[int] = []

    def take(sent: Sequence[Document]) -> Outcome:
        held.append(sum(map(len, log_indexer._left)))
        return Outcome(written=len(sent))

    writer = Writer(*[take] * 100)
    log_indexer = indexer(tmp_path, consumer, writer)
    assert log_indexer.turn() == 50
    assert len(writer.index) == 5000
    assert max(held) < 2 * 1_000_000, "one request, and a record more"
    assert len(held) >= 5
    assert consumer.committed == [[(0, 50)]]


def repeated(resource_bytes: int, records: int) -> bytes:
    """A record of many small logs with a large resource, which each document has whole."""
    content = LogsData()
    logs_of = content.resource_logs.add()
    for number in range(resource_bytes // 4000):
        logs_of.resource.attributes.add(key=f"host.name.{number}").value.string_value = "x" * 3980
    scope = logs_of.scope_logs.add()
    for number in range(records):
        scope.log_records.add(time_unix_nano=1).body.string_value = str(number)
    return content.SerializeToString()


class CountingWriter(Writer):
    """Takes everything and keeps names alone."""

    def __init__(self) -> None:
        super().__init__()
        self.written: Counter[str] = Counter()
        self.largest = 0

    def write(self, documents: Sequence[Document]) -> Outcome:
        self.written.update(map(name_of, documents))
        self.largest = max(self.largest, len(b"".join(documents)))
        return Outcome(written=len(documents))


def test_a_record_of_many_documents_that_repeat_a_large_resource_fits_into_memory(tmp_path: Path) -> None:
    resource, records = 2_000_000, 2_000
    consumer = Consumer(
        [[Message(1, logs("first")), Message(2, repeated(resource, records)), Message(3, logs("last"))]]
    )
    writer = CountingWriter()
    log_indexer = indexer(tmp_path, consumer, writer)
    tracemalloc.start()
    try:
        assert log_indexer.turn() == 3
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 32 * 2**20, "a request, a document more, and the record"
    assert writer.largest < 1_000_000 + 2 * resource + 100_000, "a document has it as an object and as texts"
    names = ["telemetry-logs-0-1-0", *(f"telemetry-logs-0-2-{number}" for number in range(records))]
    assert writer.written == Counter([*names, "telemetry-logs-0-3-0"])
    assert consumer.committed == [[(0, 4)]]


def test_a_record_is_committed_when_all_of_its_documents_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn that takes long commits what is done, tells Kafka that it is there, and ends when it is asked to."""
    monkeypatch.setattr(program, "_LONG_S", -1.0)
    consumer = Consumer([[Message(1, logs("a")), Message(2, repeated(300_000, 5)), Message(3, logs("b"))]])
    consumer.polled = [Message(7, logs("early"), partition=3)]
    writer = CountingWriter()
    log_indexer = indexer(tmp_path, consumer, writer)
    before: list[tuple[int, list[list[tuple[int, int]]]]] = []
    pause = log_indexer._pause
    monkeypatch.setattr(
        log_indexer,
        "_pause",
        lambda seconds: (before.append((len(writer.written), list(consumer.committed))), pause(seconds))[1],
    )
    log_indexer.turn()
    assert before[0] == (2, [[(0, 2)]]), "the second record is not committed by its first document"
    assert all(offset <= 2 for written, committed in before if written < 6 for done in committed for _, offset in done)
    assert set(writer.written.values()) == {1}
    assert len(writer.written) == 8
    assert dict(end for done in consumer.committed for end in done) == {0: 4, 3: 8}
    assert consumer.paused == len(before) > 2
    assert value(log_indexer, "log_indexer_records_total") == 4


def test_when_asked_to_stop_within_a_record_it_is_not_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "_LONG_S", -1.0)
    consumer = Consumer([[Message(1, repeated(600_000, 5))]])
    writer = CountingWriter()
    log_indexer = indexer(tmp_path, consumer, writer)
    log_indexer.stop()
    assert log_indexer.turn() == 0
    assert 0 < len(writer.written) < 5
    assert consumer.committed == []


def test_logs_before_what_cannot_be_decoded_are_written(tmp_path: Path) -> None:
    content = LogsData.FromString(logs("a", "b", "c"))
    content.resource_logs[0].scope_logs[0].log_records[2].attributes.add(key="spoilt").value.string_value = "x" * 20
    raw = content.SerializeToString()
    assert raw.count(b"spoilt\x12") == 1
    consumer = Consumer([[Message(1, raw.replace(b"spoilt\x12", b"spoilt\x1f")), Message(2, logs("d"))]])
    writer = Writer()
    log_indexer = indexer(tmp_path, consumer, writer)
    log_indexer.turn()
    assert list(writer.index) == ["telemetry-logs-0-1-0", "telemetry-logs-0-1-1", "telemetry-logs-0-2-0"]
    assert consumer.committed == [[(0, 3)]]
    assert value(log_indexer, "log_indexer_undecodable_records_total") == 1
