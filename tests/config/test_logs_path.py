"""The whole path of logs with real servers: gateway, Kafka, indexer, search cluster, also for the dirty corpus."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from confluent_kafka import Consumer, Producer
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from components.search import access, indices
from components.search.config import Engine
from components.search.indices import IndexPolicy
from components.telemetry.layers import TOPIC_OF_SIGNAL, Signal
from lab.paths import CHECKOUT
from ops.core.web import Web
from ops.telemetry.logs import LogReader, Wanted
from services.log_indexer.__main__ import Indexer
from services.log_indexer.settings import LogIndexerSettings
from tests.config.gateway_process import GatewayProcess, gateway_data, gateway_process
from tests.config.search_process import SearchProcesses, password_of, search_processes
from tests.config.servers import eventually, free_port, running
from tests.support import kafka_broker
from tests.support.dirty import records as corpus
from tests.support.dirty.records import DIRTY_FILES, LAYER, load
from tests.support.kafka_broker import Broker

TOPIC = TOPIC_OF_SIGNAL[Signal.LOGS]
POLICY = IndexPolicy(shards=1, replicas=0, retention_days=14)
FAMILY = next(
    family for family in indices.families(Engine.OPENSEARCH, traces=POLICY, logs=POLICY) if family.name == indices.LOGS
)
USERS = (
    access.log_writer("log-indexer"),
    access.log_reader("log-reader"),
    *access.own_users([FAMILY.name], Engine.OPENSEARCH),
)
TRACE = bytes(range(16))


@dataclass(frozen=True)
class LogsPath:
    """Everything that a log passes."""

    folder: Path
    broker: Broker
    gateway: GatewayProcess
    search: SearchProcesses

    def count(self) -> int:
        """Documents in the index."""
        self.search.as_admin("POST", f"/{FAMILY.name}-*/_refresh")
        return int(self.search.ask("GET", "/logs-read/_count", "log-reader").json()["count"])

    def sources(self) -> list[dict[str, Any]]:
        """All documents."""
        self.search.as_admin("POST", f"/{FAMILY.name}-*/_refresh")
        answer = self.search.ask("GET", "/logs-read/_search", "log-reader", {"size": 5000})
        return [hit["_source"] for hit in answer.json()["hits"]["hits"]]

    def settings(self) -> dict[str, Any]:
        """Content of the indexer's settings file."""
        folder = self.folder
        (folder / "kafka-ca.crt").write_text(self.broker.ca)
        (folder / "kafka-password").write_text(self.broker.password)
        (folder / "search-password").write_text(password_of("log-indexer"))
        (folder / "scrape-password").write_text("scrape")
        return {
            "kafka": {
                "bootstrap": self.broker.bootstrap,
                "topic": TOPIC,
                "ca_file": str(folder / "kafka-ca.crt"),
                "username": self.broker.username,
                "group": self.broker.username,
                "password_file": str(folder / "kafka-password"),
            },
            "search": {
                "url": self.search.nodes[0].url,
                "server_name": "localhost",
                "index": FAMILY.write_alias,
                "ca_file": str(self.search.ca),
                "username": "log-indexer",
                "password_file": str(folder / "search-password"),
            },
            "listen": f"127.0.0.1:{free_port()}",
            "tls": {"cert_file": str(folder / "tls.crt"), "key_file": str(folder / "tls.key")},
            "metrics": {"user": "scrape-log-indexer", "password_file": str(folder / "scrape-password")},
            "batch_records": 100,
            "batch_bytes": 200_000,
        }


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogsPath]:
    folder = tmp_path_factory.mktemp("logs")
    (folder / "kafka").mkdir()
    with search_processes(1, USERS) as search, kafka_broker.running(folder / "kafka") as broker:
        broker.create_topics([TOPIC], 3)
        assert search.as_admin("PUT", "/_index_template/logs", FAMILY.template()).status_code == 200
        first = {"aliases": {FAMILY.write_alias: {"is_write_index": True}}}
        assert search.as_admin("PUT", f"/{FAMILY.name}-000001", first).status_code == 200
        config = gateway_data(folder / "gateway", broker=broker)
        for name in ("tls.crt", "tls.key"):
            (folder / name).write_bytes((folder / "gateway" / name).read_bytes())
        with gateway_process(folder / "gateway", config) as gateway:
            yield LogsPath(folder, broker, gateway, search)


