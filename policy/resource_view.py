"""The engine's resources as rules see them: converted once, and the same for resource and stack rules.

The SDK converts the properties of every resource anew for each policy, which makes a preview several times slower
(docs/adr/0011). Here its three pure conversion functions remember what they made of an object.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pulumi_policy.policy as sdk
from pulumi_policy import PolicyResource, ResourceValidationArgs
from pulumi_policy.proxy import UnknownValueError as EngineUnknownError

from policy.model import UNKNOWN, Resource

_KEPT = 8192


class Memoized:
    """A function of one object that is computed once per object while that object is remembered."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._lock = threading.Lock()
        self._made: OrderedDict[int, tuple[object, Any]] = OrderedDict()

    def __call__(self, subject: Any, *more: Any) -> Any:
        """The function's result; further arguments are passed on and not remembered."""
        if more:
            return self._function(subject, *more)
        with self._lock:
            cached = self._made.get(id(subject))
        if cached is not None and cached[0] is subject:
            return cached[1]
        computed = self._function(subject)
        with self._lock:
            self._made[id(subject)] = (subject, computed)
            while len(self._made) > _KEPT:
                self._made.popitem(last=False)
        return computed


def install_cache() -> None:
    """Let the SDK read each resource once.

    Raises:
        AttributeError: The SDK no longer has these functions: measure a preview, then mend or remove this function.
    """
    module: Any = sdk
    module.json_format = SimpleNamespace(MessageToDict=Memoized(module.json_format.MessageToDict))
    module.deserialize_properties = Memoized(module.deserialize_properties)
    module.unknown_checking_proxy = Memoized(module.unknown_checking_proxy)


class ResourceView:
    """Remembers the inputs of every resource.

    At the stack's end the engine shows outputs, which a preview hardly knows; what the program asked for was shown
    before, resource by resource, and is what rules judge. The namespace of objects is unknown until their Namespace
    exists: where the program makes exactly one, it is that one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._plain = Memoized(plain)
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
