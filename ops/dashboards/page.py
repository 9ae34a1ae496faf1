"""One page with all panels of a dashboard: nothing is loaded from elsewhere, every text in it is escaped.

Values have their unit, the word that a value stands for, and how good that is. A map of calls is drawn with services
from left to right in the order in which they call each other.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.sax.saxutils import escape

import matplotlib
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG

from components.dashboards.model import GRID, Dashboard, Kind, Limit, Panel, Tone
from ops.core.errors import one_line
from ops.core.prometheus_text import labels_of
from ops.core.web import Found, step
from ops.dashboards.panel_queries import Answer, Result, Span
from services.charts import Limit as ChartLimit
from services.charts import LineChart, Series, describe, figure, fonts, inline, number, scale

NOTHING = "no data"
_TEMPLATE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_COUNTED = re.compile(r"\{[^{}]*\}")


def shown(value: float | None, unit: str) -> str:
    """A value with its unit; of counted things the number alone, since the panel says what is counted."""
    if value is None:
        return NOTHING
    if unit == "1":
        return f"{number(round(value * 100, 2))} %"
    if unit in ("s", "By", "By/s", "ms"):
        return scale(unit, abs(value)).text(value)
    rest = _COUNTED.sub("", unit)
    return f"{number(value)} {rest}".strip()


def worded(panel: Panel, value: float | None) -> str:
    """A value of a panel, or the word that it stands for."""
    word = next((state.text for state in panel.states if value is not None and round(value) == state.value), "")
    return word or shown(value, panel.unit)


def tone(panel: Panel, value: float | None) -> Tone | str:
    """How good a value is; empty where the panel does not tell."""
    if value is None:
        return ""
    if panel.states:
        return next((state.tone for state in panel.states if round(value) == state.value), "")
    beyond = [limit for limit in panel.limits if _beyond(limit, value)]
    if beyond:
        return "bad" if any(limit.tone == "bad" for limit in beyond) else beyond[0].tone
    return "good" if panel.limits else ""


def _beyond(limit: Limit, value: float) -> bool:
    return value > limit.value if limit.bad == "above" else value <= limit.value


def legends(panel: Panel, legend: str, series: Sequence[Found]) -> list[str]:
    """Names of a query's series."""
    if not legend:
        return labels_of([line.labels for line in series])
    return [_filled(legend, line.labels) for line in series]


def last(series: Found) -> float | None:
    """Newest value that is a number."""
    return next((value for _, value in reversed(series.points) if value is not None), None)


def _filled(legend: str, labels: Mapping[str, str]) -> str:
    text = _TEMPLATE.sub(lambda match: labels.get(match.group(1), ""), legend).strip()
    return text.replace("SPAN_KIND_", "") or "-"


_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _EDGE = 132, 46, 74, 30, 12
_BOX, _BOX_LINE, _ARROW, _TEXT, _SMALL = "#EEF4FA", "#0072B2", "#5B6B7A", "#1B2733", "#5B6B7A"


@dataclass(frozen=True, kw_only=True)
class Call:
    """Calls from one service to another, per second."""

    client: str
    server: str
    rate: float


def drawn_graph(result: Result, name: str) -> str:
    """The map of a panel whose first query has the labels ``client`` and ``server``."""
    edges, nodes = result.answers[0], result.answers[1]
    calls = [
        Call(client=edge.labels.get("client", "?"), server=edge.labels.get("server", "?"), rate=last(edge) or 0.0)
        for edge in edges.series
    ]
    served = {node.labels.get("service_name", "?"): last(node) or 0.0 for node in nodes.series}
    return svg(calls, served, name, result.panel.title)


