"""Line charts as inline SVG for reports: series with a limit, units, a time axis and numbered events.

Made for paper and for screens: white ground, colours that colour-blind people can tell apart, line styles besides the
colours, text that stays text. A chart never fails over what its data says: names are shown as they are, never
interpreted, and a font for Japanese is used where one is installed. A unit is UCUM in, something that people read out.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from functools import cache
from typing import Any, Literal
from xml.etree import ElementTree

import matplotlib
from matplotlib import dates, font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

_COUNTED = re.compile(r"\{([^{}]*)\}")
_TIMES = (
    (86_400.0, "d", 2.0),
    (3600.0, "h", 2.0),
    (60.0, "min", 2.0),
    (1.0, "s", 1.0),
    (1e-3, "ms", 1.0),
    (1e-6, "µs", 1.0),
)
"""Factor, symbol, and how many of them there must be: two minutes are better read as 120 s."""
_BYTES = tuple(
    (1024.0**power, f"{prefix}B", 1.0) for power, prefix in ((4, "Ti"), (3, "Gi"), (2, "Mi"), (1, "Ki"), (0, ""))
)
SHOWN_SERIES = 8
"""Series with a line in the legend; the others are drawn thin and counted."""
Style = Literal["solid", "dashed", "dashdot", "dotted"]
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#7B3294", "#8C6D00", "#56B4E9", "#CC79A7", "#444444")
_STYLES: tuple[Style, ...] = ("solid", "dashed", "dashdot", "dotted")
_LIMIT, _SPAN, _OTHER, _MARK = "#B00020", "#F3D9A8", "#BBBBBB", "#333333"
_WIDTH, _PLOT_HEIGHT, _LEGEND_ROW = 7.4, 2.5, 0.19
_LABEL, _MARK_ROWS = 46, 3
_SVG = "http://www.w3.org/2000/svg"
_LINK = "http://www.w3.org/1999/xlink"
_LINK_KEY = f"{{{_LINK}}}href"
_USE = re.compile(r"url\(#([^)]+)\)")


@dataclass(frozen=True)
class Scale:
    """How values are written: divided by ``factor``, followed by ``symbol``."""

    factor: float
    symbol: str

    def text(self, value: float) -> str:
        """A value with its unit."""
        written = number(value / self.factor)
        return written if not self.symbol else f"{written} {self.symbol}"


def scale(unit: str, largest: float) -> Scale:
    """Scale for a UCUM unit, so that the largest value has few digits.

    Args:
        unit: ``s``, ``By``, ``By/s``, ``1`` (a ratio: written as per cent), ``{thing}``, any other, or empty.
        largest: Largest absolute value.
    """
    if unit == "1":
        return Scale(0.01, "%")
    if unit == "s":
        return _fitting(_TIMES, largest)
    if unit in ("By", "By/s"):
        scale_of = _fitting(_BYTES, largest)
        return Scale(scale_of.factor, scale_of.symbol + unit.removeprefix("By"))
    return Scale(1.0, _COUNTED.sub(r"\1", unit))


def number(value: float) -> str:
    """A number for people: thousands set apart, no more digits than tell something."""
    if not math.isfinite(value):
        return "-"
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e9:
        digits = max(0, 3 - math.floor(math.log10(abs(value))) - 1) if abs(value) < 1000 else 0
        text = f"{value:,.{digits}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.3g}"


def _fitting(steps: tuple[tuple[float, str, float], ...], largest: float) -> Scale:
    fitting = [(factor, symbol) for factor, symbol, least in steps if largest >= factor * least]
    # Nothing fits zero, and what is smaller than the smallest.
    unit = next((factor, symbol) for factor, symbol, _ in steps if factor == 1.0)
    return Scale(*(fitting[0] if fitting else unit if largest == 0 else steps[-1][:2]))


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line.

    Attributes:
        label: Name in the legend.
        points: Seconds since 1970 and value, oldest first; a value that is no finite number is a gap.
        emphasis: Whether it is what the chart is about.
    """

    label: str
    points: Sequence[tuple[float, float]]
    emphasis: bool = False


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A threshold, in the unit of the series.

    Attributes:
        value: Where it is.
        label: What it is called.
        bad: The side of it that is bad.
    """

    value: float
    label: str
    bad: Literal["above", "below", ""] = ""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Something that happened at one moment (seconds since 1970)."""

    at: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Span:
    """Something that lasted, from ``start`` to ``end`` (seconds since 1970)."""

    start: float
    end: float
    label: str


