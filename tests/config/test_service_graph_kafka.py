"""The service graph with a real Kafka broker, and a search cluster that keeps documents by name."""

from __future__ import annotations

import base64
import itertools
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from prometheus_client import generate_latest

from services.runtime.json_api import ApiError, WriteAlias
from services.service_graph import ServiceGraphSettings
from services.service_graph.__main__ import Program
from tests.config.servers import eventually
from tests.support import kafka_broker
from tests.unit.services.graph_records import CLIENT, One, record
from tests.unit.services.test_service_graph_parts import content

INDEX = "internal-jaeger-dependencies-write"
TOPIC, PARTITIONS = "traces", 2
_NUMBERS = itertools.count()


@dataclass
class Search:
    """The documents by path, and whether it takes any."""

    port: int = 0
    away: bool = False
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    written: int = 0
    users: set[str] = field(default_factory=set)

    def calls(self, client: str) -> int:
        """Calls of one caller in all documents."""
        links = [link for document in self.documents.values() for link in document["dependencies"]]
        return sum(link["callCount"] for link in links if link["parent"] == client)


@pytest.fixture(scope="module")
def search_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("graph")
    (folder / "kafka").mkdir()
    kafka_broker.write_certificates(folder / "tls")
    (folder / "search-password").write_text("search-secret\n")
    (folder / "scrape-password").write_text("scrape-secret\n")
    return folder


