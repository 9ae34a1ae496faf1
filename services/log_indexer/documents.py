"""A Kafka record of OTLP logs as documents of the search cluster.

The id of a document says where its log record stands in Kafka. What is read again, after a crash or on purpose, has the
same ids, so it replaces itself.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from google.protobuf.message import DecodeError as DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, LogsData

LONGEST_BODY = 32_000
LONGEST_VALUE = 4_000
"""Characters of one attribute's value: a term of the index may not be longer than 32 kB."""

_NANOSECONDS = 10**9
_LAST_NANOSECOND = 2**63 - 1


@dataclass(frozen=True)
class Document:
    """One document.

    Attributes:
        id: Name in the index.
        body: JSON text.
    """

    id: str
    body: str


def documents(topic: str, partition: int, offset: int, value: bytes, written_ms: int) -> list[Document]:
    """Documents of one Kafka record, in its order.

    Args:
        topic: Topic of the record.
        partition: Partition of it.
        offset: Offset of it.
        value: OTLP logs in protobuf.
        written_ms: When Kafka took the record; the time of log records that have none.

    Raises:
        DecodeError: The value is no OTLP.
    """
    documents = []
    for number, content in enumerate(_contents(LogsData.FromString(value), written_ms * 1_000_000)):
        documents.append(Document(f"{topic}-{partition}-{offset}-{number}", json.dumps(content, ensure_ascii=False)))
    return documents


def _contents(data: LogsData, written_ns: int) -> Iterator[dict[str, Any]]:
    for resource_logs in data.resource_logs:
        resource = _attributes(resource_logs.resource.attributes)
        for scope_logs in resource_logs.scope_logs:
            for record in scope_logs.log_records:
                yield _content(record, resource, scope_logs.scope.name, written_ns)


def _content(record: LogRecord, resource: dict[str, Any], scope: str, written_ns: int) -> dict[str, Any]:
    attributes = _attributes(record.attributes)
    event = record.event_name or attributes.get("event.name")
    observed = record.observed_time_unix_nano
    content = {
        "@timestamp": _time(record.time_unix_nano or observed or written_ns),
        "observed_timestamp": _time(observed) if observed else None,
        "trace_id": record.trace_id.hex(),
        "span_id": record.span_id.hex(),
        "severity": record.severity_text,
        "severity_number": record.severity_number,
        "layer": resource.get("layer"),
        "service": resource.get("service.name"),
        "event": event,
        "body": _body(record.body),
        "scope": scope,
        "resource": resource,
        "attributes": attributes,
    }
    return {key: value for key, value in content.items() if value not in (None, "", 0, {})}


def _body(value: AnyValue) -> str:
    plain = _plain(value)
    text = plain if isinstance(plain, str) else "" if plain is None else json.dumps(plain, ensure_ascii=False)
    return text[:LONGEST_BODY]


def _attributes(items: Iterable[KeyValue]) -> dict[str, Any]:
    return {item.key: _short(_plain(item.value)) for item in items if item.key}


def _short(value: Any) -> Any:
    if isinstance(value, str):
        return value[:LONGEST_VALUE]
    if isinstance(value, list):
        return [_short(nested) for nested in value]
    if isinstance(value, dict):
        return {key: _short(nested) for key, nested in value.items() if key}
    return value


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
    seconds, rest = divmod(min(nanoseconds, _LAST_NANOSECOND), _NANOSECONDS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
