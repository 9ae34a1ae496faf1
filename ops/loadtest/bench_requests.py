"""Requests for a load test, made from a capture of what the observed system's clients send.

The capture (``bench_capture.json``, made by ``python -m lab.simulator.capture``) has one device's metrics, one trace of
each outcome and the logs of one request flow. From it follow requests of any size: serialised once, with the places
that the load generator refreshes before each is sent (times, ids, names, sequence numbers).

What is sent is marked by ``deployment.environment.name`` `ENVIRONMENT`. Names of devices, ``dev-b0000`` and so on, are
no mark: the gateway hashes them. One metric of the device is left out: a device that has told ``device.connected`` and
falls silent is an alert.
"""

from __future__ import annotations

import base64
import json
import re
import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from components.telemetry.layers import Signal
from components.telemetry.naming import Kind, prometheus_name

CAPTURE = Path(__file__).with_name("bench_capture.json")
ENVIRONMENT = "bench"
SEQUENCE = "device.delivery.frames"
"""Counter that carries the sequence number of its device."""
SEQUENCE_SERIES = prometheus_name(SEQUENCE, "{frame}", Kind.COUNTER)
LEFT_OUT = "device.connected"


def samples_query(age_s: float) -> str:
    """Query for the number of sequence numbers that a Prometheus holds of the ``age_s`` seconds before its time.

    The environment is a label of ``target_info`` only, which has the ``job`` and ``instance`` of each device.
    """
    age = f"{round(age_s * 1000)}ms"
    ours = f'max by (job, instance) (last_over_time(target_info{{deployment_environment_name="{ENVIRONMENT}"}}[{age}]))'
    return f"sum(count_over_time({SEQUENCE_SERIES}[{age}]) * on (job, instance) group_left () {ours})"


FAILED_OF_100, SLOW_OF_100 = 37, 87
"""Which of a hundred traces of a request has failed, and which is slow."""
_RUNNING_NS = 600 * 10**9
"""How long the devices' programs have been running: the start of their counters."""
_POPULATION = 5000
"""Different devices and workers that spans and logs are about."""

_DEVICE, _PSEUDONYM, _WORKER, _STREAM = "dev-@@@@@", "pseudonym@@@@@@@", "worker@@@@@@@@@@", "s@stream@@@@"
_STREAM_TEXT = re.compile(r"\bs[0-9a-f]{11}\b")
_TOKENS = re.compile(
    b"|".join(re.escape(placeholder.encode()) for placeholder in (_DEVICE, _PSEUDONYM, _WORKER, _STREAM))
)
_SEQUENCE_MARK = -1.2345678901234567e-300
_VARINT_BITS = 7
_LENGTH_DELIMITED, _FIXED64 = 2, 1


@dataclass(frozen=True, kw_only=True)
class Patch:
    """A place that is refreshed before each request; the load generator's ``Patch`` has the same fields."""

    kind: str
    offset: int
    size: int = 0
    group: int = 0
    shift: int = 0
    salt: int = 0
    population: int = 0

    def as_json(self) -> dict[str, Any]:
        """Fields that are not their default."""
        return {"kind": self.kind, "offset": self.offset, **{k: v for k, v in vars(self).items() if v and k != "kind"}}


@dataclass(frozen=True)
class Piece:
    """Bytes of a message with the places to refresh."""

    data: bytes
    patches: tuple[Patch, ...] = ()

    def field(self, number: int) -> Piece:
        """This as a length-delimited field."""
        head = _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(self.data))
        return Piece(head + self.data, tuple(_moved(self.patches, len(head))))


