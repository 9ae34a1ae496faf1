"""The pair of regions as rules see it: the failover agent with its settings, and what is copied into the region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from policy.documents import parse
from policy.model import Node, Resource, UnknownValueError
from policy.rules import _formats
from policy.rules._servers import Container, containers
from policy.rules._values import flag

FAILOVER_AGENT: Final = "services.failover_agent"
REPORTS: Final = "services.reports"
MIRROR: Final = "org.apache.kafka.connect.mirror.MirrorMaker"


@dataclass(frozen=True)
class FailoverAgent:
    """A failover agent.

    Attributes:
        container: Where it runs.
        held: ConfigMap or Secret of its settings; the workload itself where there are none.
        settings: Its settings, empty where there are none.
    """

    container: Container
    held: Resource
    settings: Node


@dataclass(frozen=True)
class Copy:
    """A flow of a MirrorMaker that runs.

    Attributes:
        workload: Where it runs.
        source: Region that is copied.
        target: Region that is copied into.
    """

    workload: Resource
    source: str
    target: str


def failover_agents(stack: Sequence[Resource]) -> tuple[list[FailoverAgent], UnknownValueError | None]:
    """Failover agents of a stack, and what of them is not known yet, to raise after the known ones were looked at."""
    guard_list: list[FailoverAgent] = []
    unknown: UnknownValueError | None = None
    for container in _running(stack, FAILOVER_AGENT):
        mounted, word = container.mounted(stack), container.flag("config")
        file = mounted.at(word.text) if word else None
        content = parse(file.name, file.text)[1] if file else None
        if file and isinstance(content, dict):
            guard_list.append(FailoverAgent(container, file.resource, Node(content, f"{file.name}:")))
        elif mounted.unknown:
            unknown = unknown or UnknownValueError(mounted.unknown)
        else:
            guard_list.append(
                FailoverAgent(container, container.resource, Node(None, word.where if word else container.node.path))
            )
    return guard_list, unknown


def copies(stack: Sequence[Resource]) -> tuple[list[Copy], UnknownValueError | None]:
    """What MirrorMakers of a stack copy, and what of them is not known yet."""
    copy_list: list[Copy] = []
    unknown: UnknownValueError | None = None
    for container in _running(stack, MIRROR):
        texts = [word.text for word in container.words]
        mounted, path = container.mounted(stack), "".join(texts[texts.index(MIRROR) + 1 :][:1])
        file = mounted.at(path) if path else None
        flows = _formats.mirror(file.text) if file else None
        if flows:
            copy_list += [Copy(container.resource, *flow) for flow in flows.flows]
        elif mounted.unknown:
            unknown = unknown or UnknownValueError(mounted.unknown)
    return copy_list, unknown


def reports(resource: Resource) -> bool:
    """Whether a CronJob makes and sends reports."""
    return resource.kind == "CronJob" and bool(_running([resource], REPORTS))


def suspended(resource: Resource) -> bool:
    """Whether a CronJob does not run for now."""
    node = resource.node["spec"]["suspend"]
    return node.exists and flag(node) is not False


def _running(stack: Sequence[Resource], module: str) -> list[Container]:
    """Containers whose command line has that word."""
    return [
        container
        for resource in stack
        for container in containers(resource)
        if any(word.text == module for word in container.words)
    ]
