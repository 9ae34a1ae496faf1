"""What the fakes received, for tests and ``ops verify`` inside the lab, and as a table for people (``python -m lab
notifications``).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import requests
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lab import LabError
from lab.fakes.receivers import keys, record
from lab.fakes.receivers.phone import ACKNOWLEDGE, Incident, State
from lab.fakes.receivers.record import HEARTBEAT, PHONE, SLACK, Notification
from lab.fakes.receivers.settings import CERTIFICATES, SECRETS, STACK_FILE, URL, addresses_of, folder
from lab.key_files import AUTHORITY
from lab.paths import LabPaths

_CALL_LIMIT_S = 10.0
_LOOK_EVERY_S = 0.2
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which notifications count; what is None counts always.

    Attributes:
        alert_id: Identity of an alert in it.
        alert: Name of an alert in it; an escalated alert goes by its original's name too.
        channel: See `lab.fakes.receivers.record`.
        contact: Who it was for, by name.
        status: ``firing``, ``resolved``, ``acknowledged``.
    """

    alert_id: str | None = None
    alert: str | None = None
    channel: str | None = None
    contact: str | None = None
    status: str | None = None


class Receivers:
    """Reads the fakes' record over HTTPS."""

    def __init__(
        self,
        url: str,
        login: tuple[str, str],
        ca_file: Path,
        contacts: Mapping[str, Iterable[str]] | None = None,
    ) -> None:
        """Talk to the fakes.

        Args:
            url: ``https://host:port``.
            login: User and password of who may read.
            ca_file: Authority of the fakes' certificate.
            contacts: Contact -> its audiences beside pager and Slack (topic, mail address).
        """
        self._url, self._contacts = url, {name: set(contact) for name, contact in (contacts or {}).items()}
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.auth = login
        self._session.verify = str(ca_file)

    @classmethod
    def of_lab(cls, paths: LabPaths | None = None) -> Receivers:
        """The fakes of this checkout's lab; works inside its network namespace (``python -m lab exec``).

        Raises:
            LabError: There is no lab, or its secrets are not whole.
        """
        place = folder(paths or LabPaths.of_checkout())
        login = (keys.READER, keys.load(place / SECRETS).reader_password)
        contacts = {name: address.values() for name, address in addresses_of(STACK_FILE).items()}
        return cls(URL, login, place / CERTIFICATES / AUTHORITY, contacts)

    def since(self, start: int | float = 0) -> list[Notification]:
        """Notifications after a number (int), or from a moment on (float, seconds since 1970), in the order of arrival.

        Raises:
            LabError: The fakes do not answer.
        """
        return [Notification.of(notification) for notification in self._ask(start)["notifications"]]

    def newest(self) -> int:
        """Number of the newest notification, 0 where there is none: what comes later is ``since`` it."""
        notifications = self.since()
        return notifications[-1].number if notifications else 0

    def incidents(self, start: float = 0.0) -> list[Incident]:
        """Incidents of the pager that were opened since ``start`` (seconds since 1970), the oldest first."""
        entries = self._ask(time.time())["pager"]["incidents"]
        known = [Incident(**{**entry, "state": State(entry["state"])}) for entry in entries]
        return [incident for incident in known if incident.opened_at >= start]

    def acknowledge(self, incident: Incident) -> None:
        """Take an incident, as a person does in the pager's app.

        Raises:
            LabError: The fakes do not answer, or it is not open and waiting.
        """
        content = {"contact": incident.contact, "dedup_key": incident.dedup_key, "event_action": ACKNOWLEDGE}
        try:
            answer = self._session.post(f"{self._url}/incidents", json=content, timeout=_CALL_LIMIT_S)
        except requests.RequestException as error:
            raise LabError(f"receivers at {self._url} do not answer ({type(error).__name__})") from None
        if not answer.ok:
            raise LabError(f"receivers: {incident.title!r} cannot be acknowledged: {answer.text.strip()[:160]}")

    def switch(self) -> dict[str, Any]:
        """State of the dead man's switch: ``armed``, ``silent``, ``quiet_s``, ``grace_s``."""
        return dict(self._ask(time.time())["switch"])

    def find(self, start: int | float = 0, **wanted: str) -> list[Notification]:
        """Notifications since ``start`` that are wanted: see `Wanted` for the names."""
        filters = Wanted(**wanted)
        return [notification for notification in self.since(start) if self._matches(notification, filters)]

    def wait_for(
        self, start: int | float = 0, *, timeout_s: float, count: int = 1, **wanted: str
    ) -> list[Notification]:
        """Wait until so many wanted notifications are there, and return all that are.

        Raises:
            LabError: There are fewer after ``timeout_s``; the message says what came instead.
        """
        deadline = time.monotonic() + timeout_s
        while len(notifications := self.find(start, **wanted)) < count:
            if time.monotonic() > deadline:
                others = [
                    f"{notification.channel} {notification.audience}: {notification.title}"
                    for notification in self.since(start)[-_SHOWN:]
                ]
                filters = ", ".join(f"{name} {value}" for name, value in wanted.items())
                raise LabError(
                    f"receivers: {len(notifications)} of {count} notifications with {filters or 'any content'} "
                    f"within {timeout_s:.0f} s; the last ones: {'; '.join(others) or 'none'}"
                )
            time.sleep(_LOOK_EVERY_S)
        return notifications

    def contacts(self, notification: Notification) -> frozenset[str]:
        """Names of the contacts that a notification reached."""
        if notification.channel in (PHONE, SLACK):
            return frozenset({notification.audience})
        return frozenset(name for name, audiences in self._contacts.items() if notification.audience in audiences)

    def answers(self) -> bool:
        """Whether the fakes are up."""
        try:
            return self._session.get(f"{self._url}/healthz", timeout=_CALL_LIMIT_S).ok
        except requests.RequestException:
            return False

    def _ask(self, start: int | float) -> dict[str, Any]:
        try:
            answer = self._session.get(
                f"{self._url}/notifications", params={"since": repr(start)}, timeout=_CALL_LIMIT_S
            )
            answer.raise_for_status()
        except requests.RequestException as error:
            kind = type(error).__name__
            raise LabError(f"receivers at {self._url} do not answer ({kind}): see `make status`") from None
        content: dict[str, Any] = answer.json()
        return content

    def _matches(self, notification: Notification, wanted: Wanted) -> bool:
        return (
            wanted.channel in (None, notification.channel)
            and (wanted.contact is None or wanted.contact in self.contacts(notification))
            and all(record.mentions(notification, text) for text in (wanted.alert_id, wanted.alert) if text is not None)
            and (wanted.status is None or record.status(notification) == wanted.status)
        )


