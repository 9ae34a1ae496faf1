"""The lease in two phases, and who is waited for."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from ops.core.errors import OpsError
from ops.regions import lease
from tests.unit.ops.regions_harness import A, B, Harness, harness


@pytest.fixture
def shared() -> Iterator[Harness]:
    with harness() as new_world:
        yield new_world


def test_the_first_lease_has_epoch_one_and_lets_nobody_tell_people_yet(shared: Harness) -> None:
    taken = lease.take(shared.witness, B, "ops failover", "lost")
    assert (taken.holder, taken.epoch, taken.notify) == (B, 1, False)
    current = lease.current(shared.witness)
    assert current is not None
    assert current[0] == taken


def test_each_change_of_the_holder_is_one_epoch_later(shared: Harness) -> None:
    shared.lease(A, 4)
    assert lease.take(shared.witness, B, "me", "lost").epoch == 5


def test_who_was_interrupted_between_the_phases_goes_on_with_the_same_epoch(shared: Harness) -> None:
    first = lease.take(shared.witness, B, "me", "lost")
    assert lease.take(shared.witness, B, "me", "lost") == first
    assert lease.let(shared.witness, B, first.epoch, "me", "lost").notify
    assert lease.let(shared.witness, B, first.epoch, "me", "lost").epoch == first.epoch


def test_the_second_phase_is_refused_to_whom_the_lease_was_taken_from(shared: Harness) -> None:
    first = lease.take(shared.witness, B, "me", "lost")
    shared.lease(A, first.epoch + 1)
    with pytest.raises(OpsError, match=f"{B} does not hold the lease of epoch 1 any more: {A} has it, epoch 2"):
        lease.let(shared.witness, B, first.epoch, "me", "lost")
    with pytest.raises(OpsError, match="the lease was taken by another command"):
        lease.holds(shared.witness, B, first.epoch, notify=False)


def test_a_lease_of_the_first_phase_is_held_but_does_not_let(shared: Harness) -> None:
    first = lease.take(shared.witness, B, "me", "lost")
    assert lease.holds(shared.witness, B, first.epoch, notify=False)
    assert not lease.holds(shared.witness, B, first.epoch, notify=True)


def test_a_region_that_has_seen_the_lease_and_is_silent_has_confirmed(shared: Harness) -> None:
    shared.beat(A, epoch=3, notifies=False)
    assert lease.silent(shared.witness, A, 3, 0.0) == (True, f"{A} has confirmed that it is silent")


def test_a_silence_of_an_older_lease_confirms_nothing(shared: Harness) -> None:
    shared.beat(A, epoch=2, notifies=False)
    confirmed, seen = lease.silent(shared.witness, A, 3, 0.0)
    assert not confirmed
    assert "is alive and has not confirmed" in seen


def test_a_region_without_a_sign_of_life_is_not_waited_for(shared: Harness) -> None:
    assert lease.silent(shared.witness, A, 1, 60.0) == (False, f"{A} has never given a sign of life")
    shared.beat(A, age_s=45)
    confirmed, seen = lease.silent(shared.witness, A, 1, 60.0)
    assert not confirmed
    assert "gives no sign of life since 45 s" in seen


def test_a_confirmation_that_comes_later_is_waited_for(shared: Harness) -> None:
    shared.beat(A)
    later = threading.Timer(1.5, lambda: shared.beat(A, epoch=1, notifies=False))
    later.start()
    assert lease.silent(shared.witness, A, 1, 10.0)[0]
    later.join()


def test_only_a_failover_agent_that_has_seen_the_lease_tells_people_by_it(shared: Harness) -> None:
    shared.beat(B, epoch=0, notifies=True)
    assert not lease.notifies(shared.witness, B, 1, 0.0)
    shared.beat(B, epoch=1, notifies=True)
    assert lease.notifies(shared.witness, B, 1, 0.0)
