"""What a notification says about alerts: their names and identities, and whether they fire or are over.

Templates are for people and change; so this looks for what every form carries: the text of the label ``alert_id`` of
what fires, and a title that begins with ``[PRIORITY] Name`` or ``[RESOLVED] Name``. A notification that an alert is
over has its name only: nobody acknowledges what is over.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any

from lab.fakes.receivers.record import HEARTBEAT, PHONE, Notification

FIRING, RESOLVED, ACKNOWLEDGED = "firing", "resolved", "acknowledged"
_ACTIONS = {"trigger": FIRING, "resolve": RESOLVED, "acknowledge": ACKNOWLEDGED}
_TITLE = re.compile(r"\[(?P<word>[^\]]*)\]\s*(?P<name>\w*)")
_OVER = "RESOLVED"
_CHARACTER = r"[\w.~%+/=:-]"
_IDENTITY = re.compile(r"(?<![\w/.-])[A-Za-z_:][\w:]*(?:/[\w.~%+-]+=[\w.~%+-]*)+")
_ESCALATED = "Escalated"
_ALERTNAME, _ALERT_ID = "alertname", "alert_id"


def texts(value: Any) -> Iterator[str]:
    """Every text in JSON data; HTML as a reader sees it."""
    if isinstance(value, str):
        yield html.unescape(value)
    elif isinstance(value, Mapping):
        for key, nested in value.items():
            yield str(key)
            yield from texts(nested)
    elif isinstance(value, list):
        for nested in value:
            yield from texts(nested)


def alert_ids(notification: Notification) -> frozenset[str]:
    """Identities of the alerts in a notification.

    An alert whose series has no labels has an identity that is its bare name: that one is found only where a sender
    gives labels as data. `mentions` finds it everywhere.
    """
    identities = {match for text in _all(notification) for match in _IDENTITY.findall(text)}
    return frozenset(identities | set(_values(notification.body, _ALERT_ID)))


def alert_names(notification: Notification) -> frozenset[str]:
    """Names of the alerts in a notification, an escalated one as its original."""
    names = {identity.partition("/")[0] for identity in alert_ids(notification)} | set(
        _values(notification.body, _ALERTNAME)
    )
    title = _TITLE.match(notification.title)
    if title is not None and title["name"]:
        names.add(title["name"])
    return frozenset(name.removesuffix(_ESCALATED) for name in names)


def mentions(notification: Notification, text: str) -> bool:
    """Whether the name or identity of an alert stands in a notification, and not only as a part of a longer one."""
    if "/" in text:
        wanted = re.compile(rf"(?<!{_CHARACTER}){re.escape(text)}(?!{_CHARACTER})")
    else:
        wanted = re.compile(rf"(?<!\w){re.escape(text)}(?:{_ESCALATED})?(?!\w)")
    return any(wanted.search(part) for part in _all(notification))


def status(notification: Notification) -> str | None:
    """`FIRING`, `RESOLVED` or `ACKNOWLEDGED`; None where a notification does not tell.

    Where a notification is about several alerts, some of them over, it is firing.
    """
    if notification.channel == PHONE:
        return _ACTIONS.get(notification.body.get("event_action", ""))
    if notification.channel == HEARTBEAT:
        return str(notification.body.get("status")) if isinstance(notification.body, Mapping) else None
    title = _TITLE.match(notification.title)
    if title is None:
        return None
    return RESOLVED if _OVER in title["word"] else FIRING


def _all(notification: Notification) -> Iterator[str]:
    yield notification.title
    yield from texts(notification.body)


def _values(data: Any, key: str) -> Iterator[str]:
    if isinstance(data, Mapping):
        if isinstance(data.get(key), str):
            yield data[key]
        for nested in data.values():
            yield from _values(nested, key)
    elif isinstance(data, list):
        for nested in data:
            yield from _values(nested, key)
