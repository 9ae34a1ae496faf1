"""Double of the pager: PagerDuty's Events API v2, alert events (``POST /v2/enqueue``)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from lab.receivers.answers import Answer
from lab.receivers.record import PHONE, Record

ACTIONS = ("trigger", "acknowledge", "resolve")
SEVERITIES = ("critical", "warning", "error", "info")
KEY_LENGTH = 32
_LARGEST_EVENT = 512 * 1024


class Phone:
    """Takes events and rings nobody."""

    def __init__(self, record: Record, contacts: Mapping[str, str] | None) -> None:
        """Know who is behind a routing key.

        Args:
            record: Where accepted events go.
            contacts: Routing key -> contact. None takes every key of the right length; the key is the audience then.
        """
        self._record, self._contacts = record, contacts

    def enqueue(self, body: bytes) -> Answer:
        """Answer an event as PagerDuty does: 202, or 400 with everything that is wrong, or 413."""
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
        event["dedup_key"] = event.get("dedup_key") or uuid.uuid4().hex
        title = (event.get("payload") or {}).get("summary") or f"{event['event_action']} {event['dedup_key']}"
        self._record.add(PHONE, self._contacts[key] if self._contacts is not None else key, title, event)
        return Answer.json(
            HTTPStatus.ACCEPTED,
            {"status": "success", "message": "Event processed", "dedup_key": event["dedup_key"]},
        )


def _refused(message: str, errors: list[str]) -> Answer:
    return Answer.json(HTTPStatus.BAD_REQUEST, {"status": "invalid event", "message": message, "errors": errors})


def _key_errors(key: object) -> list[str]:
    if key is None or key == "":
        return ["'routing_key' cannot be blank"]
    if not isinstance(key, str) or len(key) != KEY_LENGTH:
        return [f"Length of 'routing_key' is incorrect (should be {KEY_LENGTH} characters)"]
    return []


def _event_errors(event: Mapping[str, Any]) -> list[str]:
    action = event.get("event_action")
    if not action:
        return ["'event_action' is missing or blank"]
    if action not in ACTIONS:
        return [f"'event_action' is invalid (must be one of the following: {_alternatives(ACTIONS)})"]
    if action != "trigger":
        return [] if event.get("dedup_key") else ["'dedup_key' is missing or blank"]
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
