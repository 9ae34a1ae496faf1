"""A log indexer on a real Kafka that was silent for longer than a member of its group may be."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from services.log_indexer import LogIndexerSettings
from services.log_indexer.__main__ import Indexer, Outcome
from services.log_indexer.documents import Document
from tests.config.servers import eventually
from tests.support import kafka_broker
from tests.support.log_indexer import content

TOPIC, PARTITIONS = "telemetry-logs", 3
SILENT_S, MAY_BE_SILENT_S = 16.0, 10.0


class SlowWriter:
    """Takes everything; the first of all writers that has something when it is armed takes its time."""

    armed = threading.Event()
    slept = threading.Lock()

    def __init__(self) -> None:
        self.was_silent = False

    def write(self, documents: Sequence[Document]) -> Outcome:
        """All are written."""
        if self.armed.is_set() and self.slept.acquire(blocking=False):
            self.was_silent = True
            time.sleep(SILENT_S)
        return Outcome(written=len(documents))

    def close(self) -> None:
        """Nothing is open."""


def settings(folder: Path, broker: kafka_broker.Broker) -> LogIndexerSettings:
    """Of an indexer whose writer is given."""
    settings_content = content(folder)
    (folder / "ca.pem").write_text(broker.ca)
    (folder / "kafka-password").write_text(broker.password)
    settings_content["kafka"] |= {
        "bootstrap": broker.bootstrap,
        "topic": TOPIC,
        "username": broker.username,
        "password_file": str(folder / "kafka-password"),
    }
    return LogIndexerSettings.parse(settings_content)


def a_log() -> bytes:
    """One request with one record."""
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=time.time_ns())
    record.body.string_value = "segment was stored"
    return request.SerializeToString()


def test_who_was_silent_for_long_becomes_a_member_again_and_leaves_no_partition_unread(tmp_path: Path) -> None:
    (tmp_path / "kafka").mkdir()
    short = {"max.poll.interval.ms": int(MAY_BE_SILENT_S * 1000), "session.timeout.ms": 6000}
    with kafka_broker.running(tmp_path / "kafka") as broker:
        broker.create_topics([TOPIC], PARTITIONS)
        parsed, writers = settings(tmp_path, broker), [SlowWriter(), SlowWriter()]
        indexers = [
            Indexer(parsed, connect=lambda options: Consumer(options | short), writer=writer) for writer in writers
        ]
        threads = [threading.Thread(target=indexer.run) for indexer in indexers]
        producer, sent = Producer(broker.client()), 0

        def read(number: int) -> float:
            # A question about the assignment would wait for the consumer's own thread, which waits for the answer.
            return float(indexers[number].records._value.get())

        def send_until(condition: Any, seconds: float, what: str) -> None:
            def send() -> bool:
                nonlocal sent
                for partition in range(PARTITIONS):
                    producer.produce(TOPIC, a_log(), partition=partition)
                    sent += 1
                producer.poll(0)
                return bool(condition())

            eventually(send, seconds, what)

        try:
            for thread in threads:
                thread.start()
            send_until(lambda: read(0) and read(1), 60, "both have read")
            SlowWriter.armed.set()
            send_until(lambda: any(writer.was_silent for writer in writers), 60, "one is silent")
            [silent] = [number for number, writer in enumerate(writers) if writer.was_silent]
            refused = indexers[silent].failures.labels("kafka")._value
            send_until(lambda: refused.get() > 0, 60, "its commit is refused")
            before = read(silent)
            send_until(lambda: read(silent) > before + 3, 90, "it reads again")
            assert producer.flush(60) == 0
            eventually(lambda: read(0) + read(1) >= sent, 60, "every partition is read to its end")
        finally:
            for indexer in indexers:
                indexer.stop()
            for thread in threads:
                thread.join(60)
