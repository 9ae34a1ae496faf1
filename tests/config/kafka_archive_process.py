"""A real broker and a real object storage, and the archive between them as its pod runs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pyrage
import requests
import yaml
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from components.storage_roles import StorageRole
from lab.paths import CHECKOUT
from services.kafka_archive.catalogue import ReadStats, catalogue, records
from services.kafka_archive.restore import Compared, Restored, compare, restore
from services.kafka_archive.segments import Record, comparing, connection, restoring
from tests.config.alertmanager_line import Line
from tests.config.pki import write_certificates
from tests.config.servers import eventually, free_port
from tests.config.storage_process import StorageProcess, storage_process
from tests.support import kafka_broker
from tests.support.kafka_broker import Broker

IDENTITY = pyrage.x25519.Identity.generate()
PARTITIONS = 3
SCRAPE = "scrape"
MEBIBYTE = 2**20


@dataclass
class Harness:
    """Broker, storage, the line to the storage, and the files of the program."""

    folder: Path
    broker: Broker
    storage: StorageProcess
    line: Line
    logs: list[Path] = field(default_factory=list)

    @property
    def options(self) -> dict[str, Any]:
        broker = self.broker
        return connection(broker.bootstrap, self.folder / "kafka-ca.crt", broker.username, broker.password)

    @cached_property
    def admin(self) -> AdminClient:
        return AdminClient(self.options)

    def make(self, topic: str, partitions: int = PARTITIONS) -> None:
        [future] = self.admin.create_topics([NewTopic(topic, num_partitions=partitions, replication_factor=1)]).values()
        future.result(60)
        eventually(lambda: self.end(topic) is not None, 20, f"{topic} is there")

    def unmake(self, topic: str) -> None:
        [gone] = self.admin.delete_topics([topic]).values()
        gone.result(60)
        eventually(lambda: self.end(topic) is None, 20, f"{topic} is gone")

    def end(self, topic: str) -> dict[int, int] | None:
        listed = self.admin.list_topics(topic, timeout=60).topics[topic]
        if listed.error is not None:
            return None
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        partitions = {TopicPartition(topic, number): latest for number in listed.partitions}
        try:
            return {
                partition.partition: answer.result(60).offset
                for partition, answer in self.admin.list_offsets(partitions).items()
            }
        except KafkaException:
            # A topic that was made this moment has no leaders yet.
            return None

    def committed(self, topic: str, group: str | None = None) -> dict[int, int]:
        name = group or self.broker.username
        [answer] = self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(name)]).values()
        return {
            topic_partition.partition: topic_partition.offset
            for topic_partition in answer.result(60).topic_partitions
            if topic_partition.topic == topic
        }

    def all_stored(self, topic: str) -> bool:
        ends = {number: end for number, end in (self.end(topic) or {}).items() if end}
        return ends == {number: end for number, end in self.committed(topic).items() if end}

    def content(self, topic: str, **more: Any) -> dict[str, Any]:
        return {
            "kafka": {
                "bootstrap": self.broker.bootstrap,
                "topics": [topic],
                "ca_file": str(self.folder / "kafka-ca.crt"),
                "username": self.broker.username,
                "group": self.broker.username,
                "password_file": str(self.folder / "kafka-password"),
            },
            "storage": self.storage.settings("backups/", StorageRole.ARCHIVE)
            | {"endpoint": f"https://localhost:{self.line.port}"},
            "recipients": [str(IDENTITY.to_public())],
            "flush_s": 1,
            "segment_bytes": MEBIBYTE,
            "segment_records": 100_000,
            "memory_bytes": 64 * MEBIBYTE,
            "listen": f"127.0.0.1:{free_port()}",
            "tls": {"cert_file": str(self.folder / "tls.crt"), "key_file": str(self.folder / "tls.key")},
            "metrics": {"user": "scrape-kafka-archive", "password_file": str(self.folder / "scrape-password")},
        } | more

    def members(self) -> list[str]:
        group = self.broker.username
        return [member.member_id for member in self.admin.describe_consumer_groups([group])[group].result(60).members]

    @contextmanager
    def program(self, name: str, topic: str, **more: Any) -> Iterator[Program]:
        """The program as its pod runs it, from when it reads; asked to end at the end, if it has not ended."""
        with self.starting(name, topic, **more) as running_program:
            eventually(running_program.reads, 90, f"{name} reads")
            yield running_program

    @contextmanager
    def starting(self, name: str, topic: str, **more: Any) -> Iterator[Program]:
        """The same, from when it is started."""
        content, log = self.content(topic, **more), self.folder / f"{name}.log"
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(content))
        self.logs.append(log)
        command = [sys.executable, "-m", "services.kafka_archive", "--config", str(file)]
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=CHECKOUT)
        program = Program(process, log, content["listen"], str(self.folder / "ca.crt"))
        try:
            yield program
        finally:
            if process.poll() is None:
                program.ends(40)

    def archived(self, topic: str) -> dict[int, list[Record]]:
        """What the archive has, by partition."""
        with self.storage.store("backups/", StorageRole.OPERATOR) as store:
            stored = catalogue(store, topic)
            return {
                number: list(records(store, [IDENTITY], segments, ReadStats()))
                for number, segments in stored.segments.items()
            }

    def compare(self, topic: str, **more: Any) -> Compared:
        consumer = Consumer(comparing(self.options))
        try:
            with self.storage.store("backups/", StorageRole.OPERATOR) as store:
                return compare(store, [IDENTITY], topic, consumer, **more)
        finally:
            consumer.close()

    def restore(self, topic: str, **more: Any) -> Restored:
        with self.storage.store("backups/", StorageRole.OPERATOR) as store:
            return restore(store, [IDENTITY], topic, Producer(restoring(self.options)), admin=self.admin, **more)


@dataclass(frozen=True)
class Program:
    """The running archive."""

    process: subprocess.Popen[bytes]
    log: Path
    address: str
    authority: str

    def reads(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return "reading" in self.log.read_text()

    def get(self, path: str, password: str = SCRAPE) -> requests.Response:
        port = self.address.rpartition(":")[2]
        login = ("scrape-kafka-archive", password)
        return requests.get(f"https://localhost:{port}{path}", auth=login, verify=self.authority, timeout=60)

    def value(self, name: str) -> float:
        match = re.search(rf"^kafka_archive_{re.escape(name)} (\S+)$", self.get("/metrics").text, re.MULTILINE)
        return float(match[1]) if match else 0.0

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait(20)

    def ends(self, seconds: float) -> tuple[int, float]:
        """Ask it to end; its exit code and how long it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds), time.monotonic() - began
        except subprocess.TimeoutExpired:
            self.kill()
            raise


