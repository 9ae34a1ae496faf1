"""The monthly report: service levels, capacity plan, maintenance.

The capacity plan has forecasts by a robust trend, their error, where they will be in 30 and 90 days, and the day on
which a limit is reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.reports import alert_log, maintenance, uptime
from services.reports.alert_topics import AlertLog
from services.reports.anomalies import INTERVAL, Backtest, Trend, backtest, trend
from services.reports.cells import cell, figure, promise, table
from services.reports.daily import alerts_counted, promises_kept
from services.reports.metrics import QueryRunner
from services.reports.model import (
    DAY,
    HOUR,
    NOTHING,
    Block,
    Chart,
    ChartLimit,
    Figure,
    Figures,
    Line,
    Paragraph,
    Point,
    Section,
    Table,
    Text,
    Tone,
    amount,
    duration,
    moment,
    share,
    text_of,
    translate,
)
from services.reports.queries import CAPACITIES, Achieved, Capacity
from services.reports.records import WorkLog

HORIZONS_DAYS = (30, 90)
FURTHEST = 10
"""A forecast reaches at most this many times as far as the history that it is made from."""
LEAST_POINTS = 10
_YEARS = 5 * 365 * DAY


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Where something goes.

    Attributes:
        capacity: What it is about.
        points: What is known.
        trend: Its trend; None where there is too little.
        test: How well the same would have forecast the last fifth; None where there is too little.
        now: Seconds since 1970 of the last point.
    """

    capacity: Capacity
    points: Sequence[Point]
    trend: Trend | None
    test: Backtest | None

    @property
    def now(self) -> float | None:
        """Latest value."""
        return self.points[-1][1] if self.points else None

    @property
    def over(self) -> bool:
        """Whether the limit is reached already: the worst of all, however it goes on."""
        return self.now is not None and self.capacity.limit is not None and self.now >= self.capacity.limit

    @property
    def history_s(self) -> float:
        """Time from the first point to the last."""
        return self.points[-1][0] - self.points[0][0] if self.points else 0.0

    @property
    def per_day(self) -> float | None:
        """Growth per day."""
        return None if self.trend is None else self.trend.slope * DAY

    def reaches_days(self, days: int) -> bool:
        """Whether the history is long enough to look that far ahead."""
        return self.trend is not None and days * DAY <= FURTHEST * self.history_s

    def ahead(self, days: int) -> tuple[float, float, float] | None:
        """Forecast with the ends of its interval, none below nothing; None where history is too short."""
        if self.trend is None or not self.reaches_days(days):
            return None
        time = self.trend.origin + days * DAY
        low, high = self.trend.interval(time)
        return tuple(max(value, 0.0) for value in (self.trend.at(time), low, high))  # type: ignore[return-value]

    @property
    def full(self) -> float | None:
        """When the limit is reached, seconds since 1970; None where that is not within reach of a forecast."""
        return self._full(None)

    @property
    def full_earliest(self) -> float | None:
        """When it is reached at the upper end of the slope's interval."""
        return None if self.trend is None else self._full(self.trend.slopes[1])

    def _full(self, slope: float | None) -> float | None:
        if self.trend is None or self.capacity.limit is None:
            return None
        reaches = self.trend.reaches(self.capacity.limit, slope)
        if reaches is None or reaches - self.trend.origin > min(FURTHEST * self.history_s, _YEARS):
            return None
        return reaches


def forecast(capacity: Capacity, points: Sequence[Point]) -> Forecast:
    """The forecast from what is known."""
    enough = len(points) >= LEAST_POINTS
    return Forecast(
        capacity=capacity,
        points=points,
        trend=trend(points) if enough else None,
        test=backtest(points) if enough else None,
    )


_SHOWN = 240


_SOON_DAYS = 90


_SMALL = 0.001


