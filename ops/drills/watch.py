"""What can be seen from outside during a drill (pods, partitions, panels of the overview, alerts, notifications), and
what happened when, as a chart that GitHub draws.
"""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from components.alerting.escalation import SUFFIX
from components.dashboards.model import Panel, Query
from components.dashboards.registry import dashboard_named
from ops.alerts import events as alert_events
from ops.alerts.events import Stage
from ops.alerts.silences import WATCHDOG
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import Pod
from ops.core.platform import Platform
from ops.dashboards.command import CHECK_RANGE, query_client
from ops.dashboards.panel_queries import Answer, QueryClient, ask, span
from services.alert_events.events import AlertEvent, ProcessedEvent

LANES = ("drill", "platform", "dashboards", "alerts", "notices")
MOST_SHOWN = 14
"""Rows of one lane in a chart."""
_UNSAFE = re.compile(r"[^\w .,/()'\u0080-\uffff-]+")


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that lasted, or a moment.

    Attributes:
        lane: One of `LANES`.
        what: What it was.
        start: Seconds since the drill began.
        end: Its end; the same as ``start`` for a moment, None while it goes on.
    """

    lane: str
    what: str
    start: float
    end: float | None

    @property
    def moment(self) -> bool:
        """Whether it has no length."""
        return self.end == self.start

    def as_json(self) -> dict[str, Any]:
        """The event for machines."""
        return {"lane": self.lane, "what": self.what, "start": self.start, "end": self.end}


class Changes:
    """Makes spans of time from looks at a state; any thread may tell what it saw."""

    def __init__(self, lane: str) -> None:
        self._lane, self._lock = lane, threading.Lock()
        self._open: dict[str, tuple[float, int]] = {}
        self._done: list[Event] = []

    def feed(self, at: float, scope: str, seen: Mapping[str, int]) -> None:
        """Tell what is the case now.

        Args:
            at: Seconds since the drill began.
            scope: Who looks; what he saw before and does not see any more is over.
            seen: Text in which ``{n}`` stands for the worst number of the span -> the number now.
        """
        keys = {f"{scope}\0{text}": number for text, number in seen.items()}
        with self._lock:
            for key in [
                open_key for open_key in self._open if open_key.startswith(f"{scope}\0") and open_key not in keys
            ]:
                self._done.append(self._event(key, *self._open.pop(key), at))
            for key, number in keys.items():
                start, worst = self._open.get(key, (at, number))
                self._open[key] = (start, max(worst, number))

    def note(self, at: float, what: str) -> None:
        """Tell of a moment."""
        with self._lock:
            self._done.append(Event(lane=self._lane, what=what, start=round(at, 1), end=round(at, 1)))

    def events(self) -> list[Event]:
        """Everything until now, by begin; what goes on has no end."""
        with self._lock:
            going_on = [self._event(key, *value, None) for key, value in self._open.items()]
            return sorted([*self._done, *going_on], key=lambda event: (event.start, event.what))

    def _event(self, key: str, start: float, worst: int, end: float | None) -> Event:
        what = key.partition("\0")[2].replace("{n}", str(worst))
        # A span that begins and ends between two looks has a length all the same.
        until = None if end is None else round(max(end, start + 0.1), 1)
        return Event(lane=self._lane, what=what, start=round(start, 1), end=until)


def mermaid(title: str, events: Iterable[Event], length: float) -> str:
    """A Gantt chart as text of Mermaid, with seconds on its axis.

    Args:
        title: Title.
        events: What to draw; of each lane at most `MOST_SHOWN`, the first ones.
        length: Seconds that the chart is long.
    """
    lines = ["gantt", f"    title {_safe(title)}", "    dateFormat X", "    axisFormat %s s"]
    by_lane: dict[str, list[Event]] = {}
    for event in events:
        by_lane.setdefault(event.lane, []).append(event)
    for lane in sorted(by_lane, key=_order):
        lane_events = sorted(by_lane[lane], key=lambda event: event.start)
        lines.append(f"    section {_safe(lane)}")
        lines += [_bar(lane_event, length) for lane_event in lane_events[:MOST_SHOWN]]
        if more := len(lane_events) - MOST_SHOWN:
            lines += [f"    and {more} more :milestone, {_second(length)}, 0s"] if more > 0 else []
    return "\n".join(lines)


def rows(events: Sequence[Event]) -> list[str]:
    """The same as rows of a Markdown table."""
    lines = ["| seconds | | what |", "|---|---|---|"]
    for shown in sorted(events, key=lambda event: (event.start, _order(event.lane))):
        until = "" if shown.moment else f" to {shown.end:.1f}" if shown.end is not None else " on"
        lines.append(f"| {shown.start:.1f}{until} | {shown.lane} | {cell(shown.what)} |")
    return lines


def cell(text: str) -> str:
    """Text that may stand in a cell of a Markdown table."""
    return " ".join(text.split()).replace("<", "&lt;").replace("|", "\\|")


def _order(lane: str) -> tuple[int, str]:
    return (LANES.index(lane) if lane in LANES else len(LANES), lane)


def _bar(event: Event, length: float) -> str:
    name = _safe(event.what)
    if event.moment:
        return f"    {name} :milestone, {_second(event.start)}, 0s"
    tag = {"platform": "crit, ", "dashboards": "crit, ", "alerts": "active, "}.get(event.lane, "")
    end = max(_second(event.end if event.end is not None else length), _second(event.start) + 1)
    return f"    {name} :{tag}{_second(event.start)}, {end}"


def _second(moment: float) -> int:
    return max(0, round(moment))


def _safe(text: str) -> str:
    """Text without what Mermaid takes for itself: colons, semicolons, commas in names, comment signs."""
    return " ".join(_UNSAFE.sub(" ", text.replace(",", " ")).split()) or "-"


DASHBOARD = "overview"
PODS_EVERY_S, PARTITIONS_EVERY_S, QUESTION_EVERY_S = 2.0, 2.0, 1.0
UNANSWERED = "a question without an answer"
_JOIN_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What was seen.

    Attributes:
        events: What was not whole, and when.
        questions: Questions of the overview's panels that were asked.
        unanswered: Those without an answer, or empty where there had been values before the drill.
        slowest_s: The slowest answer; None where there was none.
        alerts, notifications: Events, or None where they could not be read.
    """

    events: tuple[Event, ...]
    questions: int
    unanswered: int
    slowest_s: float | None
    alerts: tuple[Event, ...] | None = None
    notifications: tuple[Event, ...] | None = None

    @property
    def first_sign(self) -> Event | None:
        """The first thing that was not whole."""
        return min(
            (event for event in self.events if event.lane == "platform"), key=lambda event: event.start, default=None
        )

    @property
    def whole_again(self) -> float | None:
        """Second from which on everything was whole; None where nothing was seen, or something still is not."""
        ends = [event.end for event in self.events if event.lane == "platform"]
        return max((end for end in ends if end is not None), default=None) if None not in ends else None

    def everything(self) -> list[Event]:
        """All events of all kinds."""
        return [*self.events, *(self.alerts or ()), *(self.notifications or ())]

    def as_json(self) -> dict[str, Any]:
        """For machines, and for the table that is made from it later."""
        return {
            "events": [event.as_json() for event in self.events],
            "questions": self.questions,
            "unanswered": self.unanswered,
            "slowest_s": self.slowest_s,
            "alerts": None if self.alerts is None else [alert.as_json() for alert in self.alerts],
            "notices": None
            if self.notifications is None
            else [notification.as_json() for notification in self.notifications],
        }


