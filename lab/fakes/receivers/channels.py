"""Fakes of what takes notifications: the pager, PagerDuty's Events API v2, alert events (``POST /v2/enqueue``), and the
incidents behind it; Slack's incoming webhooks of apps (``POST /services/T.../B.../token``), a mail server, and a dead
man's switch, which tells somebody when the platform stops saying that it is alive (requirement D4).

Events with one ``dedup_key`` belong to one incident of one routing key. A trigger opens an incident, and somebody's
phone rings; while the incident is open, acknowledged or not, every further trigger is merged into it and rings nobody.
A resolve closes it, after which a trigger opens a new one. A routing key has so many events a minute, and what comes
too quickly is refused. Only what a person notices is put on record: a merged trigger, and an event for an incident that
is not open, are counted and nothing else.

A webhook of Slack belongs to one channel: who is notified follows from its address alone. ``channel``, ``username`` and
``icon_*`` of a message change nothing; they stay in the record as what was sent.
"""

from __future__ import annotations

import hmac
import json
import ssl
import threading
import time
import uuid
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from lab.fakes.receivers.record import DEAD_MANS_SWITCH, HEARTBEAT, MAIL, PHONE, SLACK, Answer, Record
from lab.fakes.receivers.settings import KEY_LENGTH

TRIGGER, ACKNOWLEDGE, RESOLVE = "trigger", "acknowledge", "resolve"
ACTIONS = (TRIGGER, ACKNOWLEDGE, RESOLVE)
SEVERITIES = ("critical", "warning", "error", "info")
MOST_INCIDENTS = 10_000
"""Incidents that are remembered; beyond that the oldest is forgotten, a closed one first."""
EVENTS, WINDOW_S = 120, 60.0
"""What a routing key may send in such a time."""
_LARGEST_EVENT = 512 * 1024
_LONGEST_DEDUP_KEY = 255


class State(StrEnum):
    """Where an incident is."""

    TRIGGERED = "triggered"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


@dataclass(frozen=True, kw_only=True)
class Incident:
    """What a pager shows of the events with one key.

    Attributes:
        contact: Who is called: the contact, or the routing key where a fake knows no contacts.
        dedup_key: What the sender calls it.
        title: Of the trigger that opened it.
        state: Where it is.
        opened_at: When it last rang, seconds since 1970.
        rang: How often a trigger opened it.
        merged: How many triggers were merged into it, since it was first opened, and rang nobody.
    """

    contact: str
    dedup_key: str
    title: str
    state: State
    opened_at: float
    rang: int = 1
    merged: int = 0


