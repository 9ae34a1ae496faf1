"""Collectors are asked whether their queue on disk is empty before they are told to end (requirements O1, S1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policy.model import Finding, Options, Resource, Rule
from policy.rules._collector import DRAIN, Collector
from policy.rules._commands import Files, Process
from policy.rules._values import each_known, finding, number, seconds, shown, stated
from policy.rules.delivery_sizing import running_collectors

_GRACE_DEFAULT_S = 30
_LIMIT_DEFAULT = "5m"


def _drains(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    files = Files(resources)
    yield from each_known(_workload_drains(files, resource) for resource in resources)


def _workload_drains(files: Files, workload: Resource) -> Iterator[Finding]:
    for process, collector in running_collectors(files, workload):
        spilling = [exporter for exporter in collector.delivering if exporter.node["spill"].exists]
        if spilling:
            yield from _asked(process, collector)


def _asked(process: Process, collector: Collector) -> Iterator[Finding]:
    extensions = [item for item in collector.components("extensions", DRAIN) if item.name in collector.extensions]
    if not extensions:
        where = collector.node.at("service.extensions")
        problem = "nobody can ask whether its queue on disk is empty: no extension drain runs"
        yield finding(collector.resource, where, problem, "define it and list it in service.extensions")
        return
    drain = extensions[0].node
    port = drain["endpoint"].text().rpartition(":")[2]
    question = process.container["lifecycle"]["preStop"]["httpGet"]
    if f"{number(question['port']) or 0:.0f}" != port or question["scheme"].text() != "HTTPS":
        problem = f"it ends without a look at its queue on disk: preStop.httpGet {shown(question)}"
        yield finding(process.resource, question, problem, f"let preStop ask port {port} over HTTPS")
        return
    limit = seconds(drain["limit"].text() or _LIMIT_DEFAULT) or 0.0
    grace = process.pod["terminationGracePeriodSeconds"]
    if ((number(grace) if grace.exists else _GRACE_DEFAULT_S) or 0) <= limit:
        state = f"terminationGracePeriodSeconds {stated(grace, _GRACE_DEFAULT_S)}"
        problem = f"it is killed while its queue on disk drains, which may take {limit:.0f} s: {state}"
        yield finding(process.resource, grace, problem, f"give more than {limit:.0f} s, or lower limit of drain")


RULES: tuple[Rule, ...] = (
    Rule(
        id="collector-drains-before-end",
        promise="A collector whose queue on disk drains is told to end only when it is empty, or stands still.",
        why="A pod that is taken away for good would leave on its volume what could have been in Kafka in a minute.",
        sources=("O1", "S1"),
        stack=_drains,
    ),
)
"""Rules of this concern."""
