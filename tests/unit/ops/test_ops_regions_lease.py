"""The lease in two phases, and who is waited for."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

import pytest

from ops.core.errors import OpsError
from ops.regions import takeover
from services.regions.witness import Sighting, Witness, region_key
from tests.unit.ops.regions_harness import A, B, Harness, harness


@pytest.fixture
def shared() -> Iterator[Harness]:
    with harness() as new_world:
        yield new_world


def silent_s(seen: str) -> int:
    """For how long region A was silent by what was said; a slow machine reads it a little later than it was made."""
    since = re.match(rf"{A} gives no sign of life since (\d+) s", seen)
    assert since is not None, seen
    return int(since[1])


def test_the_first_lease_has_epoch_one_and_lets_nobody_tell_people_yet(shared: Harness) -> None:
    taken = takeover.take(shared.witness, B, "ops failover", "lost")
    assert (taken.holder, taken.epoch, taken.notify) == (B, 1, False)
    current = takeover.current(shared.witness)
    assert current is not None
    assert current[0] == taken


def test_each_change_of_the_holder_is_one_epoch_later(shared: Harness) -> None:
    shared.lease(A, 4)
    assert takeover.take(shared.witness, B, "me", "lost").epoch == 5


def test_a_lease_that_was_set_back_is_followed_by_one_that_is_later_than_any_that_was_seen(shared: Harness) -> None:
    shared.lease(A, 2)
    shared.beat(A, epoch=7)
    shared.beat(B, epoch=6)
    assert takeover.take(shared.witness, B, "me", "lost", (A, B)).epoch == 8


def test_what_no_one_can_read_neither_stops_a_failover_half_way_nor_counts_as_silence(shared: Harness) -> None:
    shared.witness.write(region_key(A), {"version": 2}, None)
    told: list[str] = []
    assert takeover.heartbeat(shared.witness, A, told.append) is None
    assert told[0].startswith("regions/region-a.json: ")
    confirmed, seen = takeover.silent(shared.witness, A, 1, 0.0)
    assert not confirmed
    assert seen.startswith("region-a had 0 s to fall silent, what it says cannot be read: regions/region-a.json: ")
    assert takeover.last_alive(shared.witness, A) is None
    assert takeover.take(shared.witness, B, "me", "lost", (A, B)).epoch == 1


def test_who_was_interrupted_between_the_phases_goes_on_with_the_same_epoch(shared: Harness) -> None:
    first = takeover.take(shared.witness, B, "me", "lost")
    assert takeover.take(shared.witness, B, "me", "lost") == first
    assert takeover.let(shared.witness, B, first.epoch, "me", "lost").notify
    assert takeover.let(shared.witness, B, first.epoch, "me", "lost").epoch == first.epoch


def test_the_second_phase_is_refused_to_whom_the_lease_was_taken_from(shared: Harness) -> None:
    first = takeover.take(shared.witness, B, "me", "lost")
    shared.lease(A, first.epoch + 1)
    with pytest.raises(OpsError, match=f"{B} does not hold the lease of epoch 1 any more: {A} has it, epoch 2"):
        takeover.let(shared.witness, B, first.epoch, "me", "lost")
    with pytest.raises(OpsError, match="the lease was taken by another command"):
        takeover.holds(shared.witness, B, first.epoch, notify=False)


def test_a_lease_of_the_first_phase_is_held_but_does_not_let(shared: Harness) -> None:
    first = takeover.take(shared.witness, B, "me", "lost")
    assert takeover.holds(shared.witness, B, first.epoch, notify=False)
    assert not takeover.holds(shared.witness, B, first.epoch, notify=True)


def test_a_region_that_has_seen_the_lease_and_is_silent_has_confirmed(shared: Harness) -> None:
    shared.beat(A, epoch=3, notifies=False)
    assert takeover.silent(shared.witness, A, 3, 0.0) == (True, f"{A} has confirmed that it is silent")


def test_a_silence_of_an_older_lease_confirms_nothing(shared: Harness) -> None:
    shared.beat(A, epoch=2, notifies=False)
    confirmed, seen = takeover.silent(shared.witness, A, 3, 0.0)
    assert not confirmed
    assert "is alive and has not confirmed" in seen


def test_a_region_without_a_sign_of_life_is_not_waited_for(shared: Harness) -> None:
    assert takeover.silent(shared.witness, A, 1, 60.0) == (False, f"{A} has never given a sign of life")
    shared.beat(A, age_s=45)
    confirmed, seen = takeover.silent(shared.witness, A, 1, 60.0)
    assert not confirmed
    assert silent_s(seen) in range(45, 60)


def test_a_confirmation_that_comes_later_is_waited_for(shared: Harness) -> None:
    shared.beat(A)
    later = threading.Timer(1.5, lambda: shared.beat(A, epoch=1, notifies=False))
    later.start()
    assert takeover.silent(shared.witness, A, 1, 10.0)[0]
    later.join()


def test_only_a_failover_agent_that_has_seen_the_lease_tells_people_by_it(shared: Harness) -> None:
    shared.beat(B, epoch=0, notifies=True)
    assert not takeover.notifies(shared.witness, B, 1, 0.0)
    shared.beat(B, epoch=1, notifies=True)
    assert takeover.notifies(shared.witness, B, 1, 0.0)


@pytest.mark.parametrize("ahead_s", [-300.0, 300.0])
def test_whether_a_region_lives_is_not_asked_of_its_clock(shared: Harness, ahead_s: float) -> None:
    shared.beat(A, ahead_s=ahead_s)
    assert takeover.silent(shared.witness, A, 1, 0.0)[1].startswith(f"{A} is alive and has not confirmed")
    shared.beat(A, age_s=45, ahead_s=ahead_s)
    assert silent_s(takeover.silent(shared.witness, A, 1, 60.0)[1]) in range(45, 60)
    last = takeover.sign_of_life(shared.witness, A)
    assert last is not None
    assert not last.alive


class Unsaid:
    """A witness whose object storage does not tell when something was written; a clock that only it moves."""

    def __init__(self, shared: Harness, every_s: float | None, ahead_s: float) -> None:
        self.now, self._every_s, self._ahead_s = 1000.0, every_s, ahead_s
        self._heartbeat = shared.beat(A)

    def sighting(self, region: str) -> Sighting:
        """What the region said last; it says something every so many seconds, or nothing any more."""
        ago = (self.now % self._every_s) if self._every_s else 0.0
        at = datetime.fromtimestamp((self.now if self._every_s else 990.0) - ago + self._ahead_s, UTC)
        return Sighting(heartbeat=replace(self._heartbeat, region=region, at=at), age_s=None)

    def sleep(self, seconds: float) -> None:
        """Time goes on."""
        self.now += seconds


@pytest.mark.parametrize("ahead_s", [-300.0, 0.0, 300.0])
@pytest.mark.parametrize("every_s", [5.0, None])
def test_where_the_storage_does_not_tell_an_age_it_is_looked_until_something_changes(
    shared: Harness, monkeypatch: pytest.MonkeyPatch, every_s: float | None, ahead_s: float
) -> None:
    witness = Unsaid(shared, every_s, ahead_s)
    monkeypatch.setattr("ops.regions.takeover.time.monotonic", lambda: witness.now)
    monkeypatch.setattr("ops.regions.takeover.time.sleep", witness.sleep)
    last = takeover.sign_of_life(cast(Witness, witness), A)
    assert last is not None
    assert last.alive == (every_s is not None)
    assert witness.now - 1000 <= (6 if every_s else takeover.FRESH_S + 2)
    confirmed, seen = takeover.silent(cast(Witness, witness), A, 1)
    assert not confirmed
    assert ("is alive and has not confirmed" if every_s else "gives no sign of life since 30 s") in seen
