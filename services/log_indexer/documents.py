"""A Kafka record of OTLP logs as documents of the search cluster.

The id of a document says where its log record stands in Kafka. What is read again, after a crash or on purpose, has the
same ids, so it replaces itself.

Documents are written as JSON text straight from the record: attributes hardly differ from one log to the next, so each
is decoded and encoded once, and found again by its bytes. For that, those parts of OTLP that are the same in many
records are read as bytes: in protobuf, a message inside another one and bytes are written alike.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring as quoted
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError as DecodeError
from google.protobuf.message_factory import GetMessageClass
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.resource.v1 import resource_pb2

_PACKAGE = "obs.wire"
_READ = {
    "LogsData": ("resource_logs",),
    "ResourceLogs": ("resource", "scope_logs"),
    "Resource": ("attributes",),
    "ScopeLogs": ("scope", "log_records"),
    "LogRecord": (
        *("time_unix_nano", "observed_time_unix_nano", "severity_number", "severity_text", "event_name"),
        *("body", "attributes", "trace_id", "span_id"),
    ),
}
"""Message -> its fields that are read."""
_AS_BYTES = ("resource", "scope", "attributes")
_WHOLE = "body"
LONGEST_BODY = 32_000
LONGEST_VALUE = 4_000
"""Characters of one attribute's value, of all its texts together: a term of the index may not be longer than 32 kB."""
_LAST_NANOSECOND = 2**63 - 1
_REMEMBERED, _LONGEST_REMEMBERED = 8192, 256
"""Attributes that are remembered, and the bytes of one."""
_RESOURCES, _LONGEST_RESOURCE = 4096, 1024
"""The same of resources."""
_ELEMENTS = 16
"""Elements of ``origin`` for one attribute, at most: each has the key before it."""
_LONGEST_KEY = 128
"""Characters of a key in ``origin``."""
_USUAL = 16
"""Characters of a severity that is remembered."""
_EMPTY = frozenset({"null", '""', "0", "0.0", "-0.0", "false", "{}"})
"""Values that a field of its own is left out for."""
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_NUMBERS = (int, float)
_LAYER, _SERVICE, _EVENT = "layer", "service.name", "event.name"
Document = bytes
"""The two lines of a document in a bulk request: its id, and its content."""
_BEFORE_ID = '{"index":{"_id":"'


def _wire_field(original: FieldDescriptorProto) -> FieldDescriptorProto:
    """A field of the same number that holds bytes, a message of ours, or what it always holds."""
    field = FieldDescriptorProto(name=original.name, number=original.number, label=original.label, type=original.type)
    if original.name in _AS_BYTES:
        field.type = FieldDescriptorProto.TYPE_BYTES
    elif original.type == FieldDescriptorProto.TYPE_ENUM:
        field.type = FieldDescriptorProto.TYPE_INT32
    elif original.name == _WHOLE:
        field.type_name = original.type_name
    elif original.type == FieldDescriptorProto.TYPE_MESSAGE:
        field.type_name = f".{_PACKAGE}.{original.type_name.rpartition('.')[2]}"
    return field


def _classes() -> dict[str, Any]:
    common = FileDescriptorProto()
    common_pb2.DESCRIPTOR.CopyToProto(common)
    originals = {**logs_pb2.DESCRIPTOR.message_types_by_name, **resource_pb2.DESCRIPTOR.message_types_by_name}
    file = FileDescriptorProto(name="obs/wire.proto", package=_PACKAGE, syntax="proto3", dependency=[common.name])
    for name, fields in _READ.items():
        original = DescriptorProto()
        originals[name].CopyToProto(original)
        chosen = [_wire_field(field) for field in original.field if field.name in fields]
        file.message_type.add(name=name, field=chosen)
    pool = DescriptorPool()
    pool.Add(common)
    pool.Add(file)
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _READ}


_CLASSES = _classes()


LogsOnWire: Any = _CLASSES["LogsData"]


ResourceOnWire: Any = _CLASSES["Resource"]


def name_of(document: Document) -> str:
    """The id of a document."""
    start = len(_BEFORE_ID)
    return document[start : document.index(b'"', start)].decode()


def documents(topic: str, partition: int, offset: int, value: bytes, written_ms: int) -> Iterator[Document]:
    """Documents of one Kafka record, in its order, each made when it is asked for.

    Every document has the whole resource: all of a record together may be a thousand times as large as it.

    Args:
        topic: Topic of the record.
        partition: Partition of it.
        offset: Offset of it.
        value: OTLP logs in protobuf.
        written_ms: When Kafka took the record; the time of log records that have none.

    Raises:
        DecodeError: The value is no OTLP, or from here on.
    """
    before, written_ns = f"{_BEFORE_ID}{topic}-{partition}-{offset}-", written_ms * 1_000_000
    number = 0
    for resource_logs in LogsOnWire.FromString(value).resource_logs:
        resource = resource_logs.resource
        for scope_logs in resource_logs.scope_logs:
            tail = (_tail if len(resource) <= _LONGEST_RESOURCE else _origin)(resource, scope_logs.scope)
            for record in scope_logs.log_records:
                begin = f'{before}{number}"}}}}\n{_fields(record, written_ns)}'
                # Encoded apart: one sign that is not ASCII would make all of the text slow.
                yield b"".join((begin.encode(), _body(record.body).encode(), tail))
                number += 1


