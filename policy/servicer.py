"""The SDK's servicer, without the work that it repeats for every policy (docs/adr/0011).

The SDK converts the properties, options and provider of every resource anew for each policy, whatever the policy looks
at. Here its three pure conversion functions remember what they made of an object, a resource is shown to those policies
alone that look at its kind, and what no rule reads is left out of the engine's requests.
"""

from __future__ import annotations

import copy
import functools
import threading
from collections import OrderedDict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pulumi_policy.policy as sdk

_KEPT = 8192
_UNREAD = ("options", "provider")
_UNREAD_IN_STACK = (*_UNREAD, "parent", "dependencies", "propertyDependencies")
_POLICIES = "_PolicyAnalyzerServicer__policies"


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


class KindPolicy(sdk.ResourceValidationPolicy):
    """A policy that is shown resources of some kinds alone; of all where ``kinds`` is empty."""

    def __init__(self, kinds: frozenset[str], **options: Any) -> None:
        super().__init__(**options)
        self.kinds = kinds


class Servicer(sdk._PolicyAnalyzerServicer):
    """Answers the engine with the policies that look at what it asks about."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._all: tuple[sdk.Policy, ...] = tuple(getattr(self, _POLICIES))
        self._of_kind = functools.cache(self._looking_at)

    def Analyze(self, request: Any, context: Any) -> Any:  # noqa: N802  (the protocol's name)
        """Judge one resource."""
        for name in _UNREAD:
            request.ClearField(name)
        narrowed = copy.copy(self)
        setattr(narrowed, _POLICIES, self._of_kind(kind(request.type)))
        judge: Any = super(Servicer, narrowed).Analyze
        return judge(request, context)

    def AnalyzeStack(self, request: Any, context: Any) -> Any:  # noqa: N802  (the protocol's name)
        """Judge the stack."""
        for resource in request.resources:
            for name in _UNREAD_IN_STACK:
                resource.ClearField(name)
        judge: Any = super().AnalyzeStack
        return judge(request, context)

    def _looking_at(self, name: str) -> list[KindPolicy]:
        looking = (policy for policy in self._all if isinstance(policy, KindPolicy))
        return [policy for policy in looking if not policy.kinds or name in policy.kinds]


def install() -> None:
    """Let the SDK read each resource once, and show it to the policies of its kind.

    Raises:
        AttributeError: The SDK no longer has these functions: measure a preview, then mend or remove this function.
    """
    module: Any = sdk
    module.json_format = SimpleNamespace(MessageToDict=Memoized(module.json_format.MessageToDict))
    module.deserialize_properties = Memoized(module.deserialize_properties)
    module.unknown_checking_proxy = Memoized(module.unknown_checking_proxy)
    module._PolicyAnalyzerServicer = Servicer


def kind(resource_type: str) -> str:
    """Kind of a type of resource, as rules name it."""
    return resource_type.rsplit(":", 1)[-1]
