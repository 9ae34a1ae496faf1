"""Fakes of Kafka's consumer and of the search cluster's bulk writer, for the indexer's loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from opentelemetry.proto.logs.v1.logs_pb2 import LogsData

from services.log_indexer import LogIndexerSettings
from services.log_indexer.__main__ import Indexer, Outcome
from services.log_indexer.documents import Document, name_of
from services.runtime.json_api import ApiError
from tests.support.log_indexer import content as content


def settings(folder: Path) -> LogIndexerSettings:
    """Settings of an indexer."""
    return LogIndexerSettings.parse(content(folder))


def logs(*bodies: str) -> bytes:
    """A record with one log for each text."""
    data = LogsData()
    scope = data.resource_logs.add().scope_logs.add()
    for body in bodies:
        scope.log_records.add(time_unix_nano=1).body.string_value = body
    return data.SerializeToString()


class Message:
    """A Kafka message."""

    def __init__(self, offset: int, value: bytes | None, *, partition: int = 0, error: Any = None) -> None:
        self._offset, self._value, self._partition, self._error = offset, value, partition, error

    def topic(self) -> str:
        return "telemetry-logs"

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes | None:
        return self._value

    def timestamp(self) -> tuple[int, int]:
        return 1, 1000

    def error(self) -> Any:
        return self._error


class Consumer:
    """Gives batches, remembers what was committed and paused."""

    def __init__(self, batches: Sequence[Sequence[Message]]) -> None:
        self.batches = [list(batch) for batch in batches]
        self.committed: list[list[tuple[int, int]]] = []
        self.commit_errors: list[Exception] = []
        self.polled: list[Message] = []
        self.paused = self.resumed = 0
        self.closed = False
        self.options: dict[str, Any] = {}

    def __call__(self, options: dict[str, Any]) -> Consumer:
        self.options = options
        return self

    def subscribe(self, topics: list[str], **callbacks: Any) -> None:
        self.topics = topics

    def consume(self, _number: int, _seconds: float) -> list[Message]:
        return self.batches.pop(0) if self.batches else []

    def commit(self, *, offsets: list[Any], asynchronous: bool) -> None:
        assert not asynchronous
        if self.commit_errors:
            raise self.commit_errors.pop(0)
        self.committed.append(sorted((offset.partition, offset.offset) for offset in offsets))

    def assignment(self) -> list[str]:
        return ["partition"]

    def pause(self, _partitions: list[Any]) -> None:
        self.paused += 1

    def resume(self, _partitions: list[Any]) -> None:
        self.resumed += 1

    def poll(self, _seconds: float) -> Message | None:
        return self.polled.pop(0) if self.polled else None

    def close(self) -> None:
        self.closed = True


Answer = Callable[[Sequence[Document]], Outcome] | ApiError | None


class Writer:
    """Answers bulk requests from a list, then takes everything."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[list[str]] = []
        self.index: dict[str, bytes] = {}

    def write(self, documents: Sequence[Document]) -> Outcome:
        self.requests.append([name_of(document) for document in documents])
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, ApiError):
            raise answer
        outcome = answer(documents) if answer else Outcome(written=len(documents))
        refused = {*outcome.waiting, *(item for item, _ in outcome.rejected)}
        self.index |= {name_of(document): document for document in documents if document not in refused}
        return outcome

    def close(self) -> None:
        return


def indexer(folder: Path, consumer: Consumer, writer: Writer) -> Indexer:
    """An indexer between the two."""
    return Indexer(settings(folder), connect=consumer, writer=writer)  # type: ignore[arg-type]
