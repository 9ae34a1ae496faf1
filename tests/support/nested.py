"""A log record whose body is nested deeper than any library would write it."""

from __future__ import annotations

import time
from collections.abc import Mapping

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource


def deep_log(resource: Mapping[str, str], size: int) -> bytes:
    """An export request with one log record, whose body is lists in lists in about ``size`` bytes."""
    # Written from the inside out: a list is field 5 of a value, and its elements are field 1 of the list.
    value = _field(1, b"x")
    while len(value) < size:
        value = _field(5, _field(1, value))
    attributes = [KeyValue(key=key, value=AnyValue(string_value=text)) for key, text in resource.items()]
    record = LogRecord(time_unix_nano=time.time_ns()).SerializeToString() + _field(5, value)
    head = Resource(attributes=attributes).SerializeToString()
    return _field(1, _field(1, head) + _field(2, _field(2, record)))


def _field(number: int, content: bytes) -> bytes:
    """A field of bytes as protobuf writes it."""
    length, size = len(content), bytearray()
    while length > 127:
        size.append(length & 127 | 128)
        length >>= 7
    return bytes([number << 3 | 2, *size, length]) + content
