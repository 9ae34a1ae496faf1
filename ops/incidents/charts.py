"""The charts of a report, from the series that were collected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from ops.core.errors import one_line
from ops.incidents.document import Picture
from ops.incidents.evidence import Evidence, Measured
from ops.incidents.i18n import Texts
from ops.incidents.model import Incident
from ops.incidents.timefmt import TimeFormat
from services.charts import Limit, LineChart, Mark, Series, Span, describe, svg

Side = Literal["above", "below", ""]
_NOISE = frozenset({"__name__", "platform", "region", "layer", "prometheus_replica"})
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


def labels_of(series: Sequence[Mapping[str, str]]) -> list[str]:
    """A short name for each series: the labels in which they differ, else all that tell something."""
    telling = sorted({name for labels in series for name in labels} - _NOISE)
    differ = [name for name in telling if len({labels.get(name, "") for labels in series}) > 1]
    return [
        ", ".join(f"{name}={labels[name]}" for name in (differ or telling) if name in labels)
        or labels.get("__name__", "value")
        for labels in series
    ]


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