@contextmanager
def indexer(path: LogsPath, name: str, *, kill: bool = False) -> Iterator[Path]:
    """The program as its pod runs it; yields its log."""
    content = path.settings()
    file, log = path.folder / f"{name}.yaml", path.folder / f"{name}.log"
    file.write_text(yaml.safe_dump(content))
    command = [sys.executable, "-m", "services.log_indexer", "--config", str(file)]
    port = int(content["listen"].rpartition(":")[2])
    previous = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(CHECKOUT)
    try:
        with running(command, log, port, kill=kill):
            yield log
    finally:
        if previous is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = previous


def numbered(first: int, count: int) -> bytes:
    request = ExportLogsServiceRequest()
    logs = request.resource_logs.add()
    for key, value in {"layer": LAYER, "service.name": "recorder", "service.instance.id": "recorder-1"}.items():
        logs.resource.attributes.add(key=key).value.string_value = value
    scope = logs.scope_logs.add()
    for number in range(first, first + count):
        record = scope.log_records.add(time_unix_nano=time.time_ns(), severity_text="ERROR", severity_number=17)
        record.body.string_value = f"segment {number} was not stored"
        record.trace_id = TRACE
        record.attributes.add(key="attempt").value.int_value = number
    return request.SerializeToString()


def send(path: LogsPath, first: int, count: int) -> None:
    path.gateway.accept("logs", numbered(first, count), LAYER)


def number_set(path: LogsPath) -> set[int]:
    return {source["attributes"]["attempt"] for source in path.sources() if "attempt" in source.get("attributes", {})}


def test_logs_become_searchable_by_trace_service_level_and_text(path: LogsPath) -> None:
    send(path, 0, 20)
    with indexer(path, "first"):
        eventually(lambda: number_set(path) == set(range(20)), 60, "20 logs are in the index")
    web = Web(str(path.search.ca))
    try:
        reader = LogReader(web, path.search.nodes[0].url, ("log-reader", password_of("log-reader")))
        assert len(reader.rows(Wanted(trace=TRACE.hex()), 100)) == 20
        assert len(reader.rows(Wanted(service="recorder", level="error"), 100)) == 20
        assert reader.rows(Wanted(level="fatal"), 100) == []
        [row] = reader.rows(Wanted(text="segment 7 stored"), 100)
        assert row.text.startswith("segment 7 was not stored")
    finally:
        web.close()


def test_a_killed_indexer_loses_nothing_and_writes_nothing_twice(path: LogsPath) -> None:
    before = path.count()
    for repetition in range(3):
        for part in range(10):
            send(path, 100 + repetition * 100 + part * 10, 10)
        with indexer(path, f"killed-{repetition}", kill=True):
            time.sleep(1.5)
    with indexer(path, "after"):
        eventually(lambda: path.count() >= before + 300 and len(number_set(path)) == 20 + 300, 90, "all 300 are there")
        time.sleep(1)
    assert path.count() == before + 300


def test_reading_everything_again_makes_no_second_document(path: LogsPath) -> None:
    before = path.count()
    indexer = Indexer(
        LogIndexerSettings.parse(path.settings()), connect=lambda options: Consumer(options | {"group.id": "again"})
    )
    deadline, read = time.monotonic() + 60, 0
    while time.monotonic() < deadline and indexer.registry.get_sample_value("log_indexer_documents_total") != before:
        read += indexer.turn()
    indexer.stop()
    indexer.run()
    assert read > 0
    assert path.count() == before


@pytest.fixture(scope="module")
def serving(path: LogsPath) -> Iterator[Path]:
    """Log of an indexer that runs from here to the end of the file."""
    with indexer(path, "serving") as log:
        yield log


def test_a_record_that_is_no_log_does_not_hold_the_others_up(path: LogsPath, serving: Path) -> None:
    producer = Producer(path.broker.client())
    producer.produce(TOPIC, b"\xff\xffgarbage", partition=0)
    assert producer.flush(60) == 0
    send(path, 1000, 5)
    eventually(lambda: set(range(1000, 1005)) <= number_set(path), 60, "the logs after it are there")
    eventually(lambda: "it holds no logs" in serving.read_text(), 20, "it was told")


def test_a_search_cluster_that_refuses_is_waited_for(path: LogsPath, serving: Path) -> None:
    block = {"index.blocks.write": True}
    assert path.search.as_admin("PUT", f"/{FAMILY.name}-000001/_settings", block).status_code == 200
    send(path, 2000, 5)
    eventually(lambda: "search: 403" in serving.read_text(), 60, "the refusal is told")
    assert not set(range(2000, 2005)) & number_set(path)
    path.search.as_admin("PUT", f"/{FAMILY.name}-000001/_settings", {"index.blocks.write": False})
    eventually(lambda: set(range(2000, 2005)) <= number_set(path), 60, "the logs were kept")
    eventually(lambda: "takes documents again" in serving.read_text(), 20, "the end is told")


