"""Families of indices: names, aliases, templates, fields of the documents (those of traces are Jaeger's own
definitions, those of logs are ours), how long an index is written and how long it is kept.

A family is written through one alias, which leads to its newest index. Traces are kept apart by class; who has a
clearance reads through aliases of that clearance, which lead to the indices of that class and of all below it. So a
span is stored once, and whole traces are seen up to the clearance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from components.search.config import Engine
from components.telemetry import attributes

_KEYWORD: dict[str, Any] = {"type": "keyword", "ignore_above": 256}
_LONG_KEYWORD: dict[str, Any] = {"type": "keyword", "ignore_above": 1024}
_LONGEST_TERM = 10_922
"""Characters that always fit into a term of the index, of whose bytes a character takes three at most."""
_FOUND_ONLY: dict[str, Any] = {"doc_values": False}
"""Of a field that is searched for, but neither sorted nor counted by: no column of its values is written and merged."""
_READ_ONLY: dict[str, Any] = {"type": "object", "enabled": False}
"""A field that is in the document and nowhere else; it may hold anything."""


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


_TIME_FORMAT: Mapping[Engine, Mapping[str, str]] = {
    Engine.OPENSEARCH: {"format": "rfc3339_lenient||strict_date_optional_time_nanos||epoch_millis"},
    Engine.ELASTICSEARCH: {},
}
"""OpenSearch reads times of its first format quicker than others. The rest is what both engines take by themselves."""


def log_mapping(engine: Engine) -> dict[str, Any]:
    """A log record. Attributes are searchable by key, yet one field each: no client can make fields without end.

    The resource is searched by ``origin``, which has a text ``key=value`` for each of its attributes (ADR 72).
    """
    return {
        "dynamic": False,
        "properties": {
            "@timestamp": {"type": "date_nanos", **_TIME_FORMAT[engine]},
            "observed_timestamp": _READ_ONLY,
            "trace_id": {**_KEYWORD, **_FOUND_ONLY},
            "span_id": {**_KEYWORD, **_FOUND_ONLY},
            "severity": _KEYWORD,
            "severity_number": {"type": "short"},
            "layer": _KEYWORD,
            "service": _KEYWORD,
            "event": {**_LONG_KEYWORD, **_FOUND_ONLY},
            "body": {
                "type": "text",
                "analyzer": "words_and_bigrams",
                "search_analyzer": "words_or_bigrams",
                "norms": False,
            },
            "resource": _READ_ONLY,
            "origin": {"type": "keyword", "ignore_above": _LONGEST_TERM, **_FOUND_ONLY},
            "attributes": {"type": "flat_object" if engine is Engine.OPENSEARCH else "flattened"},
            "scope": {**_LONG_KEYWORD, **_FOUND_ONLY},
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


SPANS = "span"
SERVICES = "service"
DEPENDENCIES = "dependencies"
TRACE_KINDS: tuple[str, ...] = (SPANS, SERVICES, DEPENDENCIES)
LOGS = "logs"
_DAY_S = 86400
_COPYING: Mapping[Engine, Mapping[str, str]] = {
    Engine.OPENSEARCH: {"index.replication.type": "SEGMENT"},
    Engine.ELASTICSEARCH: {},
}
"""Copies of logs take over the finished segments of their primary instead of indexing every document again (ADR 40)."""
LOGS_REFRESH_S = 3
"""Seconds after which logs that were written are found. Each time makes a segment of every shard, which the copy gets
and which is merged again."""
_NODE_AWAY = "5m"
"""How long copies of a node that is away are waited for before they are made anew: longer than a restart."""


@dataclass(frozen=True, kw_only=True)
class IndexPolicy:
    """Sizes and ages of one kind of data.

    Attributes:
        shards: Primary shards of an index.
        replicas: Further copies of every shard.
        retention_days: How long documents are kept.
        rollover_age_s: Age at which a new index is begun.
        rollover_bytes: Size of the primaries at which a new index is begun.
        rollover_documents: Number of documents at which a new index is begun.
    """

    shards: int
    replicas: int
    retention_days: int
    rollover_age_s: int = _DAY_S
    rollover_bytes: int = 20 * 1024**3
    rollover_documents: int = 100_000_000


@dataclass(frozen=True, kw_only=True)
class Family:
    """One family of indices, ``<name>-000001`` and so on.

    Attributes:
        name: Common part of the names.
        write_alias: Alias that leads to the newest index.
        read_aliases: Aliases that lead to every index.
        policy: Sizes and ages.
        mapping: Fields.
        settings: Further settings of an index.
    """

    name: str
    write_alias: str
    read_aliases: tuple[str, ...]
    policy: IndexPolicy
    mapping: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def template(self) -> dict[str, Any]:
        """The index template: a new index has its read aliases from the moment on at which it exists."""
        return {
            "index_patterns": [f"{self.name}-0*"],
            "priority": 500,
            "template": {
                "settings": {
                    "index.number_of_shards": self.policy.shards,
                    "index.number_of_replicas": self.policy.replicas,
                    "index.unassigned.node_left.delayed_timeout": _NODE_AWAY,
                    **self.settings,
                },
                "mappings": dict(self.mapping),
                "aliases": {alias: {} for alias in self.read_aliases},
            },
        }


def trace_family(name: str, kind: str) -> str:
    """Family of one kind of trace data of one class."""
    return f"{name}-jaeger-{kind}"


def trace_alias(name: str, kind: str, use: str) -> str:
    """Alias to write (of a class) or read (of a clearance) one kind of trace data, as Jaeger forms it."""
    return f"{trace_family(name, kind)}-{use}"


def families(engine: Engine, *, traces: IndexPolicy, logs: IndexPolicy) -> tuple[Family, ...]:
    """Every family, classes from open to restricted."""
    return (
        *(_trace(name, kind, traces) for name in attributes.CLASSES for kind in TRACE_KINDS),
        _logs(engine, logs),
    )


def _trace(name: str, kind: str, policy: IndexPolicy) -> Family:
    """Spans have the shards that are asked for; the few services and dependencies need one."""
    mapping = {
        SPANS: span_mapping,
        SERVICES: service_mapping,
        DEPENDENCIES: dependency_mapping,
    }[kind]()
    few = IndexPolicy(
        shards=1,
        replicas=policy.replicas,
        retention_days=policy.retention_days,
        rollover_age_s=policy.rollover_age_s,
    )
    return Family(
        name=trace_family(name, kind),
        write_alias=trace_alias(name, kind, "write"),
        read_aliases=tuple(trace_alias(clearance, kind, "read") for clearance in attributes.clearances(name)),
        policy=policy if kind == SPANS else few,
        mapping=mapping,
        settings={"index.mapping.nested_fields.limit": 50, "index.requests.cache.enable": True},
    )


def _logs(engine: Engine, policy: IndexPolicy) -> Family:
    """Logs of every layer."""
    return Family(
        name=LOGS,
        write_alias=f"{LOGS}-write",
        read_aliases=(f"{LOGS}-read",),
        policy=policy,
        mapping=log_mapping(engine),
        settings={"index.analysis": log_analysis(), "index.refresh_interval": f"{LOGS_REFRESH_S}s", **_COPYING[engine]},
    )
