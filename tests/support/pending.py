"""Pulumi's wait for the end of a program, without a look at all pending outputs after each single one that is done.

That look takes two fifths of the processor time of a program with hundreds of resources.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import pulumi.runtime.stack


class _Asyncio(ModuleType):
    """asyncio, whose `wait` returns when all tasks are done or one has failed."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    @staticmethod
    async def wait(tasks: Iterable[asyncio.Task[Any]], return_when: str) -> tuple[set[Any], set[Any]]:
        """Wait, whatever ``return_when`` says."""
        return await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)


def apply() -> None:
    """Let Pulumi wait for all of them at once."""
    pulumi.runtime.stack.asyncio = _Asyncio("asyncio")  # type: ignore[attr-defined]
