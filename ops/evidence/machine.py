"""The machine that a run is made on: its size, and how fast its memory was at the time.

A virtual machine shares caches and memory with others on its host, and with the load of the run itself: the same two
cores are slower then, whatever their clock says.
"""

from __future__ import annotations

import os
import re
import time
from array import array
from functools import cache
from pathlib import Path

_ENTRIES = 1 << 19
"""Of eight bytes: 4 MiB, more than a core has for itself and less than a processor shares among its cores."""
_FEW_ENTRIES = 1 << 9
_READS = 50_000
_ATTEMPTS = 5


def machine() -> dict[str, int | float | str]:
    """Cores, memory and processor of this machine, and nanoseconds of a random read of 4 MiB."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    info = Path("/proc/cpuinfo")
    models = re.findall(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.exists() else []
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30, 1),
        "processor": models[0] if models else "unknown",
        "random_read_ns": random_read_ns(),
    }


@cache
def random_read_ns() -> int:
    """Processor time of a read whose place is known from the read before it, without what Python adds; once a process.

    The fastest of several attempts: what else runs here delays reads as the host's others do, but not all of the time.
    """
    return max(0, round((_chased_s(_ENTRIES) - _chased_s(_FEW_ENTRIES)) / _READS * 1e9))


def _chased_s(entries: int) -> float:
    following = array("q", ((place * 1664525 + 1013904223) % entries for place in range(entries)))
    durations = []
    for _ in range(_ATTEMPTS):
        place, began = 0, time.thread_time()
        for _ in range(_READS):
            place = following[place]
        durations.append(time.thread_time() - began)
    return min(durations)
