"""A Kafka record of logs as documents: what is in them, and what they are called."""

from __future__ import annotations

import json
from typing import Any

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData

from components.search.config import Engine
from components.search.indices import log_mapping
from services.log_indexer.documents import LONGEST_BODY, LONGEST_VALUE, DecodeError, Document, documents, name_of
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


def body_of(document: Document) -> dict[str, Any]:
    action, body = document.splitlines()
    assert json.loads(action) == {"index": {"_id": name_of(document)}}
    content: dict[str, Any] = json.loads(body, object_pairs_hook=without_doubles)
    return content


def without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs), "the index refuses an object with the same key twice"
    return dict(pairs)


def documents_of(content: LogsData, written_ms: int = 5) -> list[dict[str, Any]]:
    return [body_of(document) for document in documents("logs", 2, 7, content.SerializeToString(), written_ms)]


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
        "origin": ["layer=streaming", "service.name=recorder", "host.name=recorder-1"],
        "resource": {"layer": "streaming", "service.name": "recorder", "host.name": "recorder-1"},
        "attributes": {"error.type": "timeout"},
    }


def test_a_record_holds_logs_of_several_resources() -> None:
    content = data("first")
    content.MergeFrom(data("second", service="viewer"))
    content.MergeFrom(data("third", service="viewer"))
    indexed = list(documents("logs", 2, 7, content.SerializeToString(), 5))
    assert [name_of(document) for document in indexed] == ["logs-2-7-0", "logs-2-7-1", "logs-2-7-2"]
    bodies = [body_of(document) for document in indexed]
    assert [(body["body"], body["service"], body["resource"]["host.name"]) for body in bodies] == [
        ("first", "recorder", "recorder-1"),
        ("second", "viewer", "viewer-1"),
        ("third", "viewer", "viewer-1"),
    ]


def test_ids_say_where_a_log_stands_and_are_the_same_when_it_is_read_again() -> None:
    content = data()
    content.resource_logs[0].scope_logs[0].log_records.add().body.string_value = "second"
    raw = content.SerializeToString()
    assert [name_of(document) for document in documents("logs", 2, 7, raw, 5)] == ["logs-2-7-0", "logs-2-7-1"]
    assert list(documents("logs", 2, 7, raw, 5)) == list(documents("logs", 2, 7, raw, 5))


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


@pytest.mark.parametrize(
    "value",
    [
        ["z" * 100_000] * 100,
        ["z" * 100] * 10_000,
        [""] * 100_000,
        [[]] * 100_000,
        [2**62] * 100_000,
        {str(number): "z" * 3000 for number in range(1000)},
        [{"a": ["z" * 3000, {"b": "z" * 3000}]}] * 100,
    ],
)
def test_all_texts_of_a_value_together_are_cut_like_a_single_one(value: object) -> None:
    [document] = documents_of(data(many=value))
    many = document["attributes"]["many"]
    assert len(json.dumps(many, separators=(",", ":"))) <= 4 * LONGEST_VALUE
    assert many, "its beginning is kept"


def test_what_has_room_is_kept_whole() -> None:
    value = {"list": ["z" * 1000, 1, True, {"a": ["", 2.5, []]}], "text": "y" * 1000}
    assert documents_of(data(some=value))[0]["attributes"]["some"] == value


def test_numbers_that_json_does_not_have_become_text() -> None:
    assert documents_of(data(ratio=float("nan"), top=float("inf")))[0]["attributes"] == {"ratio": "nan", "top": "inf"}


def test_bytes_are_written_as_base64() -> None:
    content = data()
    content.resource_logs[0].scope_logs[0].log_records[0].body.bytes_value = b"\x00\x01"
    assert documents_of(content)[0]["body"] == "AAE="


def test_a_record_that_is_no_otlp_says_so() -> None:
    with pytest.raises(DecodeError):
        list(documents("logs", 0, 0, b"\xff\xffgarbage", 5))


