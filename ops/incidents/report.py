"""The report of an incident: summary, impact, timeline, the four phases of requirement 11.2, and the charts of the
series that were collected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from ops.core.errors import one_line
from ops.core.prometheus_text import labels_of
from ops.incidents.document import (
    Block,
    Cell,
    Code,
    Dial,
    Document,
    Facts,
    Heading,
    Language,
    Link,
    Picture,
    Points,
    Section,
    Table,
    Text,
    Texts,
)
from ops.incidents.evidence import Evidence, Measured, Source, entries, most_telling
from ops.incidents.record import Incident, Phase, TimeFormat, after, read_clock
from ops.telemetry.traces import duration
from services.charts import Limit, LineChart, Mark, Series, Span, describe, svg


class Parts:
    """Builds parts of the document of one incident.

    Args:
        incident: The record.
        evidence: What was collected.
        now: The moment at which it is written.
        texts: Fixed texts.
        time_format: How times are written.
    """

    def __init__(
        self, incident: Incident, evidence: Evidence, now: datetime, texts: Texts, time_format: TimeFormat
    ) -> None:
        self.incident, self.evidence, self.now, self.texts, self.time_format = (
            incident,
            evidence,
            now,
            texts,
            time_format,
        )
        self.resolved = evidence.resolved or incident.alert.ends

    def dial(self) -> Dial:
        """The clock of the first response."""
        reading = read_clock(self.incident, self.now)
        whole = max(1.25, reading.share * 1.05)
        label = "clock." + reading.state.value
        values = {"elapsed": reading.elapsed, "difference": reading.difference}
        return Dial(
            text=self.texts(label, **values),
            state=reading.state.value,
            used=100 * reading.share / whole,
            limit=100 / whole,
            label=self.texts("limit_label"),
        )

    def shown(self, shown: int, total: int | None) -> str:
        """How many of the series are shown."""
        return self.texts("series", shown=shown, total=total if total is not None else shown)

    def part(self, title: str, source: str, table: Table) -> list[Block]:
        """A heading, how it went with the source, and the table unless the source gave nothing at all."""
        known: Sequence[Block] = [table] if self.known(source) else []
        return [Heading(text=self.texts(title)), *self.state(source), *known]

    def known(self, source: str) -> bool:
        """Whether a source gave something, now or before."""
        state = self.evidence.sources.get(source)
        return state is not None and state.collected is not None

    def state(self, source: str) -> list[Block]:
        """A warning when a source could not be read, and what it has forgotten."""
        state = self.evidence.sources.get(source)
        if state is None or (state.collected is None):
            problem = state.problem if state else self.texts("unknown")
            return [Text(text=self.texts("not_collected", problem=problem), tone="warning")]
        blocks: list[Block] = []
        if state.problem:
            time = self.time_format.full(state.collected)
            blocks.append(Text(text=self.texts("as_of", time=time, problem=state.problem), tone="warning"))
        if kept := self.kept(state):
            blocks.append(Text(text=kept, tone="muted"))
        return blocks

    def kept(self, source: Source) -> str:
        """How much only earlier looks have; nothing where the source still tells all."""
        if source.kept_since is None:
            return ""
        return self.texts("kept", count=source.kept, time=self.time_format.full(source.kept_since))

    def notes(self, phase: Phase) -> list[Block]:
        """What people wrote about a phase."""
        texts = self.texts
        table = Table(
            head=[self.time_head(), texts("since"), texts("who"), texts("text")],
            rows=[
                [self.short(note.at), self.after(note.at), note.author, note.text]
                for note in self.incident.noted(phase)
            ],
            empty=texts("nothing_noted"),
        )
        return [Heading(text=texts("notes")), table]

    def short(self, at: datetime) -> str:
        """A moment, with the day where it is not that of the alert."""
        return self.time_format.short(at, self.incident.alert.starts)

    def after(self, at: datetime) -> str:
        """Time since the alert."""
        return after(at, self.incident.alert.starts)

    def time_head(self) -> str:
        """Head of a column of times."""
        return self.texts("time")


Side = Literal["above", "below", ""]
_BAD: Mapping[str, Side] = {">": "above", ">=": "above", "<": "below", "<=": "below"}
_MOST_CHANGES = 3


def pictures(
    measured: Sequence[Measured],
    first: int,
    incident: Incident,
    evidence: Evidence,
    texts: Texts,
    time_format: TimeFormat,
) -> list[Picture]:
    """One chart for each value, numbered from ``first``."""
    drawn_pictures = []
    for number, measurement in enumerate(measured, start=first):
        chart = _chart(measurement, incident, evidence, texts, time_format)
        drawn = svg(chart, f"chart{number}")
        drawn_pictures.append(Picture(svg=drawn, name=f"{incident.id}-chart-{number}.svg", alt=describe(chart)))
    return drawn_pictures


def _chart(
    measured: Measured, incident: Incident, evidence: Evidence, texts: Texts, time_format: TimeFormat
) -> LineChart:
    names = labels_of([line.labels for line in measured.lines])
    limits = []
    if measured.limit is not None:
        label = f"{texts('limit')} {measured.comparison}".strip()
        limits = [Limit(value=measured.limit, label=label, bad=_BAD.get(measured.comparison, ""))]
    return LineChart(
        title=one_line(f"{measured.alert}: {measured.value}", 88),
        unit=measured.unit,
        start=evidence.start.timestamp(),
        end=evidence.end.timestamp(),
        series=[
            Series(
                label=name,
                points=[(at, float("nan") if value is None else value) for at, value in line.points],
                emphasis=line.own,
            )
            for name, line in zip(names, measured.lines, strict=True)
        ],
        limits=limits,
        marks=[Mark(at=at.timestamp(), label=label) for at, label in _marks(incident, evidence, texts)],
        spans=[_firing(incident, evidence, texts)],
        gap_s=measured.step_s * 2.5,
        zone=time_format.zone,
        empty=texts("no_data"),
        more=texts("more"),
    )


def _marks(incident: Incident, evidence: Evidence, texts: Texts) -> list[tuple[datetime, str]]:
    marks = [(incident.alert.starts, texts("event.alert"))]
    acknowledged = [silence.start for silence in evidence.silences if silence.acknowledges]
    if acknowledged:
        marks.append((min(acknowledged), texts("event.acknowledged")))
    if responses := [note.at for note in incident.notes if note.first_response]:
        marks.append((min(responses), texts("event.response")))
    if evidence.resolved is not None:
        marks.append((evidence.resolved, texts("resolved")))
    changed = [(change.at, f"{texts('event.change')}: {change.kind} {change.version}") for change in evidence.changes]
    return marks + changed[:_MOST_CHANGES]


def _firing(incident: Incident, evidence: Evidence, texts: Texts) -> Span:
    end = evidence.resolved or incident.alert.ends or evidence.end
    start = incident.alert.starts.timestamp()
    return Span(start=start, end=max(start, end.timestamp()), label=texts("firing"))


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


MOST_ENTRIES = 150


def document(parts: Parts) -> Document:
    """The whole report."""
    texts, evidence, time_format = parts.texts, parts.evidence, parts.time_format
    looked = f"{time_format.full(evidence.start)} - {time_format.full(evidence.end)} ({time_format.name})"
    if evidence.cut:
        looked += f"; {texts('cut')}"
    warnings = [] if parts.incident.closed else [texts("draft")]
    if evidence.traces and evidence.clearance:
        warnings.append(texts("classification", name=evidence.clearance))
    return Document(
        language="ja" if texts.language is Language.JAPANESE else "en",
        title=f"{parts.incident.id}: {parts.incident.title}",
        severity=parts.incident.severity.value,
        facts=[
            texts("report"),
            f"{texts('generated')}: {time_format.full(parts.now)} ({time_format.name})",
            f"{texts('looked')}: {looked}",
        ],
        warnings=warnings,
        sections=[
            Section(title=texts("summary"), blocks=_summary(parts)),
            Section(title=texts("impact"), blocks=_impact(parts)),
            Section(title=texts("timeline"), blocks=_timeline(parts)),
            Section(title="1. " + texts("phase.respond"), blocks=respond(parts)),
            Section(title="2. " + texts("phase.diagnose"), blocks=diagnose(parts)),
            Section(title="3. " + texts("phase.recover"), blocks=recover(parts)),
            Section(title="4. " + texts("phase.follow-up"), blocks=follow_up(parts)),
            Section(title=texts("gaps"), blocks=_gaps(parts)),
            Section(title=texts("queries"), blocks=_queries(parts)),
        ],
    )


def _summary(parts: Parts) -> list[Block]:
    texts, incident, time_format = parts.texts, parts.incident, parts.time_format
    alert = incident.alert
    rows: list[tuple[str, Cell]] = [
        (texts("alert"), f"{alert.name}: {alert.annotations.get('summary', '')}".removesuffix(": ")),
        (texts("identity"), Code(alert.alert_id)),
        (texts("severity"), incident.severity.value),
        (texts("layer"), alert.layer or texts("platform")),
        (texts("status"), texts(incident.state)),
        (texts("began"), time_format.full(alert.starts)),
        (texts("resolved"), time_format.full(parts.resolved) if parts.resolved else texts("still")),
        (texts("duration"), texts("length", length=(parts.resolved or parts.now) - alert.starts)),
        (texts("clock"), parts.dial().text),
        (texts("opened"), f"{time_format.full(incident.opened)}, {incident.opened_by}"),
    ]
    if incident.closed:
        rows.append((texts("closed_at"), f"{time_format.full(incident.closed)}, {incident.closed_by}"))
    if text := alert.annotations.get("description"):
        rows.append((texts("description"), text))
    if url := alert.annotations.get("runbook_url"):
        rows.append((texts("runbook"), Link(url)))
    return [Facts(rows=rows)]


def _impact(parts: Parts) -> list[Block]:
    texts, evidence, alert = parts.texts, parts.evidence, parts.incident.alert
    key = "impact.lasted" if parts.resolved else "impact.lasts"
    points = [texts(key, length=(parts.resolved or parts.now) - alert.starts)]
    if alert.subject:
        labels = ", ".join(f"{name}={value}" for name, value in alert.subject.items())
        points.append(texts("impact.subject", labels=labels))
    if alert.layer and parts.known("firing"):
        others = sorted({firing.alert for firing in evidence.firing if not firing.own})
        points.append(texts("impact.siblings", names=", ".join(others)) if others else texts("impact.no_siblings"))
    if evidence.traces:
        failed = sum(trace.failed for trace in evidence.traces)
        services = ", ".join(sorted({trace.service for trace in evidence.traces}))
        slow = len(evidence.traces) - failed
        points.append(texts("impact.traces", failed=failed, slow=slow, services=services))
    if evidence.logs:
        services = ", ".join(sorted({log.service for log in evidence.logs}))
        points.append(texts("impact.logs", count=len(evidence.logs), services=services))
    return [Points(items=points)]


def _timeline(parts: Parts) -> list[Block]:
    texts, start = parts.texts, parts.incident.alert.starts
    every = entries(parts.incident, parts.evidence)
    shown = most_telling(every, MOST_ENTRIES)
    cut = texts("entries_cut", shown=len(shown), total=len(every))
    table = Table(
        head=[parts.time_head(), texts("since"), texts("what"), texts("text"), texts("source")],
        rows=[
            [
                parts.time_format.short(entry.at, start),
                after(entry.at, start),
                texts(f"event.{entry.kind}"),
                entry.text,
                texts(f"from.{entry.source}"),
            ]
            for entry in shown
        ],
    )
    return [*([Text(text=cut, tone="warning")] if len(shown) < len(every) else []), table]


def _gaps(parts: Parts) -> list[Block]:
    texts = parts.texts
    rows: list[list[Cell]] = [
        [
            texts(f"from.{name}"),
            "; ".join(part for part in (source.problem, source.remark, parts.kept(source)) if part),
            parts.time_format.full(source.collected) if source.collected else "-",
        ]
        for name, source in parts.evidence.sources.items()
        if source.problem or source.remark or source.kept
    ]
    head = [texts("source"), texts("what"), texts("collected")]
    return [Table(head=head, rows=rows, empty=texts("none"))]


def _queries(parts: Parts) -> list[Block]:
    texts, alert = parts.texts, parts.incident.alert
    rows: list[list[Cell]] = [
        [
            measured.alert,
            Code(measured.expression),
            "" if measured.limit is None else f"{measured.comparison} {measured.limit:g}",
            parts.shown(len(measured.lines), measured.total),
        ]
        for measured in parts.evidence.measured
    ]
    head = [texts("alert"), texts("asked"), texts("limit"), texts("value")]
    labels = [(name, value) for name, value in sorted(alert.labels.items())]
    return [
        Table(head=head, rows=rows, empty=texts("nothing_seen")),
        Heading(text=texts("labels")),
        Facts(rows=labels),
    ]
