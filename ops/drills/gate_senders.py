"""How attacks on the gateway are sent, also bodies that no library would write: each sender ends by itself and returns
how often each answer came.
"""

from __future__ import annotations

import gzip
import os
import resource
import secrets
import selectors
import ssl
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from typing import Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from components.telemetry.layers import LAYERS
from ops.core import otlp
from ops.core.errors import OpsError
from ops.core.web import basic
from ops.drills.gate_target import (
    CLOSED,
    RESET,
    Target,
    channel,
    connect,
    grpc_code,
    head,
    opened,
    pinged,
    post,
    reset_streams,
)

_ZSTD_BLOCK = 128 * 1024


def gzip_bomb(size: int) -> bytes:
    """Zeros that unpack to ``size`` bytes, a thousandth as large."""
    return gzip.compress(bytes(size))


def gzip_chain(size: int) -> bytes:
    """A bomb in a bomb: what unpacks to ``size`` bytes unpacks again."""
    return gzip.compress(gzip_bomb(size))


def zstd_bomb(size: int) -> bytes:
    """Zeros that unpack to ``size`` bytes: a frame of RFC 8878 whose blocks each repeat one byte."""
    descriptor, window = 0, 0x98  # no size, no checksum; a window of 512 MiB
    header = b"\x28\xb5\x2f\xfd" + bytes([descriptor, window])
    blocks = max(1, size // _ZSTD_BLOCK)
    block = [
        ((_ZSTD_BLOCK << 3) | (1 << 1) | (number == blocks - 1)).to_bytes(3, "little") + b"\0"
        for number in range(blocks)
    ]
    return header + b"".join(block)


def deep_value(size: int, *, maps: bool = False) -> bytes:
    """A value of about ``size`` bytes that is lists in lists, or maps in maps, written from the inside out."""
    inner = _field(1, b"x")
    key = _field(1, b"k") if maps else b""
    heads: list[bytes] = []
    length = len(inner)
    while length < size:
        # A list is field 5 of a value and has its elements in field 1; a map is field 6, with pairs in field 1, whose
        # key is field 1 and whose value is field 2.
        for number, before in ((2, key), (1, b""), (6, b"")) if maps else ((1, b""), (5, b"")):
            head = before + _head(number, length)
            heads.append(head)
            length += len(head)
    return b"".join(reversed(heads)) + inner


def deep_log(resource: Mapping[str, str], size: int, *, maps: bool = False, attribute: bool = False) -> bytes:
    """An export request with one log record, whose body or attribute is nested in about ``size`` bytes."""
    value = deep_value(size, maps=maps)
    nested = _field(6, _field(1, b"nested") + _field(2, value)) if attribute else _field(5, value)
    record = LogRecord(time_unix_nano=time.time_ns()).SerializeToString() + nested
    return _logs(resource, record)


def deep_json(size: int) -> bytes:
    """The same as JSON, of about ``size`` bytes."""
    opened, closed = '{"arrayValue":{"values":[', "]}}"
    depth = size // (len(opened) + len(closed))
    body = f'{opened * depth}{{"stringValue":"x"}}{closed * depth}'
    return f'{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{body}}}]}}]}}]}}'.encode()


def attribute_log(resource: Mapping[str, str], count: int) -> bytes:
    """An export request with one log record that has ``count`` attributes, each of two bytes: without key and value."""
    record = LogRecord(time_unix_nano=time.time_ns()).SerializeToString()
    return _logs(resource, record + _field(6, b"") * count)


def attribute_resource(resource: Mapping[str, str], count: int) -> bytes:
    """An export request whose resource has ``count`` further attributes, each of two bytes."""
    record = LogRecord(time_unix_nano=time.time_ns()).SerializeToString()
    return _logs(resource, record, _field(1, b"") * count)


def empty_logs(resource: Mapping[str, str], count: int) -> bytes:
    """An export request with ``count`` log records of two bytes, in which there is nothing."""
    attributes = [KeyValue(key=key, value=AnyValue(string_value=text)) for key, text in resource.items()]
    return _field(1, _field(1, Resource(attributes=attributes).SerializeToString()) + _field(2, _field(2, b"") * count))


def _logs(resource: Mapping[str, str], record: bytes, further: bytes = b"") -> bytes:
    attributes = [KeyValue(key=key, value=AnyValue(string_value=text)) for key, text in resource.items()]
    named = Resource(attributes=attributes).SerializeToString() + further
    return _field(1, _field(1, named) + _field(2, _field(2, record)))


def _field(number: int, content: bytes) -> bytes:
    """A field of bytes as protobuf writes it."""
    return _head(number, len(content)) + content


def _head(number: int, length: int) -> bytes:
    """What stands before the content of a field of bytes."""
    size = bytearray()
    while length > 127:
        size.append(length & 127 | 128)
        length >>= 7
    return bytes([number << 3 | 2, *size, length])


Sender = Callable[[Target, float], Counter[str]]
"""Sends one attack until a moment of the monotonic clock: answer -> how often it came."""
ATTACKER: Final = LAYERS[0]
"""The layer as which attacks sign in."""
BUDGET_TIMES: Final = 10
MIB: Final = 1024 * 1024
FITS: Final = MIB * 3 // 2
"""Bytes of a request that is below the limit, so that it is decoded."""
SHARE_USED: Final = "429"
"""The layer has as much in flight, or sends as much, as it may."""
OPEN, REFUSED = "still open", "not accepted"


def attacker_resource(instance: str = "gate-attack") -> dict[str, str]:
    return otlp.resource_of(ATTACKER.name, "e2e", instance)


def _own(target: Target) -> str:
    return target.header(ATTACKER.name)


def posts(
    make: Callable[[], bytes],
    times: int,
    *,
    path: str = "/v1/logs",
    encoding: str = "",
    content_type: str = "application/x-protobuf",
) -> Sender:
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


def deep(target: Target, until: float) -> Counter[str]:
    """Lists in lists and maps in maps, as body and as attribute, below the limit of a request, eight at once.

    What is more than the layer's share is sent again at once, whatever the answer says, until it is looked at.
    """
    variants = [
        deep_log(attacker_resource(), FITS, maps=maps, attribute=attribute)
        for maps in (False, True)
        for attribute in (False, True)
    ]

    def send(number: int) -> Counter[str]:
        answers: Counter[str] = Counter()
        while time.monotonic() <= until and answers.total() == answers[SHARE_USED]:
            body = variants[number % len(variants)]
            answers[post(target, "/v1/logs", body, authorization=_own(target))[0]] += 1
        return answers

    with ThreadPoolExecutor(8) as threads:
        return sum(threads.map(send, range(40)), Counter())


def deep_grpc(target: Target, until: float) -> Counter[str]:
    """The same over gRPC, sixteen at once on one connection."""
    message = deep_log(attacker_resource(), FITS)

    with channel(target) as connection, ThreadPoolExecutor(16) as threads:

        def send(_: int) -> str:
            return "" if time.monotonic() > until else grpc_code(connection, "logs", message, _own(target))

        return Counter(answer for answer in threads.map(send, range(32)) if answer)


def passwords(target: Target, until: float) -> Counter[str]:
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


def paths(target: Target, until: float) -> Counter[str]:
    """Paths that there are not, with the right password and without one."""
    paths = ("/", "/v1/profiles", "/v1/metrics/../../etc/passwd", "/metrics", "/debug/pprof/", "/v1/" + "x" * 4000)
    answers: Counter[str] = Counter()
    for number in range(300):
        if time.monotonic() > until:
            break
        authorization = _own(target) if number % 2 else ""
        answers[post(target, paths[number % len(paths)], b"x", authorization=authorization)[0]] += 1
    return answers


def garbage_grpc(target: Target, until: float) -> Counter[str]:
    answers: Counter[str] = Counter()
    with channel(target) as connection:
        for number in range(200):
            if time.monotonic() > until:
                break
            message = b"\xff" + os.urandom(16 * 1024)
            answers[grpc_code(connection, ("metrics", "traces", "logs")[number % 3], message, _own(target))] += 1
    return answers


def large_grpc(target: Target, until: float) -> Counter[str]:
    """Messages of three times the limit, as they are; half of them without a password."""
    answers: Counter[str] = Counter()
    with channel(target) as connection:
        for number in range(40):
            if time.monotonic() > until:
                break
            authorization = _own(target) if number % 2 else ""
            answers[grpc_code(connection, "metrics", bytes(6 * MIB), authorization)] += 1
    return answers


def resets(protocol_at: Callable[[Target], tuple[str, int]]) -> Sender:
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


def budget(target: Target, until: float) -> Counter[str]:
    """One device that sends ten times the series that one may have, on one connection."""
    device = attacker_resource(f"gate-attack-{secrets.token_hex(4)}")
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


def trickle(connections: int, request: Callable[[Target], bytes], unit: Callable[[int], bytes]) -> Sender:
    """Connections on which a unit comes every half second, or nothing more, until the server ends them."""

    def run(target: Target, until: float) -> Counter[str]:
        first = request(target)
        with held(target, target.http, "http/1.1", connections) as sockets:
            for connection in sockets:
                connection.sendall(first)
            return waited(sockets, until, unit, connections)

    return run


def idle(connections: int, at: Callable[[Target], tuple[str, int]], protocol: str) -> Sender:
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


def half_body(target: Target) -> bytes:
    headers = {"Authorization": _own(target), "Content-Type": "application/x-protobuf", "Content-Length": "1000000"}
    return head(target, "/v1/metrics", headers)


def half_packed(target: Target) -> bytes:
    """All but the end of a body of some KB that unpacks to nearly the limit: what was unpacked waits for the end."""
    headers = {
        "Authorization": _own(target),
        "Content-Type": "application/x-protobuf",
        "Content-Encoding": "gzip",
        "Content-Length": "1000000",
    }
    packer = zlib.compressobj(wbits=31)
    return head(target, "/v1/metrics", headers) + packer.compress(bytes(FITS)) + packer.flush(zlib.Z_SYNC_FLUSH)


def half_head(target: Target) -> bytes:
    return head(target, "/v1/metrics", {"Authorization": _own(target)})[:-2] + b"X-Slow: "
