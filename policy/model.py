"""What rules see and what they say.

A rule looks at one resource, or at the whole stack, and yields findings. It reads values through :class:`Node`, which
raises :class:`UnknownValueError` where a preview does not know a value yet: the runner turns that into a report of its
own, so that what is unknown is never taken for right.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final


class UnknownValueError(Exception):
    """A value that is known only after the update."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class _Unknown:
    """Stands for a value that the engine does not know yet."""

    def __repr__(self) -> str:
        return "<unknown until the update>"


UNKNOWN: Final = _Unknown()
"""The one unknown value in properties."""


_MAPPINGS = (dict, Mapping)
"""A plain dict, which is told at once, before any other mapping."""


class Level(StrEnum):
    """What a violation does: stop the preview or update, or be shown only."""

    MANDATORY = "mandatory"
    ADVISORY = "advisory"


class Node:
    """A value inside a resource or a configuration file, with its path.

    Missing keys give a node whose value is None, so that a rule can walk without asking at each step. The path is put
    together only when somebody asks: rules walk millions of nodes and tell of a few.
    """

    __slots__ = ("_key", "_parent", "raw")

    def __init__(self, raw: Any, path: str | int = "", parent: Node | None = None) -> None:
        self.raw = raw
        self._key = path
        self._parent = parent

    @property
    def path(self) -> str:
        """Where it is: dotted keys, numbers of list elements in brackets."""
        if self._parent is None:
            return str(self._key)
        before, key = self._parent.path, self._key
        if isinstance(key, int):
            return f"{before}[{key}]"
        quoted = key if key.replace("_", "").replace("-", "").isalnum() else f'"{key}"'
        return f"{before}.{quoted}" if before else quoted

    @property
    def value(self) -> Any:
        """The value; nested unknown values are not looked for.

        Raises:
            UnknownValueError: The value itself is not known yet.
        """
        if self.raw is UNKNOWN:
            raise UnknownValueError(self.path)
        return self.raw

    @property
    def exists(self) -> bool:
        """Whether there is a value other than null."""
        return self.value is not None

    def __getitem__(self, key: str | int) -> Node:
        value = self.value
        if isinstance(key, int):
            child_value = value[key] if isinstance(value, Sequence) and -len(value) <= key < len(value) else None
        else:
            child_value = value.get(key) if isinstance(value, _MAPPINGS) else None
        return Node(child_value, key, self)

    def at(self, path: str) -> Node:
        """Follow a dotted path of plain keys."""
        node = self
        for key in path.split("."):
            node = node[key]
        return node

    def items(self) -> Iterator[tuple[str, Node]]:
        """Entries of a mapping; nothing for any other value."""
        value = self.value
        if isinstance(value, _MAPPINGS):
            for key in value:
                yield str(key), self[key]

    def elements(self) -> Iterator[Node]:
        """Elements of a list; nothing for any other value."""
        value = self.value
        if isinstance(value, Sequence) and not isinstance(value, str):
            for index in range(len(value)):
                yield self[index]

    def text(self) -> str:
        """The value as text, empty for null."""
        return "" if self.value is None else str(self.value)

    def texts(self) -> list[str]:
        """Elements of a list as text."""
        return [node.text() for node in self.elements()]

    def walk(self) -> Iterator[Node]:
        """This node and all below it; unknown ones included (their ``value`` raises)."""
        yield self
        if self.raw is UNKNOWN:
            return
        for _, inner in self.items():
            yield from inner.walk()
        for inner in self.elements():
            yield from inner.walk()


@dataclass(frozen=True, eq=False)
class Resource:
    """One resource as Pulumi knows it.

    Attributes:
        type: Pulumi type token, for example ``kubernetes:apps/v1:StatefulSet``.
        name: Pulumi name.
        props: Properties: plain data in which :data:`UNKNOWN` stands for what is not known yet.
        urn: URN; empty outside the engine.
        source: What ``props`` were made from, for who converts; rules leave it alone.
    """

    type: str
    name: str
    props: Mapping[str, Any]
    urn: str = ""
    source: Any = None

    @functools.cached_property
    def node(self) -> Node:
        """The properties, to walk in."""
        return Node(self.props)

    @functools.cached_property
    def kind(self) -> str:
        """Last part of the type, for example ``StatefulSet``."""
        return self.type.rsplit(":", 1)[-1]

    @functools.cached_property
    def kubernetes(self) -> bool:
        """Whether it is an object of the Kubernetes API."""
        return self.type.startswith("kubernetes:")

    @property
    def object_name(self) -> str:
        """``metadata.name`` of a Kubernetes object, else the name of the topic, user ..., else the Pulumi name."""
        metadata = self.props.get("metadata")
        inner = metadata.get("name") if isinstance(metadata, Mapping) else self.props.get("name")
        return inner if isinstance(inner, str) else self.name

    @functools.cached_property
    def namespace(self) -> str:
        """Namespace of a Kubernetes object, or empty."""
        metadata = self.props.get("metadata")
        inner = metadata.get("namespace") if isinstance(metadata, Mapping) else None
        return inner if isinstance(inner, str) else ""

    @property
    def label(self) -> str:
        """How messages call it: ``StatefulSet obs/kafka``."""
        return (
            f"{self.kind} {self.namespace}/{self.object_name}" if self.namespace else f"{self.kind} {self.object_name}"
        )


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        resource: Whose fault it is; None when something is missing altogether.
        where: Path of the property; for a file inside a resource: file, then the key in it.
        problem: What is wrong, with the value that was found.
        fix: What to write instead.
    """

    resource: Resource | None
    where: str
    problem: str
    fix: str


Options = Mapping[str, Any]
"""Options of a rule: its defaults, overlaid by ``--policy-pack-config``."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """A value that ``--policy-pack-config`` may change.

    Attributes:
        default: Value without configuration.
        schema: JSON schema of the value.
        meaning: For the documentation.
    """

    default: Any
    schema: Mapping[str, Any]
    meaning: str


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One promise of the platform that a change must keep.

    Exactly one of ``resource`` and ``stack`` is given.

    Attributes:
        id: Name in reports and in the configuration of the pack, for example ``kafka-listener-tls``.
        promise: What always holds, as one sentence.
        why: What would happen otherwise.
        sources: Requirement ids.
        level: What a violation does by default.
        options: What ``--policy-pack-config`` may change.
        kinds: Kinds of resources that ``resource`` wants to see; empty for all.
        resource: Looks at one resource.
        stack: Looks at all resources: for what is missing altogether, and for what must agree.
    """

    id: str
    promise: str
    why: str
    sources: tuple[str, ...]
    level: Level = Level.MANDATORY
    options: Mapping[str, Option] = field(default_factory=dict)
    kinds: frozenset[str] = frozenset()
    resource: Callable[[Resource, Options], Iterable[Finding]] | None = None
    stack: Callable[[Sequence[Resource], Options], Iterable[Finding]] | None = None

    def __post_init__(self) -> None:
        if (self.resource is None) == (self.stack is None):
            raise ValueError(f"rule {self.id} must look at one resource or at the stack, not at both or neither")

    def defaults(self) -> dict[str, Any]:
        """Options without configuration."""
        return {name: option.default for name, option in self.options.items()}
