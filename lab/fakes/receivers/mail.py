"""Fake of a mail server: SMTP that insists on STARTTLS and a login, and delivers to the record."""

from __future__ import annotations

import hmac
import ssl
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from lab.fakes.receivers.record import MAIL, Record

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