@dataclass(frozen=True, kw_only=True)
class LineChart:
    """What one chart shows.

    Attributes:
        title: Over the chart.
        unit: UCUM unit of the values (``s``, ``1`` for a ratio, ``By``, ``{thing}``); empty when there is none.
        start: Left end, seconds since 1970.
        end: Right end.
        series: The lines.
        limits: Thresholds.
        marks: Events; they are numbered in the order of their time.
        spans: Shaded periods.
        gap_s: Samples further apart than this are not joined; 0 joins all.
        zone: Time zone of the axis.
        empty: Shown where there is no value at all.
        more: Legend of the series that have no line of their own in it; ``{}`` is their number.
    """

    title: str
    unit: str
    start: float
    end: float
    series: Sequence[Series]
    limits: Sequence[Limit] = ()
    marks: Sequence[Mark] = ()
    spans: Sequence[Span] = ()
    gap_s: float = 0.0
    zone: tzinfo = field(default=UTC)
    empty: str = "no data"
    more: str = "{} more"

    @property
    def values(self) -> list[float]:
        """All values that are numbers."""
        return [value for series in self.series for _, value in series.points if math.isfinite(value)]

    @property
    def scale(self) -> Scale:
        """How its values are written."""
        every = [*self.values, *(limit.value for limit in self.limits)]
        return scale(self.unit, max((abs(value) for value in every), default=0.0))


def figure(chart: LineChart) -> Figure:
    """The chart as matplotlib's figure."""
    handles = _handles(chart)
    rows = math.ceil(len(handles) / 2)
    drawn = Figure(figsize=(_WIDTH, _PLOT_HEIGHT + 0.45 + _LEGEND_ROW * rows), layout="constrained")
    axes = drawn.add_subplot()
    values, size = chart.values, chart.scale
    axes.set_xlim(_time(chart.start), _time(chart.end))
    axes.set_ylim(*_range(chart, values, size))
    _time_axis(axes, chart)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axes.set_ylabel(_short(size.symbol, 20))
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(_short(chart.title, 90), loc="left", fontsize=10, pad=6 + 10 * _mark_rows(chart))
    for span in chart.spans:
        axes.axvspan(_time(span.start), _time(span.end), color=_SPAN, alpha=0.55, linewidth=0, zorder=0)
    for limit in chart.limits:
        _draw_limit(axes, limit, size)
    for series, colour, style, width in _styled(chart):
        line = [(at, value / size.factor) for at, value in _with_gaps(series.points, chart.gap_s)]
        axes.plot(
            [_time(at) for at, _ in line],
            [value for _, value in line],
            color=colour,
            linestyle=style,
            linewidth=width,
            marker="." if len(line) == 1 else "",
            zorder=3 if series.emphasis else 2,
        )
    _draw_marks(axes, chart)
    if not values:
        axes.text(
            0.5, 0.4, _short(chart.empty, _LABEL), transform=axes.transAxes, ha="center", va="center", color="#666666"
        )
    if handles:
        labels = [_short(label, _LABEL) for _, label in handles]
        legend = drawn.legend(
            [handle for handle, _ in handles],
            # A label that begins with "_" would be left out.
            [f"\u200b{label}" if label.startswith("_") else label for label in labels],
            loc="outside lower left",
            ncols=2,
            frameon=False,
            fontsize=7.5,
            handlelength=2.4,
        )
        legend.set_in_layout(True)
    return drawn


