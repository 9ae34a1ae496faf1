"""Work of libraries that thousands of tests would repeat: done once in each process.

typer builds the whole tree of commands for each call, and botocore reads the same files of definitions for each
client: together a tenth of the processor time of all unit tests. At the end of a program Pulumi looks at all that is
still pending again after each single one that is done: two fifths of the processor time of a recording.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import botocore.loaders
import pulumi.runtime.stack
import typer.main
import typer.testing


class _Asyncio(ModuleType):
    """asyncio, whose `wait` returns when all tasks are done or one has failed."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    @staticmethod
    async def wait(tasks: Iterable[asyncio.Task[Any]], return_when: str) -> tuple[set[Any], set[Any]]:
        """Wait, whatever ``return_when`` says."""
        return await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)


def apply() -> None:
    """Remember the first two, which are the same every time and changed by nobody; let the third one wait for all."""
    build = functools.cache(typer.main.get_command)
    typer.main.get_command = build
    typer.testing._get_command = build
    read = botocore.loaders.JSONFileLoader.load_file

    @functools.cache
    def at(path: str) -> Any:
        return read(botocore.loaders.JSONFileLoader(), path)

    pulumi.runtime.stack.asyncio = _Asyncio("asyncio")  # type: ignore[attr-defined]
    botocore.loaders.JSONFileLoader.load_file = lambda _self, path: at(path)
