"""Silence handover: which alerts the failing region has notified, and the silences that prevent a repetition.

Whoever is silenced here must have been told there: in doubt on-call is notified twice. An alert is handed over when

* the last notification of it (``alerts-processed``) came from the other region and says that it fires,
* that notification was sent while the region surely reached people: not in the last moments before it was last seen,
  and not while its Alertmanager told that notifications fail,
* its Prometheus did not say since (``alerts-raw``) that the alert has ended, even if nobody was notified of that yet.

What the region itself kept silent, since this region had told it before, is handed back when it has fired there all
the time: otherwise each failover would tell it anew.

An alert is silenced for its own level of escalation only: the next level, which nobody was notified of, is told.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from components.alerting.escalation import ESCALATION_LABEL
from components.rules import ID_LABEL
from ops.alerts import events as alert_events
from ops.core.alertmanager import Matcher, Silence
from ops.core.errors import OpsError
from ops.regions import takeover
from ops.regions.journal import FailoverContext, Figures
from services.alert_events.events import AlertEvent, ProcessedEvent
from services.regions import HANDOVER_AUTHOR, MATCHER, REGION_AUTHORS
from services.regions.witness import Heartbeat
from services.regions.witness import Silence as KeptSilence

LOOK_BACK = timedelta(hours=26)
"""How far back notifications are read: one that still fires is told again every 24 h at the latest."""
RAW_BACK = timedelta(minutes=30)
"""How far back Prometheus is listened to: an end is told for 15 min, and by then Alertmanager has told it too."""
UNSURE = timedelta(seconds=10)
"""A notification of the last moments before a region was last seen may not have reached people."""
LASTS = timedelta(hours=24)
KEPT_SILENT = timedelta(minutes=5)
"""What has fired for so long in a region that may notify, and was not told, is silent there on purpose."""

LAYER_LABEL = str(MATCHER["name"])
LAYER = Matcher(name=LAYER_LABEL, value=str(MATCHER["value"]), regex=True)
FAILING = "AlertmanagerNotificationsFail"
FAILING_LEAD = timedelta(minutes=10)
"""How long before this alert began to fire notifications may have failed: its window and its hold, rounded up."""
REPEATED = timedelta(minutes=2)
"""How long a Prometheus that lives is at most silent about an alert that fires: several of its repetitions."""
_REGION_LABEL = "region"


@dataclass(frozen=True, kw_only=True)
class NotifiedAlert:
    """An alert that on-call was notified of.

    Attributes:
        alert_id: Its identity.
        escalation: Its level: the contact that an escalated alert is for; empty for the first notification.
        at: When on-call was notified first that it fires.
        receiver: Who was notified.
    """

    alert_id: str
    escalation: str
    at: datetime
    receiver: str

    @property
    def matchers(self) -> tuple[Matcher, ...]:
        """Matchers of its silence."""
        return (
            Matcher(name=ID_LABEL, value=self.alert_id),
            Matcher(name=ESCALATION_LABEL, value=self.escalation),
            LAYER,
        )

    def __str__(self) -> str:
        return f"{self.alert_id} ({self.escalation})" if self.escalation else self.alert_id


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What is handed over, and what is told again with the reason why."""

    handed_over: tuple[NotifiedAlert, ...]
    again: tuple[tuple[NotifiedAlert, str], ...]


def decide(
    processed: Iterable[ProcessedEvent],
    raw: Iterable[AlertEvent],
    region: str,
    sure_until: datetime | None,
) -> Decision:
    """Decide what is handed over.

    Args:
        processed: Notifications of the last ``LOOK_BACK``, in the order of the topic for each alert.
        raw: What Prometheus raised in the last ``RAW_BACK``, and longer where it is at hand.
        region: The region that gives up.
        sure_until: When the region was last seen, if it is gone; None if it has confirmed that it is silent.
    """
    raised = [event for event in raw if _of(event) == region]
    failing = _failing(raised)
    handed_over: list[NotifiedAlert] = []
    again: list[tuple[NotifiedAlert, str]] = []
    for told, event in _last(processed):
        if _of(event) != region:
            if _kept_silent(told, raised):
                handed_over.append(told)
        elif sure_until is not None and told.at > sure_until - UNSURE:
            again.append((told, "told in the last moments before the region was lost"))
        elif any(since - FAILING_LEAD <= told.at <= until for since, until in failing):
            again.append((told, "told while notifications of the region failed"))
        elif _ended(event, raised):
            again.append((told, "ended since"))
        else:
            handed_over.append(told)
    return Decision(handed_over=tuple(handed_over), again=tuple(again))


