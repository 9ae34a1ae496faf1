"""A panel's lines over time as SVG, at the size that it has on the page."""

from __future__ import annotations

import io
import math
import warnings

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG

from components.dashboards.model import GRID
from ops.core.metrics import step
from ops.dashboards.panel_queries import Result
from ops.dashboards.values import NOTHING, legends, shown
from services.charts import Limit, LineChart, Series, describe, fonts
from services.charts.figure import figure, inline

_PAGE_IN = 15.0
"""Width of the page in inches of text: sets how large letters are on it."""
_FAR = 4.0
"""A limit that is so many times as large as all values would flatten them."""


def drawn(result: Result, name: str) -> tuple[str, str]:
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
        limits=[Limit(value=limit.value, label=limit.label, bad=limit.bad) for limit in near],
        gap_s=step(result.span.start, result.span.end) * 2.5,
        empty=NOTHING,
    )
    return chart, f"Limit above the picture: {', '.join(far)}" if far else ""
