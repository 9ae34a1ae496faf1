"""When a region may tell people, step by step on a clock of the test."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.region_guard.judging import Judging, Seen, Wanted, seen
from services.regions.records import Lease

MINE = Seen(holder="region-a", epoch=1, notifies=True)
OTHERS = Seen(holder="region-b", epoch=2, notifies=False)


class World:
    """A judge with a clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.judging = Judging(20.0, lambda: self.now)

    def read(self, found: Seen) -> bool:
        return self.judging.read(found, self.now)

    def passes(self, seconds: float, *, outside: bool = False) -> Wanted | None:
        """Time in which the witness is away, each second."""
        for _ in range(int(seconds)):
            self.now += 1
            self.judging.failed()
            if outside:
                self.judging.reached(self.now)
            self.judging.wanted()
        return self.judging.wanted()


def lease(holder: str, *, notify: bool = True) -> Lease:
    return Lease(holder=holder, epoch=4, notify=notify, since=datetime.now(UTC), by="ops failover", reason="drill")


@pytest.mark.parametrize(
    ("found", "role", "peer", "expected"),
    [
        (lease("region-a"), "standby", "region-b", Seen(holder="region-a", epoch=4, notifies=True)),
        (lease("region-a", notify=False), "primary", "region-b", Seen(holder="region-a", epoch=4, notifies=False)),
        (lease("region-b"), "primary", "region-b", Seen(holder="region-b", epoch=4, notifies=False)),
        (lease("region-c"), "primary", None, Seen(holder="region-c", epoch=4, notifies=False)),
        (None, "primary", "region-b", Seen(holder="region-a", epoch=0, notifies=True)),
        (None, "standby", "region-b", Seen(holder="region-b", epoch=0, notifies=False)),
        (None, "standby", None, Seen(holder=None, epoch=0, notifies=False)),
    ],
)
def test_a_lease_says_who_tells_and_without_one_the_role_does(
    found: Lease | None, role: str, peer: str | None, expected: Seen
) -> None:
    assert seen(found, "region-a", role, peer) == expected


def test_at_the_start_nothing_is_wanted() -> None:
    world = World()
    assert world.judging.wanted() is None
    assert world.passes(19) is None
    assert world.passes(600, outside=True) is None


def test_the_lease_decides_and_each_change_has_a_number_of_its_own() -> None:
    world = World()
    assert world.read(MINE)
    assert world.judging.wanted() == Wanted(silent=False, number=1, firm=True)
    assert not world.read(MINE)
    assert world.read(OTHERS)
    assert world.judging.wanted() == Wanted(silent=True, number=2, firm=True)
    assert not world.read(Seen(holder="region-b", epoch=3, notifies=False))
    assert world.judging.wanted() == Wanted(silent=True, number=2, firm=True)


@pytest.mark.parametrize("found", [MINE, OTHERS])
def test_a_witness_that_is_away_changes_nothing_while_somebody_outside_is_reached(found: Seen) -> None:
    world = World()
    world.read(found)
    assert world.passes(3600, outside=True) == Wanted(silent=not found.notifies, number=1, firm=False)
    assert not world.judging.isolated
    assert world.judging.age() == 3600


def test_pagers_that_are_away_change_nothing_while_the_lease_is_read() -> None:
    world = World()
    for _ in range(100):
        world.now += 2
        world.read(MINE)
        assert world.judging.wanted() == Wanted(silent=False, number=1, firm=True)


def test_a_region_cut_off_falls_silent_after_twenty_seconds_and_not_before() -> None:
    world = World()
    world.read(MINE)
    world.judging.reached(world.now)
    assert world.passes(19) == Wanted(silent=False, number=1, firm=False)
    assert world.passes(1) == Wanted(silent=True, number=2, firm=True)
    assert world.judging.isolated


def test_it_stays_silent_until_it_reads_the_lease_whatever_else_is_reached() -> None:
    world = World()
    world.read(MINE)
    world.passes(30)
    assert world.passes(600, outside=True) == Wanted(silent=True, number=2, firm=False)
    assert world.judging.isolated
    assert world.read(MINE)
    assert world.judging.wanted() == Wanted(silent=False, number=3, firm=True)
    assert not world.judging.isolated


def test_a_guard_that_starts_in_a_region_cut_off_silences_it() -> None:
    world = World()
    assert world.passes(20) == Wanted(silent=True, number=1, firm=True)


def test_an_answer_from_before_a_long_sleep_is_no_answer() -> None:
    world = World()
    world.read(MINE)
    asked = world.now
    world.now += 600
    assert not world.judging.read(MINE, asked + 1)
    assert world.judging.wanted() == Wanted(silent=True, number=2, firm=True)
    world.judging.reached(asked + 1)
    assert world.judging.isolated