def _last(processed: Iterable[ProcessedEvent]) -> list[tuple[NotifiedAlert, ProcessedEvent]]:
    """Each alert of telemetry whose last notification says that it fires, with that notification."""
    first: dict[tuple[str, str], ProcessedEvent] = {}
    last: dict[tuple[str, str], ProcessedEvent] = {}
    for notification in sorted(processed, key=lambda event: event.received_at):
        given = notification.labels.get(ID_LABEL)
        if not given or not notification.labels.get(LAYER_LABEL):
            continue
        what = (given, notification.labels.get(ESCALATION_LABEL, ""))
        before = last.get(what)
        if before is None or before.status != "firing" or _of(before) != _of(notification):
            first[what] = notification
        last[what] = notification
    return [
        (
            NotifiedAlert(alert_id=what[0], escalation=what[1], at=first[what].received_at, receiver=event.receiver),
            event,
        )
        for what, event in sorted(last.items())
        if event.status == "firing"
    ]


def _of(event: AlertEvent) -> str:
    return event.labels.get(_REGION_LABEL, "")


def _kept_silent(told: NotifiedAlert, raised: Sequence[AlertEvent]) -> bool:
    """Whether an alert that was told elsewhere has fired in the region all the time without a notification."""
    if not raised:
        return False
    newest = max(event.received_at for event in raised)
    about = [
        event
        for event in raised
        if event.labels.get(ID_LABEL) == told.alert_id and event.labels.get(ESCALATION_LABEL, "") == told.escalation
    ]
    now = _now(about)
    return bool(now) and all(
        event.status == "firing"
        and event.starts_at <= newest - KEPT_SILENT
        and event.received_at >= newest - KEPT_SILENT
        for event in now
    )


def _ended(told: ProcessedEvent, raised: Sequence[AlertEvent]) -> bool:
    """Whether the alert ended after on-call was notified: one Prometheus says when, or all that speak of it say so."""
    about = [event for event in raised if event.fingerprint == told.fingerprint]
    since = any(
        event.status == "resolved" and event.ends_at is not None and event.ends_at >= told.received_at
        for event in about
    )
    return since or (bool(about) and not any(event.status == "firing" for event in _now(about)))


def _now(raised: Iterable[AlertEvent]) -> list[AlertEvent]:
    """What each Prometheus said last of each alert."""
    last: dict[tuple[str, str], AlertEvent] = {}
    for raised_event in sorted(raised, key=lambda event: event.received_at):
        last[raised_event.fingerprint, raised_event.sender] = raised_event
    return list(last.values())


def _failing(raised: Sequence[AlertEvent]) -> list[tuple[datetime, datetime]]:
    """From when until when notifications of the region failed, as far as nobody has said that they work again.

    What a Prometheus no longer repeats, since it was killed, holds for `REPEATED`.
    """
    if not raised:
        return []
    newest = max(event.received_at for event in raised)
    failing = [event for event in raised if event.labels.get("alertname") == FAILING]
    return [
        (
            event.starts_at,
            datetime.max.replace(tzinfo=UTC) if newest - event.received_at < REPEATED else event.received_at + REPEATED,
        )
        for event in _now(failing)
        if event.status == "firing"
    ]


def operator_silences(kept: Iterable[KeptSilence], now: datetime) -> list[KeptSilence]:
    """Silences that operators of the other region made and that have not ended."""
    return [silence for silence in kept if silence.ends_at > now and silence.created_by not in REGION_AUTHORS]


