"""One incident of the pager for each alert, in front of the real pair: what rings, what is merged, what is closed when
an alert ends or is acknowledged.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from components.rules import alert_id
from lab.fakes.receivers.channels import State
from ops.drills.procedures.alerts import account
from ops.drills.tools.notifications import CRITICAL, OTHER_CRITICAL, Raised
from tests.config.alertmanager_process import QUIET_S, Pair
from tests.config.pager_harness import (
    CLOSED_S,
    ENDED_S,
    REPEAT_S,
    SENIOR,
    TOLD_S,
    closed,
    pager,
    raised,
    rings,
    rung,
    states,
)
from tests.config.servers import eventually

ODD = 'rack "1"\\n/ラック 🖥 a,b={c}\t'
"""With everything in it that Go and others write differently."""


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pager(tmp_path_factory.mktemp("pager")) as alertmanager_pair:
        yield alertmanager_pair


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


def test_a_drill_knows_which_of_its_critical_conditions_of_two_names_and_layers_rang(both: Pair) -> None:
    start, conditions = both.receivers.newest(), list[Raised]()

    def raise_condition(name: str) -> None:
        kind = CRITICAL if name else OTHER_CRITICAL
        labels = {"consistency_check_name": name} if name else {}
        identity = alert_id(kind.alert, labels)
        at = both.raise_alert(kind.alert, layer=kind.layer, alert_id=identity, **labels)
        conditions.append(Raised(kind, name or f"drill-{len(conditions)}x", at))

    raise_condition("")
    for name in ("drill-ax", "drill-bx"):
        raise_condition(name)
    rung(both, CRITICAL.alert, 2)
    rung(both, OTHER_CRITICAL.alert, 1)
    both.raise_alert(OTHER_CRITICAL.alert, layer="streaming", alert_id=OTHER_CRITICAL.alert, resolved=True)
    closed(both, OTHER_CRITICAL.alert, ENDED_S)
    raise_condition("")
    conditions[0].until = conditions[-1].at
    rung(both, OTHER_CRITICAL.alert, 2)
    figures: dict[str, Any] = {}
    problems = account(figures, conditions, both.receivers.since(start))
    assert problems == ["no high condition was notified"]
    assert (figures["critical lost"], figures["duplicates"]) == (0, 0)
    assert figures["raised, by name and layer"] == {OTHER_CRITICAL.group: 2, CRITICAL.group: 2}
    assert figures["calls for each Critical, fewest and most"] == [1, 1]


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


def test_labels_with_anything_in_them_make_an_incident_that_can_be_closed(both: Pair) -> None:
    name = "OddCritical"
    both.raise_alert(name, instance=ODD, alert_id=f"{name}/odd")
    rung(both, name, 1)
    both.members[0].silence(alert_id=f"{name}/odd")
    closed(both, name, CLOSED_S)
