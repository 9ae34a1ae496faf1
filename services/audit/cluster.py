"""Requests at the API server as accesses: events of ``audit.k8s.io/v1``, as kube-apiserver's audit webhook posts them,
and the endpoint that it posts them to: ``POST /cluster`` with a bearer token; 200 means that Kafka has what the post
told.

Told are, of one namespace: what changes something, reads of Secrets, programs and connections in pods, and all that is
refused; of lists of Secrets also those of all namespaces. Content of objects is in no field that is read here. A client
chooses names, paths, the ``Audit-ID`` of its request and the first of its addresses (``X-Forwarded-For``): names are
taken in their legal form, the last address is that of the connection, and nothing depends on the ``Audit-ID`` alone.

kube-apiserver sends a post that was not answered with 200 again, four times, then drops it. What was taken is written
even when its answer came too late; the same event is taken once, over restarts too.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.audit import Cluster, Source
from services.audit.follower import gap
from services.audit.journal import MOST_KNOWN, FullError, Past, Writer, request_key
from services.audit.metrics import Metrics
from services.audit.records import REFUSALS, UNKNOWN, Access, Entry, UnreadableLineError, outcome_of, plain
from services.runtime.https import HttpsServer, Limits
from services.runtime.serving import Incoming, RefusedError, Room, answer, later

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

PATH: Final = "/cluster"
MOST_BODY_BYTES: Final = 16 * 1024 * 1024
"""Largest post: see `MOST_EVENT_BYTES`."""
MOST_EVENT_BYTES: Final = 12 * 1024 * 1024
"""Above what a client can make of one event with a path of 1 MiB, which is in it as name and in its message too."""
INITIAL_BACKOFF_S: Final = 30.0
"""Pause of the API server before it sends a post again; each later one is half as long again."""
MOST_EVENTS: Final = 1000
"""Events of one post; kube-apiserver sends 400 at most unless it is told otherwise."""
SECRETS: Final = "secrets"
_WRITES: Final = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_SESSIONS: Final = {
    "exec": "exec",
    "attach": "attach",
    "portforward": "forward port",
    "log": "read log",
    "proxy": "proxy",
}
"""Subresource -> action. A request for one may last for hours: it is told when it begins."""
_ANONYMOUS: Final = "system:anonymous"
_MASTERS: Final = "system:masters"
_UNAUTHORIZED: Final = 401
_USER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:/=,+# -]{0,252}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,252}")
_WORD: Final = re.compile(r"[a-z][a-z0-9.-]{0,99}")
_ADDRESS: Final = re.compile(r"[0-9A-Fa-f.:]{2,45}")
_OWN: Final = ("system:serviceaccount:kube-system:", "system:node:", "system:kube-", "system:apiserver")
"""How names of Kubernetes' own parts begin."""


class _Read(BaseModel):
    """A part of an event; fields that are not needed are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _User(_Read):
    username: str = ""
    groups: tuple[str, ...] = ()


class _Object(_Read):
    resource: str = ""
    namespace: str = ""
    name: str = ""
    group: str = Field(default="", alias="apiGroup")
    subresource: str = ""


class _Status(_Read):
    code: int = 0


class Request(_Read):
    """What is read of an event: a stage of one request."""

    audit_id: str = Field(alias="auditID")
    stage: Literal["RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"]
    verb: str
    user: _User = _User()
    impersonated: _User | None = Field(default=None, alias="impersonatedUser")
    addresses: tuple[str, ...] = Field(default=(), alias="sourceIPs")
    place: _Object | None = Field(default=None, alias="objectRef")
    status: _Status = Field(default=_Status(), alias="responseStatus")
    received: datetime = Field(alias="requestReceivedTimestamp")
    at: datetime = Field(alias="stageTimestamp")

    @property
    def digest(self) -> str:
        """Of all that is read: equal where the same event is posted again, and for no other one."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:32]


class _EventList(_Read):
    kind: Literal["EventList"]
    version: Literal["audit.k8s.io/v1"] = Field(alias="apiVersion")
    items: Annotated[list[Any], Field(max_length=MOST_EVENTS)]


def events(body: bytes) -> Sequence[Any]:
    """The events of a post.

    Raises:
        UnreadableLineError: It is no list of events, or one with too many.
    """
    try:
        return _EventList.model_validate_json(body).items
    except ValidationError:
        raise UnreadableLineError(
            f"a post is no EventList of audit.k8s.io/v1 with at most {MOST_EVENTS} events"
        ) from None


def request(event: Any) -> Request:
    """One event.

    Raises:
        UnreadableLineError: It has not the form of one.
    """
    try:
        return Request.model_validate(event)
    except ValidationError:
        raise UnreadableLineError("an event of the API server cannot be read") from None


