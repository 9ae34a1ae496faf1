"""Parts of the alerts' path die: events wait for their service, a prober that hangs is told of, and a region's failover
agent that is gone silences nobody (A3, O5, D2).
"""

from __future__ import annotations

from ops.core.context import Context
from tests.support.drills import limit, problems


@limit("alert-events")
def test_the_alert_event_service_killed_loses_no_event(settled: Context) -> None:
    assert problems("alert-events", settled) == []


@limit("probes")
def test_a_prober_that_hangs_is_told_of_and_a_kill_ends_it(settled: Context) -> None:
    assert problems("probes", settled) == []


@limit("failover-agent")
def test_a_killed_failover_agent_silences_nobody_and_keeps_its_lease(settled: Context) -> None:
    assert problems("failover-agent", settled) == []
