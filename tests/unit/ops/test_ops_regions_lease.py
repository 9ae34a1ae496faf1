"""The lease in two phases, and who is waited for."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from ops.core.errors import OpsError
from ops.regions import takeover
from tests.unit.ops.regions_harness import A, B, Harness, harness


@pytest.fixture
def shared() -> Iterator[Harness]:
    with harness() as new_world:
        yield new_world


def test_the_first_lease_has_epoch_one_and_lets_nobody_tell_people_yet(shared: Harness) -> None:
    taken = takeover.take(shared.witness, B, "ops failover", "lost")
    assert (taken.holder, taken.epoch, taken.notify) == (B, 1, False)
    current = takeover.current(shared.witness)
    assert current is not None
    assert current[0] == taken


def test_each_change_of_the_holder_is_one_epoch_later(shared: Harness) -> None:
    shared.lease(A, 4)
    assert takeover.take(shared.witness, B, "me", "lost").epoch == 5


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
    assert "gives no sign of life since 45 s" in seen


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