def _styled(chart: LineChart) -> Iterable[tuple[Series, str, Style, float]]:
    """Series with colour, style and width; the ones that matter last, so that they lie on top."""
    ordered = _ordered(chart)
    styled: list[tuple[Series, str, Style, float]] = []
    for index, series in enumerate(ordered):
        if index >= SHOWN_SERIES:
            styled.append((series, _OTHER, "solid", 0.7))
        else:
            style = _STYLES[(index // 2) % len(_STYLES)]
            styled.append((series, _COLOURS[index % len(_COLOURS)], style, 2.0 if series.emphasis else 1.2))
    return reversed(styled)


def _ordered(chart: LineChart) -> list[Series]:
    return sorted(chart.series, key=lambda series: not series.emphasis)


def _handles(chart: LineChart) -> list[tuple[Line2D | Patch, str]]:
    styled = list(_styled(chart))[::-1]
    handles: list[tuple[Line2D | Patch, str]] = [
        (Line2D([], [], color=colour, linestyle=style, linewidth=width), series.label or "-")
        for series, colour, style, width in styled[:SHOWN_SERIES]
    ]
    rest = len(styled) - SHOWN_SERIES
    if rest > 0:
        handles.append((Line2D([], [], color=_OTHER, linewidth=0.7), chart.more.replace("{}", str(rest))))
    handles += [
        (Patch(color=_SPAN, alpha=0.55, linewidth=0), label) for label in {span.label: 0 for span in chart.spans}
    ]
    for index, mark in enumerate(_marks(chart), start=1):
        at = datetime.fromtimestamp(mark.at, chart.zone).strftime("%H:%M:%S")
        line = Line2D([], [], linestyle=(0, (1, 2)), color=_MARK, linewidth=0.8)
        handles.append((line, f"{index}: {at} {mark.label}"))
    return handles


def _draw_limit(axes: Axes, limit: Limit, size: Scale) -> None:
    value = limit.value / size.factor
    low, high = axes.get_ylim()
    axes.axhline(value, color=_LIMIT, linestyle=(0, (5, 2)), linewidth=1.1, zorder=2.5)
    if limit.bad == "above":
        axes.axhspan(value, high, color=_LIMIT, alpha=0.05, linewidth=0, zorder=0)
    if limit.bad == "below":
        axes.axhspan(low, value, color=_LIMIT, alpha=0.05, linewidth=0, zorder=0)
    axes.annotate(
        _short(f"{limit.label} {size.text(limit.value)}", _LABEL),
        xy=(1, value),
        xycoords=("axes fraction", "data"),
        xytext=(-2, 2),
        textcoords="offset points",
        ha="right",
        va="bottom",
        color=_LIMIT,
        fontsize=7.5,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8},
        zorder=4,
    )


def _marks(chart: LineChart) -> list[Mark]:
    return sorted((mark for mark in chart.marks if chart.start <= mark.at <= chart.end), key=lambda mark: mark.at)


def _mark_places(chart: LineChart) -> list[tuple[Mark, int]]:
    """Marks with the row of their number: numbers that would touch stand in different rows."""
    near = (chart.end - chart.start) * 0.022
    last = [-math.inf] * _MARK_ROWS
    mark_places = []
    for mark in _marks(chart):
        row = next((row for row, at in enumerate(last) if mark.at - at > near), last.index(min(last)))
        last[row] = mark.at
        mark_places.append((mark, row))
    return mark_places


def _mark_rows(chart: LineChart) -> int:
    return max((row + 1 for _, row in _mark_places(chart)), default=0)


def _draw_marks(axes: Axes, chart: LineChart) -> None:
    for index, (mark, row) in enumerate(_mark_places(chart), start=1):
        axes.axvline(_time(mark.at), color=_MARK, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
        axes.annotate(
            str(index),
            xy=(_time(mark.at), 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2 + 10 * row),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=7.5,
            color=_MARK,
        )


def _time_axis(axes: Axes, chart: LineChart) -> None:
    locator = dates.AutoDateLocator(tz=chart.zone, minticks=4, maxticks=8)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    formatter = dates.ConciseDateFormatter(  # type: ignore[no-untyped-call]
        locator, tz=chart.zone, show_offset=False
    )
    formatter.formats[1:3] = ["%Y-%m", "%m-%d"]
    formatter.zero_formats = ["", "%Y", "%m-%d", "%m-%d", "%H:%M", "%H:%M"]
    axes.xaxis.set_major_formatter(formatter)
    start = datetime.fromtimestamp(chart.start, chart.zone)
    axes.set_xlabel(f"{start:%Y-%m-%d} ({start.tzname() or 'UTC'})", fontsize=7.5, color="#444444")


def _range(chart: LineChart, values: Sequence[float], size: Scale) -> tuple[float, float]:
    """Ends of the value axis: all values and limits, from zero where that costs little."""
    every = [value / size.factor for value in [*values, *(limit.value for limit in chart.limits)]]
    low, high = min(every, default=0.0), max(every, default=1.0)
    # Values that differ in their last digits only are one value: no axis could tell them apart.
    if 0 <= low <= high * 0.6 or (math.isclose(low, high, rel_tol=1e-6) and high > 0):
        low = 0.0
    room = (high - low) * 0.12 or abs(high) * 0.1 or 1.0
    return (low if low == 0 else low - room), high + room


def _with_gaps(points: Sequence[tuple[float, float]], gap_s: float) -> list[tuple[float, float]]:
    """Points, with a hole where samples are missing."""
    with_gaps: list[tuple[float, float]] = []
    for at, value in points:
        if gap_s and with_gaps and at - with_gaps[-1][0] > gap_s:
            with_gaps.append(((at + with_gaps[-1][0]) / 2, math.nan))
        with_gaps.append((at, value if math.isfinite(value) else math.nan))
    return with_gaps


def _time(seconds: float) -> float:
    return float(dates.date2num(datetime.fromtimestamp(seconds, UTC)))  # type: ignore[no-untyped-call]


def _short(text: str, limit: int) -> str:
    clean = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return clean if len(clean) <= limit else clean[: limit - 3] + "..."


def inline(text: str, *, name: str, title: str, description: str) -> str:
    """An ``<svg>`` element: no prolog, ids that start with ``name``, a title and a description, width of its column.

    Args:
        text: The file that matplotlib wrote.
        name: Must differ between the charts of one page.
        title: What it shows.
        description: The same in a sentence.
    """
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _LINK)
    root = ElementTree.fromstring(text)  # noqa: S314  (written by matplotlib a moment ago)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == f"{{{_SVG}}}metadata":
                parent.remove(child)
    for element in root.iter():
        for key, value in element.attrib.items():
            if key == "id":
                element.set(key, f"{name}-{value}")
            elif key == _LINK_KEY and value.startswith("#"):
                element.set(key, f"#{name}-{value[1:]}")
            elif "url(#" in value:
                element.set(key, _USE.sub(rf"url(#{name}-\1)", value))
    for index, (tag, content) in enumerate((("title", title), ("desc", description))):
        element = ElementTree.Element(f"{{{_SVG}}}{tag}", {"id": f"{name}-{tag}"})
        element.text = "".join(character if character.isprintable() else " " for character in content)
        root.insert(index, element)
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title {name}-desc")
    root.set("style", "width:100%;height:auto")
    return ElementTree.tostring(root, encoding="unicode")


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
