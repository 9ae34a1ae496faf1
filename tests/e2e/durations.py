"""How long tests last that are no drills, in seconds; ``OBS_E2E_<NAME>`` in the environment makes one longer."""

from __future__ import annotations

from ops.drills.tools.durations import seconds

KEPT_TRACES = int(seconds("KEPT_TRACES", 20_000))
KEPT_RATE = seconds("KEPT_RATE", 300)
"""Traces per second, of which 20,000 are sent; fewer where the samplers' budget does not last for as many."""
SAMPLING_PHASE = seconds("SAMPLING_PHASE", 12)
"""Length of each phase in which the base rate is measured, with a quiet load and with five times as much."""

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
