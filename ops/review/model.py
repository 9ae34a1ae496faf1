"""What a review compares: a stack as one revision's program asks for it, its workloads and their containers; and the
sentences about a change, with their phrasing.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from ops.core import prometheus_text
from ops.core.errors import OpsError
from ops.review.evaluate import PLACEHOLDER, SECRET
from ops.review.evaluate import UNKNOWN as UNKNOWN_MARK
from policy.model import UNKNOWN, Resource

_UNITS_OF_TIME = ((86400, "d"), (3600, "h"), (60, "min"))
_COMPARISONS = {
    ">": "above",
    "<": "below",
    "<=": "at or below",
    ">=": "at or above",
    "==": "equal to",
    "!=": "other than",
}


class Subject(StrEnum):
    """What a sentence is about; the comment has a heading for each, in this order."""

    POLICY = "Policies"
    THRESHOLDS = "Thresholds and alerts"
    CATALOGUE = "What clients may send"
    ACCESS = "Kafka: users, permissions, topics"
    BROKERS = "Kafka brokers"
    LOGINS = "Logins"
    EXPOSURE = "Exposed endpoints and network"
    RETENTION = "Retention"
    DASHBOARDS = "Dashboards"
    VERSIONS = "Versions"


@dataclass(frozen=True)
class Statement:
    """One sentence.

    Attributes:
        subject: Heading that it belongs under.
        text: The sentence, without a final full stop; Markdown code in backticks.
        weakens: Whether it takes protection away or notifies later; the comment marks it.
    """

    subject: Subject
    text: str
    weakens: bool = False


def number(value: float) -> str:
    """A number without needless digits."""
    return f"{value:,.10g}"


def duration(seconds: float) -> str:
    """Seconds in the largest unit that leaves a whole number of at least two, for example ``5 min`` or ``90 s``."""
    for size, unit in _UNITS_OF_TIME:
        if seconds >= size and math.isclose(seconds / size, round(seconds / size)) and seconds != size:
            return f"{seconds / size:.0f} {unit}"
    return f"{number(seconds)} s"


def quantity(value: float, expression: str) -> str:
    """A value with the unit that the metric's name tells."""
    if re.search(r"_ratio\b|/", expression) and abs(value) <= 1:
        return f"{number(value * 100)} %"
    if re.search(r"_seconds(_bucket)?\b", expression) and "rate(" not in expression.replace("histogram_quantile", ""):
        return duration(value)
    if re.search(r"histogram_quantile.*_seconds_bucket\b", expression):
        return duration(value)
    if re.search(r"_bytes\b", expression):
        return f"{number(value)} bytes"
    return number(value)


def compared(comparison: str, value: float, expression: str) -> str:
    """A limit in words, for example ``above 2 s``."""
    return f"{_COMPARISONS.get(comparison, comparison)} {quantity(value, expression)}"


def later(comparison: str, before: float, after: float) -> bool:
    """Whether a moved limit is reached later."""
    return after > before if comparison.startswith(">") else after < before if comparison.startswith("<") else True


def seconds(text: str) -> float | None:
    """A Prometheus duration in seconds, 0 when it is not set; None when it is none."""
    try:
        return prometheus_text.seconds(text or "0")
    except OpsError:
        return None


def code(value: Any) -> str:
    """A value as Markdown code on one line."""
    text = " ".join(str(value).split())
    fence = "``" if "`" in text else "`"
    return f"{fence}{' ' if fence == '``' else ''}{text}{' ' if fence == '``' else ''}{fence}"


def listed(words: Iterable[str]) -> str:
    """Words as a list in a sentence."""
    return ", ".join(words)


def came_and_went(before: Mapping[Any, Any], after: Mapping[Any, Any]) -> tuple[list[Any], list[Any], list[Any]]:
    """Keys that are new, gone, and in both with another value."""
    return (
        [key for key in after if key not in before],
        [key for key in before if key not in after],
        [key for key in after if key in before and before[key] != after[key]],
    )


Path = tuple[str | int, ...]
"""Way to a value: keys and indices."""


