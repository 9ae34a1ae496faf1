"""The log indexer as its pod runs it, between a real Kafka broker and a real search cluster."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from components.search.indices import LOGS
from components.telemetry.layers import TOPIC_OF_SIGNAL, Signal
from lab.paths import CHECKOUT
from tests.config.search_process import SearchProcesses, password_of
from tests.config.servers import free_port, running
from tests.support.dirty.records import LAYER
from tests.support.kafka_broker import Broker

TOPIC = TOPIC_OF_SIGNAL[Signal.LOGS]
TRACE = bytes(range(16))
"""Trace of every record of `log_records`."""


@dataclass(frozen=True)
class LogsHarness:
    """What a log passes from Kafka on.

    Attributes:
        folder: Of the program's files; ``tls.crt`` and ``tls.key`` are there.
        broker: Where it reads.
        search: Where it writes; users ``log-indexer`` and ``log-reader`` are known there.
    """

    folder: Path
    broker: Broker
    search: SearchProcesses

    def count(self) -> int:
        """Documents in the index."""
        self.search.as_admin("POST", f"/{LOGS}-0*/_refresh")
        return int(self.search.ask("GET", f"/{LOGS}-read/_count", "log-reader").json()["count"])

    def sources(self) -> list[dict[str, Any]]:
        """All documents."""
        self.search.as_admin("POST", f"/{LOGS}-0*/_refresh")
        answer = self.search.ask("GET", f"/{LOGS}-read/_search", "log-reader", {"size": 5000})
        return [hit["_source"] for hit in answer.json()["hits"]["hits"]]

    def numbers(self) -> set[int]:
        """Numbers of the records of `log_records` that are in the index."""
        attributes = [source.get("attributes", {}) for source in self.sources()]
        return {held["attempt"] for held in attributes if "attempt" in held}

    def settings(self) -> dict[str, Any]:
        """Content of the program's settings file."""
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
                "index": f"{LOGS}-write",
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

    @contextmanager
    def indexer(self, name: str, *, kill: bool = False, **changes: Any) -> Iterator[Path]:
        """The program until the block ends; yields its log.

        Args:
            name: Of its files.
            kill: Whether it is killed at the end.
            changes: Of its settings.
        """
        content = self.settings() | changes
        file, log = self.folder / f"{name}.yaml", self.folder / f"{name}.log"
        file.write_text(yaml.safe_dump(content))
        command = [sys.executable, "-m", "services.log_indexer", "--config", str(file)]
        port = int(content["listen"].rpartition(":")[2])
        with running(command, log, port, kill=kill, variables={"PYTHONPATH": str(CHECKOUT)}):
            yield log


def log_records(bodies: Mapping[int, str], **resource: str) -> bytes:
    """Logs of one trace as a record of Kafka holds them: number -> text; further attributes of their resource."""
    request = ExportLogsServiceRequest()
    logs = request.resource_logs.add()
    own = {"layer": LAYER, "service.name": "recorder", "service.instance.id": "recorder-1"}
    for key, value in (own | resource).items():
        logs.resource.attributes.add(key=key).value.string_value = value
    scope = logs.scope_logs.add()
    for number, body in bodies.items():
        record = scope.log_records.add(time_unix_nano=time.time_ns(), severity_text="ERROR", severity_number=17)
        record.body.string_value = body
        record.trace_id = TRACE
        record.attributes.add(key="attempt").value.int_value = number
    return request.SerializeToString()
