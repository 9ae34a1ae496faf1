"""The alerts of a period: by priority, the urgent ones, the most frequent ones, and the Low ones in full (6.2)."""

from __future__ import annotations

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from services.reports.alert_log import PRIORITIES, AlertLog, Episode, by_alert, episodes, tally
from services.reports.cells import cell, figure, place, priority, table
from services.reports.i18n import translate
from services.reports.metrics import QueryRunner
from services.reports.model import ReportError, Section, Table, duration, moment, one_line, text_of

_MOST_LISTED = 40


def read(runner: QueryRunner, log: AlertLog) -> tuple[Episode, ...] | None:
    """Episodes of the period; None where they cannot be read, which is a problem of the report."""
    try:
        log_read = log.since(runner.period.start)
    except ReportError as error:
        runner.problems.append(translate("problem.alerts", error=one_line(error)))
        return None
    if log_read.unreadable:
        runner.problems.append(translate("problem.records", count=str(log_read.unreadable)))
    return episodes(log_read.events, runner.end)


def daily(alert_episodes: Sequence[Episode] | None, zone: ZoneInfo) -> Section:
    """The alerts of a day."""
    if alert_episodes is None:
        return _unknown()
    urgent = [
        alert_episode for alert_episode in alert_episodes if alert_episode.priority in ("critical", "high", "medium")
    ]
    low = [
        alert_episode
        for alert_episode in alert_episodes
        if alert_episode.priority not in ("critical", "high", "medium")
    ]
    return Section(
        title=translate("alerts.title"),
        blocks=(
            priorities(alert_episodes),
            _list("alerts.urgent", sorted(urgent, key=_urgency), zone, empty="alerts.none-urgent"),
            _list("alerts.low", low, zone, empty="alerts.none-low"),
        ),
    )


def weekly(alert_episodes: Sequence[Episode] | None) -> Section:
    """The alerts of a week, the most frequent first."""
    if alert_episodes is None:
        return _unknown()
    rows = []
    for name, those in by_alert(alert_episodes):
        one = tally(those)
        rows.append(
            (
                cell(name),
                priority(those[0].priority),
                cell(place(those[0].layer)),
                figure(str(one.count)),
                figure(str(len({episode.identity for episode in those}))),
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
    return Section(title=translate("alerts.title"), blocks=(priorities(alert_episodes), top))


def priorities(alert_episodes: Sequence[Episode]) -> Table:
    """How many alerts there were of each priority, and how long they lasted."""
    others = sorted({alert_episode.priority for alert_episode in alert_episodes} - set(PRIORITIES))
    rows = []
    for name in (*PRIORITIES, *others):
        one = tally(alert_episode for alert_episode in alert_episodes if alert_episode.priority == name)
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


def _list(title: str, alert_episodes: Sequence[Episode], zone: ZoneInfo, *, empty: str) -> Table:
    rows = [
        (
            cell(moment(alert_episode.started, zone, "%m-%d %H:%M")),
            priority(alert_episode.priority),
            cell(alert_episode.alert),
            cell(alert_episode.summary if alert_episode.summary.en else text_of(alert_episode.subject)),
            figure(duration(alert_episode.seconds) if alert_episode.ended is not None else translate("alerts.still")),
            figure(str(alert_episode.notifications)),
        )
        for alert_episode in alert_episodes
    ]
    head = ("head.since", "head.priority", "head.alert", "head.what", "head.lasted", "head.notifications")
    return table(title, head, rows, empty=empty, most=_MOST_LISTED)


def _urgency(episode: Episode) -> tuple[int, float]:
    return (PRIORITIES.index(episode.priority), episode.started)


def _unknown() -> Section:
    return Section(
        title=translate("alerts.title"),
        blocks=(table("alerts.priorities", ("head.priority",), (), empty="alerts.unread"),),
    )
