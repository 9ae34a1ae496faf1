"""Metrics in shards: each has its pair and its readers, and rules about all of them are told once and over TLS (P4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policy.documents import Document, Format, documents
from policy.model import Finding, Node, Options, Resource, Rule
from policy.rules._commands import processes
from policy.rules._mounts import known_documents
from policy.rules._values import finding, number
from policy.rules.alerting import secured

_FILES = frozenset({"ConfigMap", "Secret"})
_SHARD, _REPLICA = "prometheus_shard", "prometheus_replica"
_DROP = "--alert.label-drop"
_RECEIVERS = "--alertmanagers.config-file"


def _pairs(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    known, unknown = known_documents(resources, Format.PROMETHEUS)
    shards: dict[str, dict[str, Document]] = {}
    for document in known:
        labels = document.node.at("global.external_labels")
        if labels[_REPLICA].text():
            shards.setdefault(labels[_SHARD].text() or "0", {})[labels[_REPLICA].text()] = document
    replicas = sorted({replica for members in shards.values() for replica in members})
    for shard, members in sorted(shards.items()):
        missing = [replica for replica in replicas if replica not in members]
        if missing:
            document = next(iter(members.values()))
            yield finding(
                document.resource,
                document.node.at("global.external_labels"),
                f"shard {shard} has no server in the replica {', '.join(missing)}",
                "give every replica a server for every shard",
            )
    if unknown:
        raise unknown


def _read(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    known, unknown = known_documents(resources, Format.COLLECTOR)
    groups: dict[str, list[tuple[Document, Node, float, float]]] = {}
    for document in known:
        for _, receiver in document.node["receivers"].items():
            shard = receiver["shard"]
            index, count = number(shard["index"]), number(shard["count"])
            if index is not None and count is not None:
                groups.setdefault(receiver["group_id"].text(), []).append((document, shard, index, count))
    for group, members in sorted(groups.items()):
        yield from _complete(group, members)
    if unknown:
        raise unknown


def _complete(group: str, members: Sequence[tuple[Document, Node, float, float]]) -> Iterator[Finding]:
    counts = {count for *_, count in members}
    indices = sorted(index for *_, index, _ in members)
    document, shard, *_ = members[0]
    if len(counts) > 1:
        yield finding(
            document.resource,
            shard,
            f"the consumers of group {group} do not agree how many shards there are: "
            f"{', '.join(f'{count:g}' for count in sorted(counts))}",
            "give all of a group the same count",
        )
    elif indices != list(range(int(counts.pop()))):
        yield finding(
            document.resource,
            shard,
            f"the consumers of group {group} are of the shards {', '.join(f'{index:g}' for index in indices)}: "
            "partitions of the others are read by nobody",
            "give every shard one consumer",
        )


def _told_once(resource: Resource, options: Options) -> Iterator[Finding]:
    for process in processes(resource):
        if not process.runs("thanos", "rule"):
            continue
        labels = {value.partition("=")[0] for value in process.flags("--label")}
        dropped = set(process.flags(_DROP))
        for label in sorted(labels & {_REPLICA, _SHARD} - dropped):
            yield finding(
                resource,
                process.where,
                f"alerts leave the ruler with the label {label}, so that two rulers tell everybody twice",
                f"add {_DROP}={label}",
            )
        if not any(process.flags(_RECEIVERS)):
            yield finding(
                resource,
                process.where,
                "the ruler tells nobody of its alerts",
                f"add {_RECEIVERS} with every Alertmanager",
            )


def _told_over_tls(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.OTHER):
        for node in document.node["alertmanagers"].elements():
            yield from secured(resource, node, node["http_config"], who="the ruler")


RULES = (
    Rule(
        id="prometheus-shard-pairs",
        promise="Every shard of metrics has a server in every replica.",
        why="With its only server a shard is gone for readers and rules, though another replica is there.",
        sources=("P1", "P4"),
        stack=_pairs,
    ),
    Rule(
        id="consumer-shards-complete",
        promise="The consumers of a group have one for every shard, and agree how many there are.",
        why="Partitions of a shard without a consumer are read by nobody: their series end.",
        sources=("O5", "P4"),
        stack=_read,
    ),
    Rule(
        id="ruler-alerts-told-once",
        promise="Rulers tell Alertmanager, and their alerts look the same.",
        why="Alerts of the layers would be told twice, or by nobody.",
        sources=("A1", "P4"),
        resource=_told_once,
    ),
    Rule(
        id="ruler-alerts-tls",
        promise="Rulers send alerts over verified TLS and with a login.",
        why="Alerts could be read, forged or dropped on the way.",
        sources=("A1", "P2"),
        kinds=_FILES,
        resource=_told_over_tls,
    ),
)
