"""The program: read, write in bulk until every item is acknowledged, commit, and again, until asked to stop."""

from __future__ import annotations

import http.client
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from confluent_kafka import Consumer, KafkaException, TopicPartition
from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

from services.log_indexer import LogIndexerSettings
from services.log_indexer.documents import DecodeError, Document, documents, name_of
from services.runtime.json_api import ApiError, WriteAlias
from services.runtime.kafka import SHARED_PARTITIONS, group_consumer
from services.runtime.serving import config_file, https_server, operator_log
from services.runtime.settings import SearchIndex, SettingsError

_LIMIT_S = 30.0
_TOO_LARGE = 413
_UNACCEPTABLE = 400
_CLOSED = "index_closed_exception"
_MISTAKE = 2
_READ_S = 0.5
_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 5.0)
_STUCK_S = 180.0
_LONG_S = 10.0
"""After this, what has been written of a long turn is committed, and Kafka hears of us."""


@dataclass
class Outcome:
    """What became of the documents of one request.

    Attributes:
        written: How many are in the index.
        rejected: Those that the index can never take, with the reason.
        waiting: Those that have to be sent again.
        reason: Why they have to wait.
    """

    written: int = 0
    rejected: list[tuple[Document, str]] = field(default_factory=list)
    waiting: list[Document] = field(default_factory=list)
    reason: str = ""


class BulkWriter:
    """Writes documents; what it says about a failure never has a part of one."""

    def __init__(self, settings: SearchIndex) -> None:
        """Write as ``settings`` say."""
        self._alias = WriteAlias(settings, read_s=_LIMIT_S)

    def write(self, documents: Sequence[Document]) -> Outcome:
        """Send documents once.

        Raises:
            ApiError: Nobody knows what became of them: send them again.
        """
        answer = self._alias.bulk(b"".join(documents))
        if answer.status == _TOO_LARGE:
            return self._parted(documents)
        if answer.status != http.client.OK:
            raise ApiError(f"{self._alias.url} answered {answer.status}: {_reason(answer.content)}", answer.status)
        return _outcome(documents, answer.content, self._alias)

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._alias.close()

    def _parted(self, documents: Sequence[Document]) -> Outcome:
        if len(documents) == 1:
            return Outcome(rejected=[(documents[0], "too_large")])
        middle = len(documents) // 2
        outcomes = [self.write(part) for part in (documents[:middle], documents[middle:])]
        return Outcome(
            written=sum(outcome.written for outcome in outcomes),
            rejected=[item for outcome in outcomes for item in outcome.rejected],
            waiting=[item for outcome in outcomes for item in outcome.waiting],
            reason=next((outcome.reason for outcome in outcomes if outcome.reason), ""),
        )


def _outcome(documents: Sequence[Document], body: bytes, alias: WriteAlias) -> Outcome:
    url = alias.url
    try:
        content = orjson.loads(body)
        items, failed = content["items"], bool(content["errors"])
        states = [_state(item["index"], alias.name) for item in items] if failed else []
    except (ValueError, KeyError, TypeError):
        raise ApiError(f"{url} did not answer as a bulk request is answered") from None
    if len(items) != len(documents):
        raise ApiError(f"{url} answered for {len(items)} of {len(documents)} documents")
    if not failed:
        return Outcome(written=len(documents))
    outcome = Outcome()
    for document, (status, reason, of_document) in zip(documents, states, strict=True):
        if status in (http.client.OK, http.client.CREATED):
            outcome.written += 1
        elif status == _UNACCEPTABLE and of_document:
            outcome.rejected.append((document, reason))
        else:
            # Busy, read-only, closed, no permission, no such alias or one that leads to two indices: all of that can be
            # mended, and the log stays in Kafka.
            outcome.waiting.append(document)
            outcome.reason = f"{status} {reason}"
    return outcome


def _state(item: dict[str, Any], alias: str) -> tuple[int, str, bool]:
    """Status of an item, type of its error, and whether an index has refused the document itself."""
    error = item.get("error")
    reason = str(error.get("type", "unknown")) if isinstance(error, dict) else "unknown"
    return int(item["status"]), reason, item.get("_index") != alias and reason != _CLOSED


def _reason(body: bytes) -> str:
    """The type of an error; its text may quote a document."""
    try:
        error = orjson.loads(body).get("error", "")
    except (ValueError, AttributeError):
        return "no JSON"
    return str(error.get("type", "unknown")) if isinstance(error, dict) else str(error)[:80]


