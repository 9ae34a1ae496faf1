"""The failover agent in a region that reaches neither its witness nor a pager, and without the agent (D2, D4)."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from tests.config.alertmanager_line import State
from tests.config.failover_agent_process import (
    FOLLOWS_S,
    ISOLATED_S,
    PEER,
    REGION,
    Harness,
    agent_silences,
    of_a_quick_pair,
)
from tests.config.servers import eventually

pytestmark = pytest.mark.timed


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    with of_a_quick_pair(tmp_path_factory.mktemp("region")) as harness:
        yield harness


@pytest.fixture
def harness(shared: Harness) -> Harness:
    shared.reset()
    return shared


def test_a_witness_that_is_away_changes_nothing_while_a_pager_is_reached(harness: Harness) -> None:
    agent = harness.agent()
    harness.line.set(State.SILENT)
    harness.stays(False, 3 * ISOLATED_S)
    metrics = agent.metrics()
    assert metrics["failover_agent_isolated",] == 0
    assert metrics["failover_agent_lease_read_age_seconds",] > 2 * ISOLATED_S
    assert metrics["failover_agent_witness_errors_total",] >= 1


def test_an_operator_has_the_last_word_while_the_witness_is_away(harness: Harness) -> None:
    harness.lease(PEER)
    agent = harness.agent()
    harness.line.set(State.REFUSED)
    eventually(lambda: "cannot read regions/lease.json" in agent.log.read_text(), 10, "the lease cannot be read")
    first = harness.pair.members[0]
    for silence in agent_silences(first):
        first.call("DELETE", f"/api/v2/silence/{silence['id']}")
    harness.until(False, FOLLOWS_S, "the silence is gone at both")
    harness.stays(False, 6)
    harness.line.set(State.WHOLE)
    harness.until(True, 10, "the lease is followed again")


def test_a_region_cut_off_falls_silent_and_tells_again_by_the_lease_alone(harness: Harness) -> None:
    agent = harness.agent()
    harness.line.set(State.SILENT)
    harness.door.close()
    fell = harness.until(True, ISOLATED_S + 5, "it is isolated and silent")
    assert fell > ISOLATED_S / 2
    assert agent.metrics()["failover_agent_isolated",] == 1
    harness.door.open()
    harness.stays(True, ISOLATED_S)
    harness.line.set(State.WHOLE)
    healed = harness.until(False, 25, "the lease is read again")
    print(f"cut off -> silent after {fell:.1f} s (limit {ISOLATED_S}); healed -> tells after {healed:.1f} s")
    assert agent.metrics()["failover_agent_isolated",] == 0


def test_a_region_cut_off_that_lost_the_lease_meanwhile_stays_silent(harness: Harness) -> None:
    agent = harness.agent()
    harness.line.set(State.REFUSED)
    harness.door.close()
    harness.until(True, ISOLATED_S + 5, "it is isolated and silent")
    harness.lease(PEER)
    harness.door.open()
    harness.line.set(State.WHOLE)
    eventually(lambda: agent.metrics()["failover_agent_lease_epoch",] == 1, 10, "it has read the lease")
    harness.stays(True, 5)


def test_a_standby_that_was_promoted_goes_on_telling_when_its_failover_agent_starts_without_a_lease_to_read(
    harness: Harness,
) -> None:
    harness.lease(PEER)
    agent = harness.agent(role="standby")
    assert harness.silent() == [True, True]
    harness.lease(REGION)
    harness.until(False, FOLLOWS_S, "it is promoted")
    agent.stop()
    harness.line.set(State.REFUSED)
    harness.agent(role="standby", ready=False)
    harness.stays(False, 2 * ISOLATED_S)


def test_a_new_standby_without_a_lease_to_read_is_silent_until_it_reads_one(harness: Harness) -> None:
    harness.pair.begin_anew()
    harness.line.set(State.REFUSED)
    agent = harness.agent(role="standby", ready=False)
    fell = harness.until(True, ISOLATED_S + 5, "a standby that never followed a lease is silent")
    assert fell > ISOLATED_S / 2
    assert agent.metrics()["failover_agent_isolated",] == 0
    eventually(lambda: "a standby that never followed a lease" in agent.log.read_text(), 10, "it is told")
    harness.stays(True, ISOLATED_S)
    harness.lease(REGION)
    harness.line.set(State.WHOLE)
    harness.until(False, 10, "the lease is read")


def test_a_new_primary_without_a_lease_to_read_tells(harness: Harness) -> None:
    harness.pair.begin_anew()
    harness.line.set(State.REFUSED)
    harness.agent(ready=False)
    harness.stays(False, 2 * ISOLATED_S)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_was_silent_stays_so_without_a_failover_agent(harness: Harness, number: int) -> None:
    harness.lease(PEER)
    agent = harness.agent()
    harness.line.set(State.SILENT)
    time.sleep(3)
    took = agent.stop(number)
    assert took < 3, "it waits for the witness"
    harness.stays(True, 5)
    if number == signal.SIGTERM:
        assert agent.process.returncode == 0
        assert agent.log.read_text().endswith("failover-agent: stopped\n")


def test_after_a_minute_without_anything_it_is_ready_and_the_metrics_tell(harness: Harness) -> None:
    harness.line.set(State.REFUSED)
    agent = harness.agent(ready=False)
    time.sleep(30)
    assert agent.get("/readyz").status_code == 503
    eventually(agent.ready, 40, "it is ready")
    assert agent.metrics()["failover_agent_lease_read_age_seconds",] > 55
