"""The alerts of a period: by priority, the urgent ones, the most frequent ones, and the Low ones in full (6.2)."""

from __future__ import annotations

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from services.reports.alert_log import AlertLog
from services.reports.cells import cell, figure, place, priority, table
from services.reports.episodes import PRIORITIES, Episode, by_alert, episodes, tally
from services.reports.errors import ReportError, one_line
from services.reports.i18n import translate
from services.reports.model import Section, Table
from services.reports.query_runner import QueryRunner
from services.reports.text import duration, moment, text_of

_MOST_LISTED = 40


def read(asker: QueryRunner, log: AlertLog) -> tuple[Episode, ...] | None:
    """Episodes of the period; None where they cannot be read, which is a problem of the report."""
    try:
        found = log.since(asker.period.start)
    except ReportError as error:
        asker.problems.append(translate("problem.alerts", error=one_line(error)))
        return None
    if found.unreadable:
        asker.problems.append(translate("problem.records", count=str(found.unreadable)))
    return episodes(found.events, asker.end)


def daily(found: Sequence[Episode] | None, zone: ZoneInfo) -> Section:
    """The alerts of a day."""
    if found is None:
        return _unknown()
    urgent = [each for each in found if each.priority in ("critical", "high", "medium")]
    low = [each for each in found if each.priority not in ("critical", "high", "medium")]
    return Section(
        title=translate("alerts.title"),
        blocks=(
            priorities(found),
            _list("alerts.urgent", sorted(urgent, key=_urgency), zone, empty="alerts.none-urgent"),
            _list("alerts.low", low, zone, empty="alerts.none-low"),
        ),
    )


def weekly(found: Sequence[Episode] | None) -> Section:
    """The alerts of a week, the most frequent first."""
    if found is None:
        return _unknown()
    rows = []
    for name, those in by_alert(found):
        one = tally(those)
        rows.append(
            (
                cell(name),
                priority(those[0].priority),
                cell(place(those[0].layer)),
                figure(str(one.count)),
                figure(str(len({each.identity for each in those}))),
                figure(str(one.notifications)),
                figure(duration(one.median_s)),
                figure(duration(one.longest_s)),
            )
        )
    top = table(
        "alerts.top",
        (
            "head.alert",
            "head.priority",
            "head.layer",
            "head.count",
            "head.subjects",
            "head.notifications",
            "head.median",
            "head.longest",
        ),
        rows,
        empty="alerts.none",
        most=15,
    )
    return Section(title=translate("alerts.title"), blocks=(priorities(found), top))


def priorities(found: Sequence[Episode]) -> Table:
    """How many alerts there were of each priority, and how long they lasted."""
    others = sorted({each.priority for each in found} - set(PRIORITIES))
    rows = []
    for name in (*PRIORITIES, *others):
        one = tally(each for each in found if each.priority == name)
        rows.append(
            (
                priority(name),
                figure(str(one.count)),
                figure(str(one.open), "warning" if one.open else ""),
                figure(str(one.notifications)),
                figure(str(one.escalated)),
                figure(duration(one.median_s)),
                figure(duration(one.longest_s)),
            )
        )
    return table(
        "alerts.priorities",
        (
            "head.priority",
            "head.count",
            "head.open",
            "head.notifications",
            "head.escalated",
            "head.median",
            "head.longest",
        ),
        rows,
        note=translate("alerts.note"),
    )


def _list(title: str, found: Sequence[Episode], zone: ZoneInfo, *, empty: str) -> Table:
    rows = [
        (
            cell(moment(each.started, zone, "%m-%d %H:%M")),
            priority(each.priority),
            cell(each.alert),
            cell(each.summary if each.summary.en else text_of(each.subject)),
            figure(duration(each.seconds) if each.ended is not None else translate("alerts.still")),
            figure(str(each.notifications)),
        )
        for each in found
    ]
    head = ("head.since", "head.priority", "head.alert", "head.what", "head.lasted", "head.notifications")
    return table(title, head, rows, empty=empty, most=_MOST_LISTED)


def _urgency(each: Episode) -> tuple[int, float]:
    return (PRIORITIES.index(each.priority), each.started)


def _unknown() -> Section:
    return Section(
        title=translate("alerts.title"),
        blocks=(table("alerts.priorities", ("head.priority",), (), empty="alerts.unread"),),
    )
