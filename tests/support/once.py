"""Work of libraries that thousands of tests would repeat: done once in each process.

typer builds the whole tree of commands for each call, and botocore reads the same files of definitions for each
client: together a tenth of the processor time of all unit tests.
"""

from __future__ import annotations

import functools
from typing import Any

import botocore.loaders
import typer.main
import typer.testing


def apply() -> None:
    """Remember both; what they give is the same every time and is not changed by who gets it."""
    build = functools.cache(typer.main.get_command)
    typer.main.get_command = build
    typer.testing._get_command = build
    read = botocore.loaders.JSONFileLoader.load_file

    @functools.cache
    def at(path: str) -> Any:
        return read(botocore.loaders.JSONFileLoader(), path)

    botocore.loaders.JSONFileLoader.load_file = lambda _self, path: at(path)