def parsed(data: Mapping[str, Any]) -> Watched:
    """What ``as_json`` wrote.

    Raises:
        KeyError: Something is missing.
        TypeError: Something has another shape.
    """

    def events(stored_events: Iterable[Mapping[str, Any]] | None) -> tuple[Event, ...] | None:
        return None if stored_events is None else tuple(Event(**stored_event) for stored_event in stored_events)

    return Watched(
        events=events(data["events"]) or (),
        questions=data["questions"],
        unanswered=data["unanswered"],
        slowest_s=data["slowest_s"],
        alerts=events(data["alerts"]),
        notifications=events(data["notices"]),
    )


@dataclass
class Pods:
    """Compares pods with those before the drill."""

    before: Sequence[Pod]
    _restarts: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        """Note what is normal."""
        self._restarts = {pod.name: pod.restarts for pod in self.before}

    def missing(self, now: Iterable[Pod]) -> dict[str, int]:
        """Text with ``{n}`` -> how many pods of a workload are not ready, or gone."""
        normal = Counter(pod.workload for pod in self.before if pod.ready and pod.workload)
        ready = Counter(pod.workload for pod in now if pod.ready)
        return {
            f"{workload}, {{n}} of {count} not ready": count - ready[workload]
            for workload, count in sorted(normal.items())
            if ready[workload] < count
        }

    def restarted(self, now: Iterable[Pod]) -> list[str]:
        """Names of pods whose containers were started again since the last look."""
        names = [pod.name for pod in now if pod.restarts > self._restarts.get(pod.name, pod.restarts)]
        self._restarts |= {pod.name: pod.restarts for pod in now}
        return names


