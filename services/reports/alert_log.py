"""Alerts of a period, from ``alerts-processed`` and ``alerts-raw``, and their section of a report (6.2).

An episode is one time that an alert fired, with the notifications that were sent about it. An end that nobody was
notified of, since the alert was silenced by then, comes from ``alerts-raw``. The section has alerts by priority, the
urgent ones, the most frequent ones, and the Low ones in full.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from zoneinfo import ZoneInfo

from services.reports.alert_topics import MOST_NOTIFICATIONS, AlertLog, Firings, Notification
from services.reports.cells import cell, figure, place, priority, table
from services.reports.metrics import QueryRunner
from services.reports.model import (
    NOTHING,
    Block,
    Paragraph,
    ReportError,
    Section,
    Table,
    Text,
    duration,
    moment,
    text_of,
    translate,
)
from services.runtime import one_line

_MOST_LISTED = 40
_MOST_LOW = 500
"""Low alerts reach people here and nowhere else."""
_MINUTE = 60.0

PRIORITIES = ("critical", "high", "medium", "low")
"""Most urgent first (requirement 6.2)."""
_URGENT = PRIORITIES[:-1]


PAGED, MAILED = "-phone", "-mail"
"""Ends of the names of receivers that ring a phone or mail, beside that of a contact's other channels."""
DAILY_REPORT = "daily-report"
"""Receiver that notifies nobody: its alerts are written down for the daily report."""
_AGAIN_S = 330.0
"""The same notification within this time is one that was sent again, or by the other Alertmanager."""


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One time that one alert fired.

    Attributes:
        alert: Name.
        identity: The alert's identity: what it is about.
        fingerprint: Hash of its labels.
        priority: Of `PRIORITIES`, or what else the rule says.
        layer: Layer, or empty.
        started: When it began to fire, seconds since 1970.
        earlier: Whether that was before the period.
        ended: When it ended; None while it fires.
        notified: When the last record about it was received.
        notifications: Notifications to people within the period, escalations among them.
        escalated: To whom it was escalated.
        summary: What it said, in both languages.
    """

    alert: str
    identity: str
    fingerprint: str
    priority: str
    layer: str
    started: float
    earlier: bool
    ended: float | None
    notified: float
    notifications: int
    escalated: tuple[str, ...]
    summary: Text

    @property
    def subject(self) -> str:
        """What it is about: its identity without its name."""
        return self.identity.removeprefix(self.alert).lstrip("/")

    @property
    def seconds(self) -> float | None:
        """How long it fired; None while it does."""
        return None if self.ended is None else max(self.ended - self.started, 0.0)


@dataclass(frozen=True, kw_only=True)
class Alerts:
    """What is known of a period's alerts.

    Attributes:
        episodes: Those that fired in it and that were notified, oldest first.
        known_since: From when on they are known for certain, where that is not the whole period; else None.
    """

    episodes: tuple[Episode, ...]
    known_since: float | None = None


def episodes(events: Iterable[Notification], start: float, end: float) -> tuple[Episode, ...]:
    """Episodes of a period, oldest first; what an escalation tells is part of its original's."""
    own: dict[tuple[str, float], list[Notification]] = defaultdict(list)
    raised: dict[str, list[Notification]] = defaultdict(list)
    for event in events:
        if event.escalation:
            raised[event.identity].append(event)
        elif event.started < end:
            own[event.fingerprint, event.started].append(event)
    starts: dict[str, list[float]] = defaultdict(list)
    for (_, began), those in sorted(own.items(), key=lambda item: item[0][1]):
        starts[those[0].identity].append(began)
    for those in raised.values():
        those.sort(key=lambda event: event.started)
    collected = []
    for (_, began), those in own.items():
        identity = those[0].identity
        following = bisect_right(starts[identity], began)
        until = starts[identity][following] if following < len(starts[identity]) else float("inf")
        first, last = (bisect_left(raised[identity], at, key=lambda event: event.started) for at in (began, until))
        collected.append(_episode(those, raised[identity][first:last], start, end))
    return tuple(sorted(collected, key=lambda episode: (episode.started, episode.alert, episode.identity)))


