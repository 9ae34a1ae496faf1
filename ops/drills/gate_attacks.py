"""Attacks on the gateway of the own platform, each bounded in time and count, with the answer that it must get.

What an attack must not do: reach Kafka, end a gateway, or be felt by another layer's client (`gate_run`).
"""

from __future__ import annotations

import os
import resource
import secrets
import selectors
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from components.telemetry.layers import LAYERS
from ops.core import otlp
from ops.core.errors import OpsError
from ops.drills import gate_bodies as bodies
from ops.drills.gate_target import (
    ANSWER_S,
    CLOSED,
    RESET,
    Target,
    basic,
    channel,
    connect,
    grpc_code,
    head,
    opened,
    pinged,
    post,
    reset_streams,
)

ATTACKER: Final = LAYERS[0]
"""The layer as which attacks sign in."""
NEIGHBOUR: Final = LAYERS[1]
"""Another one, which must not feel them."""
BUDGET_TIMES: Final = 10
_MIB: Final = 1024 * 1024
_UNPACKED: Final = 256 * _MIB
_HUGE: Final = 64 * _MIB
_FITS: Final = _MIB * 3 // 2
"""Bytes of a request that is below the limit, so that it is decoded."""
_TWO_BYTES: Final = 950_000
"""Attributes of two bytes in such a request."""
_TOO_LARGE: Final = frozenset(("400", "413"))
OPEN, REFUSED = "still open", "not accepted"
_HTTP: Final = "http_server_request_duration_seconds_count"
_RPC: Final = "rpc_server_call_duration_seconds_count"
_REFUSED: Final = "otelcol_gate_refused_items_total"
_LOGINS: Final = "otelcol_login_refused_requests_total"