@pytest.fixture
def search(search_folder: Path) -> Iterator[Search]:
    state = Search()

    class Handler(BaseHTTPRequestHandler):
        timeout = 60

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.users.add(base64.b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode())
            if state.away:
                self.send_response(503)
                self.end_headers()
                self.wfile.write(b"no\nquorum")
                return
            state.documents[self.path] = json.loads(body)
            state.written += 1
            self.send_response(201)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the test output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(search_folder / "tls" / "cert.pem", search_folder / "tls" / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join(60)


@pytest.fixture(scope="module")
def broker(search_folder: Path) -> Iterator[kafka_broker.Broker]:
    with kafka_broker.running(search_folder / "kafka") as running:
        yield running


@dataclass(frozen=True)
class Place:
    """The topic, and names of services that only one test has."""

    client: dict[str, str]
    settings: ServiceGraphSettings
    caller: str
    called: str

    def requests(self, graph_program: Program) -> float:
        """Calls that Prometheus sees."""
        return metric(
            graph_program, f'traces_service_graph_request_total{{client="{self.caller}",server="{self.called}"}}'
        )

    def pair(self, number: int) -> tuple[bytes, bytes]:
        """Caller and called of one trace, in records of their own."""
        trace = f"{number}-{self.caller}"[-16:]
        return (
            record(One(self.caller, "1", kind=CLIENT, trace=trace)),
            record(One(self.called, "2", parent="1", trace=trace)),
        )

    def send(self, *records: bytes) -> None:
        producer = Producer(self.client)
        for value in records:
            producer.produce(self.settings.kafka.topic, value)
        assert producer.flush(60) == 0


@pytest.fixture(scope="module")
def client(broker: kafka_broker.Broker) -> dict[str, str]:
    """Settings of a client, once the topic is there."""
    broker.create_topics([TOPIC], PARTITIONS)
    return broker.client()


@pytest.fixture
def place(search_folder: Path, broker: kafka_broker.Broker, client: dict[str, str], search: Search) -> Place:
    (search_folder / "kafka-ca.pem").write_text(broker.ca)
    (search_folder / "kafka-password").write_text(broker.password)
    given = content()
    given["kafka"] |= {
        "bootstrap": broker.bootstrap,
        "topic": TOPIC,
        "ca_file": str(search_folder / "kafka-ca.pem"),
        "username": broker.username,
        "group": broker.username,
        "password_file": str(search_folder / "kafka-password"),
    }
    given["search"] |= {
        "url": f"https://127.0.0.1:{search.port}",
        "server_name": "localhost",
        "ca_file": str(search_folder / "tls" / "ca.pem"),
        "password_file": str(search_folder / "search-password"),
    }
    number = next(_NUMBERS)
    return Place(client, ServiceGraphSettings.parse(given | {"interval_s": 1}), f"a{number}", f"b{number}")


@contextmanager
def program(place: Place, *, interval_s: float = 1) -> Iterator[Program]:
    """A program that turns until the block ends, and then leaves without a last commit, as a killed one would."""
    graph_program = Program(place.settings.model_copy(update={"interval_s": interval_s}))
    try:
        yield graph_program
    finally:
        graph_program._reader.close()


def turn(graph_program: Program, until: Callable[[], bool], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        graph_program.turn()


def metric(graph_program: Program, line: str) -> float:
    for sample in generate_latest(graph_program.registry).decode().splitlines():
        if sample.startswith(f"{line} "):
            return float(sample.rsplit(" ", 1)[1])
    return 0.0


def read_to_the_end(graph_program: Program) -> bool:
    """Whether nothing in the topic is left to read, of what is read again either."""
    reader = graph_program._reader
    ends = {
        number: reader._client.get_watermark_offsets(TopicPartition(TOPIC, number), timeout=60)[1]
        for number in range(PARTITIONS)
    }
    return {number: place.next for number, place in reader.places.items()} == ends


def test_calls_are_counted_served_and_written_for_jaeger(place: Place, search: Search) -> None:
    place.send(*(span for number in range(20) for span in place.pair(number)))
    with program(place) as graph_program:
        turn(graph_program, lambda: search.calls(place.caller) == 20, "a document with all calls")
        assert place.requests(graph_program) == 20
        assert metric(graph_program, "service_graph_spans_total") == 40
        assert metric(graph_program, "service_graph_documents_total") == search.written
        turn(
            graph_program,
            lambda: time.time() - metric(graph_program, "service_graph_last_document_timestamp_seconds") < 2,
            "progress",
        )
    # Several, where reading took longer than an interval.
    for path, written in search.documents.items():
        assert path.startswith(f"/{INDEX}/_doc/")
        assert path.endswith("?require_alias=true")
        assert [(link["parent"], link["child"]) for link in written["dependencies"]] == [(place.caller, place.called)]
    assert search.users == {"service-graph:search-secret"}


def test_a_restart_counts_nothing_twice_and_loses_nothing(place: Place, search: Search) -> None:
    first, second = place.pair(1), place.pair(2)
    place.send(*first, second[0])
    with program(place) as graph_program:
        turn(graph_program, lambda: search.calls(place.caller) == 1, "the first call is written")
        turn(graph_program, lambda: metric(graph_program, "service_graph_spans_total") == 3, "all are read")
        graph_program._reader.commit()
    place.send(second[1])
    with program(place) as graph_program:
        turn(
            graph_program,
            lambda: search.calls(place.caller) == 2,
            "the second call, whose parent the last process had read",
        )
        assert place.requests(graph_program) == 1, "the first call was counted by the last process"


def test_a_document_that_was_written_but_not_committed_is_replaced_by_a_fuller_one(
    place: Place, search: Search
) -> None:
    place.send(*place.pair(1))
    with program(place, interval_s=3600) as graph_program:
        turn(graph_program, lambda: place.requests(graph_program) == 1, "the call is found")
        graph_program._reader.commit()
        graph_program._write()
    assert search.calls(place.caller) == 1
    place.send(*place.pair(2))
    with program(place, interval_s=3600) as graph_program:
        turn(graph_program, lambda: read_to_the_end(graph_program), "both calls are read")
        assert place.requests(graph_program) == 1, "only the second call is new to Prometheus"
        graph_program._write()
    assert search.written == 2
    assert len(search.documents) == 1, "the same document"
    assert search.calls(place.caller) == 2


def test_while_the_search_cluster_is_away_counting_goes_on_and_nothing_is_lost(
    place: Place, search: Search, capsys: pytest.CaptureFixture[str]
) -> None:
    search.away = True
    place.send(*place.pair(1))
    with program(place) as graph_program:
        turn(
            graph_program,
            lambda: metric(graph_program, 'service_graph_failures_total{stage="search"}') >= 2,
            "two attempts failed",
        )
        assert place.requests(graph_program) == 1
        place.send(*place.pair(2))
        turn(graph_program, lambda: place.requests(graph_program) == 2, "reading goes on")
        search.away = False
        turn(graph_program, lambda: search.calls(place.caller) == 2, "both calls are written")
    errors = capsys.readouterr().err
    assert ": 503 no quorum" in errors
    assert "search-secret" not in errors


def test_a_record_that_is_no_trace_is_counted_and_passed_over(place: Place, search: Search) -> None:
    place.send(b"\xff\xff\xff", *place.pair(1))
    with program(place) as graph_program:
        turn(graph_program, lambda: search.calls(place.caller) == 1, "what follows is read")
        assert metric(graph_program, "service_graph_undecodable_records_total") == 1


def test_a_cluster_of_another_name_is_not_written_to(place: Place, search: Search) -> None:
    settings = place.settings.search
    other = WriteAlias(settings.model_copy(update={"server_name": "elsewhere"}), read_s=5)
    with pytest.raises(ApiError, match=r"no answer: .*CERTIFICATE_VERIFY_FAILED"):
        other.put("x", {})
    assert not search.documents


def test_a_program_that_is_told_to_stop_commits_and_ends(place: Place, search: Search) -> None:
    stop = threading.Event()
    graph_program = Program(place.settings)
    thread = threading.Thread(target=graph_program.run, args=(stop,), daemon=True)
    thread.start()
    try:
        place.send(*place.pair(1))
        eventually(lambda: search.calls(place.caller) >= 1, 20, "a document")
        assert graph_program.alive()
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()