@dataclass(frozen=True, kw_only=True)
class Request:
    """The request of one login in every batch."""

    user: str
    items: int
    piece: Piece

    def as_json(self, signal: Signal, password: str) -> dict[str, Any]:
        """A part of the load generator's plan."""
        return {
            "path": f"/v1/{signal}",
            "user": self.user,
            "password": password,
            "items": self.items,
            "body": base64.b64encode(self.piece.data).decode(),
            "patches": [patch.as_json() for patch in self.piece.patches],
        }


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What is sent together: a request for each login.

    Attributes:
        signal: What it is.
        requests: One for each layer that has a part in it.
        groups: Sets of random ids that the requests share.
        devices: Devices that it names in turn; 0 where names are drawn by chance.
        units: Devices, traces or request flows in it.
    """

    signal: Signal
    requests: tuple[Request, ...]
    groups: int
    devices: int
    units: int

    @property
    def items(self) -> int:
        """Points, spans or log records of all its requests."""
        return sum(request.items for request in self.requests)


def batch(signal: Signal, size: int) -> Batch:
    """A batch whose requests have about ``size`` items each.

    Args:
        signal: What to send.
        size: Points, spans or log records a request; of several requests, on average.
    """
    return {Signal.METRICS: _metrics, Signal.TRACES: _traces, Signal.LOGS: _logs}[signal](size)


def _metrics(size: int) -> Batch:
    ((layer, captured),) = _capture()["metrics"].items()
    request = _parsed(captured, ExportMetricsServiceRequest())
    (resource,) = request.resource_metrics
    (scope,) = resource.scope_metrics
    kept = [metric for metric in scope.metrics if metric.name != LEFT_OUT]
    of_device = sum(len(list(_points(metric))) for metric in kept)
    devices = max(1, round(size / of_device))
    for metric in kept:
        for point in _points(metric):
            if point.start_time_unix_nano:
                point.start_time_unix_nano = time.time_ns() - _RUNNING_NS
            if metric.name == SEQUENCE:
                point.as_double = _SEQUENCE_MARK
    pieces = [_piece(metric, ((3, point.time_unix_nano) for point in _points(metric))) for metric in kept]
    device_resource = resource.resource.SerializeToString()
    head = Piece(device_resource, tuple(_texts(device_resource, "device")))
    whole = _of_parts(head, Piece(scope.scope.SerializeToString()), pieces)
    return Batch(
        signal=Signal.METRICS,
        requests=(
            Request(
                user=layer,
                items=devices * of_device,
                piece=_joined(_grouped(whole, device).field(1) for device in range(devices)),
            ),
        ),
        groups=0,
        devices=devices,
        units=devices,
    )


def _traces(size: int) -> Batch:
    fates = {
        name: {layer: _parsed(request, ExportTraceServiceRequest()) for layer, request in by_layer.items()}
        for name, by_layer in _capture()["traces"].items()
    }
    layers = list(fates["ordinary"])
    traces = max(1, round(size * len(layers) / sum(_spans(trace) for trace in fates["ordinary"].values())))
    chosen = [_fate(number) for number in range(traces)]
    requests = tuple(
        _request_of(layer, [fates[fate].get(layer) for fate in chosen], "resource_spans", "scope_spans", "spans")
        for layer in layers
    )
    return Batch(signal=Signal.TRACES, requests=requests, groups=traces, devices=0, units=traces)


def _fate(number: int) -> str:
    return {FAILED_OF_100: "failed", SLOW_OF_100: "slow"}.get(number % 100, "ordinary")


def _logs(size: int) -> Batch:
    by_layer = {layer: _parsed(log, ExportLogsServiceRequest()) for layer, log in _capture()["logs"].items()}
    requests = tuple(
        _request_of(layer, [request] * size, "resource_logs", "scope_logs", "log_records")
        for layer, request in by_layer.items()
    )
    return Batch(signal=Signal.LOGS, requests=requests, groups=size, devices=0, units=size)


def _request_of(layer: str, units: Iterable[Any], resources: str, scopes: str, records: str) -> Request:
    """One request with the records of all units, by resource and scope, as an SDK's exporter groups them."""
    grouped: dict[tuple[bytes, bytes], list[Piece]] = {}
    pieces: dict[int, list[tuple[tuple[bytes, bytes], Piece]]] = {}
    items = 0
    for number, request in enumerate(units):
        if request is None:
            continue
        if id(request) not in pieces:
            pieces[id(request)] = [
                ((resource.resource.SerializeToString(), scope.scope.SerializeToString()), _record_piece(record))
                for resource in getattr(request, resources)
                for scope in getattr(resource, scopes)
                for record in getattr(scope, records)
            ]
        for key, piece in pieces[id(request)]:
            # A device is a resource of its own, so records of two devices are not in one.
            own = (key[0] + struct.pack("<I", number), key[1]) if _DEVICE.encode() in key[0] else key
            grouped.setdefault(own, []).append(_grouped(piece, number))
            items += 1
    blocks = []
    for (resource, scope), entries in grouped.items():
        bare, number = (resource[:-4], struct.unpack("<I", resource[-4:])[0]) if _is_device(resource) else (resource, 0)
        head = _grouped(Piece(bare, tuple(_texts(bare))), number)
        blocks.append(_of_parts(head, Piece(scope), entries).field(1))
    return Request(user=layer, items=items, piece=_joined(blocks))


def _is_device(resource: bytes) -> bool:
    return _DEVICE.encode() in resource


