"""The topic of the audit log: what was written last, one record after the other behind it, and the one thread that
takes accesses in the order in which they come and writes them, with a checkpoint now and then.

What repeats itself is told as one record with its number: a client that is refused tries for ever, and a service comes
all day. Refusals and gaps are counted at every source, what is let in at those where services do the same over and
over. The first is told at once. Equal ones are counted, and told together when a window ends; each window is twice as
long as the one before. After two without any, the next such access is told at once again. Where a source has more
different ones at a time than are kept apart, the others are told together.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaException, TopicPartition

from services.audit import AuditSettings, Source
from services.audit.follower import Positions
from services.audit.metrics import Metrics
from services.audit.records import (
    CHECKPOINT,
    GAP,
    REPEATED,
    START,
    UNKNOWN,
    AuditRecord,
    Entry,
    Link,
    Outcome,
    event_of,
    link_of,
    linked,
    note,
    parsed,
    value_of,
)
from services.runtime.kafka import librdkafka
from services.runtime.kafka_sender import BrokersError, BusyError, Record, Sender

REMEMBERED = timedelta(hours=2)
"""Longer than Kubernetes keeps an Event: whose name is known from then is not written twice."""
MOST_KNOWN: Final = 20_000
"""Events of the API server, and Events, that are known to be written: the newest ones."""
_ASK_S = 15.0
_STEP = 1000
_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0
PARTITION = 0
"""One partition is one order; more would take the chain apart."""


_REQUEST_KEY: Final = "request/"


def request_key(digest: str) -> str:
    """Key of the position of an event: who has it was written."""
    return f"{_REQUEST_KEY}{digest}"


def request_of(key: str) -> str:
    """Digest of the event of a position; empty where it is no event's."""
    return key.removeprefix(_REQUEST_KEY) if key.startswith(_REQUEST_KEY) else ""


class JournalError(Exception):
    """The topic cannot be read; in one line."""


@dataclass(frozen=True, kw_only=True)
class Past:
    """What an earlier process left.

    Attributes:
        newest: The newest record of this region; None: there is none.
        positions: How far each source was read.
        events: Names of Events that were written lately.
        requests: Digests of events of the API server that were written lately.
        written: When the newest record was; None: there is none.
        begins: When the oldest record that was read was written; None: there is none.
        checkpoint: Whether one was read.
    """

    newest: Link | None
    positions: dict[str, str]
    events: frozenset[str]
    requests: frozenset[str] = frozenset()
    written: datetime | None = None
    begins: datetime | None = None
    checkpoint: bool = False

    def is_enough(self, now: datetime) -> bool:
        """Whether nothing older has to be read: back to a checkpoint, and `REMEMBERED` ago."""
        return self.checkpoint and self.begins is not None and self.begins < now - REMEMBERED

    def away_s(self, now: datetime) -> float:
        """How long nobody has written; 0 where nobody ever has."""
        return (now - self.written).total_seconds() if self.written else 0.0


def past(records: Iterable[AuditRecord]) -> Past:
    """What the last records of a region say, oldest first, from a checkpoint on or from the very first.

    Only the newest one is held: whoever tries made-up names decides how many there are.
    """
    newest, begins, checkpoint = None, None, False
    positions: dict[str, str] = {}
    events, requests = OrderedDict[str, None](), OrderedDict[str, None]()
    for record in records:
        newest, begins = record, begins or record.recorded_at
        if record.action == CHECKPOINT and record.source is Source.AUDIT:
            checkpoint, positions = True, {}
        for key, place in record.positions.items():
            if name := event_of(key):
                _remember(events, name)
            elif digest := request_of(key):
                _remember(requests, digest)
            else:
                positions[key] = place
    return Past(
        newest=link_of(newest) if newest else None,
        positions=positions,
        events=frozenset(events),
        requests=frozenset(requests),
        written=newest.recorded_at if newest else None,
        begins=begins,
        checkpoint=checkpoint,
    )


