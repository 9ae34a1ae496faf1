"""Fake of SMS: Amazon SNS, provided by moto, behind AWS' own check of signatures.

Who subscribed to a topic with which phone number is AWS' business; the fake records what is published.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qs
from xml.etree import ElementTree

from moto.moto_server.werkzeug_app import create_backend_app
from moto.sns.models import SNSBackend, sns_backends

from lab.fakes.receivers import moto_backend
from lab.fakes.receivers.answers import Answer
from lab.fakes.receivers.record import SMS, Record
from lab.fakes.receivers.sigv4 import Signatures

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

_NAMESPACE = "http://sns.amazonaws.com/doc/2010-03-31/"


class Sms:
    """Takes what is published on topics that exist, and nothing else."""

    def __init__(self, record: Record, topics: Sequence[str], signatures: Signatures | None) -> None:
        """Create the topics.

        Args:
            record: Where published messages go.
            topics: ARNs of the topics.
            signatures: What checks that a request is signed with the right key; None takes every key.
        """
        self._record, self._topics, self._signatures = record, frozenset(topics), signatures
        for topic in topics:
            _backend(topic).create_topic(topic.rpartition(":")[2])
        self._moto = create_backend_app("sns")
        self._lock = threading.Lock()

    def call(self, environ: WSGIEnvironment, body: bytes) -> Answer:
        """Answer a call of the query API; the key may publish only, as a good policy of AWS would have it."""
        refusal = self._signatures.refusal(environ, body) if self._signatures else None
        if refusal is not None:
            return _error(HTTPStatus.FORBIDDEN, refusal.code, refusal.message)
        pairs = parse_qs(body.decode(errors="replace"), keep_blank_values=True)
        form = {name: values[0] for name, values in pairs.items()}
        action = form.get("Action", "")
        if action != "Publish":
            return _error(
                HTTPStatus.FORBIDDEN,
                "AuthorizationError",
                f"User is not authorized to perform: SNS:{action or '(none)'}",
            )
        wrong = _wrong(form)
        if wrong:
            return _error(HTTPStatus.BAD_REQUEST, "InvalidParameter", f"Invalid parameter: {wrong}")
        if _arn(form) not in self._topics:
            return _error(HTTPStatus.NOT_FOUND, "NotFound", "Topic does not exist")
        with self._lock:
            answer = moto_backend.ask(self._moto, environ, body)
            if answer.accepted:
                self._keep(form, answer)
        return answer

    def _keep(self, form: dict[str, str], answer: Answer) -> None:
        """Move the message from moto's memory into the record."""
        message_id = ElementTree.fromstring(answer.content).find(f".//{{{_NAMESPACE}}}MessageId")  # noqa: S314
        identity = message_id.text if message_id is not None else None
        arn = _arn(form)
        sent = _backend(arn).topics[arn].sent_notifications
        for entry in [entry for entry in sent if entry[0] == identity]:
            sent.remove(entry)
            _, message, subject, attributes, _ = entry
            lines = (subject or message).splitlines()
            content = {"message": message, "subject": subject, "attributes": attributes or {}, "message_id": identity}
            self._record.add(SMS, arn, lines[0] if lines else "", content)


def _arn(form: dict[str, str]) -> str:
    return form.get("TopicArn") or form.get("TargetArn") or ""


def _backend(topic: str) -> SNSBackend:
    _, _, _, region, account, _ = topic.split(":")
    return sns_backends[account][region]


def _wrong(form: dict[str, str]) -> str:
    """What AWS refuses and moto does not."""
    if not _arn(form):
        return "TopicArn or TargetArn Reason: no value for required parameter"
    if not form.get("Message"):
        return "Empty message"
    return "Subject" if not form.get("Subject", "").isprintable() else ""


def _error(status: HTTPStatus, code: str, message: str) -> Answer:
    return moto_backend.refused(status, code, message, namespace=_NAMESPACE, request=str(uuid.uuid4()))
