"""Fields of the documents. Those of traces are Jaeger's own definitions; those of logs are ours."""

from __future__ import annotations

from typing import Any

from components.search.config import Engine

_KEYWORD: dict[str, Any] = {"type": "keyword", "ignore_above": 256}
_LONG_KEYWORD: dict[str, Any] = {"type": "keyword", "ignore_above": 1024}


def _nested(**fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "nested", "dynamic": False, "properties": fields}


def _key_values() -> dict[str, Any]:
    return _nested(key=_KEYWORD, value=_KEYWORD, type=_KEYWORD)


def _tag_templates() -> list[dict[str, Any]]:
    return [
        {"span_tags_map": {"mapping": _KEYWORD, "path_match": "tag.*"}},
        {"process_tags_map": {"mapping": _KEYWORD, "path_match": "process.tag.*"}},
    ]


def span_mapping() -> dict[str, Any]:
    """A span as Jaeger stores it."""
    return {
        "dynamic_templates": _tag_templates(),
        "properties": {
            "traceID": _KEYWORD,
            "parentSpanID": _KEYWORD,
            "spanID": _KEYWORD,
            "operationName": _KEYWORD,
            "startTime": {"type": "long"},
            "startTimeMillis": {"type": "date", "format": "epoch_millis"},
            "duration": {"type": "long"},
            "flags": {"type": "integer"},
            "logs": _nested(timestamp={"type": "long"}, fields=_key_values()),
            "process": {
                "properties": {"serviceName": _KEYWORD, "tag": {"type": "object"}, "tags": _key_values()},
            },
            "references": _nested(refType=_KEYWORD, traceID=_KEYWORD, spanID=_KEYWORD),
            "tag": {"type": "object"},
            "tags": _key_values(),
        },
    }


def service_mapping() -> dict[str, Any]:
    """A service and one of its operations as Jaeger stores them."""
    return {
        "dynamic_templates": _tag_templates(),
        "properties": {"serviceName": _KEYWORD, "operationName": _KEYWORD},
    }


def dependency_mapping() -> dict[str, Any]:
    """Calls between services over a time. Jaeger leaves these fields to be guessed; here they are fixed."""
    return {
        "dynamic": False,
        "properties": {
            "timestamp": {"type": "date"},
            "dependencies": {
                "properties": {
                    "parent": _KEYWORD,
                    "child": _KEYWORD,
                    "callCount": {"type": "long"},
                    "source": _KEYWORD,
                }
            },
        },
    }


def log_mapping(engine: Engine) -> dict[str, Any]:
    """A log record. Attributes are searchable by key, yet one field each: no client can make fields without end."""
    flat = {"type": "flat_object" if engine is Engine.OPENSEARCH else "flattened"}
    return {
        "dynamic": False,
        "properties": {
            "@timestamp": {"type": "date_nanos"},
            "observed_timestamp": {"type": "date_nanos"},
            "trace_id": _KEYWORD,
            "span_id": _KEYWORD,
            "severity": _KEYWORD,
            "severity_number": {"type": "short"},
            "layer": _KEYWORD,
            "service": _KEYWORD,
            "event": _LONG_KEYWORD,
            "body": {"type": "text", "analyzer": "words_and_bigrams", "search_analyzer": "words_or_bigrams"},
            "resource": flat,
            "attributes": flat,
            "scope": _LONG_KEYWORD,
        },
    }


def log_analysis() -> dict[str, Any]:
    """How text is cut into terms: words in Latin script, pairs of characters in Japanese.

    Single characters are kept in the index as well, so that a search for one character finds it.
    """
    filters = ["cjk_width", "lowercase"]
    return {
        "filter": {"pairs_and_singles": {"type": "cjk_bigram", "output_unigrams": True}},
        "analyzer": {
            "words_and_bigrams": {"type": "custom", "tokenizer": "standard", "filter": [*filters, "pairs_and_singles"]},
            "words_or_bigrams": {"type": "custom", "tokenizer": "standard", "filter": [*filters, "cjk_bigram"]},
        },
    }
