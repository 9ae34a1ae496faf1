"""Fakes of what takes messages: Slack's incoming webhooks of apps (``POST /services/T.../B.../token``), a mail server,
and a dead man's switch, which tells somebody when the platform stops saying that it is alive (requirement D4).

As there, a webhook belongs to one channel: who is notified follows from its address alone. ``channel``, ``username``
and ``icon_*`` of a message change nothing; they stay in the record as what was sent.
"""

from __future__ import annotations

import hmac
import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from email import message_from_bytes, policy
from email.message import EmailMessage
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from lab.fakes.receivers.record import DEAD_MANS_SWITCH, HEARTBEAT, MAIL, SLACK, Answer, Record

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
