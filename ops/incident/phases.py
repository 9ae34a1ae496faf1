"""The four phases of requirement 11.2, as sections of the report."""

from __future__ import annotations

from ops.incident.charts import pictures
from ops.incident.document import Block, Cell, Code, Heading, Table, Text
from ops.incident.model import Phase
from ops.incident.parts import Parts
from ops.trace_tree import duration

_EMPTY_ACTIONS = 3


def respond(parts: Parts) -> list[Block]:
    """Phase 1: the clock, who was notified, who acknowledged."""
    texts, evidence = parts.texts, parts.evidence
    notifications = Table(
        head=[parts.time_head(), texts("since"), texts("receiver"), texts("status"), texts("alerts")],
        rows=[
            [parts.short(each.at), parts.after(each.at), each.receiver, each.status, ", ".join(each.alerts)]
            for each in evidence.notifications
        ],
        empty=texts("nothing_seen"),
    )
    silences = Table(
        head=[parts.time_head(), texts("since"), texts("who"), texts("until"), texts("what"), texts("comment")],
        rows=[
            [
                parts.short(each.start),
                parts.after(each.start),
                each.author,
                parts.short(each.end),
                texts("acknowledged") if each.acknowledges else each.matchers,
                each.comment,
            ]
            for each in evidence.silences
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
    own = [each for each in evidence.measured if not each.sibling]
    siblings = [each for each in evidence.measured if each.sibling]
    found: list[Block] = [
        Heading(text=texts("cause")),
        Text(text=parts.incident.cause or texts("not_written"), tone="" if parts.incident.cause else "muted"),
        Heading(text=texts("metrics")),
        *parts.state("metrics"),
    ]
    found += pictures(own, 1, parts.incident, evidence, texts, parts.time_format)
    if siblings:
        found.append(Heading(text=texts("siblings")))
        found += pictures(siblings, len(own) + 1, parts.incident, evidence, texts, parts.time_format)
    found += parts.part("traces", "traces", _traces(parts))
    found += parts.part("logs", "logs", _logs(parts))
    found += parts.part("changes", "changes", _changes(parts))
    return found + parts.notes(Phase.DIAGNOSE)


def _traces(parts: Parts) -> Table:
    texts = parts.texts
    head = [parts.time_head(), texts("service"), texts("operation"), texts("duration"), texts("result")]
    return Table(
        head=[*head, texts("class"), texts("trace")],
        rows=[
            [
                parts.short(each.at),
                each.service,
                each.operation,
                duration(each.duration_us),
                texts("failed") if each.failed else texts("slow"),
                each.data_class,
                Code(each.trace_id),
            ]
            for each in parts.evidence.traces
        ],
        empty=texts("nothing_seen"),
    )


def _logs(parts: Parts) -> Table:
    texts = parts.texts
    return Table(
        head=[parts.time_head(), texts("level"), texts("service"), texts("text"), texts("trace")],
        rows=[
            [parts.short(each.at), each.severity, each.service, each.text, Code(each.trace[:16])]
            for each in parts.evidence.logs
        ],
        empty=texts("nothing_seen"),
    )


def _changes(parts: Parts) -> Table:
    texts = parts.texts
    return Table(
        head=[parts.time_head(), texts("revision"), texts("result"), texts("text"), texts("commit"), texts("who")],
        rows=[
            [
                parts.short(each.at),
                f"{each.kind} {each.version}",
                each.result,
                "\n".join([each.message, ", ".join(f"{count} {name}" for name, count in each.changes.items())]),
                Code(each.commit),
                each.author,
            ]
            for each in parts.evidence.changes
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
                each.replica or "-",
                each.alert,
                texts(each.state),
                parts.short(each.start),
                parts.short(each.end) if each.end else texts("still"),
            ]
            for each in evidence.firing
            if each.own
        ],
        empty=texts("nothing_seen"),
    )
    cluster = Table(
        head=[parts.time_head(), texts("subject"), texts("reason"), texts("text")],
        rows=[[parts.short(each.at), each.subject, each.reason, each.text] for each in evidence.cluster],
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
