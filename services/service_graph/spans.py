"""OTLP spans, decoded only as far as the dependency map needs them.

The message types list a few fields of OTLP's own: the decoder skips all others (names, attributes, events), which is
most of the bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5
"""Values of `Span.kind`."""
ERROR = 2
"""Value of `Status.code`."""
UNKNOWN_SERVICE = "unknown_service"

_PACKAGE = "obs.service_graph"
_FIELD = descriptor_pb2.FieldDescriptorProto
# Message -> fields: name, number in opentelemetry/proto/trace/v1/trace.proto, type (another message of these, or a
# scalar), whether it repeats. Enumerations are plain integers on the wire.
_MESSAGES: dict[str, tuple[tuple[str, int, str, bool], ...]] = {
    "Traces": (("resource_spans", 1, "ResourceSpans", True),),
    "ResourceSpans": (("resource", 1, "Resource", False), ("scope_spans", 2, "ScopeSpans", True)),
    "Resource": (("attributes", 1, "KeyValue", True),),
    "KeyValue": (("key", 1, "string", False), ("value", 2, "AnyValue", False)),
    "AnyValue": (("string_value", 1, "string", False),),
    "ScopeSpans": (("spans", 2, "Span", True),),
    "Span": (
        ("trace_id", 1, "bytes", False),
        ("span_id", 2, "bytes", False),
        ("parent_span_id", 4, "bytes", False),
        ("kind", 6, "int32", False),
        ("start_time_unix_nano", 7, "fixed64", False),
        ("end_time_unix_nano", 8, "fixed64", False),
        ("links", 13, "Link", True),
        ("status", 15, "Status", False),
    ),
    "Link": (("trace_id", 1, "bytes", False), ("span_id", 2, "bytes", False)),
    "Status": (("code", 3, "int32", False),),
}
_SCALARS = {
    "string": _FIELD.TYPE_STRING,
    "bytes": _FIELD.TYPE_BYTES,
    "int32": _FIELD.TYPE_INT32,
    "fixed64": _FIELD.TYPE_FIXED64,
}


def _decoder() -> Callable[[bytes], Any]:
    file = descriptor_pb2.FileDescriptorProto(name="obs/service_graph.proto", package=_PACKAGE, syntax="proto3")
    for message, fields in _MESSAGES.items():
        described = file.message_type.add(name=message)
        for name, number, kind, repeated in fields:
            scalar = _SCALARS.get(kind)
            described.field.add(
                name=name,
                number=number,
                label=_FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL,
                type=_FIELD.TYPE_MESSAGE if scalar is None else scalar,
                type_name=f".{_PACKAGE}.{kind}" if scalar is None else None,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    message_class: Any = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Traces"))
    decode: Callable[[bytes], Any] = message_class.FromString
    return decode


decode = _decoder()
"""Decode one Kafka record. Raises `google.protobuf.message.DecodeError` where it is no OTLP."""


def service_name(resource: Any) -> str:
    """Value of ``service.name``."""
    for attribute in resource.attributes:
        if attribute.key == "service.name":
            return attribute.value.string_value or UNKNOWN_SERVICE
    return UNKNOWN_SERVICE
