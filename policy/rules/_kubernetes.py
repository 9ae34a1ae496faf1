"""Kubernetes objects as rules see them: pods, selectors, networks, and how found values are put into words."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from policy.model import Finding, Node, Option, Options, Resource
from policy.rules._values import each_known

RUNNING = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"})
"""Kinds whose pods run until somebody stops them."""
WORKLOADS = RUNNING | {"Job", "CronJob", "Pod"}
"""Kinds that make pods."""
NETWORKS: Mapping[str, Option] = {
    "least_prefix_v4": Option(default=8, schema={"type": "integer"}, meaning="shortest IPv4 prefix of a network"),
    "least_prefix_v6": Option(default=32, schema={"type": "integer"}, meaning="shortest IPv6 prefix of a network"),
    "least_public_prefix_v4": Option(
        default=16, schema={"type": "integer"}, meaning="shortest prefix of an IPv4 network of the internet"
    ),
    "open_networks": Option(
        default=[], schema={"type": "array", "items": {"type": "string"}}, meaning="wider networks that are agreed"
    ),
}
"""Options of rules that bound networks (`too_wide`)."""
_GROUPS = ("initContainers", "containers", "ephemeralContainers")
_POD_LABELS = frozenset({"apps.kubernetes.io/pod-index", "statefulset.kubernetes.io/pod-name"})
"""Labels that Kubernetes itself gives to pods; no template has them."""


@dataclass(frozen=True)
class Want:
    """A setting that must have a safe value.

    Attributes:
        path: Dotted path below the node that is looked at.
        safe: Whether a found value is safe; None stands for a setting that is not there.
        fix: What to write instead.
    """

    path: str
    safe: Callable[[Any], bool]
    fix: str


def wanted(resource: Resource, node: Node, wants: Iterable[Want]) -> Iterator[Finding]:
    """A finding for each setting that is not safe."""
    yield from each_known(_unsafe(resource, node.at(want.path), want) for want in wants)


def _unsafe(resource: Resource, field: Node, want: Want) -> Iterator[Finding]:
    if not want.safe(field.value):
        yield at(resource, field, f"{key_of(field)} {state(field.raw)}", want.fix)


def at(resource: Resource, node: Node, problem: str, fix: str) -> Finding:
    """A finding at a node."""
    return Finding(resource=resource, where=node.path, problem=problem, fix=fix)


def key_of(node: Node) -> str:
    """Last key of a node's path."""
    return node.path.rsplit(".", 1)[-1]


def state(value: Any) -> str:
    """``is missing``, or ``is`` with the value."""
    return "is missing" if value is None else f"is {shown(value)}"


def shown(value: Any) -> str:
    """A value in a message."""
    if isinstance(value, str):
        return f'"{value}"'
    return json.dumps(_short(value), default=str)


def _short(value: Any) -> Any:
    """Whole numbers as such: the engine's numbers are floating."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _short(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_short(inner) for inner in value]
    return value


def number(value: Any) -> float | None:
    """A number, or None for anything else (a boolean is none)."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def template(resource: Resource) -> Node:
    """Pod template (``metadata`` and ``spec``) of a workload; a node without value for any other resource."""
    if not resource.kubernetes or resource.kind not in WORKLOADS:
        return Node(None)
    if resource.kind == "Pod":
        return resource.node
    return resource.node.at("spec.jobTemplate.spec.template" if resource.kind == "CronJob" else "spec.template")


def containers(pod: Node, groups: Sequence[str] = _GROUPS) -> Iterator[Node]:
    """Containers of a pod's ``spec``, those that only start it up included."""
    for group in groups:
        yield from pod[group].elements()


def name_of(container: Node) -> str:
    """How messages call a container."""
    return f"container {container['name'].text() or '?'}"


def workloads(resources: Sequence[Resource], kinds: frozenset[str] = WORKLOADS) -> Iterator[Resource]:
    """Kubernetes workloads of some kinds."""
    return (resource for resource in resources if resource.kubernetes and resource.kind in kinds)


def of_kind(resources: Sequence[Resource], *kinds: str) -> list[Resource]:
    """Kubernetes objects of some kinds."""
    return [resource for resource in resources if resource.kubernetes and resource.kind in kinds]


def labels(workload: Resource) -> Mapping[str, Any]:
    """Labels of a workload's pods."""
    label_values = template(workload)["metadata"]["labels"].value
    return label_values if isinstance(label_values, Mapping) else {}


def selects(selector: Node, workload: Resource) -> bool:
    """Whether a label selector (``matchLabels``, ``matchExpressions``) takes a workload's pods (an empty one does)."""
    have = labels(workload)
    if not all(have.get(key) == value.value for key, value in selector["matchLabels"].items()):
        return False
    return all(_holds(node, have) for node in selector["matchExpressions"].elements())


def _holds(expression: Node, have: Mapping[str, Any]) -> bool:
    key, values = expression["key"].text(), expression["values"].texts()
    match expression["operator"].text():
        case "In":
            return have.get(key) in values
        case "NotIn":
            return have.get(key) not in values
        case "Exists":
            return key in have
        case _:
            return key not in have


def served(service: Resource, resources: Sequence[Resource]) -> list[Resource]:
    """Workloads whose pods a Service takes (a Service without selector takes none)."""
    wanted_labels = {k: v.value for k, v in service.node.at("spec.selector").items() if k not in _POD_LABELS}
    if not wanted_labels:
        return []
    return [
        workload
        for workload in workloads(resources)
        if workload.namespace == service.namespace and wanted_labels.items() <= dict(labels(workload)).items()
    ]


def empty(selector: Node) -> bool:
    """Whether a selector is given and takes everything."""
    value = selector.value
    return value is not None and not any(value.get(key) for key in ("matchLabels", "matchExpressions"))


def open_ended(selector: Node) -> bool:
    """Whether a selector is given and names no value that a label must have: it takes whatever comes later as well."""
    if not selector.exists:
        return False
    one_of = (node["operator"].text() == "In" for node in selector["matchExpressions"].elements())
    return not selector["matchLabels"].value and not any(one_of)


def too_wide(cidr: str, options: Options) -> bool:
    """Whether a network has more addresses than may be allowed at once; what is no network is too wide.

    Args:
        cidr: The network.
        options: Values of `NETWORKS`.
    """
    if cidr in options["open_networks"]:
        return False
    try:
        network = ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        return True
    least: int = options["least_prefix_v6"]
    if network.version == 4:
        least_public = options["least_public_prefix_v4"] if network.is_global else 0
        least = max(options["least_prefix_v4"], least_public)
    return network.prefixlen < least
