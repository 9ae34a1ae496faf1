"""The engine's resources as rules see them: converted once, and the same for resource and stack rules."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from pulumi_policy import PolicyResource, ResourceValidationArgs
from pulumi_policy.proxy import UnknownValueError as EngineUnknownError

from policy import read_cache
from policy.model import UNKNOWN, Resource


class ResourceView:
    """Remembers the inputs of every resource.

    At the stack's end the engine shows outputs, which a preview hardly knows; what the program asked for was shown
    before, resource by resource, and is what rules judge. The namespace of objects is unknown until their Namespace
    exists: where the program makes exactly one, it is that one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._plain = read_cache.Memoized(plain)
        self._inputs: dict[str, Resource] = {}
        self._namespaces: set[str] = set()

    def resource(self, given: ResourceValidationArgs) -> Resource:
        """A resource that the program registers."""
        with self._lock:
            known = self._inputs.get(given.urn)
        props = self._plain(given.props)
        if known is not None and known.source is props:
            return known
        resource = self._made(given.resource_type, given.name, props, given.urn)
        with self._lock:
            self._inputs[given.urn] = resource
        return resource

    def stack(self, given: Sequence[PolicyResource]) -> list[Resource]:
        """All resources of the stack, as the program asked for them."""
        with self._lock:
            inputs = dict(self._inputs)
        return [
            inputs.get(policy_resource.urn)
            or self._made(
                policy_resource.resource_type,
                policy_resource.name,
                self._plain(policy_resource.props),
                policy_resource.urn,
            )
            for policy_resource in given
        ]

    def _made(self, type_: str, name: str, props: dict[str, Any], urn: str) -> Resource:
        metadata = props.get("metadata")
        if not isinstance(metadata, Mapping):
            return Resource(type_, name, props, urn, source=props)
        with self._lock:
            if type_ == "kubernetes:core/v1:Namespace" and isinstance(metadata.get("name"), str):
                self._namespaces.add(metadata["name"])
            only = next(iter(self._namespaces)) if len(self._namespaces) == 1 else None
        if metadata.get("namespace") is UNKNOWN and only:
            filled = {**props, "metadata": {**metadata, "namespace": only}}
            return Resource(type_, name, filled, urn, source=props)
        return Resource(type_, name, props, urn, source=props)


def plain(value: Any) -> Any:
    """The engine's properties as plain data, with ``UNKNOWN`` where it does not know."""
    if isinstance(value, Mapping):
        return {key: _inner(value, key) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_inner(value, index) for index in range(len(value))]
    return value


def _inner(value: Any, key: Any) -> Any:
    try:
        return plain(value[key])
    except EngineUnknownError:
        return UNKNOWN
