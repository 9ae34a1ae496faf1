"""The whole path of logs with real servers: gateway, Kafka, indexer, search cluster, also for the dirty corpus."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from confluent_kafka import Consumer, Producer

from components.search import access, indices
from components.search.config import Engine
from components.search.indices import IndexPolicy
from components.telemetry.layers import Signal
from lab.paths import CHECKOUT
from ops.core.web import Web
from ops.telemetry.logs import LogReader, Wanted
from services.log_indexer import LogIndexerSettings
from services.log_indexer.__main__ import Indexer
from tests.config.gateway_process import GatewayProcess, gateway_data, gateway_process
from tests.config.log_indexer_process import TOPIC, TRACE, LogsHarness, log_records
from tests.config.search_process import password_of, search_processes
from tests.config.servers import eventually
from tests.support import kafka_broker
from tests.support.dirty import records as corpus
from tests.support.dirty.records import DIRTY_FILES, LAYER, load
from tests.support.kafka_broker import Broker

POLICY = IndexPolicy(shards=1, replicas=0, retention_days=14)
FAMILY = next(
    family for family in indices.families(Engine.OPENSEARCH, traces=POLICY, logs=POLICY) if family.name == indices.LOGS
)
USERS = (
    access.log_writer("log-indexer"),
    access.log_reader("log-reader"),
    *access.own_users([FAMILY.name], Engine.OPENSEARCH),
)


@dataclass(frozen=True)
class LogsPath(LogsHarness):
    """Everything that a log passes."""

    gateway: GatewayProcess


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
            yield LogsPath(folder, broker, search, gateway)


def send(path: LogsPath, first: int, count: int) -> None:
    bodies = {number: f"segment {number} was not stored" for number in range(first, first + count)}
    path.gateway.accept("logs", log_records(bodies), LAYER)


def test_logs_become_searchable_by_trace_service_level_and_text(path: LogsPath) -> None:
    send(path, 0, 20)
    with path.indexer("first"):
        eventually(lambda: path.numbers() == set(range(20)), 60, "20 logs are in the index")
    web = Web(str(path.search.ca))
    try:
        reader = LogReader(web, path.search.nodes[0].url, ("log-reader", password_of("log-reader")))
        assert len(reader.rows(Wanted(trace=TRACE.hex()), 100)) == 20
        assert len(reader.rows(Wanted(service="recorder", level="error"), 100)) == 20
        assert reader.rows(Wanted(level="fatal"), 100) == []
        assert len(reader.rows(Wanted(origin=("service.instance.id=recorder-1",)), 100)) == 20
        assert reader.rows(Wanted(origin=("service.instance.id=recorder",)), 100) == []
        [row] = reader.rows(Wanted(text="segment 7 stored"), 100)
        assert row.text.startswith("segment 7 was not stored")
    finally:
        web.close()


def test_a_killed_indexer_loses_nothing_and_writes_nothing_twice(path: LogsPath) -> None:
    before = path.count()
    for repetition in range(3):
        for part in range(10):
            send(path, 100 + repetition * 100 + part * 10, 10)
        with path.indexer(f"killed-{repetition}", kill=True):
            time.sleep(1.5)
    with path.indexer("after"):
        eventually(lambda: path.count() >= before + 300 and len(path.numbers()) == 20 + 300, 90, "all 300 are there")
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
    with path.indexer("serving") as log:
        yield log


def test_a_record_that_is_no_log_does_not_hold_the_others_up(path: LogsPath, serving: Path) -> None:
    producer = Producer(path.broker.client())
    producer.produce(TOPIC, b"\xff\xffgarbage", partition=0)
    assert producer.flush(60) == 0
    send(path, 1000, 5)
    eventually(lambda: set(range(1000, 1005)) <= path.numbers(), 60, "the logs after it are there")
    eventually(lambda: "it holds no logs" in serving.read_text(), 20, "it was told")


def test_a_search_cluster_that_refuses_is_waited_for(path: LogsPath, serving: Path) -> None:
    block = {"index.blocks.write": True}
    assert path.search.as_admin("PUT", f"/{FAMILY.name}-000001/_settings", block).status_code == 200
    send(path, 2000, 5)
    eventually(lambda: "search: 403" in serving.read_text(), 60, "the refusal is told")
    assert not set(range(2000, 2005)) & path.numbers()
    path.search.as_admin("PUT", f"/{FAMILY.name}-000001/_settings", {"index.blocks.write": False})
    eventually(lambda: set(range(2000, 2005)) <= path.numbers(), 60, "the logs were kept")
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
    eventually(lambda: set(range(first, first + 5)) <= path.numbers(), 60, "the logs were kept")


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
