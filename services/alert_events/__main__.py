"""The program: serve both endpoints until asked to stop, then end the posts that are under way.

Each endpoint has its own login; 200 means that Kafka has every record of the post. What is no alert, or is too large,
is left out and counted, also with 200: after a 400 Alertmanager would send the whole group again at each of its
intervals, and none of the rest would be news.

A request is read within limits: how long it may take, how much is held at once, how it is refused.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from services.alert_events import AlertEventsSettings, events
from services.alert_events.events import ContentError, Post
from services.runtime import serving
from services.runtime.https import Limits
from services.runtime.kafka_sender import ANSWER_S, BrokersError, BusyError, Sender
from services.runtime.serving import Incoming, RefusedError, Room, answer, https_server, later, operator_log
from services.runtime.settings import Login

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


MOST_BODY_BYTES = 16 * 1024 * 1024
"""Largest post: thousands of alerts in one notification."""
MOST_BYTES_AT_ONCE = 2 * MOST_BODY_BYTES
"""Bodies that are held at the same time, in all."""
LIMITS = Limits(connections=64, threads=64, body_bytes=8 * MOST_BODY_BYTES)
"""Each connection may wait for the brokers; what is too large is refused with a reason, up to eight times as much."""
_MOST_LOGGED = 100
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_REASONS = ("login", "content", "size", "cut", "busy", "brokers")


@dataclass(frozen=True, kw_only=True)
class _Endpoint:
    name: str
    path: str
    login: Login
    topic: str
    read: Callable[[bytes, datetime, str], Post]


class Endpoints:
    """``POST /raw/api/v2/alerts`` for Prometheus and ``POST /processed`` for Alertmanager."""

    def __init__(
        self, settings: AlertEventsSettings, sender: Sender, registry: CollectorRegistry, log: Callable[[str], None]
    ) -> None:
        """Let in whom ``settings`` name, write by ``sender``, count in ``registry``, write changes by ``log``."""
        raw = _Endpoint(
            name="raw",
            path="/raw/api/v2/alerts",
            login=settings.prometheus,
            topic=settings.topics.raw,
            read=events.raw,
        )
        processed = _Endpoint(
            name="processed",
            path="/processed",
            login=settings.alertmanager,
            topic=settings.topics.processed,
            read=events.processed,
        )
        self._endpoints = {endpoint.path: endpoint for endpoint in (raw, processed)}
        self._sender, self._log = sender, log
        self._room = Room(MOST_BYTES_AT_ONCE)
        self._last_refusal: dict[tuple[str, str], str] = {}
        self._measures(registry)

    def _measures(self, registry: CollectorRegistry) -> None:
        self._written = Counter(
            "alert_events_written", "Records that the brokers acknowledged", ["endpoint"], registry=registry
        )
        self._refused = Counter(
            "alert_events_refused",
            "Posts that were refused, or of which a part was, by reason",
            ["endpoint", "reason"],
            registry=registry,
        )
        self._seconds = Histogram(
            "alert_events_post_seconds",
            "From a whole post to its acknowledgement",
            ["endpoint"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._last = Gauge(
            "alert_events_last_write_timestamp_seconds",
            "When a post was last acknowledged; 0 before the first",
            ["endpoint"],
            registry=registry,
        )
        for name in (endpoint.name for endpoint in self._endpoints.values()):
            for measure in (self._written, self._seconds, self._last):
                measure.labels(name)
            for reason in _REASONS:
                self._refused.labels(name, reason)

    def application(self, rest: WSGIApplication) -> WSGIApplication:
        """Both endpoints as a WSGI application; ``rest`` answers for every other path."""

        def serve(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
            endpoint = self._endpoints.get(environ.get("PATH_INFO", ""))
            if endpoint is None:
                return rest(environ, start)
            incoming = Incoming(environ, MOST_BODY_BYTES)
            try:
                left_out = self._take(endpoint, incoming)
            except RefusedError as refusal:
                incoming.discard()
                if refusal.reason:
                    self._refused.labels(endpoint.name, refusal.reason).inc()
                    self._log_change(endpoint, incoming.address, refusal.reason, str(refusal))
                return answer(start, refusal.status, str(refusal), *refusal.headers)
            if left_out:
                self._refused.labels(endpoint.name, "content").inc()
            self._log_change(endpoint, incoming.address, "content" if left_out else "", left_out)
            return answer(start, HTTPStatus.OK, left_out or "written")

        return serve

    def _take(self, endpoint: _Endpoint, incoming: Incoming) -> str:
        """Write a post; what was left out of it, or nothing."""
        _admit(endpoint, incoming)
        with self._room.reserved(incoming.left):
            body = incoming.body()
            began = time.monotonic()
            try:
                post = endpoint.read(body, datetime.now(UTC), incoming.address)
                self._sender.send(endpoint.topic, post.records)
            except ContentError as error:
                raise RefusedError(HTTPStatus.BAD_REQUEST, "content", str(error)) from None
            except BusyError as error:
                raise later("busy", str(error)) from None
            except BrokersError as error:
                raise later("brokers", str(error)) from None
        self._seconds.labels(endpoint.name).observe(time.monotonic() - began)
        self._written.labels(endpoint.name).inc(len(post.records))
        self._last.labels(endpoint.name).set_to_current_time()
        if not post.unusable:
            return ""
        return f"{post.unusable} were left out, the others are written: {post.complaint}"

    def _log_change(self, endpoint: _Endpoint, address: str, reason: str, text: str) -> None:
        """Log once: the same refusal of many posts of a sender is one line, and so is its end."""
        sender = (endpoint.name, address)
        before = self._last_refusal.pop(sender, "")
        if reason:
            if len(self._last_refusal) >= _MOST_LOGGED:
                self._last_refusal.clear()
            # That others wait for the brokers as well is no news.
            self._last_refusal[sender] = before if (before, reason) == ("brokers", "busy") else reason
        if self._last_refusal.get(sender, "") == before:
            return
        if reason:
            self._log(f"{endpoint.name}: a post of {address} was refused ({reason}): {text}")
        else:
            self._log(f"{endpoint.name}: posts of {address} are written again")


def _admit(endpoint: _Endpoint, incoming: Incoming) -> None:
    """Refuse what may not come in; nothing of its body is read before."""
    if incoming.method != "POST":
        raise RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, "", "only POST", ("Allow", "POST"))
    try:
        password = endpoint.login.password_file.read_text().strip()
    except OSError:
        raise later("login", "the password file cannot be read") from None
    if not serving.allowed(incoming.authorization, endpoint.login.user, password):
        challenge = ("WWW-Authenticate", f'Basic realm="{endpoint.name}"')
        raise RefusedError(HTTPStatus.UNAUTHORIZED, "login", "user and password, please", challenge)
    incoming.known = True
    incoming.check_size()


_PAUSE_S = 2.0


log = operator_log("alert-events")
"""Writes one line for the operator; never a part of an alert."""


class Service(serving.Service):
    """Both endpoints, the metrics and the probes behind one port."""

    def __init__(self, settings: AlertEventsSettings) -> None:
        """Listen as ``settings`` say.

        Raises:
            OSError: The address is taken, or the certificate does not fit its key.
        """
        super().__init__()
        self._reached = threading.Event()
        self._sender = Sender(settings, "alert-events")
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        endpoints = Endpoints(settings, self._sender, registry, log)
        self.server = https_server(
            settings,
            registry,
            self._sender.alive,
            self._ready,
            program="alert-events",
            pages=endpoints.application,
            limits=LIMITS,
        )

    def _ready(self) -> bool:
        """Ready once the brokers knew both topics; later they may be away, and senders are told so by answers."""
        return self._reached.is_set() and not self._stop.is_set()

    def begin(self, stop: threading.Event) -> None:
        """Ask for the topics until the brokers know them."""
        threading.Thread(target=self._reach, args=(stop,), daemon=True).start()

    def end(self) -> None:
        """Answer the posts that are under way first."""
        if not self.server.stop(ANSWER_S + 1):
            log("stopped before every post was answered; their senders come again")
        self._sender.close()

    def _reach(self, stop: threading.Event) -> None:
        told = ""
        while not stop.is_set():
            try:
                self._sender.reach()
            except BrokersError as error:
                if str(error) != told:
                    told = str(error)
                    log(f"not ready: {told}")
                stop.wait(_PAUSE_S)
            else:
                self._reached.set()
                log("the brokers know both topics")
                return


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Returns 0 then, 2 for a mistake in the settings."""
    return serving.main(
        arguments,
        program="alert-events",
        description="Alerts and notifications into Kafka.",
        make=lambda file: Service(AlertEventsSettings.load(file)),
        log=log,
    )


if __name__ == "__main__":
    sys.exit(main())
