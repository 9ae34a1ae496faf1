"""Reads each resource once.

The SDK converts the properties of every resource anew for each policy, which makes a preview several times slower
(measured: docs/adr/0011). Here its three pure conversion functions remember what they made of an object.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pulumi_policy.policy as sdk

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


def install() -> None:
    """Let the SDK read each resource once.

    Raises:
        AttributeError: The SDK no longer has these functions: measure a preview, then mend or remove this module.
    """
    module: Any = sdk
    module.json_format = SimpleNamespace(MessageToDict=Memoized(module.json_format.MessageToDict))
    module.deserialize_properties = Memoized(module.deserialize_properties)
    module.unknown_checking_proxy = Memoized(module.unknown_checking_proxy)