class _Absent:
    """Stands for a value that is not there."""

    def __repr__(self) -> str:
        return "absent"


ABSENT: Final = _Absent()


@dataclass(frozen=True, eq=False)
class Planned:
    """One resource that a program asks for.

    Attributes:
        resource: As policies see it.
        component: Name of the component that owns it.
        custom: Whether a provider makes it; else it is a component.
        read: Whether it is only read.
        protect: Whether Pulumi refuses to delete it.
        ignore_changes: Properties whose changes Pulumi ignores.
        dependencies: URNs of what must exist first.
        provider: URN of its provider.
        secrets: Ways to the values that the program marks as secret.
    """

    resource: Resource
    component: str = ""
    custom: bool = True
    read: bool = False
    protect: bool = False
    ignore_changes: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    provider: str = ""
    secrets: frozenset[Path] = frozenset()

    @property
    def urn(self) -> str:
        """Identity."""
        return self.resource.urn

    def secret(self, path: Path) -> bool:
        """Whether a value must not be shown."""
        if self.resource.type == "kubernetes:core/v1:Secret" and path[:1] in (("data",), ("stringData",)):
            return True
        return any(path[:length] in self.secrets for length in range(len(path) + 1))


@dataclass(frozen=True)
class StackPlan:
    """A stack of one revision.

    Attributes:
        name: Name of the stack.
        planned: Its resources by URN; empty when the revision has no such stack.
        thresholds: The catalogue's thresholds.
        rules: Policy rule -> level, as the revision has them.
        exceptions: Agreed exceptions of the revision.
    """

    name: str
    planned: Mapping[str, Planned] = field(default_factory=dict)
    thresholds: Sequence[Mapping[str, Any]] = ()
    rules: Mapping[str, str] = field(default_factory=dict)
    exceptions: Sequence[Mapping[str, str]] = ()

    @functools.cached_property
    def resources(self) -> list[Resource]:
        """What providers make: the view of policies."""
        return [planned.resource for planned in self.planned.values() if planned.custom and not planned.read]


def stack_plan(content: Mapping[str, Any]) -> StackPlan:
    """Read what ``ops.review.evaluate`` printed."""
    names = {entry["urn"]: entry["name"] for entry in content["resources"]}
    planned: dict[str, Planned] = {}
    for entry in content["resources"]:
        secrets: set[Path] = set()
        props = _opened(entry["inputs"], (), secrets)
        planned[entry["urn"]] = Planned(
            resource=Resource(entry["type"], entry["name"], props, entry["urn"]),
            component=names.get(entry["parent"], "program"),
            custom=entry["custom"],
            read=entry["read"],
            protect=entry["protect"],
            ignore_changes=tuple(entry["ignore_changes"]),
            dependencies=tuple(entry["dependencies"]),
            provider=entry["provider"],
            secrets=frozenset(secrets),
        )
    policies = content["policies"]
    return StackPlan(
        content["stack"], planned, tuple(content["thresholds"]), policies["rules"], tuple(policies["exceptions"])
    )


def _opened(value: Any, path: Path, secrets: set[Path]) -> Any:
    """Without marks: unknown values as policies know them, secret ones noted."""
    if isinstance(value, dict):
        if SECRET in value:
            secrets.add(path)
            return _opened(value[SECRET], path, secrets)
        if UNKNOWN_MARK in value:
            return UNKNOWN
        return {key: _opened(inner, (*path, key), secrets) for key, inner in value.items()}
    if isinstance(value, list):
        return [_opened(inner, (*path, index), secrets) for index, inner in enumerate(value)]
    return value


def is_placeholder(text: str) -> bool:
    """Whether a text holds a password's placeholder."""
    return PLACEHOLDER in text


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
        for source_key, kind, key in (("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")):
            name = at(volume, source_key, key)
            if isinstance(name, str):
                mounts.add((kind, name))
        for source in elements(at(volume, "projected", "sources")):
            for source_key, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
                name = at(source, source_key, "name")
                if isinstance(name, str):
                    mounts.add((kind, name))
    return mounts
