"""Scenarios of the layers' alerts and of the objectives', made of the examples in ``thresholds.yaml``.

``test_thresholds.py`` is exact about when they fire; here they run among the rules of the whole platform.
"""

from __future__ import annotations

from components.telemetry.fields import seconds
from components.telemetry.rules import ALERT_OF_PRIORITY
from components.telemetry.thresholds import BURN_RATES, SLOS, THRESHOLDS
from tests.rules.scenario import Scenario
from tests.rules.thresholds_promtool import slo_series

_HEALTHY_MIN, _FAILING_MIN = 60, 10
_LATE_S = 30
"""Two evaluations of this suite: one that sees the value, one that sees it held."""

SCENARIOS: tuple[Scenario, ...] = (
    *(
        Scenario(
            alert=row.alert,
            bad=row.example.bad,
            good=row.example.good,
            silent_at=f"{seconds(row.example.fires_at) - 5}s",
            firing_at=f"{seconds(row.example.fires_at) + _LATE_S}s",
            labels=row.example.labels,
            interval=row.example.interval,
        )
        for row in THRESHOLDS
    ),
    *(
        Scenario(
            alert=name,
            bad=slo_series(slo, _HEALTHY_MIN, _FAILING_MIN),
            good=slo_series(slo, _HEALTHY_MIN + _FAILING_MIN, 0),
            silent_at=f"{_HEALTHY_MIN}m",
            firing_at=f"{_HEALTHY_MIN + _FAILING_MIN}m",
            labels={"slo": slo.name, "layer": slo.layer, "owner": slo.owner},
            interval="1m",
            evaluated="30s",
        )
        for severity, name in ALERT_OF_PRIORITY.items()
        for slo in SLOS[:1]
        if severity in (slo.priorities[rate.name] for rate in BURN_RATES)
    ),
    # The service is gone: nothing fails, since nothing is counted.
    *(
        Scenario(
            alert="SloEventsAbsent",
            bad={name: f"0{step}x{_HEALTHY_MIN} stale" for name, step in slo.example.healthy.items()},
            # It has nothing to do.
            good={name: f"0{step}x{_HEALTHY_MIN} 6000x60" for name, step in slo.example.healthy.items()},
            silent_at=f"{_HEALTHY_MIN + 8}m",
            firing_at=f"{_HEALTHY_MIN + 10}m",
            labels={"slo": slo.name, "layer": slo.layer, "owner": slo.owner},
            interval="1m",
            evaluated="30s",
        )
        for slo in SLOS
        if slo.name in {"api-availability", "recording-success"}
    ),
)
