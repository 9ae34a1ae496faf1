"""How long drills last, in seconds; ``OBS_E2E_<NAME>`` in the environment makes one longer."""

from __future__ import annotations

import os

_PREFIX = "OBS_E2E_"
_in_force: dict[str, float] = {}


def seconds(name: str, default: float) -> float:
    """A duration, from the environment when it is set there."""
    _in_force[name] = float(os.environ.get(f"{_PREFIX}{name}", default))
    return _in_force[name]


def in_force() -> dict[str, float]:
    """Every duration and number of this process, by name: what its drills run with."""
    return dict(sorted(_in_force.items()))


def variables(**numbers: float) -> dict[str, str]:
    """Variables of the environment that set durations."""
    return {f"{_PREFIX}{name}": f"{number:g}" for name, number in numbers.items()}


WARM_UP = seconds("WARM_UP", 5)
AFTER_FAULT = seconds("AFTER_FAULT", 20)
TWO_BROKERS_DOWN = seconds("TWO_BROKERS_DOWN", 35)
CONTROLLERS_DOWN = seconds("CONTROLLERS_DOWN", 30)
ZONE_GONE = seconds("ZONE_GONE", 120)
SLOW_DISK = seconds("SLOW_DISK", 60)
CLOCK_STEP = seconds("CLOCK_STEP", 300)
"""By which a client's clock is wrong; the gateway takes what is up to 600 s ahead."""
PRIMARY_DOWN = seconds("PRIMARY_DOWN", 60)
KAFKA_OUTAGE = seconds("KAFKA_OUTAGE", 60)
"""The requirement is 600; a full run sets ``OBS_E2E_KAFKA_OUTAGE=600``."""

CHAOS_MINUTES = int(seconds("CHAOS_MINUTES", 10))
"""Faults of the drill of chaos; ``ops drill chaos --minutes`` sets it."""
CHAOS_SEED = int(seconds("CHAOS_SEED", 1))
STORAGE_OUTAGE = seconds("STORAGE_OUTAGE", 30)
REGION_STEADY = seconds("REGION_STEADY", 30)
FIRST_BLOCKS = seconds("FIRST_BLOCKS", 1500)
"""Until the first block of metrics is shipped after `make up`: one and a half blocks; usually they are there."""

NOTIFICATION = 12.0
"""A dead broker is noticed after 9 s; what a survivor acknowledges before that is still replicated."""

READY = 300.0
ARRIVAL = 180.0

ALERT_RUNS = int(seconds("ALERT_RUNS", 20))
"""Faults raised with both Alertmanagers, with one of them, and with the two cut off from each other."""
