"""The failover agent with real Alertmanagers and a real object storage: one region of two is active (D2, D4)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from ops.regions import takeover
from services.regions.witness import LEASE_KEY, Heartbeat
from tests.config.alertmanager_line import State
from tests.config.alertmanager_process import OPERATORS, QUIET_S
from tests.config.failover_agent_process import (
    FOLLOWS_S,
    PEER,
    REGION,
    SCRAPER,
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


def test_a_lease_that_is_gone_is_not_read_as_one_that_never_was(harness: Harness) -> None:
    harness.lease(PEER)
    agent = harness.agent()
    harness.remove(LEASE_KEY)
    eventually(lambda: "was there and is gone" in agent.log.read_text(), 10, "it is told")
    harness.stays(True, 5)


def test_a_lease_that_is_older_than_one_that_was_read_is_not_followed(harness: Harness) -> None:
    harness.lease(REGION)
    old = harness.witness.lease()
    harness.lease(PEER)
    agent = harness.agent()
    current = harness.witness.lease()
    assert old is not None
    assert current is not None
    harness.witness.take(old[0], current[1])
    eventually(lambda: "an older one was put back" in agent.log.read_text(), 10, "it is told")
    harness.stays(True, 5)
    heartbeats = (harness.witness.heartbeat(REGION), harness.witness.heartbeat(PEER))
    taken = takeover.take(harness.witness, REGION, "tester", "set back", (REGION, PEER))
    assert taken.epoch == 3, heartbeats
    takeover.let(harness.witness, REGION, 3, "tester", "set back")
    harness.until(False, FOLLOWS_S, "a later one is followed")


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
    about_it = {key: value for key, value in agent.metrics().items() if key[0].startswith("failover_agent_peer")}
    assert about_it == {("failover_agent_peer_seen", PEER): 0}
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