def svg(calls: Iterable[Call], served: Mapping[str, float], name: str, title: str) -> str:
    """The map.

    Args:
        calls: Arrows.
        served: Service -> calls per second that it answers; services without an arrow are drawn too.
        name: Letters and digits; must differ between the pictures of one page.
        title: What it shows.
    """
    listed = sorted(calls, key=lambda call: (call.client, call.server))
    depth = _depths(listed, served)
    columns: dict[int, list[str]] = {}
    for service in sorted(depth, key=lambda service: (depth[service], service)):
        columns.setdefault(depth[service], []).append(service)
    rows = max((len(column) for column in columns.values()), default=1)
    height = rows * (_HEIGHT + _GAP_Y) - _GAP_Y + 2 * _EDGE + 14
    width = len(columns) * (_WIDTH + _GAP_X) - _GAP_X + 2 * _EDGE
    places = {
        service: (
            _EDGE + column * (_WIDTH + _GAP_X),
            14 + (height - 14 - len(members) * (_HEIGHT + _GAP_Y) + _GAP_Y) / 2 + row * (_HEIGHT + _GAP_Y),
        )
        for column, members in columns.items()
        for row, service in enumerate(members)
    }
    parts = [_arrow(call, places, name) for call in listed]
    parts += [_box(service, places[service], served.get(service, 0.0)) for service in places]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}" role="img" '
        f'aria-label="{escape(title, {chr(34): "&quot;"})}" style="width:100%;max-width:{width}px;height:auto">'
        f'<defs><marker id="{name}-head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto-start-reverse"><path d="M0 0 L8 4 L0 8 z" fill="{_ARROW}"/></marker></defs>'
        f"{''.join(parts)}</svg>"
    )


def _depths(calls: Iterable[Call], served: Iterable[str]) -> dict[str, int]:
    """Column of each service: behind all that call it; calls in a circle end the search."""
    listed = list(calls)
    depth = dict.fromkeys([*served, *(name for call in listed for name in (call.client, call.server))], 0)
    for _ in range(len(depth)):
        moved = False
        for call in listed:
            if call.client != call.server and depth[call.server] <= depth[call.client] < len(depth) - 1:
                depth[call.server], moved = depth[call.client] + 1, True
        if not moved:
            break
    used = sorted(set(depth.values()))
    return {service: used.index(value) for service, value in depth.items()}


def _box(service: str, place: tuple[float, float], served: float) -> str:
    x, y = place
    text = service if len(service) <= 19 else f"{service[:17]}.."
    below = f"{shown(served, '{call}/s')} answered" if served else "calls only"
    return (
        f'<rect x="{x}" y="{y:.1f}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="{_BOX}" stroke="{_BOX_LINE}"/>'
        f'<text x="{x + _WIDTH / 2}" y="{y + 20:.1f}" text-anchor="middle" font-size="13" font-weight="600" '
        f'fill="{_TEXT}">{escape(text)}</text>'
        f'<text x="{x + _WIDTH / 2}" y="{y + 36:.1f}" text-anchor="middle" font-size="11" '
        f'fill="{_SMALL}">{escape(below)}</text>'
    )


def _arrow(call: Call, places: Mapping[str, tuple[float, float]], name: str) -> str:
    (x1, y1), (x2, y2) = places[call.client], places[call.server]
    start, end = (x1 + _WIDTH, y1 + _HEIGHT / 2), (x2, y2 + _HEIGHT / 2)
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    bend = f"C {middle[0]:.1f} {start[1]:.1f} {middle[0]:.1f} {end[1]:.1f}"
    return (
        f'<path d="M {start[0]:.1f} {start[1]:.1f} {bend} {end[0]:.1f} {end[1]:.1f}" fill="none" stroke="{_ARROW}" '
        f'stroke-width="1.4" marker-end="url(#{name}-head)"/>'
        f'<text x="{middle[0]:.1f}" y="{middle[1] - 6:.1f}" text-anchor="middle" font-size="11" '
        f'fill="{_SMALL}">{escape(shown(call.rate, "{call}/s"))}</text>'
    )


_PAGE_IN = 15.0
"""Width of the page in inches of text: sets how large letters are on it."""
_FAR = 4.0
"""A limit that is so many times as large as all values would flatten them."""


def drawn_lines(result: Result, name: str) -> tuple[str, str]:
    """The chart, and what it leaves out."""
    chart, left_out = _chart(result)
    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "text.parse_math": False,
        "font.family": list(fonts()),
        "font.size": 8.5,
        "axes.unicode_minus": False,
    }
    output = io.StringIO()
    with matplotlib.rc_context(settings), warnings.catch_warnings():  # type: ignore[arg-type]
        # A letter that no installed font has: the reader's own fonts show it.
        warnings.filterwarnings("ignore", message=r"(?s).*Glyph .* missing from", category=UserWarning)
        drawing = figure(chart)
        drawing.axes[0].set_title("", loc="left")
        drawing.axes[0].set_xlabel("")
        width = _PAGE_IN * result.panel.width / GRID
        drawing.set_size_inches(width, drawing.get_size_inches()[1] * min(1.0, max(0.8, width / 6)))
        FigureCanvasSVG(drawing).print_svg(output, metadata={"Date": None})  # type: ignore[no-untyped-call]
    text = inline(output.getvalue(), name=name, title=chart.title, description=describe(chart))
    return text, left_out


