"""Fake of Slack's incoming webhooks of apps (``POST /services/T.../B.../token``).

As there, a webhook belongs to one channel: who is notified follows from its address alone. ``channel``, ``username``
and ``icon_*`` of a message change nothing; they stay in the record as what was sent.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from lab.fakes.receivers.answers import Answer
from lab.fakes.receivers.record import SLACK, Record

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