def access(told: Request, namespace: str) -> Access | None:
    """The access that an event tells of; None where it is about none of this namespace."""
    place, code = told.place, told.status.code
    if place is None or not _is_its_stage(told, place) or not _is_of_interest(told, place, namespace):
        return None
    detail = {"status": str(code)}
    if told.impersonated is not None:
        detail["as"] = plain(told.impersonated.username, _USER)
    if _MASTERS in told.user.groups:
        detail["group"] = _MASTERS
    return Access(
        time=told.received,
        who=plain(told.user.username, _USER) if told.user.username else UNKNOWN,
        origin=plain(told.addresses[-1], _ADDRESS) if told.addresses else UNKNOWN,
        action=_action(told.verb, place),
        target=_target(told, place),
        outcome=outcome_of(code),
        detail=detail,
    )


def _is_its_stage(told: Request, place: _Object) -> bool:
    """Whether the request is told at this stage: a long one when it begins, another one when it was answered."""
    if told.stage == "ResponseStarted":
        # Where nobody was recognized, no other stage follows.
        return _is_long(told, place) or told.status.code == _UNAUTHORIZED
    return told.stage == "Panic" or (told.stage == "ResponseComplete" and not _is_long(told, place))


def _is_long(told: Request, place: _Object) -> bool:
    return told.verb in ("watch", "proxy") or place.subresource in _SESSIONS


def _is_of_interest(told: Request, place: _Object, namespace: str) -> bool:
    secrets = place.resource == SECRETS and not place.group
    if place.namespace != namespace and not (secrets and not place.namespace):
        return False
    if told.status.code in REFUSALS:
        return True
    if place.resource == "events" and told.user.username.startswith(_OWN):
        return False
    return told.verb in _WRITES or secrets or place.subresource in _SESSIONS


def _action(verb: str, place: _Object) -> str:
    if place.subresource in _SESSIONS:
        return _SESSIONS[place.subresource]
    word = plain(verb, _WORD)
    return f"{word} {plain(place.subresource, _WORD)}" if place.subresource else word


def _target(told: Request, place: _Object) -> str:
    kind = ".".join(plain(part, _WORD) for part in (place.resource, place.group) if part)
    if not place.namespace:
        return f"{kind} of all namespaces"
    # Whoever has no account may try as many names as they like.
    nobody = told.user.username in ("", _ANONYMOUS)
    return f"{kind}/{plain(place.name, _NAME)}" if place.name and not nobody else kind


GIVES_UP_S: Final = INITIAL_BACKOFF_S * (1 + 1.5 + 1.5**2 + 1.5**3)
"""When it drops a post that was never taken."""
QUIET_S: Final = 900.0
"""The audit log's own watches end within five minutes, and each end is posted: longer silence means that none comes."""
_LIMITS: Final = Limits(connections=32, threads=8, body_bytes=2 * MOST_BODY_BYTES, read_s=15.0, total_s=40.0)
_ACKNOWLEDGED_S: Final = 20.0
"""How long a post waits for Kafka: below the 30 s after which the API server breaks off."""
_MOST_WAITING: Final = 5000
_UNREADABLE: Final = ("content", "size")


class _Written(threading.Event):
    """Set once Kafka has the events of a post."""


