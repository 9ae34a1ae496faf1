"""Kubernetes objects as rules see them: pods, selectors, networks, how found values are put into words; and what
containers run: programs, their flags, and the files that the flags name.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from policy.documents import files
from policy.model import Finding, Node, Option, Options, Resource
from policy.rules._values import each_known, whole_number

RUNNING = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"})
"""Kinds whose pods run until somebody stops them."""
WORKLOADS = RUNNING | {"Job", "CronJob", "Pod"}
"""Kinds that make pods."""
NETWORKS: Mapping[str, Option] = {
    "least_prefix_v4": whole_number(8, "shortest IPv4 prefix of a network"),
    "least_prefix_v6": whole_number(32, "shortest IPv6 prefix of a network"),
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


@dataclass(frozen=True)
class Process:
    """One container and what it runs.

    Attributes:
        resource: The workload.
        pod: Its pod's ``spec``.
        container: The container.
        words: Command and arguments.
    """

    resource: Resource
    pod: Node
    container: Node
    words: tuple[str, ...]

    @property
    def where(self) -> Node:
        """The list that holds its flags."""
        return self.container["args" if self.container["args"].exists else "command"]

    def runs(self, program: str, part: str = "") -> bool:
        """Whether it is a program, by the command, or by the image's own when there is none; and the part, if given.

        Args:
            program: Its name.
            part: The word that names the part, for example ``query`` of Thanos.
        """
        if part and part not in self.words[:2]:
            return False
        if self.container["command"].exists:
            return bool(self.words) and self.words[0].rsplit("/", 1)[-1] == program
        return self.repository == program

    @property
    def repository(self) -> str:
        """Last part of the image's repository."""
        return re.split(r"[:@]", self.container["image"].text().rsplit("/", 1)[-1], maxsplit=1)[0]

    def has(self, flag: str) -> bool:
        """Whether a flag is given at all."""
        return any(_bare(word.partition("=")[0]) == _bare(flag) for word in self.words if word.startswith("-"))

    def flags(self, flag: str) -> list[str]:
        """Every value of a flag in their order, written ``--flag=value`` or ``--flag value``, with one dash or two."""
        values = []
        for word, following in zip(self.words, (*self.words[1:], "-"), strict=False):
            name, given, value = word.partition("=")
            if not word.startswith("-") or _bare(name) != _bare(flag):
                continue
            if given or not following.startswith("-"):
                values.append(value if given else following)
        return values

    def flag(self, flag: str) -> str:
        """Value of a flag, the last one where it is given again; empty when it is not given."""
        return next(reversed(self.flags(flag)), "")


def _bare(flag: str) -> str:
    """A flag without its dashes: Go's own parser takes one as well as two."""
    return flag.lstrip("-")


def pod_of(resource: Resource) -> Node | None:
    """The pod specification of a workload, else None."""
    return template(resource)["spec"] if resource.kubernetes and resource.kind in WORKLOADS else None


def processes(resource: Resource) -> Iterator[Process]:
    """What every container of a workload runs."""
    pod = pod_of(resource)
    if pod is None:
        return
    for section in ("initContainers", "containers"):
        for container in pod[section].elements():
            words = (*container["command"].texts(), *container["args"].texts())
            yield Process(resource, pod, container, words)


@dataclass(frozen=True)
class Located:
    """A file that a container reads.

    Attributes:
        resource: ConfigMap or Secret that holds it.
        name: Key in it.
        text: Content.
    """

    resource: Resource
    name: str
    text: str


class Files:
    """ConfigMaps and Secrets of a stack, to look files of containers up in."""

    def __init__(self, resources: Sequence[Resource]) -> None:
        self._held = {
            (resource.kind, resource.namespace, resource.object_name): resource
            for resource in resources
            if resource.kind in ("ConfigMap", "Secret")
        }

    def volume(self, process: Process, path: str) -> tuple[Node, str] | None:
        """The volume that a path is on, and the rest of the path."""
        best: tuple[int, Node, str] | None = None
        for mount in process.container["volumeMounts"].elements():
            point = mount["mountPath"].text().rstrip("/")
            if path != point and not path.startswith(f"{point}/"):
                continue
            if best is None or len(point) > best[0]:
                rest = path[len(point) + 1 :] or mount["subPath"].text()
                best = (len(point), mount["name"], rest)
        if best is None:
            return None
        volume = next(
            (node for node in process.pod["volumes"].elements() if node["name"].text() == best[1].text()), None
        )
        if volume is None:
            claims = process.resource.node.at("spec.volumeClaimTemplates").elements()
            volume = next((claim for claim in claims if claim.at("metadata.name").text() == best[1].text()), None)
        return None if volume is None else (volume, best[2])

    def at(self, process: Process, path: str) -> list[Located]:
        """Files that a path may mean: several when it holds a variable like ``$(POD_INDEX)``; none when it is nowhere.

        Raises:
            UnknownValueError: The content is not known yet.
        """
        placed = self.volume(process, path)
        if placed is None:
            return []
        volume, rest = placed
        names = re.compile(re.sub(r"\\\$\\\([A-Z_]+\\\)", ".+", re.escape(rest)))
        located: list[Located] = []
        for holder in self._holders(process, volume):
            located += [Located(holder, name, text) for name, text in files(holder) if names.fullmatch(name)]
        return located

    def _holders(self, process: Process, volume: Node) -> Iterator[Resource]:
        sources = [volume, *volume.at("projected.sources").elements()]
        for source in sources:
            for kind, name in (
                ("ConfigMap", source.at("configMap.name")),
                ("Secret", source.at("secret.secretName")),
                ("Secret", source.at("secret.name")),
            ):
                held = self._held.get((kind, process.resource.namespace, name.text())) if name.exists else None
                if held is not None:
                    yield held
