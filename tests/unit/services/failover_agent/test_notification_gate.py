"""When a region may notify, step by step on a clock of the test."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.failover_agent.notification_gate import DesiredState, LeaseView, NotificationGate, lease_view
from services.regions.witness import Lease

MINE = LeaseView(holder="region-a", epoch=1, notifies=True)
OTHERS = LeaseView(holder="region-b", epoch=2, notifies=False)


class Harness:
    """A gate with a clock."""

    def __init__(self, *, standby: bool = False) -> None:
        self.now = 1000.0
        self.gate = NotificationGate(20.0, lambda: self.now, standby=standby)

    def read(self, lease_state: LeaseView) -> bool:
        return self.gate.read(lease_state, self.now)

    def passes(self, seconds: float, *, outside: bool = False) -> DesiredState | None:
        """Time in which the witness is away, each second."""
        for _ in range(int(seconds)):
            self.now += 1
            self.gate.failed()
            if outside:
                self.gate.reached(self.now)
            self.gate.wanted()
        return self.gate.wanted()


def lease(holder: str, *, notify: bool = True) -> Lease:
    return Lease(holder=holder, epoch=4, notify=notify, since=datetime.now(UTC), by="ops failover", reason="drill")


@pytest.mark.parametrize(
    ("lease", "role", "peer", "expected"),
    [
        (lease("region-a"), "standby", "region-b", LeaseView(holder="region-a", epoch=4, notifies=True)),
        (lease("region-a", notify=False), "primary", "region-b", LeaseView(holder="region-a", epoch=4, notifies=False)),
        (lease("region-b"), "primary", "region-b", LeaseView(holder="region-b", epoch=4, notifies=False)),
        (lease("region-c"), "primary", None, LeaseView(holder="region-c", epoch=4, notifies=False)),
        (None, "primary", "region-b", LeaseView(holder="region-a", epoch=0, notifies=True)),
        (None, "standby", "region-b", LeaseView(holder="region-b", epoch=0, notifies=False)),
        (None, "standby", None, LeaseView(holder=None, epoch=0, notifies=False)),
    ],
)
def test_a_lease_says_who_tells_and_without_one_the_role_does(
    lease: Lease | None, role: str, peer: str | None, expected: LeaseView
) -> None:
    assert lease_view(lease, "region-a", role, peer) == expected


def test_at_the_start_nothing_is_wanted() -> None:
    harness = Harness()
    assert harness.gate.wanted() is None
    assert harness.passes(19) is None
    assert harness.passes(600, outside=True) is None


def test_the_lease_decides_and_each_change_has_a_number_of_its_own() -> None:
    harness = Harness()
    assert harness.read(MINE)
    assert harness.gate.wanted() == DesiredState(silent=False, number=1, firm=True)
    assert not harness.read(MINE)
    assert harness.read(OTHERS)
    assert harness.gate.wanted() == DesiredState(silent=True, number=2, firm=True)
    assert not harness.read(LeaseView(holder="region-b", epoch=3, notifies=False))
    assert harness.gate.wanted() == DesiredState(silent=True, number=2, firm=True)


@pytest.mark.parametrize("lease_state", [MINE, OTHERS])
def test_a_witness_that_is_away_changes_nothing_while_somebody_outside_is_reached(lease_state: LeaseView) -> None:
    harness = Harness()
    harness.read(lease_state)
    assert harness.passes(3600, outside=True) == DesiredState(silent=not lease_state.notifies, number=1, firm=False)
    assert not harness.gate.isolated
    assert harness.gate.age() == 3600


def test_pagers_that_are_away_change_nothing_while_the_lease_is_read() -> None:
    harness = Harness()
    for _ in range(100):
        harness.now += 2
        harness.read(MINE)
        assert harness.gate.wanted() == DesiredState(silent=False, number=1, firm=True)


def test_a_region_cut_off_falls_silent_after_twenty_seconds_and_not_before() -> None:
    harness = Harness()
    harness.read(MINE)
    harness.gate.reached(harness.now)
    assert harness.passes(19) == DesiredState(silent=False, number=1, firm=False)
    assert harness.passes(1) == DesiredState(silent=True, number=2, firm=True)
    assert harness.gate.isolated


def test_it_stays_silent_until_it_reads_the_lease_whatever_else_is_reached() -> None:
    harness = Harness()
    harness.read(MINE)
    harness.passes(30)
    assert harness.passes(600, outside=True) == DesiredState(silent=True, number=2, firm=False)
    assert harness.gate.isolated
    assert harness.read(MINE)
    assert harness.gate.wanted() == DesiredState(silent=False, number=3, firm=True)
    assert not harness.gate.isolated


def test_a_failover_agent_that_starts_in_a_region_cut_off_silences_it() -> None:
    harness = Harness()
    assert harness.passes(20) == DesiredState(silent=True, number=1, firm=True)


def test_a_new_standby_that_has_never_read_a_lease_is_silent_until_it_does() -> None:
    harness = Harness(standby=True)
    harness.gate.looked(followed=False)
    assert harness.passes(19, outside=True) is None
    assert harness.passes(1, outside=True) == DesiredState(silent=True, number=1, firm=False)
    assert harness.gate.waiting
    assert not harness.gate.isolated
    harness.gate.looked(followed=True)
    assert harness.passes(600, outside=True) == DesiredState(silent=True, number=1, firm=False)
    assert harness.read(MINE)
    assert harness.gate.wanted() == DesiredState(silent=False, number=2, firm=True)
    assert not harness.gate.waiting
    assert harness.passes(600, outside=True) == DesiredState(silent=False, number=2, firm=False)


@pytest.mark.parametrize(
    ("standby", "looks"),
    [
        pytest.param(True, (), id="no Alertmanager has answered"),
        pytest.param(True, (True,), id="it followed a lease before, and may have been promoted"),
        pytest.param(True, (False, True), id="one of its Alertmanagers did"),
        pytest.param(True, (True, False), id="one of its Alertmanagers has lost its data"),
        pytest.param(False, (False,), id="primary"),
    ],
)
def test_without_a_lease_any_other_region_stays_as_it_is(standby: bool, looks: tuple[bool, ...]) -> None:
    harness = Harness(standby=standby)
    for followed in looks:
        harness.gate.looked(followed=followed)
    assert harness.passes(600, outside=True) is None
    assert not harness.gate.waiting


def test_an_answer_from_before_a_long_sleep_is_no_answer() -> None:
    harness = Harness()
    harness.read(MINE)
    asked_at = harness.now
    harness.now += 600
    assert not harness.gate.read(MINE, asked_at + 1)
    assert harness.gate.wanted() == DesiredState(silent=True, number=2, firm=True)
    harness.gate.reached(asked_at + 1)
    assert harness.gate.isolated
