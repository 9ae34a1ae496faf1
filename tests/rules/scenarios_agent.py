"""Scenarios of the alerts about what agents tell of their nodes."""

from __future__ import annotations

from tests.rules.scenario import Scenario

_TARGET = 'job="otel-agent",instance="10-88-0-5"'
_AGENT = f'{_TARGET},node="node-1"'


def _processors(busy: str, idle: str, load: str) -> dict[str, str]:
    """Two processors: seconds in each state, and the load."""
    return {
        f'system_cpu_time_seconds_total{{{_AGENT},state="user"}}': busy,
        f'system_cpu_time_seconds_total{{{_AGENT},state="steal"}}': busy,
        f'system_cpu_time_seconds_total{{{_AGENT},state="idle"}}': idle,
        f'system_cpu_time_seconds_total{{{_AGENT},state="wait"}}': idle,
        f"system_cpu_load_average_5m{{{_AGENT}}}": load,
    }


def _memory(available: str) -> dict[str, str]:
    return {
        f"system_linux_memory_available_bytes{{{_AGENT}}}": available,
        f"system_memory_limit_bytes{{{_AGENT}}}": "100x90",
    }


def _waiting(device: str, values: str) -> dict[str, str]:
    return {f'system_disk_weighted_io_time_seconds_total{{{_AGENT},device="{device}"}}': values}


_UP = f"up{{{_TARGET}}}"
_LIMIT = f"system_memory_limit_bytes{{{_AGENT}}}"

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        alert="NodeCpuSaturated",
        # 58 and 2 of 60 seconds; 5 tasks for two processors, and then 3.
        bad=_processors("0+29x100", "0+1x100", "5x100"),
        good=_processors("0+29x100", "0+1x100", "3x100"),
        silent_at="30m",
        firing_at="31m30s",
        labels={"node": "node-1"},
    ),
    Scenario(
        alert="NodeCpuSaturated",
        bad=_processors("0+29x100", "0+1x100", "5x100"),
        # Much waits for disks, and processors are free.
        good=_processors("0+25x100", "0+5x100", "9x100"),
        silent_at="30m",
        firing_at="31m30s",
        labels={"node": "node-1"},
    ),
    Scenario(
        alert="NodeMemoryLow",
        bad=_memory("20x9 9x60"),
        good=_memory("20x9 11x60"),
        silent_at="14m30s",
        firing_at="15m45s",
        labels={"node": "node-1"},
    ),
    Scenario(
        alert="NodeDiskBusy",
        # In 30 seconds, 12 requests and 8 wait all the time; two minutes of it are known after two minutes.
        bad={**_waiting("sda", "0+360x60"), **_waiting("sdb", "0+3x60")},
        good={**_waiting("sda", "0+240x60"), **_waiting("sdb", "0+3x60")},
        silent_at="16m30s",
        firing_at="18m",
        labels={"node": "node-1", "device": "sda"},
    ),
    Scenario(
        alert="NodeMetricsMissing",
        bad={_UP: "1x60", _LIMIT: "100x9 stale"},
        # Then the target itself is down.
        good={_UP: "1x9 0x50", _LIMIT: "100x9 stale"},
        silent_at="9m30s",
        firing_at="10m30s",
        labels={"job": "otel-agent", "instance": "10-88-0-5"},
    ),
)