def _record_piece(record: Any) -> Piece:
    ids: list[tuple[str, bytes]] = [("trace_id", record.trace_id), ("span_id", record.span_id)]
    if hasattr(record, "parent_span_id"):
        ids.append(("span_id", record.parent_span_id))
        ids += [("span_id", link.span_id) for link in record.links]
        times = [(7, record.start_time_unix_nano), (8, record.end_time_unix_nano)]
    else:
        times = [(1, record.time_unix_nano), (11, record.observed_time_unix_nano)]
    piece = _piece(record, times)
    places = {
        Patch(kind=kind, offset=match.start())
        for kind, identifier in ids
        if identifier
        for match in _all(identifier, piece.data)
    }
    return Piece(piece.data, (*piece.patches, *sorted(places, key=lambda patch: patch.offset)))


def _piece(message: Any, times: Iterable[tuple[int, int]]) -> Piece:
    """A message with its times (number and value of ``fixed64`` fields), its texts and its sequence number."""
    data = message.SerializeToString()
    now = int(_capture()["now_ns"])
    patches: set[Patch] = set()
    for number, value in set(times):
        key = _varint(number << 3 | _FIXED64)
        places = list(_all(key + struct.pack("<Q", value), data))
        if not places:
            raise ValueError(f"time {value} is not in the message")
        patches |= {Patch(kind="time", offset=place.start() + len(key), shift=value - now) for place in places}
    patches |= {
        Patch(kind="sequence_double", offset=match.start()) for match in _all(struct.pack("<d", _SEQUENCE_MARK), data)
    }
    return Piece(data, (*sorted(patches, key=lambda patch: patch.offset), *_texts(data)))


def _texts(data: bytes, device: str = "name") -> Iterator[Patch]:
    """Names that differ from request to request, and ids of whom it is about.

    Args:
        data: A message.
        device: ``device`` for devices that take turns and count, ``name`` for any of the population.
    """
    for match in _TOKENS.finditer(data):
        text, start = match[0].decode(), match.start()
        if text == _DEVICE:
            places = 0 if device == "device" else _POPULATION
            yield Patch(kind=device, offset=start + len("dev-"), size=5, population=places)
        elif text == _STREAM:
            yield Patch(kind="hex", offset=start + 1, size=len(_STREAM) - 1, salt=300)
        else:
            salt = 100 if text == _PSEUDONYM else 200
            yield Patch(kind="hex", offset=start, size=len(text), salt=salt, population=_POPULATION)


def _grouped(piece: Piece, group: int) -> Piece:
    return Piece(piece.data, tuple(replace(patch, group=group) for patch in piece.patches))


def _of_parts(resource: Piece, scope: Piece, entries: Iterable[Piece]) -> Piece:
    """A resource's part of a request; in all three signals the numbers of the fields are the same."""
    inner = _joined([scope.field(1), *(piece.field(2) for piece in entries)])
    return _joined([resource.field(1), inner.field(2)])


def _joined(pieces: Iterable[Piece]) -> Piece:
    data: list[bytes] = []
    patches: list[Patch] = []
    length = 0
    for piece in pieces:
        data.append(piece.data)
        patches += _moved(piece.patches, length)
        length += len(piece.data)
    return Piece(b"".join(data), tuple(patches))


def _moved(patches: Iterable[Patch], by: int) -> Iterator[Patch]:
    return (replace(patch, offset=patch.offset + by) for patch in patches)


def _all(wanted: bytes, data: bytes) -> Iterator[re.Match[bytes]]:
    return re.finditer(re.escape(wanted), data)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >> _VARINT_BITS:
        encoded.append(value & 0x7F | 0x80)
        value >>= _VARINT_BITS
    return bytes([*encoded, value])


def _points(metric: Any) -> Iterable[Any]:
    data_points: Iterable[Any] = getattr(metric, metric.WhichOneof("data")).data_points
    return data_points


def _spans(request: Any) -> int:
    return sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)


def _parsed(captured: Mapping[str, Any], message: Any) -> Any:
    """The captured request, with names that tell what to refresh, and marked as a load test's."""
    capture = _capture()
    text = json.dumps(captured, ensure_ascii=False)
    for name, token in (("device", _DEVICE), ("pseudonym", _PSEUDONYM), ("worker", _WORKER)):
        text = text.replace(capture[name], token)
    parsed_request = ParseDict(json.loads(_STREAM_TEXT.sub(_STREAM, text)), message)
    for resource in (value for _, values in parsed_request.ListFields() for value in values):
        for attribute in resource.resource.attributes:
            if attribute.key == "deployment.environment.name":
                attribute.value.string_value = ENVIRONMENT
    return parsed_request


@cache
def _capture() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(CAPTURE.read_text(encoding="utf-8"))
    return document