def _chart(result: Result) -> tuple[LineChart, str]:
    panel = result.panel
    series = [
        Series(label=label, points=[(at, math.nan if value is None else value) for at, value in line.points])
        for answer in result.answers
        for label, line in zip(legends(panel, answer.query.legend, answer.series), answer.series, strict=True)
    ]
    # The largest ones get a line in the legend.
    series.sort(key=lambda line: -max((abs(v) for _, v in line.points if math.isfinite(v)), default=0.0))
    largest = max((abs(v) for line in series for _, v in line.points if math.isfinite(v)), default=0.0)
    near = [limit for limit in panel.limits if limit.bad == "below" or limit.value <= _FAR * largest]
    far = [f"{limit.label} {shown(limit.value, panel.unit)}" for limit in panel.limits if limit not in near]
    chart = LineChart(
        title=panel.title,
        unit=panel.unit,
        start=result.span.start.timestamp(),
        end=result.span.end.timestamp(),
        series=series,
        limits=[ChartLimit(value=limit.value, label=limit.label, bad=limit.bad) for limit in near],
        gap_s=step(result.span.start, result.span.end) * 2.5,
        empty=NOTHING,
    )
    return chart, f"Limit above the picture: {', '.join(far)}" if far else ""


_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, kw_only=True)
class Value:
    """One value: a number of a stat, a bar, a cell of a table; ``href`` is where a cell leads to."""

    label: str
    text: str
    tone: str = ""
    share: float = 0.0
    href: str = ""


@dataclass(frozen=True, kw_only=True)
class Card:
    """One panel as the page shows it; an empty one lacks the data of some query."""

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
    empty: bool = False


def about(panel: Panel) -> Card:
    """What a panel's card says without any data."""
    return Card(
        kind=panel.kind.value,
        title=panel.title,
        description=panel.description,
        width=panel.width,
        span=f"last {panel.since}" if panel.since else "",
    )


def page(dashboard: Dashboard, results: Sequence[Result], span: Span, region: str) -> str:
    """The page as HTML.

    Args:
        dashboard: The dashboard.
        results: Answers of all its panels, in their order.
        span: The time that is looked at.
        region: Region that was asked, for the head.
    """
    waiting = iter(enumerate(results))
    rows = [(row.title, [safe_card(*next(waiting)) for _ in row.panels]) for row in dashboard.rows]
    content = page_content(dashboard.title, dashboard.description, rows, span)
    return environment().get_template("page.html.j2").render(region=region, **content)


def environment(*folders: Path) -> Environment:
    """Templates with everything escaped: those of some folders, then those of the page."""
    templates = Environment(
        loader=FileSystemLoader([*folders, _TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Our own pictures; the texts inside them are escaped already.
    templates.filters["inline"] = Markup
    return templates


def page_content(
    title: str, description: str, rows: Sequence[tuple[str, Sequence[Card]]], span: Span
) -> dict[str, object]:
    """What the page's template shows, but for the region.

    Args:
        title: Of the dashboard.
        description: Of the dashboard.
        rows: Title and panels of its rows.
        span: The time that is looked at.
    """
    return {
        "title": title,
        "description": description,
        "rows": rows,
        "start": f"{span.start:%Y-%m-%d %H:%M}",
        "end": f"{span.end:%Y-%m-%d %H:%M} UTC",
        "empty": sum(card.empty for _, cards in rows for card in cards),
        "panels": sum(len(cards) for _, cards in rows),
    }


def safe_card(number: int, result: Result) -> Card:
    """One panel; one that cannot be drawn does not stop the page."""
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
        picture, note = drawn_lines(result, f"panel{number}")
        return _plain(result, picture=picture, note=note)
    if panel.kind is Kind.GRAPH:
        return _plain(result, picture=drawn_graph(result, f"panel{number}"))
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
    return replace(
        about(result.panel),
        problem=problem,
        picture=picture,
        note=note,
        values=values,
        head=head,
        rows=rows,
        queries=[_asked(answer) for answer in result.answers],
        empty=result.empty,
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