class Sender:
    """Sends records of every kind until it is stopped; knows what the brokers confirmed.

    Attributes:
        confirmed: (partition, offset) -> key, value, headers.
    """

    def __init__(self, harness: Harness, topic: str, *, pause_s: float = 0.002, size: int = 300) -> None:
        self.confirmed: dict[tuple[int, int], tuple[Any, ...]] = {}
        self._topic, self._pause_s, self._size = topic, pause_s, size
        self._producer = Producer(restoring(harness.options) | {"linger.ms": 5})
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Sender:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)
        self.finish()

    def finish(self) -> None:
        """Wait until everything is confirmed."""
        assert self._producer.flush(60) == 0

    def send(self, number: int) -> None:
        value = [os.urandom(self._size) + b"%d" % number, None, b""][0 if number % 10 else number // 10 % 3]
        key = [b"key-%d" % number, None, b""][number % 3]
        headers: list[tuple[str, bytes | None]] = [("n", b"%d" % number), ("n", None), ("空", b"")]
        given = headers[: number % 4]
        self._producer.produce(
            self._topic,
            value=value,
            key=key,
            headers=given or None,
            partition=number % PARTITIONS,
            on_delivery=lambda error, message: self._confirm(error, message, (key, value, tuple(given))),
        )

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            for _ in range(5):
                self.send(number)
                number += 1
            self._producer.poll(self._pause_s)
            time.sleep(self._pause_s)

    def _confirm(self, error: Any, message: Any, content: tuple[Any, ...]) -> None:
        assert error is None, error
        self.confirmed[message.partition(), message.offset()] = content


@contextmanager
def archive_harness(folder: Path) -> Iterator[Harness]:
    """A broker, a storage, and a line to it; everything is in ``folder``."""
    (folder / "kafka").mkdir()
    write_certificates(folder)
    with kafka_broker.running(folder / "kafka") as broker, storage_process(folder / "storage") as storage:
        (folder / "kafka-ca.crt").write_text(broker.ca)
        (folder / "kafka-password").write_text(broker.password)
        (folder / "scrape-password").write_text(SCRAPE)
        line = Line(int(storage.url.rpartition(":")[2]))
        try:
            yield Harness(folder, broker, storage, line)
        finally:
            line.close()