def _episode(own: Sequence[Notification], raised: Sequence[Notification], start: float, end: float) -> Episode:
    last = max(own, key=lambda event: event.received)
    within = [event for event in (*own, *raised) if event.received < end]
    english, japanese = last.summary
    return Episode(
        alert=last.alert,
        identity=last.identity,
        fingerprint=last.fingerprint,
        priority=last.priority,
        layer=last.layer,
        started=last.started,
        earlier=last.started < start,
        ended=max((event.ended for event in own if event.ended is not None), default=None),
        notified=last.received,
        notifications=_notifications(within),
        escalated=tuple(sorted({event.escalation for event in within if event.escalation})),
        summary=Text(en=english, ja=japanese),
    )


def _notifications(events: Sequence[Notification]) -> int:
    """Different notifications to people: what was tried again, or told by both Alertmanagers, counts once.

    So does what the pager is told each 5 minutes of an alert that still fires, which rings nobody.
    """
    last: dict[tuple[str, str], tuple[bool, float]] = {}
    count = 0
    for event in sorted(events, key=lambda event: event.received):
        if event.receiver == DAILY_REPORT:
            continue
        key = event.fingerprint, event.receiver.removesuffix(PAGED).removesuffix(MAILED)
        over = event.ended is not None
        before_over, before = last.get(key, (None, float("-inf")))
        count += over != before_over or event.received - before > _AGAIN_S
        last[key] = over, event.received
    return count


def with_ends(episodes: Iterable[Episode], firings: Firings) -> tuple[Episode, ...]:
    """The same; those whose end nobody was notified of have that of the firing that they were notified of."""
    return tuple(
        replace(episode, ended=_end(episode, firings)) if episode.ended is None else episode for episode in episodes
    )


def _end(episode: Episode, firings: Firings) -> float | None:
    those = [firing for firing in firings.get(episode.fingerprint, ()) if firing.covers(episode.started)]
    nearest = min(those, key=lambda firing: abs(firing.started - episode.started), default=None)
    return nearest.ended if nearest else None


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Several episodes in numbers.

    Attributes:
        count: How many began in the period.
        earlier: How many began before it.
        open: How many had not ended.
        notifications: Notifications to people.
        escalated: How many were escalated.
        median_s: Middle time until one ended; None where none has.
        longest_s: Longest time until one ended.
    """

    count: int
    earlier: int
    open: int
    notifications: int
    escalated: int
    median_s: float | None
    longest_s: float | None


def tally(episodes: Iterable[Episode]) -> Tally:
    """Count episodes."""
    listed = list(episodes)
    times = [episode.seconds for episode in listed if episode.seconds is not None]
    return Tally(
        count=sum(not episode.earlier for episode in listed),
        earlier=sum(episode.earlier for episode in listed),
        open=sum(episode.ended is None for episode in listed),
        notifications=sum(episode.notifications for episode in listed),
        escalated=sum(bool(episode.escalated) for episode in listed),
        median_s=median(times) if times else None,
        longest_s=max(times, default=None),
    )


def by_alert(episodes: Iterable[Episode]) -> list[tuple[str, list[Episode]]]:
    """Episodes by the alert's name, most frequent first."""
    groups: dict[str, list[Episode]] = defaultdict(list)
    for episode in episodes:
        groups[episode.alert].append(episode)
    return sorted(groups.items(), key=lambda item: (-tally(item[1]).count, item[0]))


