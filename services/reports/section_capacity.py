"""The capacity plan: forecasts, their error, and the day on which a limit is reached."""

from __future__ import annotations

from services.reports.capacity import FURTHEST, HORIZONS_DAYS, Forecast, forecast
from services.reports.cells import cell, figure, table
from services.reports.i18n import translate
from services.reports.model import Block, Chart, ChartLimit, Line, Paragraph, Section, Table, Tone
from services.reports.periods import DAY, HOUR
from services.reports.queries import CAPACITIES
from services.reports.query_runner import QueryRunner
from services.reports.robust import INTERVAL
from services.reports.text import NOTHING, Text, amount, duration, moment, share, text_of

_SHOWN = 240
_SOON_DAYS = 90
_SMALL = 0.001


def forecasts(asker: QueryRunner) -> list[Forecast]:
    """Forecasts from all history that there is."""
    start = asker.history if asker.history is not None else asker.start
    length = max(asker.end - start, 1.0)
    step = max(length / _SHOWN, 300.0)
    step = step if step < HOUR else step // HOUR * HOUR
    return [forecast(each, asker.line(each.name, each.mean, start, asker.end, step)) for each in CAPACITIES]


def section(asker: QueryRunner, found: list[Forecast]) -> Section:
    """The section."""
    known = [each for each in found if each.points]
    history = max((each.history_s for each in known), default=0.0)
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
    blocks += [_table(asker, known), _tests(known)]
    blocks += [_chart(asker, each) for each in known if each.trend is not None]
    return Section(title=translate("capacity.title"), blocks=tuple(blocks))


def _table(asker: QueryRunner, found: list[Forecast]) -> Table:
    rows = []
    for each in found:
        unit = each.capacity.unit
        rows.append(
            (
                cell(translate(f"capacity.{each.capacity.name}")),
                figure(amount(each.now, unit)),
                figure(amount(each.per_day, unit)),
                *(figure(_ahead(each, days)) for days in HORIZONS_DAYS),
                figure(amount(each.capacity.limit, unit)),
                figure(_when(asker, each), _tone(each)),
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


def _tests(found: list[Forecast]) -> Table:
    rows = [
        (
            cell(translate(f"capacity.{each.capacity.name}")),
            figure(duration(each.test.horizon_s)),
            figure(_small(each.test.error)),
            figure(share(round(each.test.inside, 3))),
        )
        for each in found
        if each.test is not None
    ]
    head = ("head.what-grows", "head.ahead", "head.error", "head.inside")
    return table("capacity.errors", head, rows, note=translate("capacity.note"))


def _ahead(each: Forecast, days: int) -> Text:
    found = each.ahead(days)
    if found is None:
        return translate("capacity.too-short")
    middle, low, high = (amount(value, each.capacity.unit) for value in found)
    return Text(en=f"{middle.en} ({low.en} to {high.en})", ja=f"{middle.ja}（{low.ja}～{high.ja}）")


def _when(asker: QueryRunner, each: Forecast) -> Text:
    if each.capacity.limit is None:
        return NOTHING
    if each.trend is None:
        return translate("capacity.too-short")
    if each.now is not None and each.now >= each.capacity.limit:
        return translate("capacity.reached")
    day = "%Y-%m-%d"
    full, earliest = each.full, each.full_earliest
    if full is None:
        if earliest is None:
            return translate("capacity.not-within", time=duration(FURTHEST * each.history_s))
        return translate("capacity.earliest-only", earliest=moment(earliest, asker.period.zone, day))
    return translate(
        "capacity.on",
        day=moment(full, asker.period.zone, day),
        earliest=moment(earliest if earliest is not None else full, asker.period.zone, day),
    )


def _tone(each: Forecast) -> Tone:
    if each.trend is None or each.capacity.limit is None:
        return ""
    full = each.full
    if full is None:
        return ""
    return (
        "bad"
        if full - each.trend.origin < 30 * DAY
        else "warning"
        if full - each.trend.origin < _SOON_DAYS * DAY
        else ""
    )


def _small(error: float | None) -> Text:
    """A mean error; digits that are rounding only are not shown."""
    return text_of("< 0.1 %") if error is not None and error < _SMALL else amount(error, "1")


def _chart(asker: QueryRunner, each: Forecast) -> Chart:
    first, last = each.points[0][0], each.points[-1][0]
    furthest = max((days for days in HORIZONS_DAYS if each.reaches_days(days)), default=0)
    # Where nothing is forecast, the trend is drawn over what is known.
    end = last + furthest * DAY if furthest else last + (last - first) * 0.02
    lines = [Line(label=translate("line.measured"), points=each.points, emphasis=True)]
    if each.trend is not None:
        begin = last if furthest else first
        times = [begin + (end - begin) * index / 30 for index in range(31)]
        lines.append(Line(label=translate("line.trend"), points=[(at, each.trend.at(at)) for at in times]))
        if furthest:
            ends = [(at, each.trend.interval(at)) for at in times]
            lines.append(Line(label=translate("line.lower"), points=[(at, max(low, 0.0)) for at, (low, _) in ends]))
            lines.append(Line(label=translate("line.upper"), points=[(at, high) for at, (_, high) in ends]))
    near = (
        each.capacity.limit is not None
        and each.points
        and each.capacity.limit <= 4 * max(value for line in lines for _, value in line.points)
    )
    limit = each.capacity.limit
    return Chart(
        title=translate(f"capacity.{each.capacity.name}"),
        unit=each.capacity.unit,
        start=first,
        end=end,
        lines=tuple(lines),
        limits=(ChartLimit(label=translate("chart.limit"), value=limit),) if near and limit is not None else (),
        zone=asker.period.zone,
        note=None if near or limit is None else translate("chart.limit-far", limit=amount(limit, each.capacity.unit)),
    )


def soonest(asker: QueryRunner, found: list[Forecast]) -> Text:
    """The limit that is reached first."""
    dated = [each.full for each in found if each.full is not None]
    if not dated:
        return NOTHING
    return moment(min(dated), asker.period.zone, "%Y-%m-%d")