class ClusterPosts:
    """Takes posts, and has each event written once."""

    def __init__(self, settings: Cluster, namespace: str, metrics: Metrics, log: Callable[[str], None]) -> None:
        """Take posts with the token of ``settings`` about ``namespace``."""
        self._settings, self._namespace, self._metrics, self._log = settings, namespace, metrics, log
        self._room = Room(MOST_BODY_BYTES)
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Written] = OrderedDict()
        self._waiting = 0
        self._writer: Writer | None = None
        self._heard = time.monotonic()
        self._refused_since: float | None = None
        self._problem = ""
        metrics.expect_posts(lambda: time.monotonic() - self._heard < QUIET_S)

    def server(self) -> HttpsServer:
        """A server of its own, whose certificate the API server knows before there is a platform.

        Raises:
            OSError: The address is taken, or the files do not fit together.
        """
        host, _, port = self._settings.listen.rpartition(":")
        tls = self._settings.tls
        return HttpsServer(
            host, int(port), tls.cert_file, tls.key_file, self.application, program="audit-cluster", limits=_LIMITS
        )

    def begin(self, writer: Writer, known: Past) -> None:
        """Take posts from now on; ``known`` is what was written by an earlier process."""
        written = _Written()
        written.set()
        self._known.update(dict.fromkeys(sorted(known.requests), written))
        away_s = known.away_s(datetime.now(UTC))
        if away_s > GIVES_UP_S:
            self._metrics.gaps.labels(Source.CLUSTER).inc()
            writer.emit(_not_taken(away_s))
        self._writer = writer

    def application(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        """The endpoint as a WSGI application."""
        if environ.get("PATH_INFO", "") != PATH:
            return answer(start, HTTPStatus.NOT_FOUND, f"try {PATH}")
        incoming = Incoming(environ, MOST_BODY_BYTES)
        try:
            self._take(incoming)
        except RefusedError as refusal:
            incoming.discard()
            if refusal.reason:
                self._metrics.posts.labels(refusal.reason).inc()
                if refusal.reason in _UNREADABLE:
                    self._unreadable(str(refusal))
                self._tell(f"a post of {incoming.address} was refused ({refusal.reason}): {refusal}")
            return answer(start, refusal.status, str(refusal), *refusal.headers)
        self._metrics.posts.labels("written").inc()
        self._tell("")
        return answer(start, HTTPStatus.OK, "written")

    def _take(self, incoming: Incoming) -> None:
        self._admit(incoming)
        self._heard = time.monotonic()
        with self._room.reserved(incoming.left):
            entries = self._entries(incoming.body())
        deadline = time.monotonic() + _ACKNOWLEDGED_S
        for written in self._queued(entries):
            if not written.wait(max(0.0, deadline - time.monotonic())):
                raise later("brokers", "Kafka has not taken all of it yet")

    def _admit(self, incoming: Incoming) -> None:
        """Refuse what may not come in; nothing of its body is read before."""
        if incoming.method != "POST":
            raise RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, "", "only POST", ("Allow", "POST"))
        try:
            token = self._settings.token_file.read_text().strip()
        except OSError:
            raise later("login", "the token file cannot be read") from None
        if not token or not hmac.compare_digest(incoming.authorization.encode(), f"Bearer {token}".encode()):
            challenge = ("WWW-Authenticate", 'Bearer realm="cluster"')
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "login", "the token, please", challenge)
        incoming.known = True
        incoming.check_size()

    def _entries(self, body: bytes) -> dict[str, Entry]:
        """Digest of an event -> what it tells."""
        try:
            posted: Sequence[Any] = events(body)
        except UnreadableLineError as error:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "content", str(error)) from None
        entries: dict[str, Entry] = {}
        for event in posted:
            try:
                stage = request(event)
            except UnreadableLineError as error:
                self._unreadable(str(error))
                continue
            if (reached := access(stage, self._namespace)) is not None:
                digest = stage.digest
                positions = {request_key(digest): stage.at.isoformat()}
                entries[digest] = Entry(access=reached, source=Source.CLUSTER, positions=positions)
        return entries

    def _unreadable(self, reason: str) -> None:
        """Count and write that something of the API server's cannot be read; equal ones become one record."""
        self._metrics.unreadable.labels(Source.CLUSTER).inc()
        if self._writer is not None:
            with suppress(FullError):
                self._writer.emit_all([_gap(reason)], lambda: None)

    def _queued(self, entries: dict[str, Entry]) -> set[_Written]:
        """Put those that are new into the queue, all of them or none; what to wait for.

        Raises:
            RefusedError: There is no room for them.
        """
        with self._lock:
            waits = {self._known[digest] for digest in entries if digest in self._known}
            fresh = {digest: entry for digest, entry in entries.items() if digest not in self._known}
            writer, now = self._writer, time.monotonic()
            if writer is None:
                raise later("busy", "the end of the chain is not known yet")
            if not fresh:
                return waits
            since = self._refused_since or now
            self._refused_since = since
            if self._waiting + len(fresh) > _MOST_WAITING:
                raise later("busy", "too much waits for Kafka")
            written = _Written()

            def acknowledged() -> None:
                written.set()
                with self._lock:
                    self._waiting -= len(fresh)

            missed = [_not_taken(now - since)] if now - since > GIVES_UP_S else []
            try:
                writer.emit_all([*missed, *fresh.values()], acknowledged)
            except FullError:
                raise later("busy", "too much waits for Kafka") from None
            self._metrics.gaps.labels(Source.CLUSTER).inc(len(missed))
            self._refused_since = None
            self._waiting += len(fresh)
            self._known.update(dict.fromkeys(fresh, written))
            while len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)
            return {*waits, written}

    def _tell(self, problem: str) -> None:
        """Log once: the same refusal of many posts is one line, and so is its end."""
        if problem != self._problem:
            self._log(problem or "posts of the API server are taken again")
        self._problem = problem


def _not_taken(seconds: float) -> Entry:
    return _gap(f"no post of the API server was taken for {seconds:.0f} s: it may have dropped some")


def _gap(reason: str) -> Entry:
    return gap(Source.CLUSTER, UNKNOWN, reason, datetime.now(UTC))
