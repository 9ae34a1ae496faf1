"""``ops health``: a quick look at every workload and at the two things that must answer."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from ops.core import platform as platform_module
from ops.core.context import Context
from ops.core.errors import OpsError, one_line
from ops.core.kube import Kube, Pod
from ops.core.terminal import Table


@dataclass(frozen=True, kw_only=True)
class Line:
    """One workload or server."""

    name: str
    healthy: bool
    detail: str


def workloads(pods: list[Pod]) -> list[Line]:
    """One line per workload: pods that are ready, restarts."""
    groups: dict[str, list[Pod]] = defaultdict(list)
    for pod in pods:
        groups[pod.workload or pod.name].append(pod)
    return [
        Line(
            name=name,
            healthy=all(pod.ready for pod in group),
            detail=f"{sum(pod.ready for pod in group)} of {len(group)} ready, "
            f"{sum(pod.restarts for pod in group)} restarts",
        )
        for name, group in sorted(groups.items())
    ]


def check(context: Context) -> list[Line]:
    """All lines; a server that does not answer is a line, not an error."""
    lines = workloads(context.kube.pods())
    lines.append(_kafka(context))
    lines.append(_queries(context))
    return lines


def _kafka(context: Context) -> Line:
    try:
        topics = context.kafka.topics()
        brokers = context.kafka.brokers()
    except OpsError as error:
        return Line(name="Kafka answers", healthy=False, detail=one_line(error))
    behind = sum(
        sync < replicas
        for topic in topics.values()
        for sync, replicas in zip(topic.in_sync, topic.replicas, strict=True)
    )
    return Line(
        name="Kafka answers",
        healthy=behind == 0,
        detail=f"{len(brokers)} brokers, {behind} under-replicated partitions",
    )


def _queries(context: Context) -> Line:
    try:
        up = context.thanos.instant("up")
    except OpsError as error:
        return Line(name="Thanos Query answers", healthy=False, detail=one_line(error))
    down = sorted({sample.labels.get("instance", "?") for sample in up if sample.value != 1})
    detail = f"{len(up)} targets, down: {', '.join(down) or 'none'}"
    return Line(name="Thanos Query answers", healthy=bool(up) and not down, detail=detail)


def health(as_json: Annotated[bool, typer.Option("--json", help="Print lines for machines.")] = False) -> None:
    """Show every workload's pods and whether Kafka and Thanos Query answer."""
    platform = platform_module.load()
    with Context(platform, Kube.of(platform)) as context:
        lines = check(context)
    if as_json:
        rows = [{"name": line.name, "healthy": line.healthy, "detail": line.detail} for line in lines]
        typer.echo(json.dumps({"lines": rows}, indent=2))
    else:
        table = Table("", "workload", "state")
        for line in lines:
            state = Text("ok", style="green") if line.healthy else Text("bad", style="bold red")
            table.add_row(state, line.name, Text(line.detail))
        Console().print(table)
    raise typer.Exit(0 if all(line.healthy for line in lines) else 1)
