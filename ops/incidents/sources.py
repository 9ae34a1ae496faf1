"""Sources "changes", "cluster", "logs" and "traces": what the platform itself shows of the time around an incident. And
of all sources: what was collected before stays where one fails, and where it has forgotten it since (retention).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.telemetry.attributes import CLASSES
from components.telemetry.services import TRACED_SERVICES, latency_limit_ms
from ops.core.errors import OpsError, one_line
from ops.core.kube import Kube
from ops.core.platform import PROJECT, run_pulumi
from ops.core.web import Web, ask, unexpected
from ops.incidents.evidence import Change, ClusterEvent, Evidence, Firing, Line, LogSeen, Measured, Source, TraceSeen
from ops.incidents.record import Incident, TimeWindow
from ops.telemetry.logs import LEVELS, READ_ALIAS
from ops.telemetry.traces import Trace, TraceReader, printable

MOST_CHANGES = 20
_UPDATES_PER_PAGE = 50
_HISTORY_TIMEOUT_SECONDS = 40


def changes(window: TimeWindow, cwd: Path = PROJECT) -> tuple[tuple[Change, ...], int]:
    """Updates that ran in the window, oldest first, and how many there were; previews change nothing and are left out.

    Raises:
        OpsError: No ``pulumi``, no stack, or no answer in time.
    """
    arguments = ("stack", "history", "--json", "--page-size", str(_UPDATES_PER_PAGE), "--non-interactive")
    done = run_pulumi(cwd, *arguments, limit_s=_HISTORY_TIMEOUT_SECONDS)
    if done.returncode != 0:
        raise OpsError(f"`pulumi stack history`: {one_line(done.stderr.decode(errors='replace'), 160)}")
    return parse_history(done.stdout.decode(errors="replace"), window)


def parse_history(text: str, window: TimeWindow) -> tuple[tuple[Change, ...], int]:
    """Updates of the window from the command's output, and how many there were.

    Raises:
        OpsError: It is no such output.
    """
    try:
        changes = [_change(load) for load in json.loads(text) if load.get("kind") != "preview"]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise OpsError("`pulumi stack history --json` did not print a history") from None
    inside = [change for change in changes if change.at <= window.end and (change.end or window.end) >= window.start]
    return tuple(sorted(inside, key=lambda change: change.at)[-MOST_CHANGES:]), len(inside)


def _change(update: Mapping[str, Any]) -> Change:
    environment = update.get("environment") or {}
    return Change(
        at=_time(update["startTime"]),
        end=_time(update["endTime"]) if update.get("endTime") else None,
        kind=str(update["kind"]),
        version=int(update.get("version") or 0),
        result=str(update.get("result") or "?"),
        message=one_line(update.get("message") or "-", 160),
        commit=str(environment.get("git.head") or "")[:12],
        author=str(environment.get("git.author") or environment.get("git.committer") or ""),
        changes={str(name): int(count) for name, count in (update.get("resourceChanges") or {}).items()},
    )


def _time(text: str) -> datetime:
    timestamp = datetime.fromisoformat(text)
    return timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)


MOST_CLUSTER_EVENTS = 80
_CLUSTER_TIMEOUT_SECONDS = 15
_EVENTS_PER_PAGE = 500
_TELLING = ("Killing", "Preempted", "Evicted", "NodeNotReady", "ScalingReplicaSet", "TaintManagerEviction")
"""Reasons of ordinary events that are worth a line."""


def cluster(kube: Kube, window: TimeWindow) -> tuple[tuple[ClusterEvent, ...], int]:
    """What happened in the platform's namespace in the window, oldest first, and how much there was.

    Kubernetes forgets events after an hour by default: what is older is here only if it was collected in time.
    """
    core, apps, space = kube.core, kube.apps, kube.namespace
    bounds = {"limit": _EVENTS_PER_PAGE, "_request_timeout": _CLUSTER_TIMEOUT_SECONDS}
    events = [
        *_events(core.list_namespaced_event(space, **bounds).items),
        *_restarts(core.list_namespaced_pod(space, **bounds).items),
        *_rollouts(apps.list_namespaced_replica_set(space, **bounds).items, "pod-template-hash"),
        *_rollouts(apps.list_namespaced_controller_revision(space, **bounds).items, "controller-revision-hash"),
    ]
    inside = [event for event in events if window.holds(event.at)]
    # Restarts and rollouts first when there are too many, then warnings.
    chosen = sorted(inside, key=lambda event: (event.kind == "event", not event.warning, event.at))[
        :MOST_CLUSTER_EVENTS
    ]
    return tuple(sorted(chosen, key=lambda event: event.at)), len(inside)


def _events(items: Iterable[Any]) -> Iterable[ClusterEvent]:
    for item in items:
        at = item.last_timestamp or item.event_time or item.first_timestamp
        warning = item.type != "Normal"
        if at is None or not (warning or item.reason in _TELLING):
            continue
        times = f" ({item.count} times)" if (item.count or 1) > 1 else ""
        subject = item.involved_object
        yield ClusterEvent(
            at=_aware(at),
            kind="event",
            subject=f"{subject.kind or '?'} {subject.name or '?'}",
            reason=str(item.reason or ""),
            text=one_line(item.message or "-", 200) + times,
            warning=warning,
        )


def _restarts(items: Iterable[Any]) -> Iterable[ClusterEvent]:
    for pod in items:
        for status in pod.status.container_statuses or []:
            for state in (status.last_state, status.state):
                ended = state.terminated if state else None
                if ended is None or ended.finished_at is None:
                    continue
                yield ClusterEvent(
                    at=_aware(ended.finished_at),
                    kind="restart",
                    subject=f"Pod {pod.metadata.name}, container {status.name}",
                    reason=str(ended.reason or "Terminated"),
                    text=f"exit code {ended.exit_code}, {status.restart_count} restarts so far",
                    warning=ended.exit_code != 0,
                )


def _rollouts(items: Iterable[Any], label: str) -> Iterable[ClusterEvent]:
    for item in items:
        owner = next(iter(item.metadata.owner_references or []), None)
        if owner is None or item.metadata.creation_timestamp is None:
            continue
        revision = (item.metadata.labels or {}).get(label, item.metadata.name)
        yield ClusterEvent(
            at=_aware(item.metadata.creation_timestamp),
            kind="rollout",
            subject=f"{owner.kind} {owner.name}",
            reason="Rollout",
            text=f"new revision {revision}",
            warning=False,
        )


def _aware(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)


MOST_LOG_LINES = 100
LONGEST_TEXT = 300


def query(incident: Incident, window: TimeWindow) -> dict[str, Any]:
    """The search: errors of the layer, or of the service that an alert without layer names."""
    layer, service = incident.alert.layer, incident.alert.labels.get("job", "")
    filters: list[dict[str, Any]] = [
        {"range": {"@timestamp": {"gte": window.start.isoformat(), "lte": window.end.isoformat()}}},
        {"range": {"severity_number": {"gte": LEVELS["error"]}}},
    ]
    if layer:
        filters.append({"term": {"layer": layer}})
    elif service:
        filters.append({"term": {"service": service}})
    return {"bool": {"filter": filters}}


def logs(
    web: Web, url: str, auth: tuple[str, str], incident: Incident, window: TimeWindow
) -> tuple[tuple[LogSeen, ...], int]:
    """The first lines with errors, oldest first, and how many there are.

    The oldest, since those are nearest to the cause.

    Raises:
        OpsError: The search cluster refuses, or does not answer.
    """
    body = {
        "query": query(incident, window),
        "sort": [{"@timestamp": "asc"}],
        "size": MOST_LOG_LINES,
        "track_total_hits": True,
    }
    answer = ask(web, f"{url}/{READ_ALIAS}/_search", auth, body)
    try:
        hits = answer["hits"]
        lines = {str(hit["_id"]): _log_seen(hit["_source"]) for hit in hits["hits"]}
        total = int(hits["total"]["value"])
    except (ValueError, KeyError, TypeError):
        raise unexpected() from None
    return tuple(lines.values()), max(total, len(lines))


def _log_seen(source: Mapping[str, Any]) -> LogSeen:
    at = datetime.fromisoformat(str(source["@timestamp"])[:26].rstrip("Z").removesuffix("+00:00"))
    notes = " ".join(f"{key}={value}" for key, value in (source.get("attributes") or {}).items())
    text = " | ".join(part for part in (str(source.get("body", "")), notes) if part)
    return LogSeen(
        at=at.replace(tzinfo=UTC),
        severity=str(source.get("severity") or source.get("severity_number") or ""),
        service=str(source.get("service", "")),
        trace=str(source.get("trace_id", "")),
        text=one_line(printable(text) or "-", LONGEST_TEXT),
    )


MOST_SERVICES = 6
MOST_EACH = 15
MOST_TRACES = 40


class WindowReader(TraceReader):
    """Reads the traces of a time that may lie in the past."""

    def between(
        self, service: str, window: TimeWindow, *, errors: bool = False, slower_us: int = 0, limit: int = MOST_EACH
    ) -> list[Trace]:
        """Traces of a service, the newest first.

        Raises:
            OpsError: The query refuses, or does not answer.
        """
        params = {
            "service": service,
            "start": str(int(window.start.timestamp() * 1_000_000)),
            "end": str(int(window.end.timestamp() * 1_000_000)),
            "limit": str(limit),
            **({"tags": json.dumps({"error": "true"})} if errors else {}),
            **({"minDuration": f"{slower_us}us"} if slower_us else {}),
        }
        return sorted(self._get("/api/traces", params), key=lambda trace: -trace.start_us)


def services_of(incident: Incident) -> tuple[str, ...]:
    """Services that send traces and belong to the alert: the one that it names, then those of its layer."""
    named = [incident.alert.labels.get(key, "") for key in ("service", "service_name", "job")]
    known = {service.name: service for service in TRACED_SERVICES}
    own = [name for name in named if name in known]
    layer = [name for name, service in known.items() if service.layer.name == incident.alert.layer]
    return tuple(dict.fromkeys([*own, *layer]))[:MOST_SERVICES]


def traces(reader: WindowReader, services: Sequence[str], window: TimeWindow) -> tuple[tuple[TraceSeen, ...], bool]:
    """Failed and slow traces of the services, oldest first, each once, and whether those may not be all.

    Raises:
        OpsError: The query refuses, or does not answer.
    """
    traces_by_id: dict[str, TraceSeen] = {}
    cut = False
    for service in services:
        failed = reader.between(service, window, errors=True)
        slow = reader.between(service, window, slower_us=latency_limit_ms(service) * 1000)
        cut = cut or max(len(failed), len(slow)) >= MOST_EACH
        for trace in (*failed, *slow):
            traces_by_id.setdefault(trace.trace_id, _trace_seen(trace, service))
    # Failed ones first when there are too many.
    chosen = sorted(traces_by_id.values(), key=lambda trace: (not trace.failed, -trace.duration_us))[:MOST_TRACES]
    return tuple(sorted(chosen, key=lambda trace: trace.at)), cut or len(chosen) < len(traces_by_id)


def _trace_seen(trace: Trace, service: str) -> TraceSeen:
    spans = sorted(trace.spans, key=lambda span: span.start_us)
    own = [span for span in spans if span.service == service] or spans
    worst = max(own, key=lambda span: (span.error, span.duration_us))
    return TraceSeen(
        trace_id=trace.trace_id,
        at=datetime.fromtimestamp(trace.start_us / 1e6, UTC),
        service=worst.service,
        operation=worst.name[:120],
        duration_us=trace.duration_us,
        failed=any(span.error for span in spans),
        services=tuple(dict.fromkeys(span.service for span in spans)),
        data_class=most_restricted(span.data_class for span in spans),
    )


def most_restricted(classes: Iterable[str]) -> str:
    """The most restricted of some classes."""
    return max(classes, key=CLASSES.index)


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