class Questions:
    """Asks questions one after the other, one a second, from the moment it is entered until it is left.

    Args:
        panel_client: Who is asked.
        questions: Panels and queries that had values before.
        note: Told the seconds since the begin, and whether there was an answer.
    """

    def __init__(
        self,
        panel_client: QueryClient,
        questions: Sequence[tuple[Panel, Query]],
        note: Callable[[float, bool], None] = lambda *_: None,
    ) -> None:
        self._client, self._questions, self._note = panel_client, questions, note
        self.requested = self.unanswered = 0
        self.latencies: list[float] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> Questions:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join(_JOIN_S)

    def _ask(self) -> None:
        start = time.monotonic()
        for panel, query in itertools.cycle(self._questions):
            if self._stopping.is_set():
                return
            at = time.monotonic() - start
            answer = self._client.answer(panel, query, span(CHECK_RANGE).of(panel))
            good = _has_values(answer)
            self.requested += 1
            self.unanswered += not good
            if good:
                self.latencies.append(answer.latency_s)
            self._note(at, good)
            self._stopping.wait(QUESTION_EVERY_S)


class Watcher:
    """Looks from the moment it is entered until it is left, each thing in a thread of its own.

    Args:
        context: The platform.
        clock: Seconds, steady.
    """

    def __init__(self, context: Context, clock: Callable[[], float] = time.monotonic) -> None:
        self._context, self._clock = context, clock
        self.began = datetime.now(UTC)
        self._start = clock()
        self._stopping = threading.Event()
        self._platform, self._dashboards = Changes("platform"), Changes("dashboards")
        self._pods = Pods(context.kube.pods())
        panel_client = query_client(context)
        self._questions = Questions(
            panel_client, answered_before(panel_client, dashboard_named(DASHBOARD).panels), self._answered
        )
        looks = ((self._poll_pods, PODS_EVERY_S), (self._poll_partitions, PARTITIONS_EVERY_S))
        self._threads = [threading.Thread(target=self._every, args=look, daemon=True) for look in looks]

    def __enter__(self) -> Watcher:
        self.began, self._start = datetime.now(UTC), self._clock()
        for thread in self._threads:
            thread.start()
        self._questions.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._questions.__exit__(kind, error, trace)
        for thread in self._threads:
            thread.join(_JOIN_S)

    def seen(self) -> Watched:
        """What was seen until now; pods of jobs that have ended meanwhile are left out."""
        try:
            left = {pod.workload for pod in self._context.kube.pods()}
        except OpsError:
            left = {pod.workload for pod in self._pods.before}
        events = [
            event
            for event in self._platform.events()
            if event.end is not None or event.what.partition(",")[0] in left or "," not in event.what
        ]
        times = list(self._questions.latencies)
        return Watched(
            events=(*events, *self._dashboards.events()),
            questions=self._questions.requested,
            unanswered=self._questions.unanswered,
            slowest_s=round(max(times), 2) if times else None,
        )

    def _every(self, look: Callable[[float], None], pause: float) -> None:
        while not self._stopping.is_set():
            look(self._clock() - self._start)
            self._stopping.wait(pause)

    def _poll_pods(self, at: float) -> None:
        try:
            now = self._context.kube.pods()
        except OpsError:
            self._platform.feed(at, "cluster", {"Kubernetes gives no answer": 1})
            return
        self._platform.feed(at, "cluster", {})
        self._platform.feed(at, "pods", self._pods.missing(now))
        for name in self._pods.restarted(now):
            self._platform.note(at, f"{name} started again")

    def _poll_partitions(self, at: float) -> None:
        try:
            topics = self._context.kafka.topics().values()
        except OpsError:
            self._platform.feed(at, "Kafka", {"Kafka gives no answer": 1})
            return
        behind = sum(
            sync < replicas for topic in topics for sync, replicas in zip(topic.in_sync, topic.replicas, strict=True)
        )
        self._platform.feed(at, "Kafka", {"{n} partitions without all copies": behind} if behind else {})

    def _answered(self, at: float, good: bool) -> None:
        self._dashboards.feed(at, "panels", {} if good else {UNANSWERED: 1})


