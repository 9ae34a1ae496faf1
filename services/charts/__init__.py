"""Line charts as inline SVG for reports: series with a limit, units, a time axis and numbered events.

Made for paper and for screens: white ground, colours that colour-blind people can tell apart, line styles besides the
colours, text that stays text. A chart never fails over what its data says: names are shown as they are, never
interpreted, and a font for Japanese is used where one is installed.
"""

from __future__ import annotations

import io
import warnings
from functools import cache
from typing import Any

import matplotlib
from matplotlib import font_manager
from matplotlib.backends.backend_svg import FigureCanvasSVG

from services.charts.figure import Limit, LineChart, Mark, Series, Span, figure, inline

__all__ = ["Limit", "LineChart", "Mark", "Series", "Span", "describe", "fonts", "svg"]

_JAPANESE = (
    "Noto Sans CJK JP",
    "Noto Sans JP",
    "IPAexGothic",
    "IPAGothic",
    "IPAPGothic",
    "TakaoPGothic",
    "VL PGothic",
    "Hiragino Sans",
    "Yu Gothic",
    "Meiryo",
    "MS Gothic",
)


def svg(chart: LineChart, name: str = "chart", *, outlines: bool = False, description: str = "") -> str:
    """The chart as an ``<svg>`` element to be put into an HTML page, or into a file.

    Args:
        chart: What to draw.
        name: Letters and digits; must differ between the charts of one page.
        outlines: Whether letters are drawn as shapes, for programs that lay text out otherwise.
        description: The chart in a sentence; empty: that of `describe`.

    Raises:
        ValueError: The chart ends before it starts.
    """
    if not chart.end > chart.start:
        raise ValueError(f"chart {chart.title!r}: end is {chart.end}, must be after start {chart.start}")
    output = io.StringIO()
    settings = {**_settings(name), "svg.fonttype": "path" if outlines else "none"}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # A letter that no installed font has: the reader's own fonts show it, since text stays text.
        warnings.filterwarnings("ignore", message=r"(?s).*Glyph .* missing from", category=UserWarning)
        FigureCanvasSVG(figure(chart)).print_svg(output, metadata={"Date": None})  # type: ignore[no-untyped-call]
    return inline(output.getvalue(), name=name, title=chart.title, description=description or describe(chart))


def describe(chart: LineChart) -> str:
    """The chart in one sentence, for those who cannot see it."""
    values, size = chart.values, chart.scale
    if not values:
        return f"{chart.title}: {chart.empty}"
    text = f"{chart.title}: {len(chart.series)} series, {size.text(min(values))} to {size.text(max(values))}"
    return "; ".join([text, *(f"{limit.label} {size.text(limit.value)}" for limit in chart.limits)])


@cache
def fonts() -> tuple[str, ...]:
    """Font families, best first: one for Latin, then those installed that have Japanese."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ("DejaVu Sans", *(name for name in _JAPANESE if name in installed))


def _settings(name: str) -> dict[Any, Any]:
    """Settings of matplotlib: text is never taken for mathematics."""
    return {
        "svg.hashsalt": name,
        "text.parse_math": False,
        "font.family": list(fonts()),
        "font.size": 8.5,
        "axes.unicode_minus": False,
    }
