"""Copies of metrics: Prometheus replicas that say which one they are, so that readers see one answer (P1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policy.documents import Format, documents
from policy.model import Finding, Node, Options, Resource, Rule
from policy.rules._commands import processes
from policy.rules._values import Unknowns, each_known, finding

_LABEL = "--query.replica-label"


def _named(resource: Resource, options: Options) -> Iterator[Finding]:
    for labels in _labels(resource):
        if not labels.value:
            problem = "the replica does not say which one it is: external_labels is not set"
            yield finding(resource, labels, problem, "set global.external_labels, with a label for the replica")


def _labels(resource: Resource) -> Iterator[Node]:
    """External labels of every Prometheus that keeps metrics for others to read."""
    for document in documents(resource, Format.PROMETHEUS):
        if document.node["otlp"].exists or document.node["storage"].exists:
            yield document.node.at("global.external_labels")


def _merged(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    unknown = Unknowns()
    replicas = [(resource, labels) for resource in resources for labels in unknown.known(_labels(resource))]
    yield from each_known(_one_view(resource, replicas) for resource in resources)
    unknown.tell()


def _one_view(workload: Resource, replicas: Sequence[tuple[Resource, Node]]) -> Iterator[Finding]:
    for process in processes(workload):
        if not process.runs("thanos", "query"):
            continue
        used = [label for value in process.flags(_LABEL) for label in value.split(",")]
        if not used and len(replicas) > 1:
            problem = f"{_LABEL} is not given, so every value of every replica is shown"
            yield finding(workload, process.where, problem, f"add {_LABEL} with the label that replicas differ by")
        for resource, labels in replicas:
            if used and labels.value and not any(labels[label].text() for label in used):
                problem = f"it has none of the labels that {workload.label} merges replicas by: {', '.join(used)}"
                yield finding(resource, labels, problem, f"set {used[0]} to the name of the replica")


RULES: tuple[Rule, ...] = (
    Rule(
        id="prometheus-replica-named",
        promise="Every Prometheus names its platform and which replica it is.",
        why="Thanos refuses it without, and readers could not tell one replica's values from another's.",
        sources=("P1",),
        kinds=frozenset({"ConfigMap", "Secret"}),
        resource=_named,
    ),
    Rule(
        id="thanos-merges-replicas",
        promise="Thanos merges replicas by a label that each of them has.",
        why="Sums would count every replica, and a lost one would leave gaps.",
        sources=("P1",),
        stack=_merged,
    ),
)
