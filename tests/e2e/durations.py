"""How long the drills last, in seconds; ``OBS_E2E_<NAME>`` in the environment makes one longer."""

from __future__ import annotations

import os


def seconds(name: str, default: float) -> float:
    """A duration, from the environment when it is set there."""
    return float(os.environ.get(f"OBS_E2E_{name}", default))


WARM_UP = seconds("WARM_UP", 5)
AFTER_FAULT = seconds("AFTER_FAULT", 20)
TWO_BROKERS_DOWN = seconds("TWO_BROKERS_DOWN", 35)
ZONE_GONE = seconds("ZONE_GONE", 120)
PRIMARY_DOWN = seconds("PRIMARY_DOWN", 60)
KAFKA_OUTAGE = seconds("KAFKA_OUTAGE", 60)
"""The requirement is 600; a full run sets ``OBS_E2E_KAFKA_OUTAGE=600``."""

KEPT_TRACES = int(seconds("KEPT_TRACES", 20_000))
KEPT_RATE = seconds("KEPT_RATE", 300)
"""Traces per second, of which 20,000 are sent; fewer where the samplers' budget does not last for as many."""
SAMPLING_PHASE = seconds("SAMPLING_PHASE", 12)
"""Length of each phase in which the base rate is measured, with a quiet load and with five times as much."""

NOTIFICATION = 12.0
"""A dead broker is noticed after 9 s; what a survivor acknowledges before that is still replicated."""

READY = 300.0
ARRIVAL = 180.0

ALERT_RUNS = int(seconds("ALERT_RUNS", 20))
"""Faults raised with both Alertmanagers, with one of them, and with the two cut off from each other."""
FEW_ALERT_RUNS = int(seconds("FEW_ALERT_RUNS", 5))
"""In every run of `make e2e`: enough to see that on-call is notified in time, too few for a percentile."""

THRESHOLD_FIRES = seconds("THRESHOLD_FIRES", 330)
THRESHOLD_ENDS = seconds("THRESHOLD_ENDS", 480)
"""At most: three minutes of holding and two of grouping until all are told; windows and groups until all is over."""

QUICK_THRESHOLDS = ("stream-delay", "db-pool", "event-delay")
"""Driven in every run, beside alerts of another one that go on; all of them in `make drills`, in twenty minutes."""
NOTIFICATIONS_OF_ONE_ALERT = 12
"""By one channel in one drive: begin and end of each series, and no more."""
LOW_GROUPED = 320.0
"""A group that was told of is looked at every five minutes, as long as Prometheus tells that its alerts are over."""
