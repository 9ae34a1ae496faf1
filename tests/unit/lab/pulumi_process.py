"""Stands in for a process of Pulumi, where a function answers for it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any, Self

Answer = Callable[..., subprocess.CompletedProcess[str]]


def processes(answer: Answer) -> type[Any]:
    """A class in the place of ``subprocess.Popen``; the answer gets the command, its options and ``input``."""

    class Process:
        def __init__(self, command: list[str], **options: Any) -> None:
            self._command, self._options = command, options
            self.returncode: int | None = None

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            """Nothing to end."""

        def poll(self) -> int | None:
            return self.returncode

        def communicate(self, text: str, timeout: float) -> tuple[str | None, str | None]:
            done = answer(self._command, input=text, timeout=timeout, **self._options)
            self.returncode = done.returncode
            return done.stdout, done.stderr

    return Process