def forecasts(runner: QueryRunner) -> list[Forecast]:
    """Forecasts from all history that there is."""
    start = runner.history if runner.history is not None else runner.start
    length = max(runner.end - start, 1.0)
    step = max(length / _SHOWN, 300.0)
    step = step if step < HOUR else step // HOUR * HOUR
    return [
        forecast(capacity, runner.line(capacity.name, capacity.mean, start, runner.end, step))
        for capacity in CAPACITIES
    ]


def capacity_section(runner: QueryRunner, forecast_list: list[Forecast]) -> Section:
    """The section."""
    known = [outlook for outlook in forecast_list if outlook.points]
    history = max((outlook.history_s for outlook in known), default=0.0)
    blocks: list[Block] = [
        Paragraph(
            text=translate(
                "capacity.method",
                history=duration(history),
                interval=f"{INTERVAL:.0%}",
                furthest=duration(FURTHEST * history),
                times=str(FURTHEST),
            )
        )
    ]
    if history * FURTHEST < max(HORIZONS_DAYS) * DAY:
        days = max(HORIZONS_DAYS)
        blocks.append(
            Paragraph(
                text=translate("capacity.short", history=duration(history), needed=duration(days * DAY / FURTHEST)),
                tone="warning",
            )
        )
    blocks += [_table(runner, known), _tests(known)]
    blocks += [_chart(runner, outlook) for outlook in known if outlook.trend is not None]
    return Section(title=translate("capacity.title"), blocks=tuple(blocks))


def _table(runner: QueryRunner, forecast_list: list[Forecast]) -> Table:
    rows = []
    for outlook in forecast_list:
        unit = outlook.capacity.unit
        rows.append(
            (
                cell(translate(f"capacity.{outlook.capacity.name}")),
                figure(amount(outlook.now, unit)),
                figure(amount(outlook.per_day, unit)),
                *(figure(_ahead(outlook, days)) for days in HORIZONS_DAYS),
                figure(amount(outlook.capacity.limit, unit)),
                figure(_when(runner, outlook), _tone(outlook)),
            )
        )
    head = (
        "head.what-grows",
        "head.now",
        "head.per-day",
        "head.in-30",
        "head.in-90",
        "head.limit",
        "head.reached",
    )
    return table("capacity.table", head, rows, note=translate("capacity.limits"))


def _tests(forecast_list: list[Forecast]) -> Table:
    rows = [
        (
            cell(translate(f"capacity.{outlook.capacity.name}")),
            figure(duration(outlook.test.horizon_s)),
            figure(_small(outlook.test.error)),
            figure(share(round(outlook.test.inside, 3))),
        )
        for outlook in forecast_list
        if outlook.test is not None
    ]
    head = ("head.what-grows", "head.ahead", "head.error", "head.inside")
    return table("capacity.errors", head, rows, note=translate("capacity.note"))


def _ahead(outlook: Forecast, days: int) -> Text:
    bounds = outlook.ahead(days)
    if bounds is None:
        return translate("capacity.too-short")
    middle, low, high = (amount(value, outlook.capacity.unit) for value in bounds)
    return Text(en=f"{middle.en} ({low.en} to {high.en})", ja=f"{middle.ja}（{low.ja}～{high.ja}）")


def _when(runner: QueryRunner, outlook: Forecast) -> Text:
    if outlook.capacity.limit is None:
        return NOTHING
    if outlook.over:
        return translate("capacity.reached")
    if outlook.trend is None:
        return translate("capacity.too-short")
    day = "%Y-%m-%d"
    full, earliest = outlook.full, outlook.full_earliest
    if full is None:
        if earliest is None:
            return translate("capacity.not-within", time=duration(FURTHEST * outlook.history_s))
        return translate("capacity.earliest-only", earliest=moment(earliest, runner.period.zone, day))
    return translate(
        "capacity.on",
        day=moment(full, runner.period.zone, day),
        earliest=moment(earliest if earliest is not None else full, runner.period.zone, day),
    )


