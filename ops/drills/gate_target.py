"""The gateway as an attacker reaches it: raw TLS connections, HTTP/1.1, frames of HTTP/2, gRPC with any bytes.

Nothing here is aimed at anything but a gateway of the own platform: `own_target` refuses every other address.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

import grpc

from ops.core.context import Context
from ops.core.errors import OpsError, one_line
from ops.core.kube import NAME_LABEL, Kube, call_errors
from ops.core.web import basic

WORKLOAD: Final = "gateway"
CONNECT_S: Final = 20.0
ANSWER_S: Final = 60.0
CLOSED, RESET, SILENT = "closed", "reset", "no answer"
"""What an exchange ends with that has no status."""
_CHUNK = 64 * 1024
_PATHS = {
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}


@dataclass(frozen=True, kw_only=True)
class Target:
    """A gateway under test.

    Attributes:
        http: Host and port of OTLP over HTTP.
        grpc: Host and port of OTLP over gRPC.
        authority: PEM of who signed its certificate.
        logins: Layer -> user name and password.
    """

    http: tuple[str, int]
    grpc: tuple[str, int]
    authority: str
    logins: Mapping[str, tuple[str, str]]

    def header(self, layer: str) -> str:
        """Value of the header ``authorization`` of a layer."""
        return basic(*self.logins[layer])


def own_target(context: Context) -> Target:
    """The gateway of the platform.

    Raises:
        OpsError: Its address is not one of the platform's own.
    """
    platform = context.platform
    at = urlsplit(platform.otlp_http)
    host, _, port = platform.otlp_grpc.rpartition(":")
    target = Target(
        http=(at.hostname or "", at.port or 443),
        grpc=(host, int(port)),
        authority=platform.ca_certificate,
        logins={layer: login.pair for layer, login in platform.otlp_credentials.items()},
    )
    own = service_addresses(context.kube)
    for name in {target.http[0], target.grpc[0]}:
        for address in resolved(name):
            if address not in own and not ip_address(address).is_loopback:
                raise OpsError(
                    f"{name} is {address}, which is no address of the Services of {WORKLOAD} in namespace "
                    f"{platform.namespace}: nothing else is attacked"
                )
    return target


def service_addresses(kube: Kube) -> set[str]:
    """Addresses of the Services of the gateway in the platform's own namespace."""
    with call_errors(f"cannot list the Services of {kube.namespace}"):
        services = kube.core.list_namespaced_service(kube.namespace, _request_timeout=15).items
    addresses: set[str] = set()
    for service in services:
        if (service.spec.selector or {}).get(NAME_LABEL) != WORKLOAD:
            continue
        addresses |= {address for address in service.spec.cluster_ips or [] if address != "None"}
        for ingress in (service.status.load_balancer.ingress if service.status.load_balancer else None) or []:
            addresses |= {ingress.ip} if ingress.ip else set(resolved(ingress.hostname)) if ingress.hostname else set()
    return addresses


def resolved(name: str) -> list[str]:
    """Addresses of a host.

    Raises:
        OpsError: It has none.
    """
    try:
        return sorted({str(entry[4][0]) for entry in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)})
    except OSError as error:
        raise OpsError(f"{name} has no address: {one_line(error)}") from None


def connect(target: Target, at: tuple[str, int], protocol: str = "http/1.1") -> ssl.SSLSocket:
    """A TLS connection with a verified certificate.

    Args:
        target: The gateway.
        at: One of its addresses.
        protocol: What is negotiated: ``http/1.1`` or ``h2``.

    Raises:
        OSError: It is not accepted.
    """
    settings = ssl.create_default_context(cadata=target.authority)
    settings.set_alpn_protocols([protocol])
    plain = socket.create_connection(at, timeout=CONNECT_S)
    try:
        return settings.wrap_socket(plain, server_hostname=at[0])
    except BaseException:
        plain.close()
        raise


