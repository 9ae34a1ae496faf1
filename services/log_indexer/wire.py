"""OTLP logs with those parts as bytes that are the same in many records, so that they are decoded once.

In protobuf, a message inside another one and bytes are written alike. What is not read is not decoded either.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from opentelemetry.proto.common.v1 import common_pb2
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


def _field(original: FieldDescriptorProto) -> FieldDescriptorProto:
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
        chosen = [_field(field) for field in original.field if field.name in fields]
        file.message_type.add(name=name, field=chosen)
    pool = DescriptorPool()
    pool.Add(common)
    pool.Add(file)
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _READ}


_CLASSES = _classes()
LogsOnWire: Any = _CLASSES["LogsData"]
ResourceOnWire: Any = _CLASSES["Resource"]
