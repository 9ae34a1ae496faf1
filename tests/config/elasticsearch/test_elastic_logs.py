"""The log indexer from a real Kafka broker to a real Elasticsearch: found, and written once whatever is killed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import pytest
from confluent_kafka import Consumer, Producer

from components.search.access import ERASER
from components.search.indices import LOGS
from ops.core.web import Web
from ops.privacy.stores import Family, SearchStore
from ops.telemetry.logs import LogReader, Wanted
from services.log_indexer import LogIndexerSettings
from services.log_indexer.__main__ import Indexer
from tests.config.log_indexer_process import TOPIC, TRACE, LogsHarness, log_records
from tests.config.pki import write_certificates
from tests.config.search.documents import ANALYSED, cut
from tests.config.search_process import SearchProcesses, password_of
from tests.config.servers import eventually
from tests.support import kafka_broker

pytestmark = pytest.mark.drill

TEXTS = {
    0: "segment 7 was not stored",
    1: "録画の保存に失敗しました",
    2: "ﾃﾞｨｽｸがいっぱいです",
    3: "患者ＡＢＣの記録を開けません",
}


@pytest.fixture(scope="module")
def logs(cluster: SearchProcesses, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogsHarness]:
    folder = tmp_path_factory.mktemp("logs")
    write_certificates(folder)
    (folder / "kafka").mkdir()
    with kafka_broker.running(folder / "kafka") as broker:
        broker.create_topics([TOPIC], 3)
        harness = LogsHarness(folder, broker, cluster)
        send(harness, TEXTS)
        with harness.indexer("first"):
            eventually(lambda: harness.numbers() == set(TEXTS), 60, "the logs are in the index")
        yield harness


@pytest.fixture(scope="module")
def reader(logs: LogsHarness) -> Iterator[LogReader]:
    """What `ops logs` reads with."""
    web = Web(str(logs.search.ca))
    yield LogReader(web, logs.search.nodes[0].url, ("log-reader", password_of("log-reader")))
    web.close()


def send(logs: LogsHarness, bodies: Mapping[int, str]) -> None:
    """A record of its own for each log, over all partitions."""
    producer = Producer(logs.broker.client())
    for number, body in bodies.items():
        producer.produce(TOPIC, log_records({number: body}), partition=number % 3)
    assert producer.flush(60) == 0


def test_logs_are_found_by_trace_service_and_level(logs: LogsHarness, reader: LogReader) -> None:
    assert len(reader.rows(Wanted(trace=TRACE.hex()), 100)) == len(logs.numbers())
    assert len(reader.rows(Wanted(service="recorder", level="error"), 100)) == len(logs.numbers())
    assert reader.rows(Wanted(trace="f" * 32), 100) == []
    assert reader.rows(Wanted(service="other"), 100) == []
    assert reader.rows(Wanted(service="recorder", level="fatal"), 100) == []


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        ("SEGMENT stored", [0]),
        ("segment 8", []),
        ("保存に失敗", [1]),
        ("録", [1, 3]),
        ("画録", []),
        ("ディスク", [2]),
        ("患者abc", [3]),
        ("記録を開け", [3]),
    ],
)
def test_logs_are_found_by_words_and_by_parts_of_japanese_texts(
    reader: LogReader, words: str, numbers: list[int]
) -> None:
    texts = {row.text.partition(" | ")[0] for row in reader.rows(Wanted(text=words), 100)}
    assert texts == {TEXTS[number] for number in numbers}


@pytest.mark.parametrize(("text", "expected"), ANALYSED)
def test_texts_are_cut_as_opensearch_cuts_them(logs: LogsHarness, text: str, expected: tuple[str, str]) -> None:
    """The same cases as in `tests.config.search.test_search_analysis`, whose server has the whole module."""
    assert cut(logs.search, text) == expected


def test_attributes_are_found_by_their_key(logs: LogsHarness) -> None:
    query = {"query": {"term": {"attributes.attempt": "2"}}}
    answer = logs.search.ask("GET", "/logs-read/_search", "log-reader", query).json()
    assert [hit["_source"]["body"] for hit in answer["hits"]["hits"]] == [TEXTS[2]]


def test_a_resource_is_found_by_its_attributes_and_read_as_it_came(logs: LogsHarness, reader: LogReader) -> None:
    assert len(reader.rows(Wanted(origin=("service.instance.id=recorder-1",)), 100)) == len(logs.numbers())
    assert reader.rows(Wanted(origin=("service.instance.id=recorder-2",)), 100) == []
    assert {source["resource"]["service.instance.id"] for source in logs.sources()} == {"recorder-1"}


def test_a_pseudonym_is_found_in_resources(logs: LogsHarness) -> None:
    pseudonym, before = "c3" * 32, logs.numbers()
    producer = Producer(logs.broker.client())
    producer.produce(TOPIC, log_records({2000: "taken off"}, device_id=pseudonym))
    assert producer.flush(60) == 0
    with logs.indexer("of-a-person"):
        eventually(lambda: logs.numbers() == before | {2000}, 60, "the log is in the index")
    web = Web(str(logs.search.ca))
    try:
        store = SearchStore(web, logs.search.nodes[0].url, (ERASER, password_of(ERASER)))
        assert store.find(Family(name=LOGS, keep_s=86400.0), pseudonym).matches == 1
        assert store.find(Family(name=LOGS, keep_s=86400.0), "c4" * 32).matches == 0
    finally:
        web.close()


def test_a_killed_indexer_loses_nothing_and_writes_nothing_twice(logs: LogsHarness) -> None:
    count, before, added = logs.count(), logs.numbers(), set(range(100, 400))
    send(logs, {number: f"segment {number} was lost" for number in added})
    with logs.indexer("killed", kill=True, batch_records=10):
        eventually(lambda: bool(logs.numbers() & added), 60, "some of the logs are in the index")
    with logs.indexer("after"):
        eventually(lambda: logs.numbers() == before | added, 90, "all of them are")
        time.sleep(1)
    assert logs.count() == count + len(added)


def test_reading_everything_again_makes_no_second_document(logs: LogsHarness) -> None:
    count, records = logs.count(), len(logs.numbers())
    indexer = Indexer(
        LogIndexerSettings.parse(logs.settings()), connect=lambda options: Consumer(options | {"group.id": "again"})
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and indexer.registry.get_sample_value("log_indexer_documents_total") != records:
        indexer.turn()
    assert indexer.registry.get_sample_value("log_indexer_documents_total") == records
    indexer.stop()
    indexer.run()
    assert logs.count() == count


def test_with_a_wrong_password_it_waits_and_loses_nothing(logs: LogsHarness) -> None:
    before = logs.numbers()
    send(logs, {1000: "it waits"})
    (logs.folder / "wrong-password").write_text("wrong")
    search = logs.settings()["search"] | {"password_file": str(logs.folder / "wrong-password")}
    with logs.indexer("wrong", search=search) as log:
        eventually(lambda: "answered 401" in log.read_text(), 60, "the refusal is told")
        assert logs.numbers() == before
    with logs.indexer("right"):
        eventually(lambda: logs.numbers() == before | {1000}, 60, "it was kept")
