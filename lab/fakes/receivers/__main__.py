"""All fakes as one process: ``python -m lab.fakes.receivers --config FILE``."""

from __future__ import annotations

import argparse
import hmac
import json
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from lab import LabError
from lab.fakes.receivers.aws import VERSION, Dns, Name, Signatures, Sms
from lab.fakes.receivers.channels import DeadMansSwitch, MailFake, Phone, Slack
from lab.fakes.receivers.record import Answer, Record, TooLargeError, body_of
from lab.fakes.receivers.settings import MAIL_USER, READER, TOPICS, Settings, load, load_dns, load_secrets
from services.runtime.https import HttpsServer
from services.runtime.serving import allowed, wait_for_stop
from services.runtime.settings import SettingsError

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


@contextmanager
def running(settings: Settings) -> Iterator[Record]:
    """All fakes, from the moment they listen until the block ends.

    Raises:
        LabError: The secrets cannot be read.
        OSError: An address is taken, or a file is not there.
    """
    secrets, zone = load_secrets(settings.secrets_file), load_dns(settings.dns_secrets_file)
    record = Record(settings.record_file, hidden=[*secrets.all(), zone.secret])
    certificate = (settings.cert_file, settings.key_file)
    switch = DeadMansSwitch(record, settings.grace_s)
    web = application(
        record,
        contacts={key: contact for contact, key in secrets.phone_keys.items()},
        slack_webhooks={token: contact for contact, token in secrets.slack_tokens.items()},
        heartbeat_token=secrets.heartbeat_token,
        aws=(secrets.aws_key, secrets.aws_secret),
        topics=settings.topics,
        reader=(READER, secrets.reader_password),
        switch=switch,
        dns=Dns(
            settings.dns_zone,
            [Name(name=name, values=(address,)) for name, address in settings.dns_names.items()],
            Signatures(zone.key, zone.secret, service="route53"),
            settings.dns_records_file,
        ),
    )
    mail = MailFake(
        record,
        host=settings.host,
        port=settings.smtp_port,
        certificate=certificate,
        login=(MAIL_USER, secrets.mail_password),
    )
    with ExitStack() as stack:
        server = HttpsServer(settings.host, settings.https_port, *certificate, web, program="receivers")
        stack.callback(server.stop)
        mail.start()
        stack.callback(mail.stop)
        server.start()
        switch.start()
        stack.callback(switch.stop)
        yield record


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; 2 when the settings are wrong or an address is taken."""
    parser = argparse.ArgumentParser(prog="lab.fakes.receivers", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="JSON or YAML; see lab/fakes/receivers/settings.py")
    given = parser.parse_args(arguments)
    for name in [variable for variable in os.environ if variable.startswith(("AWS_", "MOTO_"))]:
        del os.environ[name]
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        settings = load(given.config)
        with running(settings) as record:
            print(
                f"listening on {settings.host}: https {settings.https_port}, smtp {settings.smtp_port}; "
                f"{len(record.since())} notifications from before",
                flush=True,
            )
            wait_for_stop(stop)
    except (SettingsError, LabError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
