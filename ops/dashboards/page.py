"""One page with all panels of a dashboard: nothing is loaded from elsewhere, every text in it is escaped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from components.dashboards.model import Dashboard, Kind
from ops.core.errors import one_line
from ops.dashboards import graph, line_chart
from ops.dashboards.panel_queries import Answer, Result, Span
from ops.dashboards.values import NOTHING, last, legends, shown, tone, worded

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, kw_only=True)
class Value:
    """One value: a number of a stat, a bar, a cell of a table."""

    label: str
    text: str
    tone: str = ""
    share: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Card:
    """One panel as the page shows it."""

    kind: str
    title: str
    description: str
    width: int
    span: str
    problem: str = ""
    picture: str = ""
    note: str = ""
    values: Sequence[Value] = ()
    head: Sequence[str] = ()
    rows: Sequence[Sequence[Value]] = ()
    queries: Sequence[str] = ()


def page(dashboard: Dashboard, results: Sequence[Result], span: Span, region: str) -> str:
    """The page as HTML.

    Args:
        dashboard: The dashboard.
        results: Answers of all its panels, in their order.
        span: The time that is looked at.
        region: Region that was asked, for the head.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Our own pictures; the texts inside them are escaped already.
    environment.filters["inline"] = Markup
    waiting = iter(enumerate(results))
    rows = [(row.title, [_safe_card(*next(waiting)) for _ in row.panels]) for row in dashboard.rows]
    return environment.get_template("page.html.j2").render(
        dashboard=dashboard,
        rows=rows,
        region=region,
        start=f"{span.start:%Y-%m-%d %H:%M}",
        end=f"{span.end:%Y-%m-%d %H:%M} UTC",
        empty=sum(result.empty for result in results),
        panels=len(results),
    )


def _safe_card(number: int, result: Result) -> Card:
    """A panel that cannot be drawn does not stop the page."""
    try:
        return card(number, result)
    except Exception as error:  # Whatever it is, the other panels are worth seeing.
        return _plain(result, problem=f"cannot be drawn: {type(error).__name__}: {one_line(error, 160)}")


def card(number: int, result: Result) -> Card:
    """One panel."""
    if result.problems:
        return _plain(result, problem="; ".join(result.problems))
    if not any(answer.points for answer in result.answers):
        return _plain(result, problem=NOTHING)
    panel = result.panel
    if panel.kind is Kind.SERIES:
        picture, note = line_chart.drawn(result, f"panel{number}")
        return _plain(result, picture=picture, note=note)
    if panel.kind is Kind.GRAPH:
        return _plain(result, picture=graph.drawn(result, f"panel{number}"))
    if panel.kind is Kind.TABLE:
        head, rows = _table(result)
        return _plain(result, head=head, rows=rows)
    return _plain(result, values=_values(result))


def _plain(
    result: Result,
    *,
    problem: str = "",
    picture: str = "",
    note: str = "",
    values: Sequence[Value] = (),
    head: Sequence[str] = (),
    rows: Sequence[Sequence[Value]] = (),
) -> Card:
    panel = result.panel
    return Card(
        kind=panel.kind.value,
        title=panel.title,
        description=panel.description,
        width=panel.width,
        span=f"last {panel.since}" if panel.since else "",
        problem=problem,
        picture=picture,
        note=note,
        values=values,
        head=head,
        rows=rows,
        queries=[_asked(answer) for answer in result.answers],
    )


def _asked(answer: Answer) -> str:
    took = "" if math.isnan(answer.latency_s) else f"  # {answer.latency_s * 1000:.0f} ms, {answer.points} values"
    return f"{answer.expression}{took}"


def _values(result: Result) -> list[Value]:
    panel = result.panel
    labelled_values = [
        (label, last(line))
        for answer in result.answers
        for label, line in zip(legends(panel, answer.query.legend, answer.series), answer.series, strict=True)
    ]
    if panel.kind is Kind.BARS:
        labelled_values.sort(key=lambda pair: -(pair[1] if pair[1] is not None else -math.inf))
    most = (
        1.0
        if panel.unit == "1"
        else max((abs(value) for _, value in labelled_values if value is not None), default=0.0)
    )
    most = max([most, *(limit.value for limit in panel.limits)]) or 1.0
    return [
        Value(
            label=label,
            text=worded(panel, value),
            tone=tone(panel, value),
            share=min(100.0, max(0.0, 100 * (value or 0.0) / most)),
        )
        for label, value in labelled_values[: panel.top or None]
    ]


def _table(result: Result) -> tuple[list[str], list[list[Value]]]:
    """Rows of all queries, joined by the labels that the table shows."""
    panel = result.panel
    labels = [column.label for column in panel.columns]
    cells: dict[tuple[str, ...], dict[int, float | None]] = {}
    for index, answer in enumerate(result.answers):
        for line in answer.series:
            key = tuple(line.labels.get(label, "") for label in labels)
            cells.setdefault(key, {})[index] = last(line)
    ordered = sorted(cells, key=lambda key: (-(cells[key].get(0) or 0.0), key)) if panel.top else sorted(cells)
    rows = [
        [Value(label="", text=text) for text in key]
        + [
            Value(label="number", text=_cell(cells[key], index, query.unit))
            for index, query in enumerate(panel.queries)
        ]
        for key in ordered[: panel.top or None]
    ]
    return [*(column.heading for column in panel.columns), *(query.legend for query in panel.queries)], rows


def _cell(values: Mapping[int, float | None], index: int, unit: str) -> str:
    return shown(values[index], unit) if values.get(index) is not None else "-"