log = operator_log("log-indexer")
"""Writes one line for the operator; never a part of a log record."""


class Indexer:
    """Reading, writing and committing in one loop; only serving has threads of its own."""

    def __init__(
        self, settings: LogIndexerSettings, *, connect: Callable[..., Any] = Consumer, writer: BulkWriter | None = None
    ) -> None:
        """Run as ``settings`` say; ``connect`` and ``writer`` stand in for Kafka and the search cluster."""
        self._settings = settings
        self._stop = threading.Event()
        self._writer = writer or BulkWriter(settings.search)
        self._last_turn = time.monotonic()
        self._last_logged = ""
        # Until they are committed: a failure anywhere in between must not lose sight of them.
        self._messages: list[Any] = []
        # Decoded request by request: documents are several times as large as their records, of few records far more.
        self._undecoded: deque[Any] = deque()
        self._current: Iterator[Document] = iter(())
        self._left: list[Document] = []
        self.registry = CollectorRegistry()
        self._measures()
        self._client = connect(group_consumer(settings.kafka) | SHARED_PARTITIONS)
        self._resume_due = False
        self._client.subscribe([settings.kafka.topic], on_assign=self._assigned)

    def _measures(self) -> None:
        registry = self.registry
        self.records = Counter("log_indexer_records", "Kafka records that were read", registry=registry)
        self.written = Counter("log_indexer_documents", "Documents that the index has", registry=registry)
        self.rejected = Counter(
            "log_indexer_rejected_documents", "Documents passed over for good", ["reason"], registry=registry
        )
        self.undecodable = Counter("log_indexer_undecodable_records", "Records that are no logs", registry=registry)
        self.failures = Counter("log_indexer_failures", "Attempts that failed, by stage", ["stage"], registry=registry)
        for stage in ("kafka", "search"):
            self.failures.labels(stage)
        self.waiting = Gauge(
            "log_indexer_documents_waiting", "Documents that the index has not yet taken", registry=registry
        )
        self.last_write = Gauge(
            "log_indexer_last_write_timestamp_seconds", "When the index last took a document", registry=registry
        )
        ProcessCollector(registry=registry)

    def alive(self) -> bool:
        """Tell whether the loop still turns; a search cluster that is away is no reason to restart."""
        return time.monotonic() - self._last_turn < _STUCK_S

    def stop(self) -> None:
        """End the loop soon; what is not acknowledged is read again by whoever comes next."""
        self._stop.set()

    def run(self) -> None:
        """Turn until stopped."""
        while not self._stop.is_set():
            try:
                self.turn()
            except KafkaException as error:
                self.failures.labels("kafka").inc()
                self._log_change(f"kafka: {error.args[0]}")
                self._stop.wait(_PAUSES_S[-1])
        self._client.close()
        self._writer.close()

    def turn(self) -> int:
        """Read a batch, write it, commit it; returns the number of records.

        Raises:
            KafkaException: The brokers refuse; the batch is tried again in the next turn.
        """
        self._last_turn = time.monotonic()
        if self._resume_due:
            self._resume_due = False
            self._client.resume(self._client.assignment())
        if self._messages:
            # Their commit failed. Who has not polled for long is no member any more, and becomes one by polling only.
            self._pause(0)
        else:
            self._take(self._client.consume(self._settings.batch_records, _READ_S))
        while self._decoded():
            batch = first(self._left, self._settings.batch_bytes)
            if not self._write(batch):
                return 0
            del self._left[: len(batch)]
            if time.monotonic() - self._last_turn > _LONG_S:
                # What is left is of the record that is being decoded.
                self._done(len(self._messages) - len(self._undecoded) - 1)
                if self._pause(0):
                    return 0
        return self._done(len(self._messages))

    def _done(self, number: int) -> int:
        """Commit the first records, of which everything is written."""
        if number > 0:
            self._commit(self._messages[:number])
            del self._messages[:number]
            self.records.inc(number)
        return number

    def _decoded(self) -> bool:
        """Decode until there are documents for a whole request; False when there are none at all."""
        size, enough = sum(map(len, self._left)), self._settings.batch_bytes
        while size < enough:
            for document in self._current:
                self._left.append(document)
                size += len(document)
                if size >= enough:
                    break
            else:
                if not self._undecoded:
                    break
                self._current = self._documents(self._undecoded.popleft())
        return bool(self._left)

    def _take(self, messages: Sequence[Any]) -> None:
        """Keep records.

        Raises:
            KafkaException: There is nothing but an error.
        """
        errors = [message.error() for message in messages if message.error() is not None]
        for message in messages:
            if message.error() is None:
                self._messages.append(message)
                self._undecoded.append(message)
        grave = [error for error in errors if error.fatal() or not error.retriable()]
        if grave and not self._messages:
            raise KafkaException(grave[0])

    def _documents(self, message: Any) -> Iterator[Document]:
        try:
            value, written_ms = message.value() or b"", message.timestamp()[1]
            yield from documents(message.topic(), message.partition(), message.offset(), value, max(0, written_ms))
        except (DecodeError, ValueError, OverflowError, RecursionError):
            self.undecodable.inc()
            where = f"{message.topic()}[{message.partition()}] at {message.offset()}"
            log(f"passed over {where}: what is left of it holds no logs")

    def _write(self, batch: Sequence[Document]) -> bool:
        """Send until the index has everything that it can take; False when asked to stop before."""
        left, attempt = list(batch), 0
        while left:
            self.waiting.set(len(left))
            try:
                outcome = self._writer.write(left)
            except ApiError as error:
                reason = str(error)
            else:
                self._count(outcome.written, outcome.rejected)
                left, reason = outcome.waiting, outcome.reason
            if not left:
                break
            self.failures.labels("search").inc()
            self._log_change(f"search: {reason}")
            if self._pause(_PAUSES_S[min(attempt, len(_PAUSES_S) - 1)]):
                return False
            attempt += 1
        self.waiting.set(0)
        self._log_change("")
        return True

    def _count(self, written: int, rejected: Sequence[tuple[Document, str]]) -> None:
        if written:
            self.written.inc(written)
            self.last_write.set_to_current_time()
        for document, reason in rejected:
            self.rejected.labels(reason).inc()
            log(f"the index refuses {name_of(document)} for good: {reason}")

    def _pause(self, seconds: float) -> bool:
        """Wait without leaving the group: partitions are paused, and Kafka hears of us."""
        self._last_turn = time.monotonic()
        held = self._client.assignment()
        if held:
            self._client.pause(held)
        try:
            ended = self._stop.wait(seconds)
            message = self._client.poll(0)
            if message is not None and message.error() is None:
                # Of a partition that was assigned this moment, and so was not paused.
                self._take([message])
        finally:
            held = [partition for partition in held if partition in self._client.assignment()]
            if held:
                self._client.resume(held)
        return ended

    def _assigned(self, _client: object, _partitions: object) -> None:
        """A partition that was taken away while it was paused comes back paused."""
        self._resume_due = True

    def _commit(self, messages: Sequence[Any]) -> None:
        ends: dict[tuple[str, int], int] = {}
        for message in messages:
            ends[message.topic(), message.partition()] = message.offset() + 1
        offsets = [TopicPartition(topic, partition, end) for (topic, partition), end in ends.items()]
        self._client.commit(offsets=offsets, asynchronous=False)

    def _log_change(self, message: str) -> None:
        if message != self._last_logged:
            self._last_logged = message
            log(message or "the index takes documents again")


def first(waiting: Sequence[Document], most_bytes: int) -> list[Document]:
    """The first documents that fit into a request of ``most_bytes``; one at least."""
    size = 0
    for number, document in enumerate(waiting):
        size += len(document)
        if number and size > most_bytes:
            return list(waiting[:number])
    return list(waiting)


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Returns 0 then, 2 for a mistake in the settings."""
    config = config_file(arguments, "log-indexer", "Logs from Kafka into the search cluster.")
    try:
        settings = LogIndexerSettings.load(config)
        indexer = Indexer(settings)
        server = https_server(settings, indexer.registry, indexer.alive, program="log-indexer")
    except SettingsError as error:
        log(str(error))
        return _MISTAKE
    except (OSError, KafkaException) as error:
        log(f"cannot start with {config}: {error}")
        return _MISTAKE
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: indexer.stop())
    server.start()
    log(f"serving https://{settings.listen_host}:{server.server_port}/metrics")
    indexer.run()
    server.stop()
    log("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
