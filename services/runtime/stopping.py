"""Waiting for the signal to stop."""

from __future__ import annotations

import threading

_LOOK_S = 0.5


def wait_for_stop(stop: threading.Event) -> None:
    """Wait in the main thread until ``stop`` is set, for one by a handler of SIGTERM or SIGINT.

    The kernel may deliver a signal to any thread, and Python runs its handler in the main thread, at that thread's next
    step only: an event without a limit of time would keep it waiting for ever.
    """
    while not stop.wait(_LOOK_S):
        pass