def answered_before(panel_client: QueryClient, panels: Iterable[Panel]) -> list[tuple[Panel, Query]]:
    """Questions that have values now: only those can lose them."""
    return [
        (result.panel, answer.query)
        for result in ask(panel_client, list(panels), span(CHECK_RANGE))
        for answer in result.answers
        if _has_values(answer)
    ]


def _has_values(answer: Answer) -> bool:
    return not answer.problem and answer.points > 0


_NAME, _SEVERITY = "alertname", "severity"


def read(platform: Platform, began: datetime) -> tuple[tuple[Event, ...], tuple[Event, ...]]:
    """Alerts and notifications since a moment.

    Raises:
        OpsError: Kafka does not answer, or the platform has no topic of alerts.
    """
    raw = alert_events.read(platform, Stage.RAW, began)
    processed = alert_events.read(platform, Stage.PROCESSED, began)
    return raised(raw.events, began), notifications(processed.events, began)


def raised(events: Iterable[AlertEvent], began: datetime) -> tuple[Event, ...]:
    """Alerts that began to fire since then, one line for each name: its first begin, its last end."""
    spans: dict[tuple[str, str, datetime], datetime | None] = {}
    severities: dict[str, str] = {}
    for event in events:
        name = event.labels.get(_NAME, "?")
        if name == WATCHDOG or event.starts_at < began:
            continue
        severities[name] = event.labels.get(_SEVERITY, "")
        one = (name, event.fingerprint, event.starts_at)
        # A firing alert is sent again and again; the end that counts is that of a resolved one.
        spans[one] = event.ends_at if event.status == "resolved" else spans.get(one)
    names: dict[str, list[tuple[datetime, datetime | None]]] = {}
    for (name, _, start), end in spans.items():
        names.setdefault(name, []).append((start, end))
    alert_spans = []
    for name, parts in names.items():
        ends = [end for _, end in parts if end is not None]
        over = max(ends) if len(ends) == len(parts) else None
        count = f", {len(parts)} times" if len(parts) > 1 else ""
        severity = f" ({severities[name]})" if severities[name] else ""
        alert_spans.append(_event("alerts", f"{name}{severity}{count}", began, min(start for start, _ in parts), over))
    return tuple(sorted(alert_spans, key=lambda alert_span: (alert_span.start, alert_span.what)))


def notifications(events: Iterable[AlertEvent], began: datetime) -> tuple[Event, ...]:
    """Notifications that were sent since then; one may be about several alerts."""
    names_by_notification: dict[tuple[str, str, str, datetime], set[str]] = {}
    for event in events:
        if not isinstance(event, ProcessedEvent) or event.received_at < began:
            continue
        name = event.labels.get(_NAME, "?").removesuffix(SUFFIX)
        if name == WATCHDOG:
            continue
        key = (event.receiver, event.group_key, event.group_status, event.received_at)
        names_by_notification.setdefault(key, set()).add(name)
    return tuple(
        _event("notices", f"{receiver}, {status}, {', '.join(sorted(names))}", began, at, at)
        for (receiver, _, status, at), names in sorted(names_by_notification.items(), key=lambda entry: entry[0][3])
    )


def _event(lane: str, what: str, began: datetime, start: datetime, end: datetime | None) -> Event:
    first = round(max(0.0, (start - began).total_seconds()), 1)
    last = None if end is None else round(max(first, (end - began).total_seconds()), 1)
    return Event(lane=lane, what=what, start=first, end=first if end == start else last)