class Phone:
    """Takes events; a phone rings, on record, only for a new incident. Any thread may call."""

    def __init__(self, record: Record, contacts: Mapping[str, str] | None, most: int = MOST_INCIDENTS) -> None:
        """Know who is behind a routing key, and go on with the incidents of the record.

        Args:
            record: Where goes what people notice.
            contacts: Routing key -> contact. None takes every key of the right length; the key is the audience then.
            most: Incidents that are remembered.
        """
        self._record, self._contacts, self._most = record, contacts, most
        self._lock = threading.Lock()
        self._incidents: OrderedDict[tuple[str, str], Incident] = OrderedDict()
        self._sent: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=EVENTS))
        self.throttled = 0
        """Events that came too quickly: they were refused."""
        self.dropped = 0
        """Events for incidents that were not open: they do nothing."""
        for notification in record.of_channel(PHONE):
            body = notification.body if isinstance(notification.body, Mapping) else {}
            action, key = body.get("event_action"), body.get("dedup_key")
            if action in ACTIONS and isinstance(key, str):
                self._apply(notification.audience, action, key, notification.title, notification.received_at)

    def enqueue(self, body: bytes) -> Answer:
        """Answer an event as PagerDuty does: 202, 400 with everything that is wrong, 413, or 429 if it is too soon."""
        if len(body) > _LARGEST_EVENT:
            return Answer.text(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "")
        try:
            event = json.loads(body)
        except ValueError:
            return _refused("Event object format is unrecognized", ["JSON parse error"])
        if not isinstance(event, dict):
            return _refused("Event object format is unrecognized", ["Event object must be a JSON object"])
        errors = [*_key_errors(event.get("routing_key")), *_event_errors(event)]
        if errors:
            return _refused("Event object is invalid", errors)
        key = event.pop("routing_key")
        if self._contacts is not None and key not in self._contacts:
            return _refused("Event object is invalid", ["Invalid routing key"])
        if self._too_soon(key):
            message = "Requests for this service are arriving too quickly. Please retry later."
            return Answer.json(HTTPStatus.TOO_MANY_REQUESTS, {"status": "throttle exceeded", "message": message})
        event["dedup_key"] = event.get("dedup_key") or uuid.uuid4().hex
        self._take(self._contacts[key] if self._contacts is not None else key, event)
        return Answer.json(
            HTTPStatus.ACCEPTED,
            {"status": "success", "message": "Event processed", "dedup_key": event["dedup_key"]},
        )

    def press(self, body: bytes) -> Answer:
        """What a person does in the pager's app: ``{"contact": ..., "dedup_key": ..., "event_action": ...}``."""
        try:
            told = json.loads(body)
            contact, key, action = (str(told[name]) for name in ("contact", "dedup_key", "event_action"))
        except (ValueError, KeyError, TypeError):
            return Answer.text(HTTPStatus.BAD_REQUEST, "give contact, dedup_key and event_action\n")
        if action not in (ACKNOWLEDGE, RESOLVE):
            return Answer.text(HTTPStatus.BAD_REQUEST, f"a person can {ACKNOWLEDGE} or {RESOLVE}\n")
        if not self._take(contact, {"event_action": action, "dedup_key": key}):
            return Answer.text(HTTPStatus.NOT_FOUND, "no such incident is open\n")
        return Answer.text(HTTPStatus.OK, "ok\n")

    def data(self) -> dict[str, Any]:
        """The incidents as JSON data, the oldest first, and how many events did nothing or came too quickly."""
        with self._lock:
            incidents = [asdict(incident) for incident in self._incidents.values()]
            return {"incidents": incidents, "dropped": self.dropped, "throttled": self.throttled}

    def _too_soon(self, key: str) -> bool:
        now = time.monotonic()
        with self._lock:
            sent = self._sent[key]
            if len(sent) == EVENTS and now - sent[0] < WINDOW_S:
                self.throttled += 1
                return True
            sent.append(now)
        return False

    def _take(self, contact: str, event: dict[str, Any]) -> bool:
        """Put an event on record, if people notice it; whether they do."""
        action, key = event["event_action"], event["dedup_key"]
        title = (event.get("payload") or {}).get("summary") or f"{action} {key}"
        with self._lock:
            noticed = self._would_change(contact, action, key)
            if noticed:
                notification = self._record.add(PHONE, contact, title, event)
                self._apply(contact, action, key, notification.title, notification.received_at)
            else:
                self._count(contact, action, key)
        return noticed

    def _would_change(self, contact: str, action: str, key: str) -> bool:
        incident = self._incidents.get((contact, key))
        state = State.RESOLVED if incident is None else incident.state
        return {
            TRIGGER: state is State.RESOLVED,
            ACKNOWLEDGE: state is State.TRIGGERED,
            RESOLVE: state is not State.RESOLVED,
        }[action]

    def _count(self, contact: str, action: str, key: str) -> None:
        if action == TRIGGER:
            known = self._incidents[contact, key]
            self._incidents[contact, key] = replace(known, merged=known.merged + 1)
        else:
            self.dropped += 1

    def _apply(self, contact: str, action: str, key: str, title: str, now: float) -> None:
        known = self._incidents.get((contact, key))
        if action == TRIGGER:
            rang, merged = (known.rang + 1, known.merged) if known else (1, 0)
            self._incidents[contact, key] = Incident(
                contact=contact,
                dedup_key=key,
                title=title,
                state=State.TRIGGERED,
                opened_at=now,
                rang=rang,
                merged=merged,
            )
            self._incidents.move_to_end((contact, key))
            self._forget()
        elif known is not None:
            state = State.ACKNOWLEDGED if action == ACKNOWLEDGE else State.RESOLVED
            self._incidents[contact, key] = replace(known, state=state)

    def _forget(self) -> None:
        if len(self._incidents) > self._most:
            closed = (key for key, incident in self._incidents.items() if incident.state is State.RESOLVED)
            del self._incidents[next(closed, next(iter(self._incidents)))]


def _refused(message: str, errors: list[str]) -> Answer:
    return Answer.json(HTTPStatus.BAD_REQUEST, {"status": "invalid event", "message": message, "errors": errors})


