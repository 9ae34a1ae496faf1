"""What a review compares: a stack as one revision's program asks for it."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ops.review.evaluate import PLACEHOLDER, SECRET
from ops.review.evaluate import UNKNOWN as UNKNOWN_MARK
from policy.model import UNKNOWN, Resource

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
