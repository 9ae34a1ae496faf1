"""The end of the writer: what waits is written where Kafka takes it in time, and nobody waits longer than that."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import cast

import pytest

from services.audit import Source, journal
from services.audit.follower import Positions
from services.audit.journal import Journal, Writer
from services.audit.records import CHECKPOINT, START, Entry, note

END_S, LIMIT_S = 0.5, 30.0


class FakeJournal:
    """Writes once Kafka is there; while it is away, `write` ends with its stop or not at all."""

    def __init__(self, *, heeds_stop: bool) -> None:
        self.heeds_stop = heeds_stop
        self.there, self.asked_to_write = threading.Event(), threading.Event()
        self.actions: list[str] = []

    def write(self, entries: Sequence[Entry], stop: threading.Event, _log: Callable[[str], None]) -> bool:
        self.asked_to_write.set()
        while not self.there.wait(0.01):
            if self.heeds_stop and stop.is_set():
                return False
        self.actions += [entry.access.action for entry in entries]
        return True


def entry(number: int) -> Entry:
    return Entry(access=note(f"read {number}", "secrets", datetime.now(UTC)), source=Source.OPS)


class Waiting:
    """A writer that cannot write, with a full queue."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, heeds_stop: bool = True) -> None:
        monkeypatch.setattr(journal, "_MOST_WAITING", 3)
        self.journal = FakeJournal(heeds_stop=heeds_stop)
        self.writer = Writer(cast("Journal", self.journal), Positions({}), lambda _line: None)
        self.writer.start(threading.Event())
        assert self.journal.asked_to_write.wait(LIMIT_S)
        for number in range(3):
            self.writer.emit(entry(number))
        self.answers: list[bool] = []
        self._ending: threading.Thread | None = None

    def end(self, seconds: float) -> None:
        """Begin to end it."""
        self._ending = threading.Thread(target=lambda: self.answers.append(self.writer.end(seconds)), daemon=True)
        self._ending.start()

    def answered(self, seconds: float) -> list[bool]:
        """What `Writer.end` said within so many seconds."""
        assert self._ending is not None
        self._ending.join(seconds)
        return self.answers

    def ended(self) -> bool:
        """Whether its thread ends."""
        deadline = time.monotonic() + LIMIT_S
        while self.writer.alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        return not self.writer.alive()


def test_the_end_waits_no_longer_than_it_may_while_kafka_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = Waiting(monkeypatch)
    waiting.end(END_S)
    assert waiting.answered(2.0) == [False]
    assert waiting.ended()
    assert waiting.journal.actions == []


def test_nothing_more_is_written_once_it_was_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = Waiting(monkeypatch, heeds_stop=False)
    waiting.end(END_S)
    assert waiting.answered(2.0) == [False]
    waiting.journal.there.set()
    assert waiting.ended()
    assert waiting.journal.actions == [START], "what was under way already"


def test_what_waits_in_a_full_queue_is_written_when_kafka_comes_back_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = Waiting(monkeypatch)
    waiting.end(LIMIT_S)
    waiting.journal.there.set()
    assert waiting.answered(LIMIT_S) == [True]
    assert waiting.journal.actions == [START, "read 0", "read 1", "read 2", CHECKPOINT]