def matchers_of(kept: KeptSilence) -> tuple[Matcher, ...]:
    """Its matchers as the client of Alertmanager has them."""
    return tuple(
        Matcher(name=matcher.name, value=matcher.value, regex=matcher.is_regex, equal=matcher.is_equal)
        for matcher in kept.matchers
    )


def is_there(silences: Iterable[Silence], matchers: Sequence[Matcher], author: str) -> bool:
    """Whether such a silence is in force, or will be: a repeated command makes none twice."""
    return any(
        silence.state != "expired" and silence.author == author and set(silence.matchers) == set(matchers)
        for silence in silences
    )


SETTLE_S = 5.0
"""How long what a silenced region has told last may take to be copied."""


def hand_over_silences(context: FailoverContext) -> Figures:
    """Silence what on-call was notified of; in doubt, and when this fails, they are told twice and never not at all."""
    last = takeover.heartbeat(context.witness, context.source, context.problem)
    figures: Figures = {"handed_over": [], "again": [], "silences": []}
    try:
        figures |= _alerts(context, last)
    except OpsError as error:
        context.problem(f"nothing is handed over, on-call is notified again of what fires: {error}")
    try:
        figures["silences"] = _operator_silences(context, last)
    except OpsError as error:
        context.problem(f"silences that people made in {context.source} are not taken over: {error}")
    return figures


def _alerts(context: FailoverContext, last: Heartbeat | None) -> Figures:
    confirmed = bool(context.journal.operation.figures("fence").get("confirmed"))
    if confirmed:
        time.sleep(SETTLE_S)
    now = datetime.now(UTC)
    sure_until = None if confirmed else _last_seen(context, last)
    processed = alert_events.read(context.target.platform, alert_events.Stage.PROCESSED, now - LOOK_BACK)
    raw = alert_events.read(context.target.platform, alert_events.Stage.RAW, (sure_until or now) - RAW_BACK)
    if raw.silent:
        raise OpsError(f"partition {', '.join(map(str, raw.silent))} of alerts-raw does not give all that it has")
    if processed.silent:
        context.problem(
            f"partition {', '.join(map(str, processed.silent))} of alerts-processed does not give all it has"
        )
    notifications = [event for event in processed.events if isinstance(event, ProcessedEvent)]
    decision = decide(notifications, raw.events, context.source, sure_until)
    alertmanager = context.target.alertmanager
    there = alertmanager.silences()
    for told in decision.handed_over:
        if not is_there(there, told.matchers, HANDOVER_AUTHOR):
            comment = f"{context.source} told {told.receiver} of it at {told.at:%Y-%m-%d %H:%M:%S} UTC"
            alertmanager.silence(told.matchers, now + LASTS, HANDOVER_AUTHOR, comment)
    return {
        "handed_over": [str(carried_alert) for carried_alert in decision.handed_over],
        "again": [f"{told}: {why}" for told, why in decision.again],
    }


def _last_seen(context: FailoverContext, last: Heartbeat | None) -> datetime:
    """Until when the region surely reached what is outside; without a heartbeat, the newest copied record tells."""
    if last is not None:
        return last.at
    newest = takeover.newest(context.target.kafka, context.target.topics)
    return max(newest.values(), default=datetime.now(UTC) - timedelta(days=1))


def _operator_silences(context: FailoverContext, last: Heartbeat | None) -> list[str]:
    if last is None:
        return []
    alertmanager, descriptions = context.target.alertmanager, []
    there = alertmanager.silences()
    for operator_silence in operator_silences(last.silences, datetime.now(UTC)):
        matchers = matchers_of(operator_silence)
        if not is_there(there, matchers, operator_silence.created_by):
            comment = f"{operator_silence.comment} (handed over from {context.source})".strip()
            alertmanager.silence(matchers, operator_silence.ends_at, operator_silence.created_by, comment)
        descriptions.append(f"{', '.join(map(str, matchers))} by {operator_silence.created_by}")
    return descriptions
