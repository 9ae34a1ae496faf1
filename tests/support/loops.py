"""Event loops that Pulumi makes, one a thread, and never closes: kept, so that none is garbage in another test."""

from __future__ import annotations

import asyncio
from typing import Final

_ENDS_S: Final = 5.0


class Loops(asyncio.DefaultEventLoopPolicy):
    """Remembers the loops that it makes."""

    def __init__(self) -> None:
        super().__init__()
        self.created_loops: list[asyncio.AbstractEventLoop] = []

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        loop = super().new_event_loop()
        self.created_loops.append(loop)
        return loop

    def get_event_loop(self) -> asyncio.AbstractEventLoop:
        """The loop of this thread; a new one where `asyncio.run` has left none."""
        try:
            return super().get_event_loop()
        except RuntimeError:
            self.set_event_loop(self.new_event_loop())
            return super().get_event_loop()

    def close(self) -> None:
        """Close all that nobody runs; what a thread still runs is kept until the process ends."""
        for loop in self.created_loops:
            if loop.is_running():
                _RUNNING.append(loop)
            elif not loop.is_closed():
                _end_tasks(loop)
                loop.close()


def _end_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what a program that failed was still waiting for: as garbage each task would write two lines."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks, timeout=_ENDS_S))


_RUNNING: list[asyncio.AbstractEventLoop] = []


def apply() -> Loops:
    """Remember every loop of this process from now on."""
    loops = Loops()
    asyncio.set_event_loop_policy(loops)
    return loops
