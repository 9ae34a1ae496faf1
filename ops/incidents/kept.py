"""What was collected before stays where its source fails, and where its source has forgotten it since (retention)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from components.telemetry.attributes import CLASSES
from ops.incidents.evidence import Evidence, Firing, Line, Measured, Source

FIELDS: Mapping[str, tuple[str, ...]] = {
    "firing": ("firing",),
    "metrics": ("measured",),
    "events": ("events",),
    "notifications": ("notifications",),
    "silences": ("silences",),
    "traces": ("traces", "clearance"),
    "logs": ("logs",),
    "cluster": ("cluster",),
    "changes": ("changes",),
}
"""Which fields of the evidence a source fills."""

_SAME: Mapping[str, Callable[[Any], Hashable]] = {
    "events": lambda event: (event.at, event.replica, event.alert, event.status),
    "notifications": lambda notification: (notification.at, notification.receiver, notification.alerts),
    "silences": lambda silence: (silence.start, silence.author, silence.matchers),
    "traces": lambda trace: trace.trace_id,
    "logs": lambda log: (log.at, log.service, log.text),
    "cluster": lambda event: (event.at, event.kind, event.subject, event.reason),
    "changes": lambda change: (change.at, change.kind, change.version),
}
"""What two looks have in common of the same entry; the later look tells it better."""


def merged(now: Evidence, before: Evidence | None) -> Evidence:
    """What was collected now, and what was there before and is not told any more.

    Args:
        now: What was collected; of a source that failed only its problem.
        before: What was kept, or nothing.
    """
    if before is None:
        return now
    values: dict[str, Any] = {}
    states = dict(now.sources)
    for name, state in now.sources.items():
        known = before.sources.get(name)
        if known is None or known.collected is None:
            continue
        if state.collected is None:
            values |= {field: getattr(before, field) for field in FIELDS.get(name, ())}
            states[name] = known.model_copy(update={"problem": state.problem})
            continue
        count = 0
        for field in FIELDS.get(name, ()):
            values[field], kept = _field(field, now, before)
            count += kept
        if count:
            states[name] = _keeping(state, count, known.kept_since or known.collected)
    return now.model_copy(update={**values, "sources": states})


def permitted(evidence: Evidence, clearance: str) -> Evidence:
    """The evidence without traces above a clearance; all of it where none is named."""
    if not clearance or not evidence.clearance:
        return evidence
    most = CLASSES.index(clearance)
    traces = tuple(trace for trace in evidence.traces if CLASSES.index(trace.data_class) <= most)
    return evidence.model_copy(
        update={"traces": traces, "clearance": min(evidence.clearance, clearance, key=CLASSES.index)}
    )


def _keeping(state: Source, count: int, since: datetime) -> Source:
    return state.model_copy(update={"kept": count, "kept_since": since})


def _field(field: str, now: Evidence, before: Evidence) -> tuple[Any, int]:
    """A field of both looks, and how much of it only the earlier one has."""
    if field == "clearance":
        return max((now.clearance, before.clearance), key=lambda name: CLASSES.index(name) if name else -1), 0
    if field == "firing":
        return _firing(now.firing, before)
    if field == "measured":
        return _measured(now.measured, before.measured)
    same, later = _SAME[field], getattr(now, field)
    told = {same(entry) for entry in later}
    kept = [entry for entry in getattr(before, field) if same(entry) not in told]
    return tuple(sorted((*later, *kept), key=_moment)), len(kept)


def _moment(entry: Any) -> datetime:
    at: datetime = entry.start if hasattr(entry, "start") else entry.at
    return at


def _firing(later: Sequence[Firing], before: Evidence) -> tuple[tuple[Firing, ...], int]:
    """Times of firing: steps of series differ between looks, so those that overlap are the same."""
    spells, kept = list(later), 0
    for old in before.firing:
        index = next((index for index, new in enumerate(spells) if _overlap(old, new, before.end)), None)
        if index is None:
            spells.append(old)
            kept += 1
        elif old.start < spells[index].start:
            spells[index] = spells[index].model_copy(update={"start": old.start})
    return tuple(sorted(spells, key=lambda spell: (not spell.own, spell.start, spell.alert))), kept


def _overlap(old: Firing, new: Firing, lasted: datetime) -> bool:
    names = (old.replica, old.alert, old.state, old.own) == (new.replica, new.alert, new.state, new.own)
    return names and new.start <= (old.end or lasted) and (new.end is None or old.start <= new.end)


def _measured(later: Sequence[Measured], before: Sequence[Measured]) -> tuple[tuple[Measured, ...], int]:
    def same(measured: Measured) -> Hashable:
        return measured.alert, measured.sibling, measured.value, measured.comparison, measured.limit

    charts, kept = {same(measured): measured for measured in later}, 0
    for old in before:
        new = charts.get(same(old))
        if new is None or not _has_points(new.lines):
            if _has_points(old.lines):
                charts[same(old)] = old
                kept += 1
        elif new.expression == old.expression:
            charts[same(old)], forgotten = _joined(new, old)
            kept += forgotten
    return tuple(sorted(charts.values(), key=lambda measured: measured.sibling)), kept


def _joined(new: Measured, old: Measured) -> tuple[Measured, bool]:
    """A chart with what an earlier look had before its first sample, and whether that is more than a step."""
    step_s, forgotten = max(new.step_s, old.step_s), False
    lines = {tuple(sorted(line.labels.items())): line for line in new.lines}
    for line in old.lines:
        labels = tuple(sorted(line.labels.items()))
        first = lines[labels].points[0][0] if labels in lines and lines[labels].points else None
        earlier = tuple(point for point in line.points if first is None or point[0] < first)
        if not earlier:
            continue
        forgotten = forgotten or first is None or first - earlier[0][0] > 2 * step_s
        lines[labels] = line.model_copy(update={"points": earlier + (lines[labels].points if first else ())})
    return new.model_copy(update={"lines": tuple(lines.values()), "step_s": step_s}), forgotten


def _has_points(lines: Iterable[Line]) -> bool:
    return any(line.points for line in lines)