def test_an_attribute_that_comes_twice_is_in_the_document_once() -> None:
    content = data(word="first")
    log_record = content.resource_logs[0].scope_logs[0].log_records[0]
    log_record.attributes.add(key="word").value.string_value = "last"
    content.resource_logs[0].resource.attributes.add(key="layer").value.string_value = "device"
    [document] = documents_of(content)
    assert document["attributes"] == {"word": "last"}
    assert (document["layer"], document["resource"]["layer"]) == ("device", "device")


ODD = '\u3000\u5024="\\\u2028'


@pytest.mark.parametrize(
    ("value", "elements"),
    [
        (ODD, [f"odd={ODD}"]),
        ("", ["odd="]),
        (7, ["odd=7"]),
        (True, ["odd=true"]),
        (2.5, ["odd=2.5"]),
        (["a", 1, "b"], ["odd=a", "odd=1", "odd=b"]),
        ({"inner": {"list": ["a"]}, "b": "c"}, ["odd=a", "odd=c"]),
        ([], []),
    ],
)
def test_a_resource_is_found_by_each_attribute(value: object, elements: list[str]) -> None:
    content = data()
    content.resource_logs[0].resource.attributes.add(key="odd").value.CopyFrom(any_value(value))
    [document] = documents_of(content)
    assert document["origin"][3:] == elements
    assert document["resource"]["odd"] == value


@pytest.mark.parametrize(
    "value",
    [
        ["\U00020bb7"] * 3900 + ["5f" * 32],
        {str(number): "\U00020bb7" for number in range(600)} | {"last": "5f" * 32},
        [[]] * 3000 + ["5f" * 32],
        "\U00020bb7" * 3900 + "5f" * 32,
    ],
)
def test_all_of_an_attribute_is_found_however_many_parts_it_has(value: object) -> None:
    """Who searches for a pseudonym looks into every element: none may be left out for its length."""
    content, key = data(), "k" * 5000
    content.resource_logs[0].resource.attributes.add(key=key).value.CopyFrom(any_value(value))
    [document] = documents_of(content)
    elements = document["origin"][3:]
    assert any("5f" * 32 in element for element in elements)
    assert len(elements) <= 16
    longest = cluster_mapping()["origin"]["ignore_above"]
    assert max(len(element.encode("utf-16-le")) // 2 for element in elements) <= longest
    assert 3 * longest <= 32_766


def cluster_mapping() -> dict[str, Any]:
    """Fields of the index of logs."""
    fields: dict[str, Any] = log_mapping(Engine.OPENSEARCH)["properties"]
    return fields


@pytest.mark.parametrize("engine", list(Engine))
def test_the_mapping_names_what_a_document_has(engine: Engine) -> None:
    content = data(event__name="started")
    content.resource_logs[0].scope_logs[0].log_records[0].observed_time_unix_nano = TIME_NS
    [document] = documents_of(content)
    assert document.keys() == log_mapping(engine)["properties"].keys()


@pytest.mark.parametrize("value", ["", 0, False, 0.0])
def test_a_service_without_a_name_has_none(value: object) -> None:
    content = data()
    attributes = content.resource_logs[0].resource.attributes
    next(item for item in attributes if item.key == "service.name").value.CopyFrom(any_value(value))
    [document] = documents_of(content)
    assert "service" not in document
    assert document["resource"]["service.name"] == value


def test_the_event_is_that_of_the_record_else_that_of_its_attribute() -> None:
    content = data(event__name="old")
    assert documents_of(content)[0]["event"] == "old"
    content.resource_logs[0].scope_logs[0].log_records[0].event_name = "new"
    assert documents_of(content)[0]["event"] == "new"


@pytest.mark.parametrize("length", [1, 100, 3000])
def test_what_is_remembered_and_what_is_too_long_for_that_is_written_alike(length: int) -> None:
    """Short attributes and resources are encoded once and found again; the second time must be as the first."""
    text = '値"\\\u2028' * length
    values = {"text": text, "list": [1, text[:9], {"a": False}], "number": -(2**63), "ratio": 1e22, "flag": True}
    for _ in range(2):
        [document] = documents_of(data(text, service=text, **values))
        assert document["attributes"] == {**values, "text": text[:LONGEST_VALUE]}
        assert document["service"] == document["resource"]["service.name"] == text[:LONGEST_VALUE]
        assert document["body"] == text
