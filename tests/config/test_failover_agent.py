"""The failover agent with real Alertmanagers and a real object storage: one region of two is active (D2, D4)."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from components.alerting.timings import TIMINGS, Timing
from components.rules import Severity
from services.regions.witness import LEASE_KEY, Heartbeat
from tests.config.alertmanager_files import ROUTING_KEYS, topic
from tests.config.alertmanager_line import State
from tests.config.alertmanager_process import pair
from tests.config.failover_agent_process import FOLLOWS_S, ISOLATED_S, PEER, REGION, SCRAPER, Harness, agent_silences
from tests.config.failover_agent_process import harness as new_harness
from tests.config.servers import eventually
from tests.config.storage_process import storage_process

pytestmark = pytest.mark.timed

QUIET_S = 7.0
"""Longer than the second member waits for the first."""
OPERATORS = sorted([("phone", ROUTING_KEYS["operators"]), ("slack", "operators"), ("sms", topic("operators"))])
QUICK = Timing(group_wait="1s", group_interval="2s", repeat_interval="1h")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    timings = {severity: TIMINGS[severity] if severity is Severity.CRITICAL else QUICK for severity in Severity}
    with (
        pair(tmp_path_factory.mktemp("pair"), timings=timings) as both,
        storage_process(tmp_path_factory.mktemp("witness")) as storage,
        new_harness(both, storage) as new_world,
    ):
        yield new_world


@pytest.fixture
def harness(shared: Harness) -> Harness:
    shared.reset()
    return shared


def told_once(harness: Harness, name: str, seconds: float = 10) -> None:
    """All channels were told, and no more of them while the second member could still tell."""
    eventually(lambda: len(harness.pair.told(name)) >= len(OPERATORS), seconds, f"notifications about {name}")
    time.sleep(QUIET_S)
    assert harness.pair.told(name) == OPERATORS


def test_a_standby_tells_nothing_of_the_layers_and_everything_of_its_own_parts(harness: Harness) -> None:
    agent = harness.agent(role="standby")
    assert harness.silent() == [True, True]
    harness.pair.raise_alert("StandbyLayer", layer="device")
    harness.pair.raise_alert("StandbyLayerEscalated", layer="device", escalation="senior-manager")
    harness.pair.raise_alert("StandbyOwn")
    told_once(harness, "StandbyOwn")
    assert harness.pair.told("StandbyLayer") == []
    metrics = agent.metrics()
    assert metrics["failover_agent_notifies",] == 0
    assert (metrics["failover_agent_holder", REGION], metrics["failover_agent_holder", PEER]) == (0, 1)
    assert (metrics["failover_agent_lease_epoch",], metrics["failover_agent_role", "standby"]) == (0, 1)


def test_a_primary_without_a_lease_tells(harness: Harness) -> None:
    agent = harness.agent()
    assert harness.silent() == [False, False]
    metrics = agent.metrics()
    assert (metrics["failover_agent_notifies",], metrics["failover_agent_holder", REGION]) == (1, 1)


def test_the_lease_is_followed_within_seconds_and_what_fires_is_told_once_it_comes(harness: Harness) -> None:
    harness.lease(PEER)
    harness.agent()
    assert harness.silent() == [True, True]
    harness.pair.raise_alert("Promoted", layer="data")
    time.sleep(QUIET_S)
    assert harness.pair.told("Promoted") == []
    harness.lease(REGION, notify=False)
    harness.stays(True, 5)
    harness.lease(REGION)
    lifted = harness.until(False, FOLLOWS_S, "the silence is lifted")
    harness.pair.raise_alert("Promoted", layer="data")
    told_once(harness, "Promoted", 30)
    harness.lease(PEER, notify=False)
    fell = harness.until(True, FOLLOWS_S, "it falls silent while the holder changes")
    print(f"lease taken -> lifted after {lifted:.1f} s; lease lost -> silent after {fell:.1f} s")
    harness.pair.raise_alert("Demoted", layer="data")
    time.sleep(QUIET_S)
    assert harness.pair.told("Demoted") == []


def test_each_member_is_silenced_by_its_own_address_when_they_are_cut_off_from_each_other(harness: Harness) -> None:
    first, second = harness.pair.members
    try:
        for member in (first, second):
            member.line.set(State.SILENT)
        harness.agent()
        harness.lease(PEER)
        harness.until(True, FOLLOWS_S, "both are silent")
        assert not {agent_silence["id"] for agent_silence in agent_silences(first)} & {
            agent_silence["id"] for agent_silence in agent_silences(second)
        }
        harness.lease(REGION)
        harness.until(False, FOLLOWS_S, "both tell")
    finally:
        for member in (first, second):
            member.line.set(State.WHOLE)
        harness.pair.together()


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


def test_a_failover_agent_that_starts_without_a_lease_to_read_changes_nothing(harness: Harness) -> None:
    harness.line.set(State.REFUSED)
    harness.agent(role="standby", ready=False)
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


def test_a_lease_that_is_gone_is_not_read_as_one_that_never_was(harness: Harness) -> None:
    harness.lease(PEER)
    agent = harness.agent()
    harness.remove(LEASE_KEY)
    eventually(lambda: "was there and is gone" in agent.log.read_text(), 10, "it is told")
    harness.stays(True, 5)


def test_heartbeats_say_what_people_silenced_and_how_regions_differ(harness: Harness) -> None:
    harness.lease(REGION)
    acknowledged = harness.pair.members[0].silence(60, alert_id="CpuHigh/host=a")
    now = datetime.now(UTC) - timedelta(seconds=30)
    other = Heartbeat(
        region=PEER,
        role="standby",
        at=now,
        epoch=1,
        holder=REGION,
        notifies=False,
        isolated=False,
        fingerprints={"rules": "11aa", "topics": "other", "dashboards": "33cc"},
        silences=(),
    )
    agent = harness.agent()
    assert not [name for name, *_ in agent.metrics() if name.startswith("failover_agent_peer")]
    harness.witness.beat(other)
    eventually(lambda: ("failover_agent_peer_notifies", PEER) in agent.metrics(), 10, "the other region is seen")
    metrics = agent.metrics()
    assert 30 <= metrics["failover_agent_peer_age_seconds", PEER] < 60
    differs = {what: metrics["failover_agent_peer_differs", what, PEER] for what in ("rules", "topics", "dashboards")}
    assert differs == {"rules": 0, "topics": 1, "dashboards": 1}

    def beat() -> Heartbeat:
        said = harness.witness.heartbeat(REGION)
        assert said is not None
        return said

    eventually(lambda: harness.witness.heartbeat(REGION) is not None, 10, "the region says something")
    said = beat()
    assert (said.epoch, said.holder, said.notifies, said.isolated) == (1, REGION, True, False)
    assert [(silence.id, silence.created_by) for silence in said.silences] == [(acknowledged, "tester")]
    assert said.fingerprints == {"rules": "11aa", "topics": "22bb"}
    began = time.monotonic()
    harness.lease(PEER)
    eventually(lambda: not beat().notifies and beat().epoch == 2, 20, "it says that it is silent", promised=True)
    print(f"lease lost -> said in the heartbeat after {time.monotonic() - began:.1f} s")
    assert len(beat().silences) == 1, "the failover agent's own silence is nobody's"
    first = beat().at
    eventually(lambda: beat().at > first, 20, "it says so again", promised=True)


def test_it_is_ready_once_every_alertmanager_is_as_the_lease_says(harness: Harness) -> None:
    second = harness.pair.members[1]
    harness.pair.stop(second)
    try:
        harness.lease(PEER)
        agent = harness.agent(ready=False)
        eventually(lambda: harness.silent() == [True], 10, "the first one is silent")
        assert agent.get("/readyz").status_code == 503
        assert agent.get("/livez").status_code == 200
        assert harness.witness.heartbeat(REGION) is None
        assert ("failover_agent_notifies",) not in agent.metrics()
        assert agent.metrics()["failover_agent_alertmanager_errors_total",] >= 1
    finally:
        harness.pair.start(second)
        harness.pair.together()
    eventually(agent.ready, 10, "it is ready")
    assert harness.silent() == [True, True]


@pytest.mark.timeout(180)
def test_after_a_minute_without_anything_it_is_ready_and_the_metrics_tell(harness: Harness) -> None:
    harness.line.set(State.REFUSED)
    agent = harness.agent(ready=False)
    time.sleep(30)
    assert agent.get("/readyz").status_code == 503
    eventually(agent.ready, 40, "it is ready")
    assert agent.metrics()["failover_agent_lease_read_age_seconds",] > 55


def test_metrics_need_the_password_and_no_secret_is_told(harness: Harness) -> None:
    agent = harness.agent()
    harness.line.set(State.REFUSED)
    time.sleep(3)
    assert agent.get("/metrics").status_code == 401
    assert agent.get("/metrics", (SCRAPER[0], "wrong")).status_code == 401
    log = agent.log.read_text()
    assert "the witness: cannot read regions/lease.json" in log
    for secret in (harness.storage.secrets.key, harness.storage.secrets.secret, "operator-password", SCRAPER[1]):
        assert secret not in log