def _tone(outlook: Forecast) -> Tone:
    if outlook.over:
        return "bad"
    if outlook.trend is None or outlook.capacity.limit is None:
        return ""
    full = outlook.full
    if full is None:
        return ""
    return (
        "bad"
        if full - outlook.trend.origin < 30 * DAY
        else "warning"
        if full - outlook.trend.origin < _SOON_DAYS * DAY
        else ""
    )


def _small(error: float | None) -> Text:
    """A mean error; digits that are rounding only are not shown."""
    return text_of("< 0.1 %") if error is not None and error < _SMALL else amount(error, "1")


def _chart(runner: QueryRunner, outlook: Forecast) -> Chart:
    first, last = outlook.points[0][0], outlook.points[-1][0]
    furthest = max((days for days in HORIZONS_DAYS if outlook.reaches_days(days)), default=0)
    # Where nothing is forecast, the trend is drawn over what is known.
    end = last + furthest * DAY if furthest else last + (last - first) * 0.02
    lines = [Line(label=translate("line.measured"), points=outlook.points, emphasis=True)]
    if outlook.trend is not None:
        begin = last if furthest else first
        times = [begin + (end - begin) * index / 30 for index in range(31)]
        lines.append(Line(label=translate("line.trend"), points=[(at, outlook.trend.at(at)) for at in times]))
        if furthest:
            ends = [(at, outlook.trend.interval(at)) for at in times]
            lines.append(Line(label=translate("line.lower"), points=[(at, max(low, 0.0)) for at, (low, _) in ends]))
            lines.append(Line(label=translate("line.upper"), points=[(at, high) for at, (_, high) in ends]))
    near = (
        outlook.capacity.limit is not None
        and outlook.points
        and outlook.capacity.limit <= 4 * max(value for line in lines for _, value in line.points)
    )
    limit = outlook.capacity.limit
    return Chart(
        title=translate(f"capacity.{outlook.capacity.name}"),
        unit=outlook.capacity.unit,
        start=first,
        end=end,
        lines=tuple(lines),
        limits=(ChartLimit(label=translate("chart.limit"), value=limit),) if near and limit is not None else (),
        zone=runner.period.zone,
        note=None
        if near or limit is None
        else translate("chart.limit-far", limit=amount(limit, outlook.capacity.unit)),
    )


def soonest(runner: QueryRunner, forecast_list: list[Forecast]) -> Text:
    """The limit that is reached first."""
    if any(outlook.over for outlook in forecast_list):
        return translate("capacity.reached")
    dated = [outlook.full for outlook in forecast_list if outlook.full is not None]
    if not dated:
        return NOTHING
    return moment(min(dated), runner.period.zone, "%Y-%m-%d")


def sections(runner: QueryRunner, log: AlertLog, work_log: WorkLog) -> tuple[Section, ...]:
    """All sections."""
    layers, parts = uptime.all_of(runner)
    kept = uptime.achieved(runner)
    alerts = alert_log.read(runner, log)
    plan = forecasts(runner)
    summary = Figures(
        figures=(
            promises_kept(kept),
            *(_worst(kept)),
            Figure(label=translate("summary.soonest"), value=soonest(runner, plan)),
            alerts_counted(alerts, runner.period.zone),
        )
    )
    return (
        Section(title=translate("summary.title"), blocks=(summary,)),
        uptime.section(runner, layers, parts, kept),
        alert_log.weekly(alerts, runner.period.zone),
        capacity_section(runner, plan),
        maintenance.section(runner, work_log),
    )


def _worst(kept: list[Achieved]) -> list[Figure]:
    """The objective that used most of its budget."""
    known = [achieved for achieved in kept if achieved.burn is not None]
    if not known:
        return []
    worst = max(known, key=lambda achieved: achieved.burn or 0.0)
    return [
        Figure(
            label=translate("summary.worst"),
            value=share(worst.good),
            note=worst.objective.description,
            tone=promise(worst.kept),
        )
    ]
