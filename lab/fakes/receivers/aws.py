"""Fakes of AWS, provided by moto, behind AWS' own check of signatures: SMS by SNS, and the zone of both regions' names
by Route 53.

Who subscribed to a topic with which phone number is AWS' business; the fake records what is published.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import re
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, parse_qsl, quote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import create_backend_app
from moto.route53.models import FakeZone, Route53Backend, route53_backends
from moto.sns.models import SNSBackend, sns_backends

from lab.fakes.receivers.record import SMS, Answer, Record
from lab.fakes.receivers.settings import DNS_TTL_S
from ops.core.files import write_private

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

_ALGORITHM = "AWS4-HMAC-SHA256"
_HEADER = re.compile(
    rf"{_ALGORITHM} Credential=(?P<key>[^/,\s]+)/(?P<scope>\d{{8}}/[^/,\s]+/[^/,\s]+/aws4_request),\s*"
    r"SignedHeaders=(?P<headers>[^,\s]+),\s*Signature=(?P<signature>[0-9a-f]{64})"
)
_DATE = "%Y%m%dT%H%M%SZ"
_SKEW = timedelta(minutes=15)


@dataclass(frozen=True)
class Refusal:
    """AWS' error code and message."""

    code: str
    message: str


class Signatures:
    """Knows one access key and its secret."""

    def __init__(
        self, key: str, secret: str, *, service: str, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """Take signatures of this key for this service, made within 15 minutes of the clock."""
        self._key, self._secret, self._service, self._clock = key, secret, service, clock

    def refusal(self, environ: WSGIEnvironment, body: bytes) -> Refusal | None:
        """Why a request is refused, or None where it is signed with the right key."""
        header = environ.get("HTTP_AUTHORIZATION", "")
        if not header:
            return Refusal("MissingAuthenticationToken", "Request is missing Authentication Token")
        match = _HEADER.fullmatch(header.strip())
        if match is None:
            return Refusal("IncompleteSignature", "Authorization header is not a Signature Version 4")
        if not hmac.compare_digest(match["key"], self._key):
            return Refusal("InvalidClientTokenId", "The security token included in the request is invalid.")
        date, _, service, _ = match["scope"].split("/")
        moment = environ.get("HTTP_X_AMZ_DATE", "")
        if service != self._service or not moment.startswith(date) or not self._fresh(moment):
            return Refusal("SignatureDoesNotMatch", f"Signature is for another time or service: {match['scope']}")
        text = "\n".join((_ALGORITHM, moment, match["scope"], _sha256(_canonical(environ, body, match["headers"]))))
        key = f"AWS4{self._secret}".encode()
        for part in match["scope"].split("/"):
            key = _hmac(key, part)
        if not hmac.compare_digest(_hmac(key, text).hex(), match["signature"]):
            return Refusal(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided.",
            )
        return None

    def _fresh(self, moment: str) -> bool:
        try:
            signed = datetime.strptime(moment, _DATE).replace(tzinfo=UTC)
        except ValueError:
            return False
        return abs(self._clock() - signed) <= _SKEW


def _canonical(environ: WSGIEnvironment, body: bytes, signed: str) -> bytes:
    query = sorted(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    lines = [
        environ["REQUEST_METHOD"],
        quote(environ.get("PATH_INFO") or "/", safe="/-_.~"),
        "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in query),
    ]
    for name in signed.split(";"):
        lines.append(f"{name}:{' '.join(_header(environ, name).split())}")
    return "\n".join([*lines, "", signed, _sha256(body)]).encode()


def _header(environ: WSGIEnvironment, name: str) -> str:
    variable = name.upper().replace("-", "_")
    plain = variable in ("CONTENT_TYPE", "CONTENT_LENGTH")
    return str(environ.get(variable if plain else f"HTTP_{variable}", ""))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def ask_moto(application: Any, environ: WSGIEnvironment, body: bytes) -> Answer:
    """The answer of moto's application to a request whose body was read already."""
    got: dict[str, Any] = {}

    def start(status: str, headers: list[tuple[str, str]], *_: Any) -> Callable[[bytes], object]:
        got.update(status=HTTPStatus(int(status.split()[0])), headers=dict(headers))
        return lambda _: None

    content = b"".join(application({**environ, "wsgi.input": io.BytesIO(body)}, start))
    return Answer(status=got["status"], content=content, kind=got["headers"].get("Content-Type", "text/xml"))


def refused(status: HTTPStatus, code: str, message: str, *, namespace: str, request: str) -> Answer:
    """AWS' answer to what it does not do.

    Args:
        status: Of HTTP.
        code: AWS' code of the error.
        message: In words.
        namespace: Of the service's XML.
        request: Id of the request.
    """
    text = (
        f'<ErrorResponse xmlns="{namespace}"><Error><Type>Sender</Type><Code>{code}</Code>'
        f"<Message>{escape(message)}</Message></Error><RequestId>{request}</RequestId></ErrorResponse>"
    )
    return Answer(status=status, content=text.encode(), kind="text/xml")


_SMS_NAMESPACE = "http://sns.amazonaws.com/doc/2010-03-31/"


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
            _sms_backend(topic).create_topic(topic.rpartition(":")[2])
        self._moto = create_backend_app("sns")
        self._lock = threading.Lock()

    def call(self, environ: WSGIEnvironment, body: bytes) -> Answer:
        """Answer a call of the query API; the key may publish only, as a good policy of AWS would have it."""
        refusal = self._signatures.refusal(environ, body) if self._signatures else None
        if refusal is not None:
            return _sms_error(HTTPStatus.FORBIDDEN, refusal.code, refusal.message)
        pairs = parse_qs(body.decode(errors="replace"), keep_blank_values=True)
        form = {name: values[0] for name, values in pairs.items()}
        action = form.get("Action", "")
        if action != "Publish":
            return _sms_error(
                HTTPStatus.FORBIDDEN,
                "AuthorizationError",
                f"User is not authorized to perform: SNS:{action or '(none)'}",
            )
        wrong = _wrong(form)
        if wrong:
            return _sms_error(HTTPStatus.BAD_REQUEST, "InvalidParameter", f"Invalid parameter: {wrong}")
        if _arn(form) not in self._topics:
            return _sms_error(HTTPStatus.NOT_FOUND, "NotFound", "Topic does not exist")
        with self._lock:
            answer = ask_moto(self._moto, environ, body)
            if answer.accepted:
                self._keep(form, answer)
        return answer

    def _keep(self, form: dict[str, str], answer: Answer) -> None:
        """Move the message from moto's memory into the record."""
        message_id = ElementTree.fromstring(answer.content).find(f".//{{{_SMS_NAMESPACE}}}MessageId")  # noqa: S314
        identity = message_id.text if message_id is not None else None
        arn = _arn(form)
        sent = _sms_backend(arn).topics[arn].sent_notifications
        for entry in [entry for entry in sent if entry[0] == identity]:
            sent.remove(entry)
            _, message, subject, attributes, _ = entry
            lines = (subject or message).splitlines()
            content = {"message": message, "subject": subject, "attributes": attributes or {}, "message_id": identity}
            self._record.add(SMS, arn, lines[0] if lines else "", content)


def _arn(form: dict[str, str]) -> str:
    return form.get("TopicArn") or form.get("TargetArn") or ""


def _sms_backend(topic: str) -> SNSBackend:
    _, _, _, region, account, _ = topic.split(":")
    return sns_backends[account][region]


def _wrong(form: dict[str, str]) -> str:
    """What AWS refuses and moto does not."""
    if not _arn(form):
        return "TopicArn or TargetArn Reason: no value for required parameter"
    if not form.get("Message"):
        return "Empty message"
    return "Subject" if not form.get("Subject", "").isprintable() else ""


def _sms_error(status: HTTPStatus, code: str, message: str) -> Answer:
    return refused(status, code, message, namespace=_SMS_NAMESPACE, request=str(uuid.uuid4()))


VERSION = "2013-04-01"
"""First part of every path of the API."""
_ZONE_NAMESPACE = f"https://route53.amazonaws.com/doc/{VERSION}/"
_KEPT = ("A", "CNAME")
_READ = ("hostedzone", "hostedzonesbyname", "hostedzonecount", "change")


@dataclass(frozen=True, kw_only=True)
class Name:
    """A record of the zone: its whole name without the last dot, type, seconds that others keep it, values."""

    name: str
    type: str = "A"
    ttl_s: int = DNS_TTL_S
    values: tuple[str, ...]


class Dns:
    """One zone, and a key that may read it and change its records, and nothing else."""

    def __init__(self, zone: str, names: Sequence[Name], signatures: Signatures | None, file: Path | None) -> None:
        """Make the zone; what another fake of this process had is gone.

        Args:
            zone: Its name, without the last dot.
            names: What it holds at first.
            signatures: What checks that a request is signed with the right key; None takes every key.
            file: Where records are kept, so that a restart forgets none; None keeps none.

        Raises:
            OSError: The file is there and cannot be read.
        """
        self._signatures, self._file, self._lock = signatures, file, threading.Lock()
        backend = _zone_backend()
        backend.reset()
        self._zone: FakeZone = backend.create_hosted_zone(name=f"{zone}.", private_zone=False)
        # As changes: moto knows what may be created or deleted from those it has seen.
        stored_names = _read(file) if file is not None else None
        backend.change_resource_record_sets(self._zone.id, [_created(name) for name in stored_names or names])
        self._moto = create_backend_app("route53")

    def names(self) -> list[Name]:
        """Addresses and aliases of the zone."""
        return [
            Name(name=rrset.name.rstrip("."), type=rrset.type, ttl_s=int(rrset.ttl or 0), values=tuple(rrset.records))
            for rrset in self._zone.rrsets
            if rrset.type in _KEPT and rrset.records
        ]

    def call(self, environ: WSGIEnvironment, body: bytes) -> Answer:
        """Answer a call of the API."""
        refusal = self._signatures.refusal(environ, body) if self._signatures else None
        if refusal is not None:
            return _zone_error(HTTPStatus.FORBIDDEN, refusal.code, refusal.message)
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "").rstrip("/")
        first = path.removeprefix(f"/{VERSION}/").partition("/")[0]
        change = method == "POST" and path == f"/{VERSION}/hostedzone/{_plain(self._zone.id)}/rrset"
        if not change and (method != "GET" or first not in _READ):
            return _zone_error(HTTPStatus.FORBIDDEN, "AccessDenied", f"User is not authorized to {method} {path}")
        with self._lock:
            answer = ask_moto(self._moto, environ, body)
            if change and answer.accepted and self._file is not None:
                _write(self._file, self.names())
        return answer


def _zone_backend() -> Route53Backend:
    return route53_backends[DEFAULT_ACCOUNT_ID]["aws"]


def _created(name: Name) -> dict[str, Any]:
    record = {
        "Name": name.name,
        "Type": name.type,
        "TTL": name.ttl_s,
        "ResourceRecords": [{"Value": value} for value in name.values],
    }
    return {"Action": "CREATE", "ResourceRecordSet": record}


def _plain(zone: str) -> str:
    return zone.rpartition("/")[2]


def _read(file: Path) -> list[Name] | None:
    if not file.exists():
        return None
    entries: list[Mapping[str, Any]] = json.loads(file.read_text())
    return [Name(**{**entry, "values": tuple(entry["values"])}) for entry in entries]


def _write(file: Path, names: Sequence[Name]) -> None:
    write_private(file, json.dumps([name.__dict__ for name in names], indent=1).encode() + b"\n")


def _zone_error(status: HTTPStatus, code: str, message: str) -> Answer:
    return refused(status, code, message, namespace=_ZONE_NAMESPACE, request=str(uuid.uuid4()))
