"""Double of Slack's incoming webhooks (``POST /services/T.../B.../token``)."""

from __future__ import annotations

import hmac
import json
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from lab.receivers.answers import Answer
from lab.receivers.record import SLACK, Record

_CONTENT = ("text", "attachments", "blocks")
OWN_CHANNEL = "(the webhook's own)"
"""Audience of a message that names no channel."""


class Slack:
    """Takes messages and shows them to nobody."""

    def __init__(self, record: Record, token: str | None) -> None:
        """Know the webhook.

        Args:
            record: Where accepted messages go.
            token: What stands behind ``/services/``, for example ``T1/B2/abc``. None takes every path.
        """
        self._record, self._token = record, token

    def post(self, token: str, body: bytes, kind: str) -> Answer:
        """Answer a message as Slack does: ``ok``, or one word that says what is wrong."""
        if not token or (self._token is not None and not hmac.compare_digest(token.encode(), self._token.encode())):
            return Answer.text(HTTPStatus.NOT_FOUND, "no_service")
        message = _message(body, kind)
        if message is None:
            return Answer.text(HTTPStatus.BAD_REQUEST, "invalid_payload")
        if not any(message.get(name) for name in _CONTENT):
            return Answer.text(HTTPStatus.BAD_REQUEST, "no_text")
        self._record.add(SLACK, str(message.get("channel") or OWN_CHANNEL), _title(message), message)
        return Answer.text(HTTPStatus.OK, "ok")


def _message(body: bytes, kind: str) -> dict[str, Any] | None:
    text = body.decode(errors="replace")
    if kind.startswith("application/x-www-form-urlencoded"):
        text = (parse_qs(text).get("payload") or [""])[0]
    try:
        message = json.loads(text)
    except ValueError:
        return None
    attachments = message.get("attachments") or [] if isinstance(message, dict) else None
    if not isinstance(attachments, list) or not all(isinstance(each, dict) for each in attachments):
        return None
    return dict(message)


def _title(message: dict[str, Any]) -> str:
    first: dict[str, Any] = next(iter(message.get("attachments") or []), {})
    candidates = (message.get("text"), first.get("pretext"), first.get("title"), first.get("fallback"))
    lines = str(next(filter(None, candidates), None) or first.get("text") or "").splitlines()
    return lines[0] if lines else ""