def show_notifications(paths: LabPaths, *, last: int, alert: str | None, heartbeats: bool) -> None:
    """Print the newest notifications, oldest first, and the states of the pager and of the dead man's switch.

    Args:
        paths: The lab.
        last: How many.
        alert: Only those that mention this alert, by name or ``alert_id``.
        heartbeats: Whether heartbeats count too.

    Raises:
        LabError: The fakes do not answer.
    """
    receivers = Receivers.of_lab(paths)
    notifications = [
        notification
        for notification in receivers.since()
        if (heartbeats or notification.channel != HEARTBEAT) and (alert is None or record.mentions(notification, alert))
    ]
    table = Table("at", "channel", "for", "says", "state")
    for notification in notifications[-last:]:
        moment = datetime.fromtimestamp(notification.received_at).strftime("%m-%d %H:%M:%S")
        cells = (
            moment,
            notification.channel,
            notification.audience,
            notification.title,
            record.status(notification) or "",
        )
        table.add_row(*map(Text, cells))
    console = Console()
    console.print(table if notifications else "no notification yet")
    incidents = receivers.incidents()
    still_open = sum(incident.state is not State.RESOLVED for incident in incidents)
    merged = sum(incident.merged for incident in incidents)
    console.print(f"pager: {still_open} incidents open, {merged} triggers merged into open ones", highlight=False)
    switch = receivers.switch()
    state = "tells that the platform is silent" if switch["silent"] else "quiet" if switch["armed"] else "not armed yet"
    since = f", last heartbeat {switch['quiet_s']:.0f} s ago" if switch["armed"] else ""
    console.print(f"dead man's switch: {state}{since}", highlight=False)
