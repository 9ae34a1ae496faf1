"""The fakes that speak HTTP, as one WSGI application, and the record for those who may read it."""

from __future__ import annotations

import hmac
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from lab.fakes.receivers.answers import Answer, TooLargeError, body_of
from lab.fakes.receivers.contacts import TOPICS
from lab.fakes.receivers.dead_mans_switch import DeadMansSwitch
from lab.fakes.receivers.dns import VERSION, Dns
from lab.fakes.receivers.phone import Phone
from lab.fakes.receivers.record import Record
from lab.fakes.receivers.sigv4 import Signatures
from lab.fakes.receivers.slack import Slack
from lab.fakes.receivers.sms import Sms
from services.runtime.web import allowed

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class Receivers:
    """Routes a request to the fake that it is for."""

    def __init__(
        self,
        record: Record,
        phone: Phone,
        slack: Slack,
        sms: Sms,
        switch: DeadMansSwitch,
        token: str | None,
        login: tuple[str, str] | None,
        dns: Dns | None,
    ) -> None:
        self._record, self._phone, self._slack, self._sms, self._switch = record, phone, slack, sms, switch
        self._token, self._login, self._dns = token, login, dns

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        """Answer; what is refused is told in one line, without the secret part of the path."""
        try:
            answer = self._answer(environ)
        except TooLargeError:
            answer = Answer.text(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too large")
        if not answer.accepted:
            first = environ.get("PATH_INFO", "").strip("/").partition("/")[0]
            reason = " ".join(answer.content.decode(errors="replace").split())
            print(f"refused: /{first}: {answer.status.value} {reason}", file=sys.stderr, flush=True)
        return answer.send(start)

    def _answer(self, environ: WSGIEnvironment) -> Answer:
        path, method = environ.get("PATH_INFO", "") or "/", environ.get("REQUEST_METHOD", "")
        first, _, rest = path.strip("/").partition("/")
        if path == "/healthz":
            return Answer.text(HTTPStatus.OK, "ok\n")
        if path == "/notifications":
            return self._notifications(environ)
        if path == "/incidents" and method == "POST":
            return self._refusal(environ) or self._phone.press(body_of(environ))
        if first == "heartbeat" and method in ("GET", "HEAD", "POST"):
            return self._heartbeat(rest, body_of(environ))
        if first == VERSION and self._dns is not None:
            return self._dns.call(environ, body_of(environ))
        if method != "POST":
            return Answer.text(HTTPStatus.METHOD_NOT_ALLOWED, "only POST\n", ("Allow", "POST"))
        if path == "/v2/enqueue":
            return self._phone.enqueue(body_of(environ))
        if first == "services":
            return self._slack.post(rest, body_of(environ), environ.get("CONTENT_TYPE", ""))
        if path == "/":
            return self._sms.call(environ, body_of(environ))
        return Answer.text(HTTPStatus.NOT_FOUND, "not a path of any fake\n")

    def _heartbeat(self, token: str, body: bytes) -> Answer:
        if self._token is not None and not hmac.compare_digest(token.encode(), self._token.encode()):
            return Answer.text(HTTPStatus.NOT_FOUND, "(not found)\n")
        try:
            content: Any = json.loads(body) if body else None
        except ValueError:
            content = body.decode(errors="replace")
        if not isinstance(content, dict) or content.get("status") != "resolved":
            self._switch.beat(body=content)
        return Answer.text(HTTPStatus.OK, "OK")

    def _notifications(self, environ: WSGIEnvironment) -> Answer:
        if refusal := self._refusal(environ):
            return refusal
        text = parse_qs(environ.get("QUERY_STRING", "")).get("since", ["0"])[0]
        try:
            start = float(text) if "." in text else int(text)
        except ValueError:
            return Answer.text(
                HTTPStatus.BAD_REQUEST, "since must be a number of a notification, or seconds since 1970 with a point\n"
            )
        notifications = [notification.data() for notification in self._record.since(start)]
        content = {"notifications": notifications, "switch": self._switch.data(), "pager": self._phone.data()}
        return Answer.json(HTTPStatus.OK, content)

    def _refusal(self, environ: WSGIEnvironment) -> Answer | None:
        header = environ.get("HTTP_AUTHORIZATION", "")
        if self._login is not None and allowed(header, *self._login):
            return None
        challenge = ("WWW-Authenticate", 'Basic realm="notifications"')
        return Answer.text(HTTPStatus.UNAUTHORIZED, "user and password, please\n", challenge)


def application(
    record: Record,
    *,
    contacts: Mapping[str, str] | None = None,
    slack_webhooks: Mapping[str, str] | None = None,
    heartbeat_token: str | None = None,
    aws: tuple[str, str] | None = None,
    topics: Sequence[str] = TOPICS,
    reader: tuple[str, str] | None = None,
    switch: DeadMansSwitch | None = None,
    dns: Dns | None = None,
) -> WSGIApplication:
    """Return the fakes of the pager, SMS, Slack, the dead man's switch and the zone as one WSGI application.

    With the record alone every secret is taken, as far as the real one could take it: that is for tests of senders.

    Args:
        record: Where everything goes that was accepted.
        contacts: Routing key -> contact of the pager.
        slack_webhooks: What stands behind ``/services/`` in a webhook's URL -> contact whose channel it is.
        heartbeat_token: What stands behind ``/heartbeat/`` in the switch's URL.
        aws: Access key id and secret that may publish.
        topics: ARNs of the SNS topics that exist.
        reader: User and password for ``/notifications`` and ``/incidents``; None lets nobody in.
        switch: Takes the heartbeats; its owner starts it. None only records them.
        dns: The zone of names; None has none.
    """
    return Receivers(
        record,
        Phone(record, contacts),
        Slack(record, slack_webhooks),
        Sms(record, topics, Signatures(*aws, service="sns") if aws else None),
        switch or DeadMansSwitch(record),
        heartbeat_token,
        reader,
        dns,
    )
