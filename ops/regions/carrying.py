"""The step that carries over: reads what was told, decides, makes the silences."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from ops import alert_events
from ops.errors import OpsError
from ops.regions import carry, look
from ops.regions.work import Figures, Work
from services.alert_events.events import ProcessedEvent
from services.regions.records import CARRIED, Heartbeat

SETTLE_S = 5.0
"""How long what a silenced region has told last may take to be copied."""


def carry_over(work: Work) -> Figures:
    """Silence what people were told of; in doubt, and when this fails, they are told twice and never not at all."""
    last = look.heartbeat(work.witness, work.source)
    figures: Figures = {"carried": [], "again": [], "silences": []}
    try:
        figures |= _alerts(work, last)
    except OpsError as error:
        work.problem(f"nothing is carried over, people are told again of what fires: {error}")
    try:
        figures["silences"] = _people(work, last)
    except OpsError as error:
        work.problem(f"silences that people made in {work.source} are not taken over: {error}")
    return figures


def _alerts(work: Work, last: Heartbeat | None) -> Figures:
    confirmed = bool(work.journal.operation.figures("fence").get("confirmed"))
    if confirmed:
        time.sleep(SETTLE_S)
    now = datetime.now(UTC)
    sure_until = None if confirmed else _last_seen(work, last)
    processed = alert_events.read(work.target.platform, alert_events.Stage.PROCESSED, now - carry.LOOK_BACK)
    raw = alert_events.read(work.target.platform, alert_events.Stage.RAW, (sure_until or now) - carry.RAW_BACK)
    if raw.silent:
        raise OpsError(f"partition {', '.join(map(str, raw.silent))} of alerts-raw does not give all that it has")
    if processed.silent:
        work.problem(f"partition {', '.join(map(str, processed.silent))} of alerts-processed does not give all it has")
    notices = [each for each in processed.events if isinstance(each, ProcessedEvent)]
    decision = carry.decide(notices, raw.events, work.source, sure_until)
    alertmanager = work.target.alertmanager
    there = alertmanager.silences()
    for told in decision.carried:
        if not carry.is_there(there, told.matchers, CARRIED):
            comment = f"{work.source} told {told.receiver} of it at {told.at:%Y-%m-%d %H:%M:%S} UTC"
            alertmanager.silence(told.matchers, now + carry.LASTS, CARRIED, comment)
    return {
        "carried": [str(each) for each in decision.carried],
        "again": [f"{told}: {why}" for told, why in decision.again],
    }


def _last_seen(work: Work, last: Heartbeat | None) -> datetime:
    """Until when the region surely reached what is outside; without a heartbeat, the newest copied record tells."""
    if last is not None:
        return last.at
    newest = look.newest(work.target.kafka, work.target.topics)
    return max(newest.values(), default=datetime.now(UTC) - timedelta(days=1))


def _people(work: Work, last: Heartbeat | None) -> list[str]:
    if last is None:
        return []
    alertmanager, made = work.target.alertmanager, []
    there = alertmanager.silences()
    for each in carry.people_silences(last.silences, datetime.now(UTC)):
        matchers = carry.matchers_of(each)
        if not carry.is_there(there, matchers, each.created_by):
            comment = f"{each.comment} (carried from {work.source})".strip()
            alertmanager.silence(matchers, each.ends_at, each.created_by, comment)
        made.append(f"{', '.join(map(str, matchers))} by {each.created_by}")
    return made