@dataclass(frozen=True, kw_only=True)
class Counted:
    """A counter of the gateways that has to rise.

    Attributes:
        metric: Name in Prometheus.
        labels: Label -> value, a regular expression.
        at_least: By how much; counters of Prometheus may miss the first rise of a series, so a part of what was sent.
    """

    metric: str
    labels: Mapping[str, str]
    at_least: int = 1

    def selector(self, job: str = "") -> str:
        """The series in PromQL."""
        labels = {**({"job": job} if job else {}), **self.labels}
        matchers = ",".join(f'{key}=~"{value}"' for key, value in labels.items())
        return f"{self.metric}{{{matchers}}}"


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One attack.

    Attributes:
        name: Of its figures.
        what: What is sent, and how much of it.
        answers: What it may be answered.
        limit_s: Seconds that it lasts at most; it ends by itself.
        run: Sends it; how often each answer came.
        counted: The counters that rise; none where nothing of a request arrives that could be counted.
    """

    name: str
    what: str
    answers: frozenset[str]
    limit_s: float
    run: Callable[[Target, float], Counter[str]] = field(repr=False)
    counted: tuple[Counted, ...] = ()


def _resource(instance: str = "gate-attack") -> dict[str, str]:
    return otlp.resource_of(ATTACKER.name, "e2e", instance)


def _own(target: Target) -> str:
    return target.header(ATTACKER.name)


def _posts(
    make: Callable[[], bytes],
    times: int,
    *,
    path: str = "/v1/logs",
    encoding: str = "",
    content_type: str = "application/x-protobuf",
) -> Callable[[Target, float], Counter[str]]:
    """Posts the same body again and again, four at once, until the time is up."""

    def run(target: Target, until: float) -> Counter[str]:
        body = make()

        def send(_: int) -> str:
            if time.monotonic() > until:
                return ""
            authorization = _own(target)
            return post(target, path, body, authorization=authorization, encoding=encoding, content_type=content_type)[
                0
            ]

        with ThreadPoolExecutor(4) as threads:
            return Counter(answer for answer in threads.map(send, range(times)) if answer)

    return run


def _deep(target: Target, until: float) -> Counter[str]:
    """Lists in lists and maps in maps, as body and as attribute, below the limit of a request, eight at once."""
    variants = [
        bodies.deep_log(_resource(), _FITS, maps=maps, attribute=attribute)
        for maps in (False, True)
        for attribute in (False, True)
    ]

    def send(number: int) -> str:
        if time.monotonic() > until:
            return ""
        return post(target, "/v1/logs", variants[number % len(variants)], authorization=_own(target))[0]

    with ThreadPoolExecutor(8) as threads:
        return Counter(answer for answer in threads.map(send, range(40)) if answer)


def _deep_grpc(target: Target, until: float) -> Counter[str]:
    """The same over gRPC, sixteen at once on one connection."""
    message = bodies.deep_log(_resource(), _FITS)

    with channel(target) as connection, ThreadPoolExecutor(16) as threads:

        def send(_: int) -> str:
            return "" if time.monotonic() > until else grpc_code(connection, "logs", message, _own(target))

        return Counter(answer for answer in threads.map(send, range(32)) if answer)


def _passwords(target: Target, until: float) -> Counter[str]:
    """Right user names with wrong passwords, each another one, on eight connections."""
    user = target.logins[ATTACKER.name][0]
    number = count()

    def flood(thread: int) -> Counter[str]:
        answers: Counter[str] = Counter()
        connection: ssl.SSLSocket | None = None
        while next(number) < 4000 and time.monotonic() < until:
            try:
                connection = connection or connect(target, target.http)
                wrong = basic(user, secrets.token_hex(8))
                answer, _ = post(target, "/v1/metrics", b"", authorization=wrong, connection=connection)
            except OSError:
                answer = RESET
            answers[answer] += 1
            if not answer.isdigit() and connection is not None:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()
        return answers

    with ThreadPoolExecutor(8) as threads:
        return sum(threads.map(flood, range(8)), Counter())


def _paths(target: Target, until: float) -> Counter[str]:
    """Paths that there are not, with the right password and without one."""
    paths = ("/", "/v1/profiles", "/v1/metrics/../../etc/passwd", "/metrics", "/debug/pprof/", "/v1/" + "x" * 4000)
    answers: Counter[str] = Counter()
    for number in range(300):
        if time.monotonic() > until:
            break
        authorization = _own(target) if number % 2 else ""
        answers[post(target, paths[number % len(paths)], b"x", authorization=authorization)[0]] += 1
    return answers


def _garbage_grpc(target: Target, until: float) -> Counter[str]:
    answers: Counter[str] = Counter()
    with channel(target) as connection:
        for number in range(200):
            if time.monotonic() > until:
                break
            message = b"\xff" + os.urandom(16 * 1024)
            answers[grpc_code(connection, ("metrics", "traces", "logs")[number % 3], message, _own(target))] += 1
    return answers


def _large_grpc(target: Target, until: float) -> Counter[str]:
    """Messages of three times the limit, as they are; half of them without a password."""
    answers: Counter[str] = Counter()
    with channel(target) as connection:
        for number in range(40):
            if time.monotonic() > until:
                break
            authorization = _own(target) if number % 2 else ""
            answers[grpc_code(connection, "metrics", bytes(6 * _MIB), authorization)] += 1
    return answers


def _resets(protocol_at: Callable[[Target], tuple[str, int]]) -> Callable[[Target, float], Counter[str]]:
    """Streams that are begun and at once reset, on connections of HTTP/2, without a password."""

    def run(target: Target, until: float) -> Counter[str]:
        answers: Counter[str] = Counter()
        for _ in range(20):
            if time.monotonic() > until:
                break
            try:
                with connect(target, protocol_at(target), "h2") as connection:
                    begin, block = opened(target, protocol_at(target))
                    connection.sendall(begin)
                    for first in range(1, 4001, 400):
                        connection.sendall(reset_streams(block, range(first, first + 400, 2)))
                    answers[pinged(connection, 30.0)] += 1
            except OSError:
                answers[RESET] += 1
        return answers

    return run


def _budget(target: Target, until: float) -> Counter[str]:
    """One device that sends ten times the series that one may have, on one connection."""
    device = _resource(f"gate-attack-{secrets.token_hex(4)}")
    most = ATTACKER.budget.client_series
    answers: Counter[str] = Counter()
    with connect(target, target.http) as connection:
        for start in range(0, BUDGET_TIMES * most, most):
            if time.monotonic() > until:
                break
            now = time.time_ns()
            points = [(now, 1.0, {"run": f"gate-{start + number}"}) for number in range(most)]
            body = otlp.gauge(device, "obs_e2e_marker", points).SerializeToString()
            answer, told = post(target, "/v1/metrics", body, authorization=_own(target), connection=connection)
            answers[answer if answer == "200" or b"client_budget" in told else f"{answer} without its reason"] += 1
    return answers


def _trickle(
    connections: int, request: Callable[[Target], bytes], unit: Callable[[int], bytes]
) -> Callable[[Target, float], Counter[str]]:
    """Connections on which a byte comes every half second, until the server ends them."""

    def run(target: Target, until: float) -> Counter[str]:
        first = request(target)
        with held(target, target.http, "http/1.1", connections) as sockets:
            for connection in sockets:
                connection.sendall(first)
            return waited(sockets, until, unit, connections)

    return run


def _idle(
    connections: int, at: Callable[[Target], tuple[str, int]], protocol: str
) -> Callable[[Target, float], Counter[str]]:
    """Connections on which nothing comes at all, until the server ends them."""

    def run(target: Target, until: float) -> Counter[str]:
        with held(target, at(target), protocol, connections) as sockets:
            if protocol == "h2":
                for connection in sockets:
                    connection.sendall(opened(target, at(target))[0])
            return waited(sockets, until, connections=connections)

    return run


@contextmanager
def held(target: Target, at: tuple[str, int], protocol: str, connections: int) -> Iterator[list[ssl.SSLSocket]]:
    """So many connections at once, eight opened at a time; closed at the end.

    Raises:
        OpsError: This machine does not allow as many open files.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + 256
    if soft < needed:
        if hard not in (resource.RLIM_INFINITY,) and hard < needed:
            raise OpsError(f"{connections} connections need {needed} open files, this machine allows {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    sockets: list[ssl.SSLSocket] = []

    def open_one(_: int) -> None:
        try:
            sockets.append(connect(target, at, protocol))
        except OSError:
            return  # It was refused, which is an answer too: fewer are held.

    try:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(open_one, range(connections)))
        yield sockets
    finally:
        for connection in sockets:
            connection.close()