def read(runner: QueryRunner, log: AlertLog) -> Alerts | None:
    """Alerts of the period; None where they cannot be read, which is a problem of the report."""
    start = runner.period.start
    try:
        log_read = log.since(start, runner.end)
    except ReportError as error:
        runner.problems.append(translate("problem.alerts", error=one_line(error)))
        return None
    if log_read.unreadable:
        runner.problems.append(translate("problem.records", count=str(log_read.unreadable)))
    if log_read.left_out:
        values = {"count": str(log_read.left_out), "most": str(MOST_NOTIFICATIONS)}
        runner.problems.append(translate("problem.too-many", **values))
    fired = episodes(log_read.events, start, runner.end)
    since = log_read.known_since
    return Alerts(
        episodes=_ended(runner, log, fired),
        known_since=since if since is not None and since > start + _MINUTE else None,
    )


def _ended(runner: QueryRunner, log: AlertLog, fired: tuple[Episode, ...]) -> tuple[Episode, ...]:
    """With the ends that nobody was notified of."""
    still = [episode for episode in fired if episode.ended is None]
    if not still:
        return fired
    first = min(episode.notified for episode in still) - _MINUTE
    try:
        return with_ends(fired, log.firings({episode.identity for episode in still}, first))
    except ReportError as error:
        runner.problems.append(translate("problem.ends", count=str(len(still)), error=one_line(error)))
        return fired


def daily(alerts: Alerts | None, zone: ZoneInfo) -> Section:
    """The alerts of a day."""
    if alerts is None:
        return _unknown()
    urgent = [episode for episode in alerts.episodes if episode.priority in _URGENT]
    low = [episode for episode in alerts.episodes if episode.priority not in _URGENT]
    return Section(
        title=translate("alerts.title"),
        blocks=(
            *_since(alerts, zone),
            priorities(alerts.episodes),
            _list("alerts.urgent", sorted(urgent, key=_urgency), zone, empty="alerts.none-urgent", most=_MOST_LISTED),
            _list("alerts.low", low, zone, empty="alerts.none-low", most=_MOST_LOW),
        ),
    )


def _since(alerts: Alerts, zone: ZoneInfo) -> tuple[Block, ...]:
    """From when on alerts are known, where that is not the whole period."""
    if alerts.known_since is None:
        return ()
    return (Paragraph(text=translate("alerts.since", at=moment(alerts.known_since, zone)), tone="warning"),)


def weekly(alerts: Alerts | None, zone: ZoneInfo) -> Section:
    """The alerts of a week, the most frequent first."""
    if alerts is None:
        return _unknown()
    rows = []
    for name, those in by_alert(alerts.episodes):
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
    return Section(title=translate("alerts.title"), blocks=(*_since(alerts, zone), priorities(alerts.episodes), top))


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
                figure(str(one.earlier)),
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
            "head.earlier",
            "head.open",
            "head.notifications",
            "head.escalated",
            "head.median",
            "head.longest",
        ),
        rows,
        note=translate("alerts.note"),
    )


def _list(title: str, listed: Sequence[Episode], zone: ZoneInfo, *, empty: str, most: int) -> Table:
    rows = [
        (
            cell(moment(episode.started, zone, "%m-%d %H:%M")),
            priority(episode.priority),
            cell(episode.alert),
            cell(episode.summary if episode.summary.en else text_of(episode.subject)),
            figure(duration(episode.seconds) if episode.ended is not None else translate("alerts.still")),
            figure(str(episode.notifications) if episode.notifications else NOTHING),
        )
        for episode in listed
    ]
    head = ("head.since", "head.priority", "head.alert", "head.what", "head.lasted", "head.notifications")
    names = Counter(episode.alert for episode in listed[most:])
    note = translate("alerts.beyond", names=", ".join(f"{name} ({count})" for name, count in names.most_common()))
    return table(title, head, rows, empty=empty, most=most, note=note if names else None)


def _urgency(episode: Episode) -> tuple[int, float]:
    return (PRIORITIES.index(episode.priority), episode.started)


def _unknown() -> Section:
    return Section(
        title=translate("alerts.title"),
        blocks=(table("alerts.priorities", ("head.priority",), (), empty="alerts.unread"),),
    )