def _key_errors(key: object) -> list[str]:
    if key is None or key == "":
        return ["'routing_key' cannot be blank"]
    if not isinstance(key, str) or len(key) != KEY_LENGTH:
        return [f"Length of 'routing_key' is incorrect (should be {KEY_LENGTH} characters)"]
    return []


def _event_errors(event: Mapping[str, Any]) -> list[str]:
    action, key = event.get("event_action"), event.get("dedup_key")
    if not action:
        return ["'event_action' is missing or blank"]
    if action not in ACTIONS:
        return [f"'event_action' is invalid (must be one of the following: {_alternatives(ACTIONS)})"]
    if key and (not isinstance(key, str) or len(key) > _LONGEST_DEDUP_KEY):
        return [f"'dedup_key' is invalid (must be a text of at most {_LONGEST_DEDUP_KEY} characters)"]
    if action != TRIGGER:
        return [] if key else ["'dedup_key' is missing or blank"]
    payload = event.get("payload")
    if not isinstance(payload, dict):
        return ["'payload' is missing or blank"]
    errors = [
        f"'payload.{name}' is missing or blank" for name in ("summary", "source", "severity") if not payload.get(name)
    ]
    if payload.get("severity") and payload["severity"] not in SEVERITIES:
        errors.append(f"'payload.severity' is invalid (must be one of the following: {_alternatives(SEVERITIES)})")
    return errors


def _alternatives(names: tuple[str, ...]) -> str:
    quoted = [f"'{name}'" for name in names]
    return f"{', '.join(quoted[:-1])} or {quoted[-1]}"


_CONTENT = ("text", "attachments", "blocks")


class Slack:
    """Takes messages and shows them to nobody."""

    def __init__(self, record: Record, webhooks: Mapping[str, str] | None) -> None:
        """Know the webhooks.

        Args:
            record: Where accepted messages go.
            webhooks: What stands behind ``/services/``, for example ``T1/B2/abc`` -> contact whose channel it is. None
                takes every address; what stands there is the audience then.
        """
        self._record, self._webhooks = record, webhooks

    def post(self, token: str, body: bytes, kind: str) -> Answer:
        """Answer a message as Slack does: ``ok``, or one word that says what is wrong."""
        audience = self._audience(token)
        if not audience:
            return Answer.text(HTTPStatus.NOT_FOUND, "no_service")
        message = _message(body, kind)
        if message is None:
            return Answer.text(HTTPStatus.BAD_REQUEST, "invalid_payload")
        if not any(message.get(name) for name in _CONTENT):
            return Answer.text(HTTPStatus.BAD_REQUEST, "no_text")
        self._record.add(SLACK, audience, _title(message), message)
        return Answer.text(HTTPStatus.OK, "ok")

    def _audience(self, token: str) -> str:
        if self._webhooks is None:
            return token
        given = token.encode()
        # All are compared, so that the time tells nothing.
        contacts = [contact for known, contact in self._webhooks.items() if hmac.compare_digest(known.encode(), given)]
        return contacts[0] if contacts else ""


def _message(body: bytes, kind: str) -> dict[str, Any] | None:
    text = body.decode(errors="replace")
    if kind.startswith("application/x-www-form-urlencoded"):
        text = (parse_qs(text).get("payload") or [""])[0]
    try:
        message = json.loads(text)
    except ValueError:
        return None
    attachments = message.get("attachments") or [] if isinstance(message, dict) else None
    if not isinstance(attachments, list) or not all(isinstance(attachment, dict) for attachment in attachments):
        return None
    return dict(message)


def _title(message: dict[str, Any]) -> str:
    first: dict[str, Any] = next(iter(message.get("attachments") or []), {})
    candidates = (message.get("text"), first.get("pretext"), first.get("title"), first.get("fallback"))
    lines = str(next(filter(None, candidates), None) or first.get("text") or "").splitlines()
    return lines[0] if lines else ""


_START_LIMIT_S = 20.0
_TALK_LIMIT_S = 60.0


class _Server(SMTP):
    # What other servers ask, and what clients insist on: Go's refuse any other words.
    AuthLoginUsernameChallenge = "Username:"
    AuthLoginPasswordChallenge = "Password:"


class _Controller(Controller):
    def factory(self) -> SMTP:
        return _Server(self.handler, **self.SMTP_kwargs)


