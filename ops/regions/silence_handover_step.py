"""The failover step that hands silences over: reads what was notified, decides, makes the silences."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from ops.alerts import events as alert_events
from ops.core.errors import OpsError
from ops.regions import preflight, silence_handover
from ops.regions.failover_context import FailoverContext, Figures
from services.alert_events.events import ProcessedEvent
from services.regions.records import HANDOVER_AUTHOR, Heartbeat

SETTLE_S = 5.0
"""How long what a silenced region has told last may take to be copied."""


def hand_over_silences(context: FailoverContext) -> Figures:
    """Silence what on-call was notified of; in doubt, and when this fails, they are told twice and never not at all."""
    last = preflight.heartbeat(context.witness, context.source)
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
    processed = alert_events.read(
        context.target.platform, alert_events.Stage.PROCESSED, now - silence_handover.LOOK_BACK
    )
    raw = alert_events.read(
        context.target.platform, alert_events.Stage.RAW, (sure_until or now) - silence_handover.RAW_BACK
    )
    if raw.silent:
        raise OpsError(f"partition {', '.join(map(str, raw.silent))} of alerts-raw does not give all that it has")
    if processed.silent:
        context.problem(
            f"partition {', '.join(map(str, processed.silent))} of alerts-processed does not give all it has"
        )
    notifications = [event for event in processed.events if isinstance(event, ProcessedEvent)]
    decision = silence_handover.decide(notifications, raw.events, context.source, sure_until)
    alertmanager = context.target.alertmanager
    there = alertmanager.silences()
    for told in decision.handed_over:
        if not silence_handover.is_there(there, told.matchers, HANDOVER_AUTHOR):
            comment = f"{context.source} told {told.receiver} of it at {told.at:%Y-%m-%d %H:%M:%S} UTC"
            alertmanager.silence(told.matchers, now + silence_handover.LASTS, HANDOVER_AUTHOR, comment)
    return {
        "handed_over": [str(carried_alert) for carried_alert in decision.handed_over],
        "again": [f"{told}: {why}" for told, why in decision.again],
    }


def _last_seen(context: FailoverContext, last: Heartbeat | None) -> datetime:
    """Until when the region surely reached what is outside; without a heartbeat, the newest copied record tells."""
    if last is not None:
        return last.at
    newest = preflight.newest(context.target.kafka, context.target.topics)
    return max(newest.values(), default=datetime.now(UTC) - timedelta(days=1))


def _operator_silences(context: FailoverContext, last: Heartbeat | None) -> list[str]:
    if last is None:
        return []
    alertmanager, descriptions = context.target.alertmanager, []
    there = alertmanager.silences()
    for operator_silence in silence_handover.operator_silences(last.silences, datetime.now(UTC)):
        matchers = silence_handover.matchers_of(operator_silence)
        if not silence_handover.is_there(there, matchers, operator_silence.created_by):
            comment = f"{operator_silence.comment} (handed over from {context.source})".strip()
            alertmanager.silence(matchers, operator_silence.ends_at, operator_silence.created_by, comment)
        descriptions.append(f"{', '.join(map(str, matchers))} by {operator_silence.created_by}")
    return descriptions
