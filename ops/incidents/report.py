"""The report of an incident: summary, impact, timeline, and the four phases of requirement 11.2."""

from __future__ import annotations

from ops.incidents.document import Block, Cell, Code, Document, Facts, Heading, Link, Points, Section, Table
from ops.incidents.i18n import Language
from ops.incidents.parts import Parts
from ops.incidents.phases import diagnose, follow_up, recover, respond
from ops.incidents.timefmt import after
from ops.incidents.timeline import entries

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
            Section(title=texts("timeline"), blocks=[_timeline(parts)]),
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


def _timeline(parts: Parts) -> Block:
    texts, start = parts.texts, parts.incident.alert.starts
    shown = entries(parts.incident, parts.evidence)
    if len(shown) > MOST_ENTRIES:
        shown = [entry for entry in shown if entry.weight > 1][:MOST_ENTRIES]
    return Table(
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


def _gaps(parts: Parts) -> list[Block]:
    texts = parts.texts
    rows: list[list[Cell]] = [
        [
            texts(f"from.{name}"),
            "; ".join(part for part in (source.problem, source.remark) if part),
            parts.time_format.full(source.collected) if source.collected else "-",
        ]
        for name, source in parts.evidence.sources.items()
        if source.problem or source.remark
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