class MailFake:
    """A mail server on a port, from `start` to `stop`."""

    def __init__(
        self, record: Record, *, host: str, port: int, certificate: tuple[Path, Path], login: tuple[str, str]
    ) -> None:
        """Get ready.

        Args:
            record: Where mail goes: one notification for each recipient.
            host: Address to listen on.
            port: Port to listen on.
            certificate: Files of the certificate (chain) and its key.
            login: User and password that senders need.
        """
        self._record, self._login = record, login
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(*certificate)
        self._controller = _Controller(
            self,
            hostname=host,
            port=port,
            ready_timeout=_START_LIMIT_S,
            server_hostname="mail.fake",
            ident="ESMTP fake",
            tls_context=context,
            require_starttls=True,
            auth_required=True,
            authenticator=self._authenticate,
            timeout=_TALK_LIMIT_S,
        )

    def start(self) -> None:
        """Listen, in a thread of its own.

        Raises:
            OSError: The address is taken.
        """
        self._controller.start()

    def stop(self) -> None:
        """End it, and every connection."""
        self._controller.stop()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Take a whole message (called by the server)."""
        content = envelope.content
        raw = content if isinstance(content, bytes) else (content or "").encode()
        message = message_from_bytes(raw, policy=policy.default)
        body = _body(message, envelope)
        for recipient in envelope.rcpt_tos:
            self._record.add(MAIL, recipient, body["subject"], body)
        return "250 OK"

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        user, password = (part.encode() for part in self._login)
        right = (
            isinstance(data, LoginPassword)
            and hmac.compare_digest(data.login, user)
            and hmac.compare_digest(data.password, password)
        )
        return AuthResult(success=right, handled=False)


def _body(message: EmailMessage, envelope: Envelope) -> dict[str, Any]:
    return {
        "sender": envelope.mail_from,
        "recipients": list(envelope.rcpt_tos),
        "subject": str(message["subject"] or ""),
        "headers": {name: str(value) for name, value in message.items()},
        "text": _part(message, "plain"),
        "html": _part(message, "html"),
    }


def _part(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    return str(part.get_content()).replace("\r\n", "\n") if part is not None else ""


GRACE_S = 150.0
"""Alertmanager repeats the heartbeat every 30 to 60 s: two may be lost without a false alarm."""
AUDIENCE = "operators"
SILENT, BACK = "silent", "back"
_LOOK_EVERY_S = 1.0


class DeadMansSwitch:
    """Armed by the first heartbeat; tells once when none came for a while, and once when they are back.

    What it told last is in the record, so a restart of the fake neither forgets an alarm nor tells it again.
    """

    def __init__(
        self, record: Record, grace_s: float = GRACE_S, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Go on from the record; the time without heartbeats counts from now.

        Args:
            record: Where heartbeats and alarms go.
            grace_s: Seconds without a heartbeat that mean trouble.
            clock: Seconds that never go back.
        """
        self._record, self._clock, self.grace_s = record, clock, grace_s
        self._lock = threading.Lock()
        told = record.last(DEAD_MANS_SWITCH)
        self._silent = told is not None and told.body.get("state") == SILENT
        self._last = clock() if record.last(HEARTBEAT) or self._silent else None
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def beat(self, title: str = "heartbeat", body: Any = None) -> None:
        """Take a heartbeat."""
        with self._lock:
            now = self._clock()
            self._record.add(HEARTBEAT, AUDIENCE, title, body)
            silence, self._last = now - (self._last if self._last is not None else now), now
            if self._silent:
                self._silent = False
                self._tell(BACK, silence, "The monitoring is back: heartbeats arrive again")

    def check(self) -> None:
        """Tell when the heartbeats have stopped, unless it was told already."""
        with self._lock:
            if self._last is None or self._silent:
                return
            silence = self._clock() - self._last
            if silence >= self.grace_s:
                self._silent = True
                self._tell(SILENT, silence, f"The monitoring itself is down: no heartbeat for {silence:.0f} s")

    def data(self) -> dict[str, Any]:
        """State as JSON data: armed, silent, seconds since the last heartbeat."""
        with self._lock:
            quiet = None if self._last is None else round(self._clock() - self._last, 1)
            return {"armed": self._last is not None, "silent": self._silent, "quiet_s": quiet, "grace_s": self.grace_s}

    def start(self) -> None:
        """Look every second, in a thread of its own, until `stop`."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(_LOOK_EVERY_S):
            self.check()

    def _tell(self, state: str, silence: float, title: str) -> None:
        self._record.add(DEAD_MANS_SWITCH, AUDIENCE, title, {"state": state, "silence_s": round(silence, 1)})
