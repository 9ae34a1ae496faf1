"""Generations of passwords in a stack's file: one, or two with the newer one first while clients change over."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from ops.config.source import of_stack
from ops.core import pulumi
from ops.core.errors import OpsError

ALLOWED: Final = "one whole number from 1 on, or two with the newer one first, such as [2, 1]"

Generations = tuple[int, ...]


def settings(stack: str = "") -> Mapping[str, Any]:
    """The settings of a stack's file; empty stack: the selected one.

    Raises:
        OpsError: It cannot be read.
    """
    given: Any = json.loads(of_stack(stack).values.get(pulumi.SETTINGS_KEY, "null"))
    return given if isinstance(given, Mapping) else {}


def written(given: Mapping[str, Any], group: str, key: str) -> Generations:
    """The generations that a stack's file has under ``settings.<group>.<key>``; the first one where there are none.

    Raises:
        OpsError: There is no such group, or these are none.
    """
    named = given.get(group)
    if not isinstance(named, Mapping):
        raise OpsError(f"the stack's file has no settings.{group}: run `ops config check`")
    numbers: Any = named.get(key, [1])
    if (
        not isinstance(numbers, list)
        or not 0 < len(numbers) <= 2
        or not all(isinstance(number, int) and not isinstance(number, bool) and number > 0 for number in numbers)
    ):
        raise OpsError(f"settings.{group}.{key} is {numbers!r}: allowed is {ALLOWED}; correct it")
    return tuple(numbers)


def check(key: str, current: Generations, deployed: Generations, wanted: Generations) -> bool:
    """Whether the stack's file has what is wanted already: an update was interrupted, or is still to come.

    Args:
        key: The setting, as it is told.
        current: Its generations.
        deployed: Those of the stack's outputs.
        wanted: Those to come.

    Raises:
        OpsError: It has neither, nor what an interrupted command leaves.
    """
    newest = deployed[0]
    if current not in (deployed, wanted, (newest, newest)):
        allowed = " or ".join(str(list(generations)) for generations in dict.fromkeys((deployed, wanted)))
        raise OpsError(f"{key} is {list(current)}, and {list(deployed)} is deployed: allowed is {allowed}; correct it")
    return current == wanted != deployed
