"""Prometheus replicas can be told apart, reads are bounded, and Thanos has the flags that protect it."""

from __future__ import annotations

from collections.abc import Iterator

from policy.documents import Format, documents
from policy.model import Finding, Option, Options, Resource, Rule
from policy.rules._commands import WORKLOADS, processes
from policy.rules._values import finding


def _labels(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.PROMETHEUS):
        labels = document.node.at("global.external_labels")
        for needed in options["labels"]:
            if not labels[needed].text():
                yield Finding(
                    resource=resource,
                    where=f"{document.name}: global.external_labels.{needed}",
                    problem="is not set",
                    fix=f"set global.external_labels.{needed}",
                )


_BOUNDS = (
    ("prometheus", "", "--storage.remote.read-concurrent-limit", "answers that it sends at the same time"),
    ("thanos", "query", "--query.max-concurrent", "queries that run at the same time"),
)
"""Program, its part, a flag, and what it bounds; zero would mean that nothing is bounded."""


def _reads_bounded(resource: Resource, options: Options) -> Iterator[Finding]:
    for process in processes(resource):
        for program, part, flag, meaning in _BOUNDS:
            if process.runs(program, part) and not process.flag(flag).strip("0"):
                problem = f"{flag} does not bound the {meaning}"
                yield finding(resource, process.where, problem, f"add {flag} with the number that fits into its memory")


_ADMIN = ("--disable-admin-operations", "whoever reaches its port may have blocks deleted")
_PAGES = ("--web.disable", "its pages show every block to whoever reaches its port")
_NEEDED = (
    ("compact", *_ADMIN),
    ("compact", *_PAGES),
    ("query", "--query.partial-response", "one store that is down takes every dashboard with it"),
    ("store", *_ADMIN),
    ("store", *_PAGES),
)
"""Part of Thanos, a flag, and what happens without it."""


def _thanos_flags(resource: Resource, options: Options) -> Iterator[Finding]:
    for process in processes(resource):
        for part, flag, problem in _NEEDED:
            if process.runs("thanos", part) and not process.has(flag):
                yield finding(resource, process.where, f"{flag} is not given, so {problem}", f"add {flag}")


RULES = (
    Rule(
        id="prometheus-external-labels",
        promise="Every Prometheus says in its external labels which replica of which platform and region it is.",
        why="Without them Thanos can neither tell the replicas apart nor take their duplicates away.",
        sources=("P1", "P4"),
        kinds=frozenset({"ConfigMap", "Secret"}),
        options={
            "labels": Option(
                default=["platform", "region", "prometheus_replica"],
                schema={"type": "array", "items": {"type": "string"}},
                meaning="external labels that every Prometheus needs",
            )
        },
        resource=_labels,
    ),
    Rule(
        id="metrics-reads-bounded",
        promise="Prometheus and Thanos Query bound how much is read at the same time.",
        why="Neither bounds the memory of reads otherwise: one page of dashboards after a busy hour ends them all.",
        sources=("P1", "S2"),
        kinds=WORKLOADS,
        resource=_reads_bounded,
    ),
    Rule(
        id="thanos-flags-given",
        promise="Thanos serves no administration and no pages of blocks, and answers from the stores that are up.",
        why="The flags for it are off by default, and a part without them works as well.",
        sources=("P2", "P4"),
        kinds=WORKLOADS,
        resource=_thanos_flags,
    ),
)
