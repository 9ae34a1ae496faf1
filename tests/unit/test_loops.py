"""A loop that a thread still runs when the others are closed is no garbage in another test."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref

from tests.support.loops import Loops


def test_a_loop_that_runs_while_the_others_are_closed_is_kept() -> None:
    loops = Loops()
    running, idle = loops.new_event_loop(), loops.new_event_loop()
    thread = threading.Thread(target=running.run_forever)
    thread.start()
    while not running.is_running():
        pass
    loops.close()
    assert (idle.is_closed(), running.is_closed()) == (True, False)
    kept = weakref.ref(running)
    running.call_soon_threadsafe(running.stop)
    thread.join(60)
    del running, loops, thread
    gc.collect()
    loop = kept()
    assert isinstance(loop, asyncio.AbstractEventLoop)
    loop.close()
