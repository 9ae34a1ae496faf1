"""The four phases of requirement 11.2, as sections of the report."""

from __future__ import annotations

from ops.incident.document import Block, Cell, Code, Heading, Table, Text
from ops.incident.drawing import pictures
from ops.incident.model import Phase
from ops.incident.parts import Parts
from ops.trace_tree import duration

_EMPTY_ACTIONS = 3


def respond(parts: Parts) -> list[Block]:
    """Phase 1: the clock, who was told, who acknowledged."""
    words, evidence = parts.words, parts.evidence
    notices = Table(
        head=[parts.time_head(), words("since"), words("receiver"), words("status"), words("alerts")],
        rows=[
            [parts.short(each.at), parts.after(each.at), each.receiver, each.status, ", ".join(each.alerts)]
            for each in evidence.notices
        ],
        empty=words("nothing_seen"),
    )
    silences = Table(
        head=[parts.time_head(), words("since"), words("who"), words("until"), words("what"), words("comment")],
        rows=[
            [
                parts.short(each.start),
                parts.after(each.start),
                each.author,
                parts.short(each.end),
                words("acknowledged") if each.acknowledges else each.matchers,
                each.comment,
            ]
            for each in evidence.silences
        ],
        empty=words("nothing_seen"),
    )
    return [
        Heading(text=parts.words("clock")),
        parts.dial(),
        *parts.part("notices", "notices", notices),
        *parts.part("acknowledgements", "silences", silences),
        *parts.notes(Phase.RESPOND),
    ]


def diagnose(parts: Parts) -> list[Block]:
    """Phase 2: root cause, series, traces, logs, changes."""
    words, evidence = parts.words, parts.evidence
    own = [each for each in evidence.measured if not each.sibling]
    siblings = [each for each in evidence.measured if each.sibling]
    found: list[Block] = [
        Heading(text=words("cause")),
        Text(text=parts.incident.cause or words("not_written"), tone="" if parts.incident.cause else "muted"),
        Heading(text=words("metrics")),
        *parts.state("metrics"),
    ]
    found += pictures(own, 1, parts.incident, evidence, words, parts.moments)
    if siblings:
        found.append(Heading(text=words("siblings")))
        found += pictures(siblings, len(own) + 1, parts.incident, evidence, words, parts.moments)
    found += parts.part("traces", "traces", _traces(parts))
    found += parts.part("logs", "logs", _logs(parts))
    found += parts.part("changes", "changes", _changes(parts))
    return found + parts.notes(Phase.DIAGNOSE)


def _traces(parts: Parts) -> Table:
    words = parts.words
    head = [parts.time_head(), words("service"), words("operation"), words("duration"), words("result")]
    return Table(
        head=[*head, words("class"), words("trace")],
        rows=[
            [
                parts.short(each.at),
                each.service,
                each.operation,
                duration(each.duration_us),
                words("failed") if each.failed else words("slow"),
                each.data_class,
                Code(each.trace_id),
            ]
            for each in parts.evidence.traces
        ],
        empty=words("nothing_seen"),
    )


def _logs(parts: Parts) -> Table:
    words = parts.words
    return Table(
        head=[parts.time_head(), words("level"), words("service"), words("text"), words("trace")],
        rows=[
            [parts.short(each.at), each.severity, each.service, each.text, Code(each.trace[:16])]
            for each in parts.evidence.logs
        ],
        empty=words("nothing_seen"),
    )


def _changes(parts: Parts) -> Table:
    words = parts.words
    return Table(
        head=[parts.time_head(), words("revision"), words("result"), words("text"), words("commit"), words("who")],
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
        empty=words("nothing_seen"),
    )


def recover(parts: Parts) -> list[Block]:
    """Phase 3: when it stopped, what was restarted."""
    words, evidence = parts.words, parts.evidence
    spells = Table(
        head=[words("prometheus"), words("alert"), words("status"), words("from"), words("to")],
        rows=[
            [
                each.replica or "-",
                each.alert,
                words(each.state),
                parts.short(each.start),
                parts.short(each.end) if each.end else words("still"),
            ]
            for each in evidence.firing
            if each.own
        ],
        empty=words("nothing_seen"),
    )
    cluster = Table(
        head=[parts.time_head(), words("subject"), words("reason"), words("text")],
        rows=[[parts.short(each.at), each.subject, each.reason, each.text] for each in evidence.cluster],
        empty=words("nothing_seen"),
    )
    return [
        *parts.part("resolution", "firing", spells),
        *parts.part("cluster", "cluster", cluster),
        *parts.notes(Phase.RECOVER),
    ]


def follow_up(parts: Parts) -> list[Block]:
    """Phase 4: actions, with rows to fill in."""
    words = parts.words
    noted = parts.incident.noted(Phase.FOLLOW_UP)
    rows: list[list[Cell]] = [[note.text, note.owner, str(note.due or "")] for note in noted]
    rows += [["", "", ""]] * max(0, _EMPTY_ACTIONS - len(rows))
    return [
        Heading(text=words("actions")),
        Table(head=[words("action"), words("owner"), words("due")], rows=rows),
    ]
