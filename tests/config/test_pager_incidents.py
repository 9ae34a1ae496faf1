"""One incident of the pager for each alert, in front of the real pair: what rings, what is merged, what is closed.

The pager's fake merges as PagerDuty does, and only a new incident is a notification. What closes incidents of muted
alerts runs beside each member, as on the platform.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from components.alerting.timings import TIMINGS, Timing
from components.rules import Inhibition, Severity
from lab.fakes.receivers.phone import Incident, State
from services.failover_agent.silences import LENGTH, CreateSilence, body
from services.incident_closer.__main__ import AWAY_S, POLL_INTERVAL_S
from services.regions.silences import HANDOVER_AUTHOR
from tests.config.alertmanager_files import ROUTING_KEYS
from tests.config.alertmanager_process import QUIET_S, Pair, pair
from tests.config.servers import eventually

OPERATORS, SENIOR = ROUTING_KEYS["operators"], ROUTING_KEYS["senior-manager"]
REPEAT_S = 20
TOLD_S = 10.0
"""Group wait and the second member's wait, on a busy machine."""
ENDED_S = 25.0
"""A look at the group each 15 s, on a busy machine."""
CLOSED_S = 2 * POLL_INTERVAL_S + 5
ODD = 'rack "1"\\n/ラック 🖥 a,b={c}\t'
"""With everything in it that Go and others write differently."""


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    critical = TIMINGS[Severity.CRITICAL]
    timings = {
        **TIMINGS,
        Severity.CRITICAL: Timing(group_wait=critical.group_wait, group_interval="5s", repeat_interval=f"{REPEAT_S}s"),
    }
    inhibition = Inhibition(source=("Cause",), targets=("Effect", "EffectEscalated"), equal=("job",))
    with pair(tmp_path_factory.mktemp("pager"), timings=timings, inhibitions=(inhibition,)) as alertmanager_pair:
        for member in alertmanager_pair.members:
            alertmanager_pair.close_incidents(member)
        yield alertmanager_pair


def raised(both: Pair, name: str, instance: str = "kafka-1", **options: object) -> None:
    both.raise_alert(
        name,
        instance=instance,
        alert_id=f"{name.removesuffix('Escalated')}/instance={instance}/job=kafka",
        **options,  # type: ignore[arg-type]
    )


def rings(both: Pair, name: str, contact: str = OPERATORS) -> int:
    """How often a phone rang for an alert."""
    return sum(incident.rang for incident in both.incidents(name) if incident.contact == contact)


def rung(both: Pair, name: str, count: int, contact: str = OPERATORS) -> list[Incident]:
    """Wait until the phone rang so often, and return the incidents."""
    eventually(lambda: rings(both, name, contact) >= count, TOLD_S, f"{count} calls about {name}")
    assert rings(both, name, contact) == count
    return [incident for incident in both.incidents(name) if incident.contact == contact]


def states(both: Pair, name: str) -> list[State]:
    return [incident.state for incident in both.incidents(name)]


def closed(both: Pair, name: str, seconds: float) -> None:
    eventually(lambda: set(states(both, name)) == {State.RESOLVED}, seconds, f"every incident of {name} is closed")


def test_alerts_of_one_name_and_layer_have_an_incident_each_and_one_notification_by_the_other_channels(
    both: Pair,
) -> None:
    for number in range(4):
        raised(both, "StormCritical", f"kafka-{number}", layer="data")
    incidents = rung(both, "StormCritical", 4)
    assert len({incident.dedup_key for incident in incidents}) == 4
    for channel in ("sms", "slack"):
        eventually(lambda channel=channel: both.notifications("StormCritical", channel), TOLD_S, f"{channel} about all")
        assert len(both.notifications("StormCritical", channel)) == 1
    assert " x4" in both.notifications("StormCritical", "slack")[0].title


