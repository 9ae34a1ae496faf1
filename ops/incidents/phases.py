"""The four phases of requirement 11.2, as sections of the report."""

from __future__ import annotations

from ops.incidents.charts import pictures
from ops.incidents.document import Block, Cell, Code, Heading, Table, Text
from ops.incidents.model import Phase
from ops.incidents.parts import Parts
from ops.telemetry.trace_tree import duration

_EMPTY_ACTIONS = 3


def respond(parts: Parts) -> list[Block]:
    """Phase 1: the clock, who was notified, who acknowledged."""
    texts, evidence = parts.texts, parts.evidence
    notifications = Table(
        head=[parts.time_head(), texts("since"), texts("receiver"), texts("status"), texts("alerts")],
        rows=[
            [
                parts.short(notification.at),
                parts.after(notification.at),
                notification.receiver,
                notification.status,
                ", ".join(notification.alerts),
            ]
            for notification in evidence.notifications
        ],
        empty=texts("nothing_seen"),
    )
    silences = Table(
        head=[parts.time_head(), texts("since"), texts("who"), texts("until"), texts("what"), texts("comment")],
        rows=[
            [
                parts.short(silence.start),
                parts.after(silence.start),
                silence.author,
                parts.short(silence.end),
                texts("acknowledged") if silence.acknowledges else silence.matchers,
                silence.comment,
            ]
            for silence in evidence.silences
        ],
        empty=texts("nothing_seen"),
    )
    return [
        Heading(text=parts.texts("clock")),
        parts.dial(),
        *parts.part("notifications", "notifications", notifications),
        *parts.part("acknowledgements", "silences", silences),
        *parts.notes(Phase.RESPOND),
    ]


def diagnose(parts: Parts) -> list[Block]:
    """Phase 2: root cause, series, traces, logs, changes."""
    texts, evidence = parts.texts, parts.evidence
    own = [measured for measured in evidence.measured if not measured.sibling]
    siblings = [measured for measured in evidence.measured if measured.sibling]
    blocks: list[Block] = [
        Heading(text=texts("cause")),
        Text(text=parts.incident.cause or texts("not_written"), tone="" if parts.incident.cause else "muted"),
        Heading(text=texts("metrics")),
        *parts.state("metrics"),
    ]
    blocks += pictures(own, 1, parts.incident, evidence, texts, parts.time_format)
    if siblings:
        blocks.append(Heading(text=texts("siblings")))
        blocks += pictures(siblings, len(own) + 1, parts.incident, evidence, texts, parts.time_format)
    blocks += parts.part("traces", "traces", _traces(parts))
    blocks += parts.part("logs", "logs", _logs(parts))
    blocks += parts.part("changes", "changes", _changes(parts))
    return blocks + parts.notes(Phase.DIAGNOSE)


def _traces(parts: Parts) -> Table:
    texts = parts.texts
    head = [parts.time_head(), texts("service"), texts("operation"), texts("duration"), texts("result")]
    return Table(
        head=[*head, texts("class"), texts("trace")],
        rows=[
            [
                parts.short(trace.at),
                trace.service,
                trace.operation,
                duration(trace.duration_us),
                texts("failed") if trace.failed else texts("slow"),
                trace.data_class,
                Code(trace.trace_id),
            ]
            for trace in parts.evidence.traces
        ],
        empty=texts("nothing_seen"),
    )


def _logs(parts: Parts) -> Table:
    texts = parts.texts
    return Table(
        head=[parts.time_head(), texts("level"), texts("service"), texts("text"), texts("trace")],
        rows=[
            [parts.short(log.at), log.severity, log.service, log.text, Code(log.trace[:16])]
            for log in parts.evidence.logs
        ],
        empty=texts("nothing_seen"),
    )


def _changes(parts: Parts) -> Table:
    texts = parts.texts
    return Table(
        head=[parts.time_head(), texts("revision"), texts("result"), texts("text"), texts("commit"), texts("who")],
        rows=[
            [
                parts.short(change.at),
                f"{change.kind} {change.version}",
                change.result,
                "\n".join([change.message, ", ".join(f"{count} {name}" for name, count in change.changes.items())]),
                Code(change.commit),
                change.author,
            ]
            for change in parts.evidence.changes
        ],
        empty=texts("nothing_seen"),
    )


def recover(parts: Parts) -> list[Block]:
    """Phase 3: when it stopped, what was restarted."""
    texts, evidence = parts.texts, parts.evidence
    spells = Table(
        head=[texts("prometheus"), texts("alert"), texts("status"), texts("from"), texts("to")],
        rows=[
            [
                firing.replica or "-",
                firing.alert,
                texts(firing.state),
                parts.short(firing.start),
                parts.short(firing.end) if firing.end else texts("still"),
            ]
            for firing in evidence.firing
            if firing.own
        ],
        empty=texts("nothing_seen"),
    )
    cluster = Table(
        head=[parts.time_head(), texts("subject"), texts("reason"), texts("text")],
        rows=[[parts.short(event.at), event.subject, event.reason, event.text] for event in evidence.cluster],
        empty=texts("nothing_seen"),
    )
    return [
        *parts.part("resolution", "firing", spells),
        *parts.part("cluster", "cluster", cluster),
        *parts.notes(Phase.RECOVER),
    ]


def follow_up(parts: Parts) -> list[Block]:
    """Phase 4: actions, with rows to fill in."""
    texts = parts.texts
    noted = parts.incident.noted(Phase.FOLLOW_UP)
    rows: list[list[Cell]] = [[note.text, note.owner, str(note.due or "")] for note in noted]
    rows += [["", "", ""]] * max(0, _EMPTY_ACTIONS - len(rows))
    return [
        Heading(text=texts("actions")),
        Table(head=[texts("action"), texts("owner"), texts("due")], rows=rows),
    ]
