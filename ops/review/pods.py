"""Workloads and their containers, as reviews look at them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from policy.model import UNKNOWN, Resource

WORKLOADS = frozenset({"StatefulSet", "Deployment", "DaemonSet"})


def workloads(resources: Sequence[Resource]) -> dict[str, Resource]:
    """Workloads by their label."""
    return {resource.label: resource for resource in resources if resource.kubernetes and resource.kind in WORKLOADS}


def short(resource: Resource) -> str:
    """Kind and name without the namespace, so that stacks which do the same say the same."""
    return f"{resource.kind} {resource.object_name}"


def at(value: Any, *keys: str) -> Any:
    """A value inside nested mappings; None where the way ends early."""
    for key in keys:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def elements(value: Any) -> list[Any]:
    """A list, or an empty one for anything else."""
    return list(value) if isinstance(value, list) else []


def containers(workload: Resource) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Name and content of every container, init containers included."""
    spec = at(workload.props, "spec", "template", "spec")
    for group in ("initContainers", "containers"):
        for container in elements(at(spec, group)):
            if isinstance(container, Mapping):
                yield str(container.get("name")), container


def flags(container: Mapping[str, Any]) -> dict[str, str]:
    """Command-line flags of a container: ``--name=value`` and ``--name value``."""
    options: dict[str, str] = {}
    words = [word for key in ("command", "args") for word in elements(container.get(key)) if isinstance(word, str)]
    for index, word in enumerate(words):
        if not word.startswith("-"):
            continue
        name, equals, value = word.lstrip("-").partition("=")
        following = words[index + 1] if index + 1 < len(words) else "-"
        options[name] = value if equals else "" if following.startswith("-") else following
    return options


def replicas(workload: Resource) -> int | None:
    """Number of pods that is asked for; None when it is not known."""
    value = at(workload.props, "spec", "replicas")
    if value is UNKNOWN:
        return None
    return int(value) if isinstance(value, int | float) else 1


def mounted(workload: Resource) -> set[tuple[str, str]]:
    """Kind and name of the ConfigMaps and Secrets that the pods mount."""
    mounts: set[tuple[str, str]] = set()
    for volume in elements(at(workload.props, "spec", "template", "spec", "volumes")):
        for field, kind, key in (("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")):
            name = at(volume, field, key)
            if isinstance(name, str):
                mounts.add((kind, name))
        for source in elements(at(volume, "projected", "sources")):
            for field, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
                name = at(source, field, "name")
                if isinstance(name, str):
                    mounts.add((kind, name))
    return mounts
