"""The endpoint of the API server: ``POST /cluster`` with a bearer token; 200 means that Kafka has what the post told.

kube-apiserver sends a post that was not answered with 200 again, four times, then drops it. What was taken is written
even when its answer came too late; the same event is taken once, over restarts too.
"""

from __future__ import annotations

import hmac
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from services.audit import Cluster, Source, cluster
from services.audit.cluster import INITIAL_BACKOFF_S, MOST_BODY_BYTES, PATH
from services.audit.follower import gap
from services.audit.journal import Past
from services.audit.lines import UnreadableLineError
from services.audit.metrics import Metrics
from services.audit.records import UNKNOWN, Entry
from services.audit.writer import FullError, Writer
from services.runtime.https import HttpsServer, Limits
from services.runtime.posts import Incoming, RefusedError, Room, answer, later

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

GIVES_UP_S: Final = INITIAL_BACKOFF_S * (1 + 1.5 + 1.5**2 + 1.5**3)
"""When it drops a post that was never taken."""
QUIET_S: Final = 900.0
"""The audit log's own watches end within five minutes, and each end is posted: longer silence means that none comes."""
_LIMITS: Final = Limits(connections=32, threads=8, body_bytes=2 * MOST_BODY_BYTES, read_s=15.0, total_s=40.0)
_ACKNOWLEDGED_S: Final = 20.0
"""How long a post waits for Kafka: below the 30 s after which the API server breaks off."""
_MOST_WAITING: Final = 5000
_MOST_KNOWN: Final = 20_000
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
            events: Sequence[Any] = cluster.events(body)
        except UnreadableLineError as error:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "content", str(error)) from None
        entries: dict[str, Entry] = {}
        for event in events:
            try:
                request = cluster.request(event)
            except UnreadableLineError as error:
                self._unreadable(str(error))
                continue
            if (access := cluster.access(request, self._namespace)) is not None:
                digest = request.digest
                positions = {cluster.request_key(digest): request.at.isoformat()}
                entries[digest] = Entry(access=access, source=Source.CLUSTER, positions=positions)
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
            while len(self._known) > _MOST_KNOWN:
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
