"""The report of an incident: summary, impact, timeline, and the four phases of requirement 11.2."""

from __future__ import annotations

from ops.incident.document import Block, Cell, Code, Document, Facts, Heading, Link, Points, Section, Table
from ops.incident.moments import after
from ops.incident.parts import Parts
from ops.incident.phases import diagnose, follow_up, recover, respond
from ops.incident.timeline import entries
from ops.incident.words import Language

MOST_ENTRIES = 150


def document(parts: Parts) -> Document:
    """The whole report."""
    words, evidence, moments = parts.words, parts.evidence, parts.moments
    looked = f"{moments.full(evidence.start)} - {moments.full(evidence.end)} ({moments.name})"
    if evidence.cut:
        looked += f"; {words('cut')}"
    warnings = [] if parts.incident.closed else [words("draft")]
    if evidence.traces and evidence.clearance:
        warnings.append(words("classification", name=evidence.clearance))
    return Document(
        language="ja" if words.language is Language.JAPANESE else "en",
        title=f"{parts.incident.id}: {parts.incident.title}",
        severity=parts.incident.severity.value,
        facts=[
            words("report"),
            f"{words('generated')}: {moments.full(parts.now)} ({moments.name})",
            f"{words('looked')}: {looked}",
        ],
        warnings=warnings,
        sections=[
            Section(title=words("summary"), blocks=_summary(parts)),
            Section(title=words("impact"), blocks=_impact(parts)),
            Section(title=words("timeline"), blocks=[_timeline(parts)]),
            Section(title="1. " + words("phase.respond"), blocks=respond(parts)),
            Section(title="2. " + words("phase.diagnose"), blocks=diagnose(parts)),
            Section(title="3. " + words("phase.recover"), blocks=recover(parts)),
            Section(title="4. " + words("phase.follow-up"), blocks=follow_up(parts)),
            Section(title=words("gaps"), blocks=_gaps(parts)),
            Section(title=words("queries"), blocks=_queries(parts)),
        ],
    )


def _summary(parts: Parts) -> list[Block]:
    words, incident, moments = parts.words, parts.incident, parts.moments
    alert = incident.alert
    rows: list[tuple[str, Cell]] = [
        (words("alert"), f"{alert.name}: {alert.annotations.get('summary', '')}".removesuffix(": ")),
        (words("identity"), Code(alert.alert_id)),
        (words("severity"), incident.severity.value),
        (words("layer"), alert.layer or words("platform")),
        (words("status"), words(incident.state)),
        (words("began"), moments.full(alert.starts)),
        (words("resolved"), moments.full(parts.resolved) if parts.resolved else words("still")),
        (words("duration"), words("length", length=(parts.resolved or parts.now) - alert.starts)),
        (words("clock"), parts.dial().text),
        (words("opened"), f"{moments.full(incident.opened)}, {incident.opened_by}"),
    ]
    if incident.closed:
        rows.append((words("closed_at"), f"{moments.full(incident.closed)}, {incident.closed_by}"))
    if text := alert.annotations.get("description"):
        rows.append((words("description"), text))
    if url := alert.annotations.get("runbook_url"):
        rows.append((words("runbook"), Link(url)))
    return [Facts(rows=rows)]


def _impact(parts: Parts) -> list[Block]:
    words, evidence, alert = parts.words, parts.evidence, parts.incident.alert
    key = "impact.lasted" if parts.resolved else "impact.lasts"
    points = [words(key, length=(parts.resolved or parts.now) - alert.starts)]
    if alert.subject:
        labels = ", ".join(f"{name}={value}" for name, value in alert.subject.items())
        points.append(words("impact.subject", labels=labels))
    if alert.layer and parts.known("firing"):
        others = sorted({each.alert for each in evidence.firing if not each.own})
        points.append(words("impact.siblings", names=", ".join(others)) if others else words("impact.no_siblings"))
    if evidence.traces:
        failed = sum(each.failed for each in evidence.traces)
        services = ", ".join(sorted({each.service for each in evidence.traces}))
        slow = len(evidence.traces) - failed
        points.append(words("impact.traces", failed=failed, slow=slow, services=services))
    if evidence.logs:
        services = ", ".join(sorted({each.service for each in evidence.logs}))
        points.append(words("impact.logs", count=len(evidence.logs), services=services))
    return [Points(items=points)]


def _timeline(parts: Parts) -> Block:
    words, start = parts.words, parts.incident.alert.starts
    found = entries(parts.incident, parts.evidence)
    if len(found) > MOST_ENTRIES:
        found = [each for each in found if each.weight > 1][:MOST_ENTRIES]
    return Table(
        head=[parts.time_head(), words("since"), words("what"), words("text"), words("source")],
        rows=[
            [
                parts.moments.short(each.at, start),
                after(each.at, start),
                words(f"event.{each.kind}"),
                each.text,
                words(f"from.{each.source}"),
            ]
            for each in found
        ],
    )


def _gaps(parts: Parts) -> list[Block]:
    words = parts.words
    rows: list[list[Cell]] = [
        [
            words(f"from.{name}"),
            "; ".join(part for part in (source.problem, source.remark) if part),
            parts.moments.full(source.collected) if source.collected else "-",
        ]
        for name, source in parts.evidence.sources.items()
        if source.problem or source.remark
    ]
    head = [words("source"), words("what"), words("collected")]
    return [Table(head=head, rows=rows, empty=words("none"))]


def _queries(parts: Parts) -> list[Block]:
    words, alert = parts.words, parts.incident.alert
    rows: list[list[Cell]] = [
        [
            each.alert,
            Code(each.asked),
            "" if each.limit is None else f"{each.comparison} {each.limit:g}",
            parts.shown(len(each.lines), each.total),
        ]
        for each in parts.evidence.measured
    ]
    head = [words("alert"), words("asked"), words("limit"), words("value")]
    labels = [(name, value) for name, value in sorted(alert.labels.items())]
    return [
        Table(head=head, rows=rows, empty=words("nothing_seen")),
        Heading(text=words("labels")),
        Facts(rows=labels),
    ]
