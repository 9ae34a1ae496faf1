"""What containers run: programs, their flags, and the files that the flags name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from policy.documents import files
from policy.model import Node, Resource

_TEMPLATES = {
    "Pod": "spec",
    "Deployment": "spec.template.spec",
    "StatefulSet": "spec.template.spec",
    "DaemonSet": "spec.template.spec",
    "ReplicaSet": "spec.template.spec",
    "Job": "spec.template.spec",
    "CronJob": "spec.jobTemplate.spec.template.spec",
}
WORKLOADS = frozenset(_TEMPLATES)


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


def pod_spec(resource: Resource) -> Node | None:
    """The pod that a workload makes."""
    path = _TEMPLATES.get(resource.kind) if resource.kubernetes else None
    return resource.node.at(path) if path else None


def processes(resource: Resource) -> Iterator[Process]:
    """What every container of a workload runs."""
    pod = pod_spec(resource)
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