def head(target: Target, path: str, headers: Mapping[str, str], *, method: str = "POST") -> bytes:
    """Request line and headers of HTTP/1.1."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {target.http[0]}:{target.http[1]}"]
    return "\r\n".join([*lines, *(f"{key}: {value}" for key, value in headers.items()), "", ""]).encode()


def post(
    target: Target,
    path: str,
    body: bytes,
    *,
    authorization: str = "",
    encoding: str = "",
    content_type: str = "application/x-protobuf",
    connection: ssl.SSLSocket | None = None,
) -> tuple[str, bytes]:
    """Send a whole request, on a connection of its own if none is given; status and answer, see `exchange`."""
    headers = {"Content-Type": content_type, "Content-Length": str(len(body))}
    headers |= {"Content-Encoding": encoding} if encoding else {}
    headers |= {"Authorization": authorization} if authorization else {}
    request = head(target, path, headers)
    pieces = (body[start : start + _CHUNK] for start in range(0, len(body), _CHUNK))
    if connection is not None:
        return exchange(connection, [request, *pieces])
    try:
        with connect(target, target.http) as own:
            return exchange(own, [request, *pieces])
    except OSError:
        return RESET, b""


def exchange(connection: ssl.SSLSocket, pieces: Iterable[bytes]) -> tuple[str, bytes]:
    """Send pieces until something is answered; the status code and what follows the headers.

    The status is `CLOSED` or `RESET` where the server ended the connection without one, and `SILENT` where it said
    nothing in `ANSWER_S`.
    """
    connection.settimeout(ANSWER_S)
    early = b""
    try:
        for piece in pieces:
            if early := _early(connection):
                break
            connection.sendall(piece)
    except TimeoutError:
        return SILENT, b""
    except OSError:
        pass  # The answer may have been sent before the connection was closed.
    return _answer(connection, early)


def _early(connection: ssl.SSLSocket) -> bytes:
    """What the server has said already; session tickets are read away."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    if not connection.pending() and not poll.poll(0):
        return b""
    connection.settimeout(0.0)
    try:
        return connection.recv(_CHUNK)
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return b""
    finally:
        connection.settimeout(ANSWER_S)


def _answer(connection: ssl.SSLSocket, received: bytes) -> tuple[str, bytes]:
    try:
        while b"\r\n\r\n" not in received:
            if not (chunk := connection.recv(_CHUNK)):
                return CLOSED, received
            received += chunk
        first, _, body = received.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in first.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        while len(body) < length and (chunk := connection.recv(_CHUNK)):
            body += chunk
    except TimeoutError:
        return SILENT, received
    except OSError:
        return (received.split(b" ", 2)[1].decode(), b"") if received.startswith(b"HTTP/") else (RESET, b"")
    return first.split(b" ", 2)[1].decode(), body


def channel(target: Target) -> grpc.Channel:
    """A connection of gRPC."""
    host, port = target.grpc
    return grpc.secure_channel(f"{host}:{port}", grpc.ssl_channel_credentials(target.authority.encode()))


def grpc_code(connection: grpc.Channel, signal: str, message: bytes, authorization: str = "") -> str:
    """Send bytes as a message of gRPC; name of the status, ``OK`` where it was accepted."""
    call: Any = connection.unary_unary(_PATHS[signal])
    try:
        call(message, timeout=ANSWER_S, metadata=[("authorization", authorization)] if authorization else [])
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 1, 3, 4, 6, 7
"""Types of frames."""
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
CANCEL: Final = (8).to_bytes(4, "big")
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame of HTTP/2."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def opened(target: Target, at: tuple[str, int], authorization: str = "") -> tuple[bytes, bytes]:
    """What opens a connection of HTTP/2, and the header block of a call of gRPC in it, without compression."""
    fields = {
        ":method": "POST",
        ":scheme": "https",
        ":path": _PATHS["metrics"] if at == target.grpc else "/v1/metrics",
        ":authority": at[0],
        "content-type": "application/grpc" if at == target.grpc else "application/x-protobuf",
        "te": "trailers",
        **({"authorization": authorization} if authorization else {}),
    }
    block = b"".join(b"\0" + _text(name) + _text(value) for name, value in fields.items())
    return PREFACE + frame(SETTINGS, 0, 0), block


def reset_streams(block: bytes, streams: Iterable[int]) -> bytes:
    """Frames that begin streams and end each at once."""
    return b"".join(
        frame(HEADERS, _END_HEADERS, stream, block) + frame(RST_STREAM, 0, stream, CANCEL) for stream in streams
    )


def pinged(connection: ssl.SSLSocket, seconds: float) -> str:
    """Ask whether the server still answers on a connection of HTTP/2: ``answered``, ``GOAWAY``, or how it ended."""
    deadline = time.monotonic() + seconds
    received = b""
    try:
        connection.sendall(frame(PING, 0, 0, b"attacked"))
        while (left := deadline - time.monotonic()) > 0:
            connection.settimeout(left)
            if not (chunk := connection.recv(_CHUNK)):
                return CLOSED
            received += chunk
            while len(received) >= 9 and len(received) >= (end := 9 + int.from_bytes(received[:3], "big")):
                if received[3] == GOAWAY:
                    return "GOAWAY"
                if received[3] == PING and received[4] & _ACK:
                    return "answered"
                received = received[end:]
    except TimeoutError:
        return SILENT
    except OSError:
        return RESET
    return SILENT


def _text(text: str) -> bytes:
    """A string of HPACK as it is, shorter than 127 bytes or with a length in two parts."""
    raw = text.encode()
    if len(raw) < 127:
        return bytes([len(raw)]) + raw
    rest = len(raw) - 127
    size = bytearray([127])
    while rest > 127:
        size.append(rest & 127 | 128)
        rest >>= 7
    return bytes([*size, rest]) + raw
