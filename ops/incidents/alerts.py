"""The alert of an incident: its events and notifications in Kafka, its silences, and the record made from it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

from pydantic import ValidationError

from components.alerting.escalation import ESCALATION_LABEL, SUFFIX
from components.rules import Severity
from components.telemetry.layers import LAYER_NAMES
from components.telemetry.topics import ALERTS_PROCESSED_TOPIC, ALERTS_RAW_TOPIC
from ops.alerts.silences import candidates
from ops.core.alertmanager import Alertmanager, FiringAlert
from ops.core.errors import OpsError, one_line
from ops.core.kafka import KafkaAdmin
from ops.incidents.evidence import AlertEvent, Notification, Silenced
from ops.incidents.record import AlertRecord, Incident, TimeWindow, subject_of
from ops.telemetry.traces import printable
from services.alert_events.events import AlertEvent as Kept
from services.alert_events.events import ProcessedEvent, RawEvent

MOST_RECORDS = 500_000
MOST_SECONDS = 25.0
MOST_SHOWN = 500
"""Most entries of one kind; of more the first and the last are taken."""
FURTHEST = timedelta(hours=1)
"""How far from the time that people name an alert may have fired."""

_QUIET_SECONDS = 5.0
_LATE_MS = 60_000
_NEVER = datetime.min.replace(tzinfo=UTC)
K = TypeVar("K", bound=Kept)
E = TypeVar("E")


@dataclass
class Read:
    """How far a topic was read.

    Attributes:
        records: How many records were read.
        whole: Whether that was all of the window.
        latest: Time of the last record of any alert, from Kafka: until then the topic was written.
    """

    records: int = 0
    whole: bool = True
    latest: datetime = _NEVER


def raw_events(admin: KafkaAdmin, alert_id: str, window: TimeWindow, read: Read) -> list[RawEvent]:
    """What the Prometheus said of one alert, in the order in which it came.

    Raises:
        OpsError: No answer from Kafka.
    """
    return list(_kept(admin, ALERTS_RAW_TOPIC.name, RawEvent, window, read, alert_id))


def processed_events(admin: KafkaAdmin, alert_id: str, window: TimeWindow, read: Read) -> list[ProcessedEvent]:
    """The notifications that named one alert.

    Raises:
        OpsError: No answer from Kafka.
    """
    return list(_kept(admin, ALERTS_PROCESSED_TOPIC.name, ProcessedEvent, window, read, alert_id))


def _kept(
    admin: KafkaAdmin,
    topic: str,
    model: type[K],
    window: TimeWindow,
    read: Read,
    alert_id: str = "",
) -> Iterator[K]:
    """Records of a topic that came in the window, of one alert or of all; records that are none are passed over.

    The key tells whose record it is, so that the many others of a bad night need not be understood.
    """
    deadline = time.monotonic() + MOST_SECONDS
    starts = admin.since(topic, window.start)
    ends = admin.end_offsets(topic)
    left = {partition for partition, start in starts.items() if start < ends[partition]}
    past: set[int] = set()
    for message in admin.read(topic, starts, _QUIET_SECONDS):
        if read.records >= MOST_RECORDS or time.monotonic() > deadline:
            read.whole = False
            return
        read.records += 1
        if message.offset() + 1 >= ends[message.partition()]:
            left.discard(message.partition())
        read.latest = max(read.latest, datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC))
        if message.timestamp()[1] > window.end.timestamp() * 1000 + _LATE_MS:
            past.add(message.partition())
            if len(past) == len(starts):
                return
            continue
        if alert_id and (message.key() or b"") != alert_id.encode():
            continue
        try:
            event = model.model_validate_json(message.value() or b"")
        except ValidationError:
            continue
        if window.holds(event.received_at):
            yield event
    # Kafka may have fallen silent in the middle.
    read.whole = not left - past


def transitions(events: Iterable[RawEvent], alert_id: str, read: Read) -> tuple[AlertEvent, ...]:
    """Of events that are repeated every half minute those that say something new.

    A firing alert whose Prometheus did not send it again in time is over, as Alertmanager sees it; that is told only
    where others wrote into the topic after that time, and all of it was read.
    """
    last: dict[tuple[str, str], tuple[tuple[str, datetime], int]] = {}
    alert_events: list[AlertEvent] = []
    for event in events:
        who, state = (event.sender, event.fingerprint), (event.status, event.starts_at)
        expired = _expired(event, read)
        known, index = last.get(who, (None, 0))
        if known == state or (known is not None and event.status == "resolved"):
            alert_events[index] = alert_events[index].model_copy(update={"expired": expired})
        if known == state:
            continue
        last[who] = state, len(alert_events)
        alert_events.append(
            AlertEvent(
                at=event.received_at,
                replica=event.sender,
                alert=event.labels.get("alertname", "?"),
                alert_id=event.alert_id,
                status=event.status,
                own=event.alert_id == alert_id,
                expired=expired,
            )
        )
    return tuple(alert_events)


def first_and_last(items: Sequence[E], what: str) -> tuple[tuple[E, ...], str]:
    """Not more entries than are shown, and what is said about the others: how it began and ended is there."""
    if len(items) <= MOST_SHOWN:
        return tuple(items), ""
    half = MOST_SHOWN // 2
    return (*items[:half], *items[-half:]), f"the first and the last {half} of {len(items)} {what}"


def notifications(events: Iterable[ProcessedEvent], alert_id: str) -> tuple[Notification, ...]:
    """One entry per notification: its records, one per alert, come together."""
    groups: dict[tuple[str, str, str, datetime], list[ProcessedEvent]] = {}
    for event in events:
        groups.setdefault((event.receiver, event.group_key, event.group_status, event.received_at), []).append(event)
    notification_list = [
        Notification(
            at=at,
            receiver=receiver,
            status=records[0].status,
            alerts=tuple(dict.fromkeys(record.labels.get("alertname", "?") for record in records)),
            own=any(record.alert_id == alert_id for record in records),
        )
        for (receiver, _, _, at), records in groups.items()
    ]
    return tuple(sorted(notification_list, key=lambda notification: notification.at))


def past_alert(admin: KafkaAdmin, text: str, at: datetime, now: datetime) -> AlertRecord:
    """The alert that ``text`` means and that fired at a moment, or nearest to it within an hour.

    Args:
        admin: Reads Kafka.
        text: Identity of an alert or its beginning, or its name.
        at: The moment.
        now: The present.

    Raises:
        OpsError: None fired then, or several are meant; the message lists them.
    """
    read = Read()
    window = TimeWindow(start=at - FURTHEST, end=min(at + FURTHEST, now))
    return choose(_kept(admin, ALERTS_RAW_TOPIC.name, RawEvent, window, read), text, at, read)


def choose(events: Iterable[RawEvent], text: str, at: datetime, read: Read) -> AlertRecord:
    """The firing among some events that ``text`` means, nearest to a moment.

    Args:
        events: The events.
        text: Identity of an alert or its beginning, or its name.
        at: The moment.
        read: How far the topic was read, once all events were taken.

    Raises:
        OpsError: There is none, or several alerts are meant.
    """
    name = text.removesuffix(SUFFIX)
    meant: dict[int, dict[tuple[str, datetime], list[RawEvent]]] = {0: {}, 1: {}, 2: {}}
    for event in events:
        own = event.labels.get("alertname", "").removesuffix(SUFFIX)
        ways = (event.alert_id == text, own == name, event.alert_id.startswith(text))
        if any(ways):
            meant[ways.index(True)].setdefault((event.alert_id, event.starts_at), []).append(event)
    matched = next((firings for firings in meant.values() if firings), None)
    if matched is None:
        when = f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        raise OpsError(f"no alert that is, is called or begins with {text!r} fired within an hour of {when}")
    identities = sorted({identity for identity, _ in matched})
    if len(identities) > 1:
        raise OpsError(several(text, identities))
    # The escalated twin begins later: the original says when people could first know.
    return _record(min(matched.items(), key=lambda item: (_distance(item[1], at), item[0][1]))[1], read)


def several(text: str, identities: Sequence[str]) -> str:
    """Says that a text may mean several alerts."""
    more = ", ..." if len(identities) > 5 else ""
    return f"{text!r} may mean {len(identities)} alerts: give one of {', '.join(identities[:5])}{more} as a whole"


def _distance(events: list[RawEvent], at: datetime) -> timedelta:
    starts = min(event.starts_at for event in events)
    ends = max(event.ends_at or event.received_at for event in events)
    return max(starts - at, at - ends, timedelta())


def _expired(event: RawEvent, read: Read) -> datetime | None:
    """When a firing alert was over without a word: its Prometheus did not send it again, others wrote later."""
    until = event.valid_until
    return until if until is not None and read.whole and until < read.latest else None


def _ends(events: list[RawEvent], read: Read) -> datetime | None:
    """When a firing was over in every Prometheus."""
    last = {(event.sender, event.fingerprint): event for event in events}
    ends = [event.ends_at or _expired(event, read) for event in last.values()]
    known = [end for end in ends if end is not None]
    return max(known) if len(known) == len(ends) else None


def _record(events: list[RawEvent], read: Read) -> AlertRecord:
    last = events[-1]
    labels = {name: value for name, value in last.labels.items() if name != ESCALATION_LABEL}
    name = last.labels.get("alertname", "?").removesuffix(SUFFIX)
    return AlertRecord(
        alert_id=last.alert_id,
        name=name,
        severity=severity(labels),
        layer=labels.get("layer", ""),
        labels={**labels, "alertname": name},
        annotations=dict(last.annotations),
        starts=min(event.starts_at for event in events),
        ends=_ends(events, read),
        expression=expression(last.generator_url),
        source="alerts-raw",
    )


def severity(labels: Mapping[str, str]) -> Severity:
    """Priority that labels name; the second where they name none."""
    value = labels.get("severity", "")
    return Severity(value) if value in {level.value for level in Severity} else Severity.HIGH


def expression(url: str) -> str:
    """PromQL of the rule, from the address that Prometheus sends along; empty where it has none."""
    try:
        return parse_qs(urlsplit(url).query).get("g0.expr", [""])[0]
    except ValueError:
        return ""


def silences(alertmanager: Alertmanager, incident: Incident, window: TimeWindow) -> tuple[Silenced, ...]:
    """Silences that met the alert or its escalated twin in the window, the earliest first.

    Raises:
        OpsError: No answer.
    """
    labels = dict(incident.alert.labels)
    twin = {**labels, "alertname": incident.alert.name.removesuffix(SUFFIX) + SUFFIX}
    overlapping = [
        Silenced(
            start=silence.starts,
            end=silence.ends,
            author=silence.author,
            comment=silence.comment,
            matchers=", ".join(map(str, silence.matchers)),
            acknowledges=silence.acknowledges == incident.alert.alert_id,
        )
        for silence in alertmanager.silences()
        if (silence.matches(labels) or silence.matches(twin))
        and silence.starts <= window.end
        and silence.ends >= window.start
    ]
    return tuple(sorted(overlapping, key=lambda silenced: silenced.start))


_LONGEST_TITLE = 200


def firing_alert(alerts: Sequence[FiringAlert], text: str) -> AlertRecord:
    """The firing alert that ``text`` means: an identity, a name, or how an identity begins.

    Raises:
        OpsError: Nothing of that kind fires, or several do.
    """
    identities = candidates(alerts, text, {})
    if not identities:
        raise OpsError(
            f"no alert that fires is, is called or begins with {text!r}: `ops alerts` shows what fires; "
            "for one that has ended add --at TIME"
        )
    if len(identities) > 1:
        raise OpsError(several(text, identities))
    same = [alert for alert in alerts if alert.identity == identities[0]]
    # The escalated twin has the same identity and begins later.
    alert = min(same, key=lambda same_alert: (bool(same_alert.labels.get(ESCALATION_LABEL)), same_alert.starts))
    name = alert.name.removesuffix(SUFFIX)
    labels = {key: value for key, value in alert.labels.items() if key != ESCALATION_LABEL}
    return AlertRecord(
        alert_id=alert.identity,
        name=name,
        severity=severity(labels),
        layer=labels.get("layer", ""),
        labels={**labels, "alertname": name},
        annotations=dict(alert.annotations),
        expression=expression(alert.source),
        starts=min(same_alert.starts for same_alert in same),
        source="alertmanager",
    )


def manual_alert(text: str, starts: datetime, layer: str, priority: Severity | None) -> AlertRecord:
    """An alert as people tell it, when the monitoring itself cannot be asked.

    Args:
        text: Its identity, or only its name.
        starts: Since when.
        layer: Layer that it is about; empty for the platform itself.
        priority: Its priority; high where none is given.

    Raises:
        OpsError: There is no text, or no such layer.
    """
    if not text.strip():
        raise OpsError("ALERT is empty: name what is wrong, for example KafkaBrokerDown")
    if layer and layer not in LAYER_NAMES:
        raise OpsError(f"--layer is {layer!r}, must be one of {', '.join(LAYER_NAMES)}")
    name, chosen = text.partition("/")[0], priority or Severity.HIGH
    given = {"layer": layer} if layer else {}
    return AlertRecord(
        alert_id=text,
        name=name,
        severity=chosen,
        layer=layer,
        labels={"alertname": name, "alert_id": text, "severity": chosen.value, **given, **subject_of(text)},
        annotations={},
        starts=starts,
        source="manual",
    )


def new(
    identifier: str, alert: AlertRecord, now: datetime, who: str, title: str | None, priority: Severity | None
) -> Incident:
    """A new record; title and priority are the alert's where none is given."""
    given = (title or "").strip() or alert.annotations.get("summary") or alert.name
    return Incident(
        id=identifier,
        title=one_line(printable(" ".join(given.split())), _LONGEST_TITLE),
        severity=priority or alert.severity,
        opened=now,
        opened_by=who,
        alert=alert,
    )
