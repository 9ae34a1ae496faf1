"""A Kafka record of logs as documents: what is in them, and what they are called."""

from __future__ import annotations

import json
from typing import Any

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData

from services.log_indexer.documents import LONGEST_BODY, LONGEST_VALUE, DecodeError, documents
from tests.support.dirty.records import any_value

TIME_NS = 1_700_000_000_123_456_789


def data(body: object = "text", *, service: str = "recorder", **record: Any) -> LogsData:
    logs_data = LogsData()
    logs = logs_data.resource_logs.add()
    for key, value in {"layer": "streaming", "service.name": service, "host.name": f"{service}-1"}.items():
        logs.resource.attributes.add(key=key).value.string_value = value
    scope = logs.scope_logs.add()
    scope.scope.name = "lib"
    log_record = scope.log_records.add(time_unix_nano=TIME_NS, severity_text="ERROR", severity_number=17)
    log_record.trace_id, log_record.span_id = bytes(range(16)), bytes(range(8))
    log_record.body.CopyFrom(any_value(body))
    for key, value in record.items():
        log_record.attributes.add(key=key.replace("__", ".")).value.CopyFrom(any_value(value))
    return logs_data


def documents_of(content: LogsData, written_ms: int = 5) -> list[dict[str, Any]]:
    return [json.loads(document.body) for document in documents("logs", 2, 7, content.SerializeToString(), written_ms)]


def test_a_document_has_what_the_mapping_names() -> None:
    [document] = documents_of(data(error__type="timeout"))
    assert document == {
        "@timestamp": "2023-11-14T22:13:20.123456789Z",
        "trace_id": bytes(range(16)).hex(),
        "span_id": bytes(range(8)).hex(),
        "severity": "ERROR",
        "severity_number": 17,
        "layer": "streaming",
        "service": "recorder",
        "body": "text",
        "scope": "lib",
        "resource": {"layer": "streaming", "service.name": "recorder", "host.name": "recorder-1"},
        "attributes": {"error.type": "timeout"},
    }


def test_a_record_holds_logs_of_several_resources() -> None:
    content = data("first")
    content.MergeFrom(data("second", service="viewer"))
    content.MergeFrom(data("third", service="viewer"))
    indexed = documents("logs", 2, 7, content.SerializeToString(), 5)
    assert [document.id for document in indexed] == ["logs-2-7-0", "logs-2-7-1", "logs-2-7-2"]
    bodies = [json.loads(document.body) for document in indexed]
    assert [(body["body"], body["service"], body["resource"]["host.name"]) for body in bodies] == [
        ("first", "recorder", "recorder-1"),
        ("second", "viewer", "viewer-1"),
        ("third", "viewer", "viewer-1"),
    ]


def test_ids_say_where_a_log_stands_and_are_the_same_when_it_is_read_again() -> None:
    content = data()
    content.resource_logs[0].scope_logs[0].log_records.add().body.string_value = "second"
    raw = content.SerializeToString()
    assert [document.id for document in documents("logs", 2, 7, raw, 5)] == ["logs-2-7-0", "logs-2-7-1"]
    assert documents("logs", 2, 7, raw, 5) == documents("logs", 2, 7, raw, 5)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"a": [1, {"b": "ｃ"}]}, '{"a": [1, {"b": "ｃ"}]}'),
        (["x", 2], '["x", 2]'),
        (3, "3"),
        (True, "true"),
        ("日本", "日本"),
    ],
)
def test_a_body_of_any_shape_becomes_text(body: object, text: str) -> None:
    assert documents_of(data(body))[0]["body"] == text


def test_a_log_without_a_time_has_that_of_its_record() -> None:
    content = data()
    content.resource_logs[0].scope_logs[0].log_records[0].time_unix_nano = 0
    assert documents_of(content, written_ms=1_700_000_000_500)[0]["@timestamp"] == "2023-11-14T22:13:20.500000000Z"


def test_a_time_beyond_the_index_is_brought_into_it() -> None:
    content = data()
    content.resource_logs[0].scope_logs[0].log_records[0].time_unix_nano = 2**64 - 1
    assert documents_of(content)[0]["@timestamp"].startswith("2262-04-11T")


def test_what_no_term_of_an_index_can_hold_is_cut() -> None:
    [document] = documents_of(data("x" * 100_000, long="y" * 100_000, nested={"a": ["z" * 100_000]}))
    assert len(document["body"]) == LONGEST_BODY
    assert len(document["attributes"]["long"]) == LONGEST_VALUE
    assert len(document["attributes"]["nested"]["a"][0]) == LONGEST_VALUE


def test_numbers_that_json_does_not_have_become_text() -> None:
    assert documents_of(data(ratio=float("nan"), top=float("inf")))[0]["attributes"] == {"ratio": "nan", "top": "inf"}


def test_bytes_are_written_as_base64() -> None:
    content = data()
    content.resource_logs[0].scope_logs[0].log_records[0].body.bytes_value = b"\x00\x01"
    assert documents_of(content)[0]["body"] == "AAE="


def test_a_record_that_is_no_otlp_says_so() -> None:
    with pytest.raises(DecodeError):
        documents("logs", 0, 0, b"\xff\xffgarbage", 5)
