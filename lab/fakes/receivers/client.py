"""The fakes as a part of the lab: their files, their process, and the secrets that the stack gets from them; and what
they received, for tests and ``ops verify`` inside the lab, and as a table for people (``python -m lab notifications``).
"""

from __future__ import annotations

import json
import sys
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

from lab import LabError, key_files
from lab.cluster import network
from lab.cluster.network import RECEIVERS, RECEIVERS_HTTPS_PORT, RECEIVERS_SMTP_PORT, Daemon, fingerprint, wait_until
from lab.fakes.receivers import record, settings
from lab.fakes.receivers.channels import ACKNOWLEDGE, GRACE_S, Incident, State
from lab.fakes.receivers.record import HEARTBEAT, PHONE, SLACK, Notification
from lab.fakes.receivers.settings import (
    CERTIFICATES,
    CODE,
    CONFIG,
    DNS_RECORDS,
    DNS_SECRETS,
    DNS_ZONE,
    RECORD,
    SECRETS,
    STACK_FILE,
    URL,
    addresses_of,
    folder,
    gateway_of,
    topics_of,
)
from lab.key_files import AUTHORITY
from lab.paths import CHECKOUT, LabPaths

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
        login = (settings.READER, settings.load_secrets(place / SECRETS).reader_password)
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


_READY_LIMIT_S = 30
_SOURCES = ("lab/fakes/receivers/*.py", "services/runtime/*.py")


def daemon(paths: LabPaths) -> Daemon:
    """The process, inside the lab's network namespace."""
    command = [sys.executable, "-m", "lab.fakes.receivers", "--config", str(folder(paths) / CONFIG)]
    return Daemon("receivers", [*network.enter(paths.netns), *command], paths.state, {"PYTHONPATH": str(CHECKOUT)})


def prepare(paths: LabPaths) -> None:
    """Make the files that are missing, and end a process that runs other code or settings than the present ones."""
    place = folder(paths)
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    key_files.create(place / CERTIFICATES, RECEIVERS)
    settings.load_or_make_secrets(place / SECRETS)
    settings.load_or_make_dns(place / DNS_SECRETS)
    config = {
        "host": RECEIVERS,
        "https_port": RECEIVERS_HTTPS_PORT,
        "smtp_port": RECEIVERS_SMTP_PORT,
        "cert_file": str(place / CERTIFICATES / key_files.CERTIFICATE),
        "key_file": str(place / CERTIFICATES / key_files.KEY),
        "secrets_file": str(place / SECRETS),
        "record_file": str(place / RECORD),
        "topics": list(topics_of(STACK_FILE)),
        "grace_s": GRACE_S,
        "dns_secrets_file": str(place / DNS_SECRETS),
        "dns_records_file": str(place / DNS_RECORDS),
        "dns_zone": DNS_ZONE,
        "dns_names": {f"otlp.{DNS_ZONE}": gateway_of(STACK_FILE)},
    }
    text = json.dumps(config, indent=1) + "\n"
    (place / CONFIG).write_text(text)
    present, mark = fingerprint(text, _SOURCES), place / CODE
    if not mark.exists() or mark.read_text() != present:
        daemon(paths).stop()
        mark.write_text(present)


def wait_ready(paths: LabPaths) -> None:
    """Wait until the fakes answer; works inside the lab's network namespace.

    Raises:
        LabError: They ended, or do not answer in time; the message carries the end of their log.
    """
    process, receivers = daemon(paths), Receivers.of_lab(paths)

    def alive_and_answering() -> bool:
        if process.pid() is None:
            raise LabError(f"receivers ended; log {process.log}:\n{process.tail()}")
        return receivers.answers()

    wait_until(f"the receivers to answer (log {process.log})", alive_and_answering, timeout_s=_READY_LIMIT_S)


def alerting_secrets(paths: LabPaths) -> dict[str, Any]:
    """What the stack needs to reach the fakes: the value of the secret ``observability:alertingSecrets``.

    Raises:
        LabError: The fakes' files are not there: no lab.
    """
    place = folder(paths)
    secrets = settings.load_secrets(place / SECRETS)
    return {
        "phone_keys": secrets.phone_keys,
        "slack_urls": {name: f"{URL}/services/{token}" for name, token in secrets.slack_tokens.items()},
        "mail_password": secrets.mail_password,
        "sms_access_key_id": secrets.aws_key,
        "sms_secret_access_key": secrets.aws_secret,
        "heartbeat_url": f"{URL}/heartbeat/{secrets.heartbeat_token}",
        "authority": (place / CERTIFICATES / key_files.AUTHORITY).read_text(),
    }


def dns_variables(paths: LabPaths) -> dict[str, str]:
    """Environment in which ``ops`` reaches the zone; empty where there is no lab.

    Raises:
        LabError: The file of its keys is not whole.
    """
    place = folder(paths)
    if not (place / DNS_SECRETS).exists():
        return {}
    secrets = settings.load_dns(place / DNS_SECRETS)
    return {
        "OBS_DNS_ACCESS_KEY_ID": secrets.key,
        "OBS_DNS_SECRET_ACCESS_KEY": secrets.secret,
        "OBS_DNS_CA_FILE": str(place / CERTIFICATES / key_files.AUTHORITY),
    }