def _origin(resource: bytes, scope: bytes) -> bytes:
    """The fields of a document that all logs of a resource and a scope have, as the end of its line."""
    attributes = _attributes(ResourceOnWire.FromString(resource).attributes)
    text = _field("layer", _value(attributes, _LAYER)) + _field("service", _value(attributes, _SERVICE))
    if attributes:
        elements = [element for key in attributes for element in _elements(key, json.loads(_value(attributes, key)))]
        text += f',"origin":{_ENCODER.encode(elements)},"resource":{{{",".join(attributes.values())}}}'
    name = InstrumentationScope.FromString(scope).name
    return f"{text}{_field('scope', quoted(name))}}}\n".encode()


_tail = lru_cache(_RESOURCES)(_origin)


def _elements(key: str, value: Any) -> list[str]:
    """Texts ``key=value`` that an attribute of a resource is found by: one for each item of a list.

    Every text and number of the value is in one of them; of long lists, several are in one.
    """
    leaves = list(_leaves(value))
    together = -(-len(leaves) // _ELEMENTS) or 1
    groups = (leaves[start : start + together] for start in range(0, len(leaves), together))
    return [f"{key[:_LONGEST_KEY]}={' '.join(group)}" for group in groups]


def _leaves(value: Any) -> Iterator[str]:
    """What a value holds that is no list and no object, as text."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for nested in value.values() if isinstance(value, dict) else value:
            yield from _leaves(nested)
    elif value is not None:
        yield json.dumps(value)


def _fields(record: Any, written_ns: int) -> str:
    """The fields of a document that are the record's own, as the beginning of an object."""
    observed = record.observed_time_unix_nano
    text = f'{{"@timestamp":"{_time(record.time_unix_nano or observed or written_ns)}"'
    if observed:
        text += f',"observed_timestamp":"{_time(observed)}"'
    if trace_id := record.trace_id:
        text += f',"trace_id":"{trace_id.hex()}"'
    if span_id := record.span_id:
        text += f',"span_id":"{span_id.hex()}"'
    severity = record.severity_text
    text += (_usual_severity if len(severity) <= _USUAL else _severity)(severity, record.severity_number)
    event = record.event_name
    if event:
        text += f',"event":{quoted(event)}'
    if raw := record.attributes:
        attributes = _attributes(raw)
        if not event:
            text += _field("event", _value(attributes, _EVENT))
        if attributes:
            text += f',"attributes":{{{",".join(attributes.values())}}}'
    return text


def _severity(text: str, number: int) -> str:
    return _field("severity", quoted(text)) + _field("severity_number", str(number))


_usual_severity = lru_cache(256)(_severity)


def _field(name: str, value: str) -> str:
    return "" if value in _EMPTY else f',"{name}":{value}'


def _value(attributes: dict[str, str], key: str) -> str:
    """The value of an attribute as JSON."""
    return attributes[key][len(key) + 3 :] if key in attributes else "null"


def _attributes(raw: Iterable[bytes]) -> dict[str, str]:
    """Key -> member of a JSON object, ``"key":value``."""
    members = dict([(_remembered if len(item) <= _LONGEST_REMEMBERED else _member)(item) for item in raw])
    members.pop("", None)
    return members


def _member(raw: bytes) -> tuple[str, str]:
    attribute = KeyValue.FromString(raw)
    key, value = attribute.key, attribute.value
    # Empty: it is something else, or an empty text.
    if text := value.string_value:
        return key, f"{quoted(key)}:{quoted(text[:LONGEST_VALUE])}"
    plain = _plain(value)
    # A number as the encoder writes it, without its detours.
    member = repr(plain) if type(plain) in _NUMBERS else _ENCODER.encode(_short(plain, LONGEST_VALUE)[0])
    return key, f"{quoted(key)}:{member}"


_remembered = lru_cache(_REMEMBERED)(_member)


def _body(value: AnyValue) -> str:
    # Empty: it is something else, or nothing.
    text: str = value.string_value
    if not text and value.WhichOneof("value") not in (None, "string_value"):
        plain = _plain(value)
        text = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
    return f',"body":{quoted(text[:LONGEST_BODY])}' if text else ""


def _short(value: Any, room: int) -> tuple[Any, int]:
    """As much of a value as has room, and the room that is left; a list's or an object's rest is left out."""
    if isinstance(value, str):
        return value[:room], room - max(1, min(len(value), room))
    if isinstance(value, list):
        items = []
        for nested in value:
            if room <= 0:
                break
            short, room = _short(nested, room)
            items.append(short)
        return items, room - 1
    if isinstance(value, dict):
        members = {}
        for key, nested in value.items():
            if room <= 0:
                break
            if key:
                members[key], room = _short(nested, room)
                room -= len(key)
        return members, room - 1
    return value, room - len(str(value))


def _plain(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [_plain(nested) for nested in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: _plain(pair.value) for pair in value.kvlist_value.values}
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    plain = getattr(value, kind)
    # JSON has no such numbers.
    return (
        str(plain) if isinstance(plain, float) and (plain != plain or plain in (float("inf"), -float("inf"))) else plain
    )


def _time(nanoseconds: int) -> str:
    digits = str(nanoseconds if nanoseconds <= _LAST_NANOSECOND else _LAST_NANOSECOND)
    return f"{_second(digits[:-9] or '0')}.{digits[-9:].zfill(9)}Z"


@lru_cache(1024)
def _second(seconds: str) -> str:
    return f"{datetime.fromtimestamp(int(seconds), UTC):%Y-%m-%dT%H:%M:%S}"
