"""What a dashboard is, as data. Grafana's files and the pages of ``ops dashboard`` are made of the same.

Queries are PromQL. Grafana's own variables may stand in them: ``$__rate_interval``, ``$__range`` and those of the
dashboard. The region is put into every selector when a file or a page is made, so no query names it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypedDict, Unpack

Side = Literal["above", "below"]
Tone = Literal["good", "note", "warning", "bad"]

RATE = "$__rate_interval"
"""Window of a rate that is drawn over time: as long as the distance of two points, and never too short."""
GRID = 24
"""Columns of a dashboard."""


class Kind(StrEnum):
    """How a panel shows its values."""

    STAT = "stat"
    SERIES = "timeseries"
    BARS = "bargauge"
    TABLE = "table"
    GRAPH = "nodeGraph"


@dataclass(frozen=True, kw_only=True)
class Query:
    """One question.

    Attributes:
        expr: PromQL.
        legend: Name of a series: text with ``{{label}}``; of a table's column: its heading.
        unit: UCUM unit of a table's column; of other panels the panel's unit counts.
    """

    expr: str
    legend: str = ""
    unit: str = ""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A threshold, in the panel's unit.

    Attributes:
        value: Where it is.
        label: What it is called.
        bad: The side of it that is bad.
        tone: How bad that is.
    """

    value: float
    label: str
    bad: Side = "above"
    tone: Tone = "bad"


@dataclass(frozen=True, kw_only=True)
class State:
    """What one value means where values stand for words."""

    value: int
    text: str
    tone: Tone


@dataclass(frozen=True, kw_only=True)
class Column:
    """A label that a table shows, with its heading."""

    label: str
    heading: str


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel.

    Attributes:
        title: Over it; unique within its dashboard.
        description: What is seen, and what to think of it.
        kind: How it is drawn.
        unit: UCUM unit of its values (``s``, ``1`` for a share, ``By``, ``{thing}``, ``{thing}/s``).
        queries: What is asked. A graph has two: its edges (labels ``client``, ``server``), and its nodes (``service``).
        width: Columns of `GRID`.
        height: Rows of the grid.
        limits: Thresholds.
        states: Words for values.
        columns: Labels that a table shows, in order; the queries' columns follow.
        since: Its own time range, such as ``24h``; empty: the dashboard's.
        service: Label that names the service whose traces and logs are one click away.
        detail: Label whose value names the dashboard with the details: ``layer`` leads to ``layer-<value>``.
        stacked: Whether series are stacked.
        exemplars: Whether single requests are shown as points that lead to their traces. The queries have to name a
            histogram that carries them.
        top: Most rows of a table or bars, largest first; 0 shows all.
    """

    title: str
    description: str
    kind: Kind
    unit: str
    queries: tuple[Query, ...]
    width: int = 8
    height: int = 8
    limits: tuple[Limit, ...] = ()
    states: tuple[State, ...] = ()
    columns: tuple[Column, ...] = ()
    since: str = ""
    service: str = ""
    detail: str = ""
    stacked: bool = False
    exemplars: bool = False
    top: int = 0


@dataclass(frozen=True, kw_only=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, kw_only=True)
class Variable:
    """A choice at the head of a dashboard; all values are chosen until somebody chooses.

    Attributes:
        name: Stands in queries as ``$name``, in ``=~`` matchers.
        label: For people.
        description: What is chosen.
        values: The values, where they are known.
        metric: Series whose label has them, where they are not; PromQL selector.
        of: That label.
    """

    name: str
    label: str
    description: str
    values: tuple[str, ...] = ()
    metric: str = ""
    of: str = ""


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """One dashboard.

    Attributes:
        name: Short name; Grafana's uid is ``obs-<name>``.
        title: For people.
        description: What it answers.
        rows: Its rows.
        tags: Grafana's tags besides ``obs``.
        variables: Choices besides region and data sources.
        since: Time that it shows at first.
    """

    name: str
    title: str
    description: str
    rows: tuple[Row, ...]
    tags: tuple[str, ...] = ()
    variables: tuple[Variable, ...] = ()
    since: str = "6h"

    @property
    def uid(self) -> str:
        """Grafana's identity of it; the same in every installation."""
        return f"obs-{self.name}"

    @property
    def panels(self) -> Iterator[Panel]:
        """All panels, from top to bottom."""
        for row in self.rows:
            yield from row.panels


class More(TypedDict, total=False):
    """What else a panel may have; as in `Panel`."""

    width: int
    height: int
    limits: tuple[Limit, ...]
    states: tuple[State, ...]
    since: str
    service: str
    detail: str
    stacked: bool
    exemplars: bool
    top: int


def series(title: str, description: str, unit: str, *queries: Query, **more: Unpack[More]) -> Panel:
    """A panel of lines over time."""
    return Panel(title=title, description=description, kind=Kind.SERIES, unit=unit, queries=queries, **more)


def stat(title: str, description: str, unit: str, *queries: Query, **more: Unpack[More]) -> Panel:
    """A panel of large numbers; small unless told otherwise."""
    size: More = {"width": 4, "height": 4, **more}
    return Panel(title=title, description=description, kind=Kind.STAT, unit=unit, queries=queries, **size)


def bars(title: str, description: str, unit: str, *queries: Query, **more: Unpack[More]) -> Panel:
    """A panel of one bar per series."""
    return Panel(title=title, description=description, kind=Kind.BARS, unit=unit, queries=queries, **more)


def table(title: str, description: str, columns: Mapping[str, str], *queries: Query, **more: Unpack[More]) -> Panel:
    """A table: a column per label (label -> heading), and one per query."""
    return Panel(
        title=title,
        description=description,
        kind=Kind.TABLE,
        unit=queries[0].unit,
        queries=queries,
        columns=tuple(Column(label=label, heading=heading) for label, heading in columns.items()),
        **more,
    )
