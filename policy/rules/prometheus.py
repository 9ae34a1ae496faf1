"""Prometheus replicas can be told apart, and their data belongs to a region."""

from __future__ import annotations

from collections.abc import Iterator

from policy.documents import Format, documents
from policy.model import Finding, Option, Options, Resource, Rule


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
)
