"""Probes of servers that keep copies of data and must get them back after a start (requirements K1, T2; ADR 53).

A server that reads its volume is starting, and has the time that its volume takes. One that is up and gets copies from
the others is alive and not ready, for as long as that takes: a rolling update waits for it, nothing restarts it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from components.k8s.pods import Probe
from components.sizes import size_of

SCRIPT: Final = "catching-up.sh"
"""Name of the readiness probe's program among the files of a server."""
RECOVERY_BYTES_PER_S: Final = 100 * 2**20
"""What a server reads of its volume while it recovers, at least: less than the slowest volumes of clouds give."""
LEAST_S: Final = 600
MOST_S: Final = LEAST_S * 2**7
"""A server that has not come up by then hangs: it reads only what was not closed in good order."""
_PERIOD_S: Final = 2
_READY_PERIOD_S: Final = 10
STATE: Final = "/tmp/caught-up"
"""Keeps when the server was started that has had its copies back."""


def script() -> str:
    """Bash: runs the costly question only until it has been answered well once since the server's start."""
    return Path(__file__).with_name("catching_up.sh").read_text()


def startup_s(volume: str) -> int:
    """Seconds that a server may take until its port is open; in doublings, so that a volume that grows rolls no pods,
    or seldom.

    Args:
        volume: Size of its volume, for example ``2Ti``.
    """
    limit = LEAST_S
    while limit < min(MOST_S, size_of(volume) / RECOVERY_BYTES_PER_S):
        limit *= 2
    return limit


def startup_probe(port: int, volume: str) -> Probe:
    """Started once its port is open; the limit follows from the volume."""
    return Probe(tcp=port, initial_delay_s=5, period_s=_PERIOD_S, failures=startup_s(volume) // _PERIOD_S)


def readiness_probe(port: int, directory: str, question: tuple[str, ...], timeout_s: int) -> Probe:
    """Ready once it has its copies back; from then on while its port is open.

    Args:
        port: Of the server.
        directory: Folder of its files, with `SCRIPT`.
        question: Command that succeeds once the copies are back. ``RUNNING_S`` tells it for how long the server runs.
        timeout_s: Limit of it.
    """
    command = ("bash", f"{directory}/{SCRIPT}", str(port), STATE, *question)
    return Probe(command=command, period_s=_READY_PERIOD_S, timeout_s=timeout_s)