def test_a_second_alert_rings_while_the_first_one_is_acknowledged_at_the_pager(both: Pair) -> None:
    raised(both, "SecondCritical", "kafka-1", layer="data")
    (first,) = rung(both, "SecondCritical", 1)
    both.receivers.acknowledge(first)
    raised(both, "SecondCritical", "kafka-2", layer="data")
    rung(both, "SecondCritical", 2)
    assert sorted(states(both, "SecondCritical")) == [State.ACKNOWLEDGED, State.TRIGGERED]


def test_a_repeated_notification_is_merged_and_rings_nobody(both: Pair) -> None:
    raised(both, "AgainCritical")
    rung(both, "AgainCritical", 1)
    eventually(lambda: both.incidents("AgainCritical")[0].merged > 0, REPEAT_S + TOLD_S, "it is told again")
    assert rings(both, "AgainCritical") == 1


@pytest.mark.parametrize("acknowledged", [False, True], ids=["open", "acknowledged at the pager"])
def test_the_end_of_an_alert_closes_its_incident_and_the_next_one_rings(both: Pair, acknowledged: bool) -> None:
    name = f"Ends{acknowledged}Critical"
    raised(both, name)
    (incident,) = rung(both, name, 1)
    if acknowledged:
        both.receivers.acknowledge(incident)
    raised(both, name, resolved=True)
    closed(both, name, ENDED_S)
    raised(both, name)
    rung(both, name, 2)


def test_an_alert_that_ends_while_ops_ack_holds_leaves_no_incident_open_and_rings_the_next_time(both: Pair) -> None:
    name = "TakenCritical"
    raised(both, name)
    rung(both, name, 1)
    silence = both.members[0].silence(alert_id=f"{name}/instance=kafka-1/job=kafka")
    closed(both, name, CLOSED_S)
    raised(both, name, resolved=True)
    time.sleep(QUIET_S)
    both.members[0].call("DELETE", f"/api/v2/silence/{silence}")
    eventually(
        lambda: all(silence not in member.silences() for member in both.members), 10, "the acknowledgement ended"
    )
    raised(both, name)
    rung(both, name, 2)


def test_an_alert_that_still_fires_when_the_acknowledgement_ends_rings_again(both: Pair) -> None:
    name = "BackCritical"
    raised(both, name)
    rung(both, name, 1)
    silence = both.members[0].silence(alert_id=f"{name}/instance=kafka-1/job=kafka")
    closed(both, name, CLOSED_S)
    time.sleep(REPEAT_S)
    assert rings(both, name) == 1
    both.members[0].call("DELETE", f"/api/v2/silence/{silence}")
    rung(both, name, 2)
    time.sleep(QUIET_S)
    assert states(both, name) == [State.TRIGGERED]


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


def test_an_escalation_rings_the_senior_manager_by_an_incident_of_its_own_and_is_closed_too(both: Pair) -> None:
    name = "LateCritical"
    raised(both, name)
    (first,) = rung(both, name, 1)
    both.receivers.acknowledge(first)
    raised(both, f"{name}Escalated", escalation="senior-manager")
    (second,) = rung(both, name, 1, SENIOR)
    assert second.dedup_key != first.dedup_key
    assert rings(both, name) == 1
    both.members[0].silence(alert_id=f"{name}/instance=kafka-1/job=kafka")
    closed(both, name, CLOSED_S)


def test_an_escalation_that_nobody_acknowledges_is_closed_when_the_alert_ends(both: Pair) -> None:
    name = "UnseenCritical"
    raised(both, name)
    raised(both, f"{name}Escalated", escalation="senior-manager")
    rung(both, name, 1, SENIOR)
    raised(both, name, resolved=True)
    raised(both, f"{name}Escalated", escalation="senior-manager", resolved=True)
    closed(both, name, ENDED_S)


def test_labels_with_anything_in_them_make_an_incident_that_can_be_closed(both: Pair) -> None:
    name = "OddCritical"
    both.raise_alert(name, instance=ODD, alert_id=f"{name}/odd")
    rung(both, name, 1)
    both.members[0].silence(alert_id=f"{name}/odd")
    closed(both, name, CLOSED_S)


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
