"""Traces that a sampler keeps are not lost on their last step."""

from __future__ import annotations

from collections.abc import Iterator

from policy.model import Finding, Options, Resource, Rule
from policy.rules._collector import Collector, Component, collectors
from policy.rules._values import finding, flag, shown

_CONFIGS = frozenset({"ConfigMap", "Secret"})


def _kept(resource: Resource, options: Options) -> Iterator[Finding]:
    for collector in collectors(resource):
        for exporter in _behind_samplers(collector):
            retry, queue = exporter.node["retry_on_failure"]["enabled"], exporter.node["sending_queue"]
            if retry.exists and flag(retry) is not True:
                problem = f"{exporter} does not try again: retry_on_failure.enabled {shown(retry)}"
                yield finding(resource, retry, problem, "set retry_on_failure.enabled to true")
            if flag(queue["block_on_overflow"]) is not True:
                state = shown(queue["block_on_overflow"])
                problem = f"{exporter} drops what its queue cannot take: block_on_overflow {state}"
                yield finding(
                    resource, queue["block_on_overflow"], problem, "set sending_queue.block_on_overflow to true"
                )


def _behind_samplers(collector: Collector) -> Iterator[Component]:
    sampling = [pipeline for pipeline in collector.pipelines if pipeline.signal == "traces" and pipeline.sampling]
    names = dict.fromkeys(name for pipeline in sampling for name in pipeline.node["exporters"].texts())
    for exporter in collector.sending():
        if exporter.name in names:
            yield exporter


RULES: tuple[Rule, ...] = (
    Rule(
        id="collector-kept-traces",
        promise="A sampler's exporter tries again, and holds back instead of dropping.",
        why="The traces that were kept are the ones that matter, and nobody sends them a second time.",
        sources=("O4", "J1"),
        kinds=_CONFIGS,
        resource=_kept,
    ),
)