def waited(
    sockets: list[ssl.SSLSocket], until: float, unit: Callable[[int], bytes] = lambda _: b"", connections: int = 0
) -> Counter[str]:
    """Wait until the server has ended every connection, with a byte every half second on each; how each ended.

    Args:
        sockets: Connections that are open.
        until: Moment after which they are `OPEN`.
        unit: What is sent in a turn.
        connections: How many were tried; those that are not open were refused.
    """
    answers: Counter[str] = Counter({REFUSED: connections - len(sockets)} if connections else {})
    said: dict[ssl.SSLSocket, bytes] = dict.fromkeys(sockets, b"")
    with selectors.DefaultSelector() as selector:
        for connection in sockets:
            connection.setblocking(False)
            selector.register(connection, selectors.EVENT_READ)

        def ended(connection: ssl.SSLSocket, how: str) -> None:
            selector.unregister(connection)
            text = said.pop(connection)
            answers[text.split(b" ", 2)[1].decode() if text.startswith(b"HTTP/1.1 ") else how] += 1

        turn = 0
        while said and time.monotonic() < until:
            for key, _ in selector.select(0.5):
                readable = key.fileobj
                if not isinstance(readable, ssl.SSLSocket):
                    continue
                try:
                    while chunk := readable.recv(65536):
                        said[readable] += chunk
                    ended(readable, CLOSED)
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    pass
                except OSError:
                    ended(readable, RESET)
            turn += 1
            for connection in list(said) if unit(turn) else ():
                try:
                    connection.sendall(unit(turn))
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    pass
                except OSError:
                    ended(connection, RESET)
        answers[OPEN] += len(said)
    return +answers


def _half_body(target: Target) -> bytes:
    headers = {"Authorization": _own(target), "Content-Type": "application/x-protobuf", "Content-Length": "1000000"}
    return head(target, "/v1/metrics", headers)