@pytest.mark.parametrize(
    ("first", "broken", "mended", "reason"),
    [
        (
            3000,
            ("PUT", f"/{FAMILY.name}-000009", {"aliases": {FAMILY.write_alias: {}}}),
            ("DELETE", f"/{FAMILY.name}-000009", None),
            "illegal_argument_exception",
        ),
        (
            4000,
            ("POST", f"/{FAMILY.name}-000001/_close", None),
            ("POST", f"/{FAMILY.name}-000001/_open", None),
            "index_closed_exception",
        ),
    ],
    ids=["leads to two indices, as after a restore", "leads to a closed index"],
)
def test_an_alias_that_takes_nothing_is_waited_for_although_the_cluster_answers_400(
    path: LogsPath,
    serving: Path,
    first: int,
    broken: tuple[str, str, dict[str, Any] | None],
    mended: tuple[str, str, dict[str, Any] | None],
    reason: str,
) -> None:
    only = {"actions": [{"add": {"index": f"{FAMILY.name}-000001", "alias": FAMILY.write_alias}}]}
    assert path.search.as_admin("POST", "/_aliases", only).status_code == 200
    assert path.search.as_admin(*broken).status_code == 200
    try:
        send(path, first, 5)
        eventually(lambda: f"search: 400 {reason}" in serving.read_text(), 60, "the refusal is told")
    finally:
        assert path.search.as_admin(*mended).status_code == 200
    eventually(lambda: set(range(first, first + 5)) <= number_set(path), 60, "the logs were kept")


def test_no_secret_of_the_corpus_is_in_kafka_the_index_or_a_log_of_ours(path: LogsPath, serving: Path) -> None:
    records = [record for name in DIRTY_FILES for record in load(name)]
    bodies = corpus.requests(records)[Signal.LOGS]
    before = path.count()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda body: path.gateway.accept("logs", body.SerializeToString(), LAYER), bodies))
    eventually(lambda: path.count() == before + len(bodies), 90, f"{len(bodies)} dirty logs are in the index")
    kafka = b"".join(_topic(path.broker)).decode(errors="replace")
    index = json.dumps(path.sources(), ensure_ascii=False)
    told = serving.read_text() + (path.gateway.folder / "otelcol.log").read_text()
    secrets = {
        secret for record in records if record.signal is Signal.LOGS for secret in record.secrets if len(secret) > 3
    }
    places = {"Kafka": kafka, "the index": index, "logs of ours": told}
    # A PIN of four digits is also part of some time or id: there, other digits stand beside it.
    wanted = {secret: re.compile(rf"(?<![0-9a-f]){re.escape(secret)}(?![0-9a-f])") for secret in secrets}
    leaks = {(place, secret) for place, text in places.items() for secret, one in wanted.items() if one.search(text)}
    print(f"masking: {len(secrets)} secrets of {len(bodies)} logs, {len(leaks)} readable in Kafka, index, own logs")
    assert leaks == set()


def _topic(broker: Broker) -> Iterator[bytes]:
    reader = Consumer(
        broker.client(**{"group.id": "look", "auto.offset.reset": "earliest", "enable.partition.eof": True})
    )
    reader.subscribe([TOPIC])
    ended, deadline = set[int](), time.monotonic() + 60
    try:
        while len(ended) < 3:
            assert time.monotonic() < deadline, "the topic was not read to its end within 60 s"
            message = reader.poll(1)
            if message is None:
                continue
            if message.error() is not None:
                ended.add(message.partition())
            else:
                yield message.value()
    finally:
        reader.close()


def test_its_metrics_need_their_password(path: LogsPath, serving: Path) -> None:
    content = yaml.safe_load(serving.with_suffix(".yaml").read_text())
    url = f"https://localhost:{content['listen'].rpartition(':')[2]}"
    authority = str(path.folder / "gateway" / "ca.crt")
    assert requests.get(f"{url}/metrics", verify=authority, timeout=60).status_code == 401
    answer = requests.get(f"{url}/metrics", auth=("scrape-log-indexer", "scrape"), verify=authority, timeout=60)
    assert "log_indexer_documents_total" in answer.text


def test_the_program_is_started_as_the_pod_starts_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.log_indexer", "--help"], capture_output=True, text=True, cwd=CHECKOUT
    )
    assert done.returncode == 0
