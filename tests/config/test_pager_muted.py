"""Incidents of the pager about alerts that are muted although nobody has taken them here: inhibited, handed over, of a
region that is silent. What is closed rings again when it comes again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from components.rules import Inhibition
from lab.fakes.receivers.channels import State
from services.failover_agent.alertmanager import LENGTH, CreateSilence, body
from services.incident_closer.__main__ import AWAY_S
from services.regions import HANDOVER_AUTHOR
from tests.config.alertmanager_process import QUIET_S, Pair
from tests.config.pager_harness import CLOSED_S, ENDED_S, closed, pager, raised, rung, states
from tests.config.servers import eventually


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    inhibition = Inhibition(source=("Cause",), targets=("Effect", "EffectEscalated"), equal=("job",))
    with pager(tmp_path_factory.mktemp("pager"), [inhibition]) as alertmanager_pair:
        yield alertmanager_pair


def test_an_alert_that_ends_while_it_is_inhibited_leaves_no_incident_open_and_rings_the_next_time(both: Pair) -> None:
    raised(both, "Effect")
    rung(both, "Effect", 1)
    raised(both, "Cause")
    rung(both, "Cause", 1)
    closed(both, "Effect", CLOSED_S)
    for name in ("Effect", "Cause"):
        raised(both, name, resolved=True)
    closed(both, "Cause", ENDED_S)
    time.sleep(QUIET_S)
    raised(both, "Effect")
    rung(both, "Effect", 2)


@contextmanager
def silent_region(both: Pair) -> Iterator[None]:
    """While the failover agent keeps the region silent."""
    now = datetime.now(UTC)
    wanted = CreateSilence(ends=now + LENGTH, id=None, starts=now - timedelta(minutes=1))
    silence = both.members[0].add_silence(body(wanted, "region-a"))
    eventually(lambda: all(silence in member.silences() for member in both.members), 10, "both are silent")
    try:
        yield
    finally:
        both.members[0].call("DELETE", f"/api/v2/silence/{silence}")
        eventually(lambda: all(silence not in member.silences() for member in both.members), 10, "both tell again")


def test_a_region_that_falls_silent_closes_only_what_somebody_takes_or_what_ends(both: Pair) -> None:
    names = kept, taken, over = "KeptCritical", "ElsewhereCritical", "OverCritical"
    for name in names:
        raised(both, name, layer="data")
        rung(both, name, 1)
    with silent_region(both):
        time.sleep(CLOSED_S)
        assert [states(both, name) for name in names] == [[State.TRIGGERED]] * 3
        both.members[0].silence(alert_id=f"{taken}/instance=kafka-1/job=kafka")
        closed(both, taken, CLOSED_S)
        raised(both, over, layer="data", resolved=True)
        closed(both, over, AWAY_S + CLOSED_S)
        assert states(both, kept) == [State.TRIGGERED]
    raised(both, over, layer="data")
    rung(both, over, 2)


def test_an_alert_that_was_handed_over_keeps_its_incident(both: Pair) -> None:
    name = "HandedCritical"
    raised(both, name, layer="data")
    rung(both, name, 1)
    both.members[0].silence(author=HANDOVER_AUTHOR, alert_id=f"{name}/instance=kafka-1/job=kafka", escalation="")
    time.sleep(CLOSED_S)
    assert states(both, name) == [State.TRIGGERED]