def _half_head(target: Target) -> bytes:
    return head(target, "/v1/metrics", {"Authorization": _own(target)})[:-2] + b"X-Slow: "


def _http(code: str, at_least: int = 1) -> Counted:
    return Counted(metric=_HTTP, labels={"http_response_status_code": code}, at_least=at_least)


def _rpc(code: str, at_least: int = 1) -> Counted:
    return Counted(metric=_RPC, labels={"rpc_response_status_code": code}, at_least=at_least)


def _login(reason: str, at_least: int = 1) -> Counted:
    return Counted(metric=_LOGINS, labels={"reason": reason}, at_least=at_least)


def _reason(reason: str, at_least: int = 1) -> Counted:
    return Counted(metric=_REFUSED, labels={"layer": ATTACKER.name, "reason": reason}, at_least=at_least)


ENDED: Final = frozenset((CLOSED, RESET, REFUSED))
ATTACKS: Final[tuple[Attack, ...]] = (
    Attack(
        name="gzip bomb",
        what=f"20 bodies of zeros that unpack to {_UNPACKED // _MIB} MiB",
        answers=_TOO_LARGE,
        limit_s=60,
        run=_posts(lambda: bodies.gzip_bomb(_UNPACKED), 20, encoding="gzip"),
        counted=(_http("400|413", 10),),
    ),
    Attack(
        name="zstd bomb",
        what=f"20 bodies of zeros that unpack to {_UNPACKED // _MIB} MiB",
        answers=_TOO_LARGE,
        limit_s=60,
        run=_posts(lambda: bodies.zstd_bomb(_UNPACKED), 20, encoding="zstd"),
        counted=(_http("400|413", 10),),
    ),
    Attack(
        name="chain of encodings",
        what=f"20 gzip bombs of {_UNPACKED // _MIB} MiB within gzip, said to be `gzip, gzip`",
        answers=frozenset(("400", "415")),
        limit_s=60,
        run=_posts(lambda: bodies.gzip_chain(_UNPACKED), 20, encoding="gzip, gzip"),
        counted=(_http("400|415", 10),),
    ),
    Attack(
        name="deflate",
        what="20 bodies with an encoding that is not offered",
        answers=frozenset(("400", "415")),
        limit_s=60,
        run=_posts(lambda: bytes(_MIB), 20, encoding="deflate"),
        counted=(_http("400|415", 10),),
    ),
    Attack(
        name="huge bodies",
        what=f"20 bodies of {_HUGE // _MIB} MiB as they are",
        answers=_TOO_LARGE,
        limit_s=90,
        run=_posts(lambda: bytes(_HUGE), 20),
        counted=(_http("400|413", 10),),
    ),
    Attack(
        name="deep nesting",
        what="40 log records, body or attribute nested over a hundred thousand deep in lists or maps, 8 at once",
        answers=frozenset(("400",)),
        limit_s=90,
        run=_deep,
        counted=(_reason("depth", 10),),
    ),
    Attack(
        name="deep nesting over gRPC",
        what="32 log records nested over a hundred thousand deep, 16 at once",
        answers=frozenset(("INVALID_ARGUMENT", "UNAVAILABLE")),
        limit_s=90,
        run=_deep_grpc,
        counted=(_reason("depth", 10),),
    ),
    Attack(
        name="deep nesting as JSON",
        what="20 bodies of JSON nested tens of thousands deep",
        answers=frozenset(("400",)),
        limit_s=60,
        run=_posts(lambda: bodies.deep_json(_FITS), 20, content_type="application/json"),
        counted=(_login("depth", 10),),
    ),
    Attack(
        name="attributes of a record",
        what=f"20 log records with {_TWO_BYTES:,} attributes each",
        answers=frozenset(("400",)),
        limit_s=90,
        run=_posts(lambda: bodies.attribute_log(_resource(), _TWO_BYTES), 20),
        counted=(_login("attributes", 10),),
    ),
    Attack(
        name="attributes of a resource",
        what=f"20 resources with {_TWO_BYTES:,} attributes each",
        answers=frozenset(("400",)),
        limit_s=90,
        run=_posts(lambda: bodies.attribute_resource(_resource(), _TWO_BYTES), 20),
        counted=(_login("attributes", 10),),
    ),
    Attack(
        name="empty log records",
        what=f"20 bodies with {_TWO_BYTES:,} empty log records each",
        answers=frozenset(("400",)),
        limit_s=90,
        run=_posts(lambda: bodies.empty_logs(_resource(), _TWO_BYTES), 20),
        counted=(_login("items", 10),),
    ),
    Attack(
        name="no protobuf over HTTP",
        what="400 bodies of random bytes",
        answers=frozenset(("400",)),
        limit_s=60,
        run=_posts(lambda: b"\xff" + os.urandom(16 * 1024), 400, path="/v1/traces"),
        counted=(_http("400", 200),),
    ),
    Attack(
        name="no protobuf over gRPC",
        what="200 messages of random bytes",
        answers=frozenset(("INTERNAL",)),
        limit_s=60,
        run=_garbage_grpc,
        counted=(_rpc("INTERNAL", 100),),
    ),
    Attack(
        name="gRPC messages over the limit",
        what="40 messages of 6 MiB, half of them without a password",
        answers=frozenset(("RESOURCE_EXHAUSTED", "UNAUTHENTICATED")),
        limit_s=60,
        run=_large_grpc,
        counted=(_rpc("RESOURCE_EXHAUSTED", 10), _login("none", 10)),
    ),
    Attack(
        name="wrong passwords",
        what="up to 4,000 wrong passwords on 8 connections",
        answers=frozenset(("401",)),
        limit_s=20,
        run=_passwords,
        counted=(_login("wrong", 10),),
    ),
    Attack(
        name="wrong paths",
        what="300 requests to paths that there are not, half of them without a password",
        answers=frozenset(("404", "401")),
        limit_s=60,
        run=_paths,
        counted=(_http("404", 50), _http("401", 50)),
    ),
    Attack(
        name="resets of HTTP/2 streams at the gRPC port",
        what="20 connections with 2,000 streams each, reset at once",
        answers=frozenset(("answered", "GOAWAY", *ENDED)),
        limit_s=60,
        run=_resets(lambda target: target.grpc),
        counted=(_login("none", 20),),
    ),
    Attack(
        name="resets of HTTP/2 streams at the HTTP port",
        what="20 connections with 2,000 streams each, reset at once",
        answers=frozenset(("answered", "GOAWAY", *ENDED)),
        limit_s=60,
        run=_resets(lambda target: target.http),
        counted=(_http("401", 20),),
    ),
    Attack(
        name="a device at ten times its budget",
        what=f"{BUDGET_TIMES * ATTACKER.budget.client_series:,} series of one device, which may have "
        f"{ATTACKER.budget.client_series:,}",
        answers=frozenset(("200", "400")),
        limit_s=60,
        run=_budget,
        counted=(_reason("client_budget", (BUDGET_TIMES - 2) * ATTACKER.budget.client_series),),
    ),
    Attack(
        name="slow headers",
        what="200 connections whose headers come a byte every half second",
        answers=frozenset(("400", "408", *ENDED)),
        limit_s=60,
        run=_trickle(200, _half_head, lambda _: b"x"),
    ),
    Attack(
        name="slow bodies",
        what="100 connections whose bodies come a byte every half second",
        answers=frozenset(("400", "408", *ENDED)),
        limit_s=90,
        run=_trickle(100, _half_body, lambda _: b"\0"),
        counted=(_http("400|408", 50),),
    ),
    Attack(
        name="idle connections at the HTTP port",
        what="2,000 connections on which nothing is sent",
        answers=ENDED,
        limit_s=120,
        run=_idle(2000, lambda target: target.http, "http/1.1"),
    ),
    Attack(
        name="idle connections at the gRPC port",
        what="1,000 connections that answer no ping",
        answers=ENDED,
        limit_s=180,
        run=_idle(1000, lambda target: target.grpc, "h2"),
    ),
)
"""In the order in which they are made; the longest a single request is waited for is `ANSWER_S` beyond the limit."""
LONGEST_S: Final = sum(attack.limit_s + ANSWER_S for attack in ATTACKS)
