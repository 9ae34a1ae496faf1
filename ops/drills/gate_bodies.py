"""Bodies that no library would write: bombs, endless nesting, hundreds of thousands of attributes."""

from __future__ import annotations

import gzip
import time
from collections.abc import Mapping

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

_ZSTD_BLOCK = 128 * 1024


def gzip_bomb(size: int) -> bytes:
    """Zeros that unpack to ``size`` bytes, a thousandth as large."""
    return gzip.compress(bytes(size))


def gzip_chain(size: int) -> bytes:
    """A bomb in a bomb: what unpacks to ``size`` bytes unpacks again."""
    return gzip.compress(gzip_bomb(size))


def zstd_bomb(size: int) -> bytes:
    """Zeros that unpack to ``size`` bytes: a frame of RFC 8878 whose blocks each repeat one byte."""
    descriptor, window = 0, 0x78  # no size, no checksum; a window of 32 MiB
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
