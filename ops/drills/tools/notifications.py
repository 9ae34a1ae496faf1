"""What reached the people whom alerts go to: a record outside the platform, of what each channel received.

A drill that promises notifications can only be had where something keeps such a record. `VARIABLE` names a file that
says where it is; the lab's fakes of pager, SMS, Slack and mail keep one.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Protocol

from pydantic import BaseModel, ConfigDict

from ops.core import files
from ops.core.errors import OpsError
from ops.core.platform import Login
from ops.core.web import Web
from ops.drills.procedure import CannotRunError

VARIABLE: Final = "OBS_NOTIFICATION_RECORD"
"""Environment variable that names the file of `Address`."""
PHONE, SMS, SLACK, MAIL, DEAD_MANS_SWITCH = "phone", "sms", "slack", "mail", "dead-mans-switch"
FIRING, RESOLVED, ACKNOWLEDGED = "firing", "resolved", "acknowledged"
_ACTIONS = {"trigger": FIRING, "resolve": RESOLVED, "acknowledge": ACKNOWLEDGED}
_TITLE = re.compile(r"\[([^\]]*)\]")
_LOOK_EVERY_S = 0.5


class Address(BaseModel):
    """Where the record is; in a file, as JSON.

    Attributes:
        url: ``https://host:port``; ``/notifications?since=`` is asked.
        login: Who may read it.
        ca_file: Authority of its certificate.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: str
    login: Login
    ca_file: Path


class Notification(Protocol):
    """Something that a channel received.

    Attributes:
        number: Position in the record, counted from 1 and never used twice.
        channel: By which it came.
        audience: Who it was for, as the channel names them.
        title: What a person sees first.
        body: Everything that arrived, as JSON data.
        received_at: Seconds since 1970 (UTC).
    """

    @property
    def number(self) -> int: ...

    @property
    def channel(self) -> str: ...

    @property
    def audience(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def body(self) -> Any: ...

    @property
    def received_at(self) -> float: ...


class Record(Protocol):
    """Tells what was received."""

    def since(self, start: int) -> Sequence[Notification]:
        """Notifications after a number, in the order of arrival."""
        ...


@dataclass(frozen=True, kw_only=True)
class Received:
    """A `Notification` as the record answers it."""

    number: int
    channel: str
    audience: str
    title: str
    body: Any
    received_at: float


class NotificationRecord:
    """Reads the record over HTTPS."""

    def __init__(self, address: Address) -> None:
        self._address, self._web = address, Web(str(address.ca_file))

    @classmethod
    def of_environment(cls) -> NotificationRecord:
        """The record that the environment names.

        Raises:
            CannotRunError: It names none, or no file of this kind.
        """
        if not (named := os.environ.get(VARIABLE)):
            raise CannotRunError(
                f"nothing tells what on-call received: {VARIABLE} must name a file with the address of a record of "
                "notifications (in the lab: python -m lab exec --)"
            )
        try:
            return cls(files.read_json(Address, Path(named), named=VARIABLE))
        except OpsError as error:
            raise CannotRunError(str(error)) from None

    def since(self, start: int = 0) -> list[Received]:
        """Notifications after a number, in the order of arrival.

        Raises:
            OpsError: The record does not answer.
        """
        names = [attribute.name for attribute in fields(Received)]
        return [Received(**{name: entry[name] for name in names}) for entry in self._ask(start)["notifications"]]

    def newest(self) -> int:
        """Number of the newest notification, 0 where there is none: what comes later is ``since`` it."""
        notifications = self.since()
        return notifications[-1].number if notifications else 0

    def switch_armed(self) -> bool:
        """Whether the dead man's switch has had a heartbeat, without which it tells nothing."""
        return bool(self._ask(sys.maxsize)["switch"]["armed"])

    def wait_for(self, start: int, channel: str, seconds: float, count: int = 1) -> list[Received]:
        """Wait until so many notifications came by a channel, and return all that did.

        Raises:
            OpsError: There are fewer after ``seconds``.
        """
        deadline = time.monotonic() + seconds
        while len(received := [one for one in self.since(start) if one.channel == channel]) < count:
            if time.monotonic() > deadline:
                raise OpsError(f"{len(received)} of {count} notifications by {channel} within {seconds:.0f} s")
            time.sleep(_LOOK_EVERY_S)
        return received

    def _ask(self, start: int) -> dict[str, Any]:
        url = f"{self._address.url}/notifications?since={start}"
        with self._web.call("GET", url, auth=self._address.login.pair) as response:
            if response.status_code != 200:
                raise OpsError(f"the record of notifications answered {response.status_code}")
            content: dict[str, Any] = response.json()
        return content


def status(notification: Notification) -> str | None:
    """`FIRING`, `RESOLVED` or `ACKNOWLEDGED`; None where a notification does not tell.

    Where a notification is about several alerts, some of them over, it is firing.
    """
    if notification.channel == PHONE:
        return _ACTIONS.get(notification.body.get("event_action", ""))
    title = _TITLE.match(notification.title)
    if title is None:
        return None
    return RESOLVED if "RESOLVED" in title[1] else FIRING


def duplicates(notifications: Iterable[Notification]) -> int:
    """Notifications that say what one before them has said already, to the same audience by the same channel.

    Text messages are left out: they have no room for all alerts, so two that differ may read the same.
    """
    seen: set[str] = set()
    doubled = 0
    for notification in notifications:
        if notification.channel not in (PHONE, SLACK, MAIL):
            continue
        said = json.dumps(
            [notification.channel, notification.audience, notification.title, _said(notification.body)], sort_keys=True
        )
        doubled += said in seen
        seen.add(said)
    return doubled


_VARYING = frozenset({"message_id", "Message-Id", "message-id", "date", "Date", "received", "timestamp", "client_url"})


def _said(value: Any) -> Any:
    """A notification without what differs between two that mean the same."""
    if isinstance(value, Mapping):
        return {key: _said(nested) for key, nested in value.items() if key not in _VARYING}
    return [_said(nested) for nested in value] if isinstance(value, list) else value
