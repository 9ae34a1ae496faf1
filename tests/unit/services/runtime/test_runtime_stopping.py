"""A service ends at SIGTERM whichever of its threads the kernel gives the signal to."""

from __future__ import annotations

import subprocess
import sys

from lab.paths import CHECKOUT

_PROGRAM = """
import signal, threading, time
from services.runtime.serving import wait_for_stop

stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())

def other():
    time.sleep(0.3)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    time.sleep(600)

threading.Thread(target=other, daemon=True).start()
wait_for_stop(stop)
print("stopped")
"""


def test_a_signal_that_another_thread_gets_ends_the_wait() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "stopped\n"
