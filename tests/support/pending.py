"""Pulumi without two pieces of work that nobody here looks at, together half of the processor time of a program.

It looks at all pending outputs after each single one that is done, and it notes for each resource which lines of which
files have led to it, for messages of the engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import pulumi.runtime.resource
import pulumi.runtime.stack
from pulumi.runtime.proto import source_pb2


class _Asyncio(ModuleType):
    """asyncio, whose `wait` returns when all tasks are done or one has failed."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    @staticmethod
    async def wait(tasks: Iterable[asyncio.Task[Any]], return_when: str) -> tuple[set[Any], set[Any]]:
        """Wait, whatever ``return_when`` says."""
        return await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)


def apply() -> None:
    """Let Pulumi wait for all outputs at once, and note no lines."""
    pulumi.runtime.stack.asyncio = _Asyncio("asyncio")  # type: ignore[attr-defined]
    pulumi.runtime.resource._get_stack_trace = source_pb2.StackTrace
