"""What the fakes received, in memory for readers and in a file so that it survives a restart; what a notification says
about alerts; and what every HTTP fake reads from a request and answers.

Templates are for people and change; so what is looked for is what every form carries: the text of the label
``alert_id`` of what fires, and a title that begins with ``[PRIORITY] Name`` or ``[RESOLVED] Name``. A notification that
an alert is over has its name only: nobody acknowledges what is over.
"""

from __future__ import annotations

import html
import json
import re
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.core.files import write_private

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


PHONE, SMS, SLACK, MAIL, HEARTBEAT, DEAD_MANS_SWITCH = "phone", "sms", "slack", "mail", "heartbeat", "dead-mans-switch"
CHANNELS = (PHONE, SMS, SLACK, MAIL, HEARTBEAT, DEAD_MANS_SWITCH)
HIDDEN = "(secret)"
_KEEP = 20_000


@dataclass(frozen=True, kw_only=True)
class Notification:
    """Something that a fake received, or that the dead man's switch told.

    Attributes:
        number: Position in the record, counted from 1 and never used twice.
        channel: One of `CHANNELS`.
        audience: Who it was for: the pager key's contact (the key itself where a fake knows no contacts), the ARN of
            the SNS topic, the contact whose Slack webhook it came by (where a fake knows none: what stands behind
            ``/services/``), the mail address.
        title: What a person sees first.
        body: Everything that arrived, as JSON data, without the secret that opened the door.
        received_at: Seconds since 1970 (UTC).
    """

    number: int
    channel: str
    audience: str
    title: str
    body: Any
    received_at: float

    def data(self) -> dict[str, Any]:
        """All of it as JSON data, with the time in words beside the seconds."""
        moment = datetime.fromtimestamp(self.received_at, UTC).isoformat(timespec="milliseconds")
        return {**asdict(self), "received": moment}

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Notification:
        """The notification whose `data` this is.

        Raises:
            KeyError: Something is missing.
        """
        return cls(**{name: data[name] for name in cls.__dataclass_fields__})


class Record:
    """Notifications in the order of their arrival; any thread may add and read."""

    def __init__(
        self,
        file: Path | None = None,
        *,
        hidden: Collection[str] = (),
        clock: Callable[[], float] = time.time,
        keep: int = _KEEP,
    ) -> None:
        """Go on with what the file holds.

        Args:
            file: Where notifications are kept, one JSON object a line (mode 0600); None keeps them in memory only.
            hidden: Texts that must never be in a notification, wherever a sender puts them: they are replaced by
                `HIDDEN`.
            clock: Seconds since 1970.
            keep: Newest notifications that are kept at least; twice as many are at most.
        """
        self._file, self._clock, self._keep = file, clock, keep
        self._hidden = sorted((secret for secret in hidden if secret), key=len, reverse=True)
        self._lock = threading.Lock()
        self._notifications = _read(file)[-keep:] if file else []
        self._number = self._notifications[-1].number if self._notifications else 0
        if file:
            self._rewrite(file)

    def add(self, channel: str, audience: str, title: str, body: Any) -> Notification:
        """Keep a notification that has just arrived."""
        with self._lock:
            self._number += 1
            notification = Notification(
                number=self._number,
                channel=channel,
                audience=self._clean(audience),
                title=self._clean(title),
                body=self._clean(body),
                received_at=self._clock(),
            )
            self._notifications.append(notification)
            if len(self._notifications) >= 2 * self._keep:
                del self._notifications[: -self._keep]
                if self._file:
                    self._rewrite(self._file)
            elif self._file:
                with self._file.open("a") as out:
                    out.write(_line(notification))
            return notification

    def since(self, start: int | float = 0) -> list[Notification]:
        """Notifications after a number (int), or after a moment (float, seconds since 1970), in order of arrival."""
        with self._lock:
            if isinstance(start, float):
                return [notification for notification in self._notifications if notification.received_at >= start]
            return [notification for notification in self._notifications if notification.number > start]

    def of_channel(self, channel: str) -> list[Notification]:
        """All notifications of a channel that are kept, in the order of arrival."""
        with self._lock:
            return [notification for notification in self._notifications if notification.channel == channel]

    def last(self, channel: str) -> Notification | None:
        """The newest notification of a channel."""
        with self._lock:
            return next(
                (notification for notification in reversed(self._notifications) if notification.channel == channel),
                None,
            )

    def _clean(self, value: Any) -> Any:
        if isinstance(value, str):
            for secret in self._hidden:
                value = value.replace(secret, HIDDEN)
            return value
        if isinstance(value, Mapping):
            return {self._clean(str(key)): self._clean(nested) for key, nested in value.items()}
        if isinstance(value, list | tuple):
            return [self._clean(nested) for nested in value]
        return value if value is None or isinstance(value, bool | int | float) else self._clean(str(value))

    def _rewrite(self, file: Path) -> None:
        """Replace the file in one step, which also drops a line that a killed process left torn."""
        file.parent.mkdir(parents=True, exist_ok=True)
        write_private(file, "".join(map(_line, self._notifications)).encode())


def _line(notification: Notification) -> str:
    return json.dumps(notification.data(), ensure_ascii=False) + "\n"


def _read(file: Path) -> list[Notification]:
    notifications = []
    for line in file.read_text(errors="replace").split("\n") if file.exists() else ():
        try:
            notifications.append(Notification.of(json.loads(line)))
        except (ValueError, KeyError, TypeError):
            continue
    return notifications


FIRING, RESOLVED, ACKNOWLEDGED = "firing", "resolved", "acknowledged"
_ACTIONS = {"trigger": FIRING, "resolve": RESOLVED, "acknowledge": ACKNOWLEDGED}
_TITLE = re.compile(r"\[(?P<word>[^\]]*)\]")
_OVER = "RESOLVED"
_CHARACTER = r"[\w.~%+/=:-]"
_ESCALATED = "Escalated"


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


LARGEST_BODY = 1024 * 1024
_CHUNK = 64 * 1024
_READ_AT_MOST = 16 * LARGEST_BODY


class TooLargeError(Exception):
    """A request's body is larger than a fake takes."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A whole HTTP answer."""

    status: HTTPStatus
    content: bytes
    kind: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def text(cls, status: HTTPStatus, text: str, *headers: tuple[str, str]) -> Answer:
        """Plain text, as it is."""
        return cls(status=status, content=text.encode(), headers=headers)

    @classmethod
    def json(cls, status: HTTPStatus, data: Any) -> Answer:
        """JSON."""
        content = json.dumps(data, ensure_ascii=False).encode()
        return cls(status=status, content=content, kind="application/json")

    @property
    def accepted(self) -> bool:
        """Whether the sender may forget what it sent."""
        return self.status < HTTPStatus.MULTIPLE_CHOICES

    def send(self, start: StartResponse) -> Iterable[bytes]:
        """Give the answer."""
        length = ("Content-Length", str(len(self.content)))
        start(f"{self.status.value} {self.status.phrase}", [("Content-Type", self.kind), length, *self.headers])
        return [self.content]


def body_of(environ: WSGIEnvironment) -> bytes:
    """The request's body.

    Raises:
        TooLargeError: It has more than `LARGEST_BODY` bytes.
    """
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        length = 0
    if length > LARGEST_BODY:
        # A client that is still sending would see a broken connection instead of the answer.
        for _ in range(min(length, _READ_AT_MOST) // _CHUNK + 1):
            environ["wsgi.input"].read(min(length, _CHUNK))
            length -= min(length, _CHUNK)
        raise TooLargeError
    return bytes(environ["wsgi.input"].read(length)) if length > 0 else b""