def _remember(known: OrderedDict[str, None], name: str) -> None:
    known[name] = None
    known.move_to_end(name)
    if len(known) > MOST_KNOWN:
        known.popitem(last=False)


class Tail:
    """Reads the end of the topic."""

    def __init__(self, settings: AuditSettings) -> None:
        self._settings = settings

    def read(self, now: datetime) -> Past:
        """What the last records of this region say: back to a checkpoint, and `REMEMBERED` ago.

        Raises:
            JournalError: The brokers do not answer, or refuse.
        """
        kafka = self._settings.kafka
        try:
            consumer = Consumer(
                {
                    **librdkafka(
                        bootstrap=kafka.bootstrap,
                        ca=kafka.ca_file,
                        username=kafka.user,
                        password=kafka.password_file.read_text().strip(),
                        client_id=kafka.group,
                    ),
                    "group.id": kafka.group,
                    "enable.auto.commit": False,
                    "enable.partition.eof": True,
                    "auto.offset.reset": "earliest",
                    "queued.max.messages.kbytes": 16_384,
                    "log_level": 0,
                }
            )
        except OSError as error:
            raise JournalError(f"{error.filename} cannot be read: {error.strerror}") from None
        except KafkaException as error:
            raise JournalError(error.args[0].str()) from None
        try:
            return self._back(consumer, now)
        except KafkaException as error:
            raise JournalError(error.args[0].str()) from None
        finally:
            consumer.close()

    def _back(self, consumer: Any, now: datetime) -> Past:
        low, high = consumer.get_watermark_offsets(TopicPartition(self._settings.topic, PARTITION), timeout=_ASK_S)
        low = max(low, 0) if low != OFFSET_INVALID else 0
        start, step, known = high, _STEP, past(())
        while start > low and not known.is_enough(now):
            start, step = max(low, start - step), step * 4
            known = past(self._between(consumer, start, high))
        return known

    def _between(self, consumer: Any, start: int, end: int) -> Iterator[AuditRecord]:
        consumer.assign([TopicPartition(self._settings.topic, PARTITION, start)])
        deadline = time.monotonic() + _ASK_S
        at = start
        while at < end:
            messages = consumer.consume(_STEP, timeout=1.0)
            if not messages and time.monotonic() > deadline:
                raise JournalError(f"{self._settings.topic}: no record after offset {at} came in time")
            for message in messages:
                if message.error():
                    # The end: what is missing up to it are marks of Kafka's own.
                    if message.error().name() == "_PARTITION_EOF":
                        return
                    raise KafkaException(message.error())
                deadline, at = time.monotonic() + _ASK_S, message.offset() + 1
                known = parsed(message.value() or b"")
                if known and known[0].region == self._settings.region:
                    yield known[0]


class Journal:
    """Writes records, each behind the last; one thread calls it."""

    def __init__(self, settings: AuditSettings, sender: Sender, newest: Link | None, metrics: Metrics) -> None:
        self._settings, self._sender, self._newest, self._metrics = settings, sender, newest, metrics

    def write(
        self,
        entries: Sequence[Entry],
        stop: threading.Event,
        log: Callable[[str], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> bool:
        """Put entries into the chain and wait until Kafka has them; whether it has.

        While Kafka does not answer, the same records are sent again and again: one that it has twice is the same twice.

        Args:
            entries: In their order.
            stop: Ends the waiting.
            log: Writes one line for the operator.
            now: The clock.
        """
        records: list[AuditRecord] = []
        newest = self._newest
        for entry in entries:
            records.append(linked(entry, self._settings.region, newest, now()))
            newest = link_of(records[-1])
        batch = [Record(key=record.source.encode(), value=value_of(record)) for record in records]
        pause, told = _PAUSE_S, ""
        while True:
            try:
                self._sender.send(self._settings.topic, batch)
                break
            except (BrokersError, BusyError) as error:
                self._metrics.waiting.set(records[0].recorded_at.timestamp())
                if str(error) != told:
                    told = str(error)
                    log(f"not written: {told}")
            if stop.wait(pause):
                return False
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        self._newest = newest
        self._metrics.waiting.set(0)
        for record in records:
            self._metrics.records.labels(record.source, record.outcome).inc()
        return True


WINDOW_S = 60.0
LONGEST_S = 3600.0
MOST_WINDOWS: Final = 2000
"""Different accesses of a source, refused and others, that are counted apart at a time: whoever tries made-up names
fills no memory, and hides nobody who is let in."""
COUNTED: Final = frozenset({Source.DATABASE, Source.GRAFANA, Source.SEARCH, Source.CLUSTER})
"""Sources at which what is let in is counted as well."""
OTHERS: Final = "others"
_MOST_EMPTY = 2
_Key = tuple[object, ...]


@dataclass
class _Window:
    """What was counted since the last record of it."""

    ends: float
    length_s: float
    last: Entry
    more: int = 0
    empty: int = 0


class Repeats:
    """What came lately."""

    def __init__(self) -> None:
        self._windows: dict[_Key, _Window] = {}
        self._sizes: Counter[tuple[Source, bool]] = Counter()

    @property
    def due(self) -> float | None:
        """When the next window ends; None: there is none."""
        return min((window.ends for window in self._windows.values()), default=None)

    def folded(self, entries: Iterable[Entry], now: float) -> list[Entry]:
        """Of these, what is to be told now; ``now`` is a clock that only goes on."""
        told = []
        for entry in entries:
            if entry.access.outcome is not Outcome.REFUSED and entry.source not in COUNTED and not _is_gap(entry):
                told.append(entry)
            elif (first := self._counted(entry, now)) is not None:
                told.append(first)
        return told

    def _counted(self, entry: Entry, now: float) -> Entry | None:
        key = _key(entry)
        if key not in self._windows and self._sizes[_kind(entry)] >= MOST_WINDOWS:
            entry = _without_names(entry)
            key = _key(entry)
        window = self._windows.get(key)
        if window is not None:
            window.last, window.more = entry, window.more + 1
            return None
        self._windows[key] = _Window(ends=now + WINDOW_S, length_s=WINDOW_S, last=entry)
        self._sizes[_kind(entry)] += 1
        return entry

    def ended(self, now: float) -> list[Entry]:
        """What windows counted that have ended by now."""
        told = []
        for key, window in list(self._windows.items()):
            if window.ends > now:
                continue
            empty = 0 if window.more else window.empty + 1
            if empty == _MOST_EMPTY:
                del self._windows[key]
                self._sizes[_kind(window.last)] -= 1
                continue
            if window.more:
                told.append(_together(window))
            length_s = min(2 * window.length_s, LONGEST_S)
            self._windows[key] = _Window(ends=now + length_s, length_s=length_s, last=window.last, empty=empty)
        return told

    def all(self) -> list[Entry]:
        """What was counted and not told yet: nothing more will come."""
        return [_together(window) for window in self._windows.values() if window.more]


def _kind(entry: Entry) -> tuple[Source, bool]:
    return entry.source, entry.access.outcome is Outcome.REFUSED


def _is_gap(entry: Entry) -> bool:
    return entry.source is Source.AUDIT and entry.access.action == GAP


def _key(entry: Entry) -> _Key:
    access = entry.access
    names = (access.who, access.origin, access.action, access.target, entry.part if _is_gap(entry) else "")
    return (entry.source, access.outcome, *names, *sorted(access.detail.items()))


def _without_names(entry: Entry) -> Entry:
    names = {"who": UNKNOWN, "origin": UNKNOWN, "action": OTHERS, "target": f"{entry.source}:{OTHERS}", "detail": {}}
    return replace(entry, access=entry.access.model_copy(update=names))


def _together(window: _Window) -> Entry:
    access = window.last.access
    detail = {**access.detail, REPEATED: str(window.more)}
    return replace(window.last, access=access.model_copy(update={"detail": detail}))


CHECKPOINT_S: Final = 900.0
"""How often it is written how far each source was read: so much is read again after a crash, and left out."""
_MOST_WAITING: Final = 2000
_MOST_AT_ONCE: Final = 500


class FullError(Exception):
    """Too much waits."""


@dataclass(frozen=True, kw_only=True)
class _Batch:
    """Accesses, and what is called once Kafka has them."""

    entries: Sequence[Entry]
    acknowledged: Callable[[], None]


class Writer:
    """The queue between those who read and the journal. Where it is full, they wait, and kubelets keep the lines."""

    def __init__(
        self, journal: Journal, positions: Positions, log: Callable[[str], None], checkpoint_s: float = CHECKPOINT_S
    ) -> None:
        self._journal, self._positions, self._log, self._checkpoint_s = journal, positions, log, checkpoint_s
        self._queue: queue.Queue[Entry | _Batch | None] = queue.Queue(_MOST_WAITING)
        self._repeats = Repeats()
        self._thread: threading.Thread | None = None
        # Not the program's stop: what waits when it is asked to stop is still written.
        self._given_up = threading.Event()

    def emit(self, entry: Entry) -> None:
        """Have an access written; waits while too many are."""
        self._queue.put(entry)

    def emit_all(self, entries: Sequence[Entry], acknowledged: Callable[[], None]) -> None:
        """Have accesses written, and be told once Kafka has them, or once they are counted as repeated ones.

        Raises:
            FullError: Too much waits; none of them is written.
        """
        try:
            self._queue.put_nowait(_Batch(entries=entries, acknowledged=acknowledged))
        except queue.Full:
            raise FullError from None

    def start(self, stop: threading.Event) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, args=(stop,), name="writer", daemon=True)
        self._thread.start()

    def end(self, seconds: float) -> bool:
        """Write what waits, and end; whether that was done in time. ``stop`` is set already."""
        if self._thread is None:
            return True
        deadline = time.monotonic() + seconds
        with suppress(queue.Full):
            self._queue.put(None, timeout=seconds)
        self._thread.join(max(0.0, deadline - time.monotonic()))
        written = not self._thread.is_alive()
        self._given_up.set()
        return written

    def alive(self) -> bool:
        """Whether it still works; brokers that are away are no reason to restart."""
        return self._thread is None or self._thread.is_alive()

    def _run(self, stop: threading.Event) -> None:
        due = time.monotonic() + self._checkpoint_s
        pending = [_note(START)]
        waiting: list[Callable[[], None]] = []
        over = False
        while True:
            if pending and not self._journal.write(pending, self._given_up, self._log):
                return
            for acknowledged in waiting:
                acknowledged()
            if over or self._given_up.is_set():
                return
            wakes = min(due, self._repeats.due or due)
            positions, taken, waiting, over = self._next(max(0.0, wakes - time.monotonic()))
            now = time.monotonic()
            pending = self._repeats.folded(taken, now)
            pending += self._repeats.all() if over else self._repeats.ended(now)
            if over or now >= due:
                due = now + self._checkpoint_s
                pending.append(_note(CHECKPOINT, positions))

    def _next(self, seconds: float) -> tuple[dict[str, str], list[Entry], list[Callable[[], None]], bool]:
        """How far sources were read, what came up to there or later, who waits for it, and whether that is all."""
        taken: list[Entry] = []
        waiting: list[Callable[[], None]] = []
        items: list[Entry | _Batch | None] = []
        with suppress(queue.Empty):
            items.append(self._queue.get(timeout=seconds))
        # A position is set after its access was put into the queue: all of those before this line are in it.
        positions = self._positions.all()
        with suppress(queue.Empty):
            while items and items[-1] is not None:
                items.append(self._queue.get_nowait())
        for item in items:
            if isinstance(item, Entry):
                taken.append(item)
            elif item is not None:
                taken.extend(item.entries)
                waiting.append(item.acknowledged)
        return positions, taken, waiting, None in items


def _note(action: str, positions: dict[str, str] | None = None) -> Entry:
    told = note(action, "audit:log", datetime.now(UTC))
    return Entry(access=told, source=Source.AUDIT, positions=positions or {})
