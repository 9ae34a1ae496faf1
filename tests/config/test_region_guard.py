"""The guard with a real pair of Alertmanagers and a real object storage: one region of two tells people (D2, D4)."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from components.alerting.timings import TIMINGS, Timing
from components.rules import Severity
from services.regions.records import LEASE_KEY, Heartbeat
from tests.config.alertmanager_files import ROUTING_KEYS, topic
from tests.config.alertmanager_line import State
from tests.config.alertmanager_process import pair
from tests.config.region_guard_process import FOLLOWS_S, ISOLATED_S, PEER, REGION, SCRAPER, World, guards
from tests.config.region_guard_process import world as made_world
from tests.config.servers import eventually
from tests.config.storage_process import storage_process

QUIET_S = 7.0
"""Longer than the second member waits for the first."""
OPERATORS = sorted([("phone", ROUTING_KEYS["operators"]), ("slack", "operators"), ("sms", topic("operators"))])
QUICK = Timing(group_wait="1s", group_interval="2s", repeat_interval="1h")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    timings = {severity: TIMINGS[severity] if severity is Severity.CRITICAL else QUICK for severity in Severity}
    with (
        pair(tmp_path_factory.mktemp("pair"), timings=timings) as both,
        storage_process(tmp_path_factory.mktemp("witness")) as storage,
        made_world(both, storage) as made,
    ):
        yield made


@pytest.fixture
def world(shared: World) -> World:
    shared.reset()
    return shared


def told_once(world: World, name: str, seconds: float = 10) -> None:
    """All channels were told, and no more of them while the second member could still tell."""
    eventually(lambda: len(world.pair.told(name)) >= len(OPERATORS), seconds, f"notices about {name}")
    time.sleep(QUIET_S)
    assert world.pair.told(name) == OPERATORS


def test_a_standby_tells_nothing_of_the_layers_and_everything_of_its_own_parts(world: World) -> None:
    guard = world.guard(role="standby")
    assert world.silent() == [True, True]
    world.pair.raise_alert("StandbyLayer", layer="device")
    world.pair.raise_alert("StandbyLayerEscalated", layer="device", escalation="senior-manager")
    world.pair.raise_alert("StandbyOwn")
    told_once(world, "StandbyOwn")
    assert world.pair.told("StandbyLayer") == []
    found = guard.metrics()
    assert found["region_guard_notifies",] == 0
    assert (found["region_guard_holder", REGION], found["region_guard_holder", PEER]) == (0, 1)
    assert (found["region_guard_lease_epoch",], found["region_guard_role", "standby"]) == (0, 1)


def test_a_primary_without_a_lease_tells(world: World) -> None:
    guard = world.guard()
    assert world.silent() == [False, False]
    found = guard.metrics()
    assert (found["region_guard_notifies",], found["region_guard_holder", REGION]) == (1, 1)


def test_the_lease_is_followed_within_seconds_and_what_fires_is_told_once_it_comes(world: World) -> None:
    world.lease(PEER)
    world.guard()
    assert world.silent() == [True, True]
    world.pair.raise_alert("Promoted", layer="data")
    time.sleep(QUIET_S)
    assert world.pair.told("Promoted") == []
    world.lease(REGION, notify=False)
    world.stays(True, 5)
    world.lease(REGION)
    lifted = world.until(False, FOLLOWS_S, "the silence is lifted")
    world.pair.raise_alert("Promoted", layer="data")
    told_once(world, "Promoted", 30)
    world.lease(PEER, notify=False)
    fell = world.until(True, FOLLOWS_S, "it falls silent while the holder changes")
    print(f"lease taken -> lifted after {lifted:.1f} s; lease lost -> silent after {fell:.1f} s")
    world.pair.raise_alert("Demoted", layer="data")
    time.sleep(QUIET_S)
    assert world.pair.told("Demoted") == []


def test_each_member_is_silenced_by_its_own_address_when_they_are_cut_off_from_each_other(world: World) -> None:
    first, second = world.pair.members
    try:
        for member in (first, second):
            member.line.set(State.SILENT)
        world.guard()
        world.lease(PEER)
        world.until(True, FOLLOWS_S, "both are silent")
        assert not {each["id"] for each in guards(first)} & {each["id"] for each in guards(second)}
        world.lease(REGION)
        world.until(False, FOLLOWS_S, "both tell")
    finally:
        for member in (first, second):
            member.line.set(State.WHOLE)
        world.pair.together()


def test_a_witness_that_is_away_changes_nothing_while_a_pager_is_reached(world: World) -> None:
    guard = world.guard()
    world.line.set(State.SILENT)
    world.stays(False, 3 * ISOLATED_S)
    found = guard.metrics()
    assert found["region_guard_isolated",] == 0
    assert found["region_guard_lease_read_age_seconds",] > 2 * ISOLATED_S
    assert found["region_guard_witness_errors_total",] >= 1


def test_an_operator_has_the_last_word_while_the_witness_is_away(world: World) -> None:
    world.lease(PEER)
    guard = world.guard()
    world.line.set(State.REFUSED)
    eventually(lambda: "cannot read regions/lease.json" in guard.log.read_text(), 10, "the lease cannot be read")
    first = world.pair.members[0]
    for each in guards(first):
        first.call("DELETE", f"/api/v2/silence/{each['id']}")
    world.until(False, FOLLOWS_S, "the silence is gone at both")
    world.stays(False, 6)
    world.line.set(State.WHOLE)
    world.until(True, 10, "the lease is followed again")


def test_a_region_cut_off_falls_silent_and_tells_again_by_the_lease_alone(world: World) -> None:
    guard = world.guard()
    world.line.set(State.SILENT)
    world.door.close()
    fell = world.until(True, ISOLATED_S + 5, "it is isolated and silent")
    assert fell > ISOLATED_S / 2
    assert guard.metrics()["region_guard_isolated",] == 1
    world.door.open()
    world.stays(True, ISOLATED_S)
    world.line.set(State.WHOLE)
    healed = world.until(False, 25, "the lease is read again")
    print(f"cut off -> silent after {fell:.1f} s (limit {ISOLATED_S}); healed -> tells after {healed:.1f} s")
    assert guard.metrics()["region_guard_isolated",] == 0


def test_a_region_cut_off_that_lost_the_lease_meanwhile_stays_silent(world: World) -> None:
    guard = world.guard()
    world.line.set(State.REFUSED)
    world.door.close()
    world.until(True, ISOLATED_S + 5, "it is isolated and silent")
    world.lease(PEER)
    world.door.open()
    world.line.set(State.WHOLE)
    eventually(lambda: guard.metrics()["region_guard_lease_epoch",] == 1, 10, "it has read the lease")
    world.stays(True, 5)


def test_a_guard_that_starts_without_a_lease_to_read_changes_nothing(world: World) -> None:
    world.line.set(State.REFUSED)
    world.guard(role="standby", ready=False)
    world.stays(False, 2 * ISOLATED_S)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_was_silent_stays_so_without_a_guard(world: World, number: int) -> None:
    world.lease(PEER)
    guard = world.guard()
    world.line.set(State.SILENT)
    time.sleep(3)
    took = guard.stop(number)
    assert took < 3, "it waits for the witness"
    world.stays(True, 5)
    if number == signal.SIGTERM:
        assert guard.process.returncode == 0
        assert guard.log.read_text().endswith("region-guard: stopped\n")


def test_a_lease_that_is_gone_is_not_read_as_one_that_never_was(world: World) -> None:
    world.lease(PEER)
    guard = world.guard()
    world.remove(LEASE_KEY)
    eventually(lambda: "was there and is gone" in guard.log.read_text(), 10, "it is told")
    world.stays(True, 5)


def test_heartbeats_say_what_people_silenced_and_how_regions_differ(world: World) -> None:
    world.lease(REGION)
    acknowledged = world.pair.members[0].silence(60, alert_id="CpuHigh/host=a")
    now = datetime.now(UTC) - timedelta(seconds=30)
    other = Heartbeat(
        region=PEER,
        role="standby",
        at=now,
        epoch=1,
        holder=REGION,
        notifies=False,
        isolated=False,
        definitions={"rules": "11aa", "topics": "other", "dashboards": "33cc"},
        silences=(),
    )
    guard = world.guard()
    assert not [name for name, *_ in guard.metrics() if name.startswith("region_guard_peer")]
    world.witness.beat(other)
    eventually(lambda: ("region_guard_peer_notifies", PEER) in guard.metrics(), 10, "the other region is seen")
    found = guard.metrics()
    assert 30 <= found["region_guard_peer_age_seconds", PEER] < 60
    differs = {what: found["region_guard_peer_differs", what, PEER] for what in ("rules", "topics", "dashboards")}
    assert differs == {"rules": 0, "topics": 1, "dashboards": 1}

    def beat() -> Heartbeat:
        said = world.witness.heartbeat(REGION)
        assert said is not None
        return said

    eventually(lambda: world.witness.heartbeat(REGION) is not None, 10, "the region says something")
    said = beat()
    assert (said.epoch, said.holder, said.notifies, said.isolated) == (1, REGION, True, False)
    assert [(each.id, each.created_by) for each in said.silences] == [(acknowledged, "tester")]
    assert said.definitions == {"rules": "11aa", "topics": "22bb"}
    began = time.monotonic()
    world.lease(PEER)
    eventually(lambda: not beat().notifies and beat().epoch == 2, 6, "it says that it is silent", promised=True)
    print(f"lease lost -> said in the heartbeat after {time.monotonic() - began:.1f} s")
    assert len(beat().silences) == 1, "the guard's own silence is nobody's"
    first = beat().at
    eventually(lambda: beat().at > first, 8, "it says so again", promised=True)


def test_it_is_ready_once_every_alertmanager_is_as_the_lease_says(world: World) -> None:
    second = world.pair.members[1]
    world.pair.stop(second)
    try:
        world.lease(PEER)
        guard = world.guard(ready=False)
        eventually(lambda: world.silent() == [True], 10, "the first one is silent")
        assert guard.get("/readyz").status_code == 503
        assert guard.get("/healthz").status_code == 200
        assert world.witness.heartbeat(REGION) is None
        assert ("region_guard_notifies",) not in guard.metrics()
        assert guard.metrics()["region_guard_alertmanager_errors_total",] >= 1
    finally:
        world.pair.start(second)
        world.pair.together()
    eventually(guard.ready, 10, "it is ready")
    assert world.silent() == [True, True]


@pytest.mark.timeout(180)
def test_after_a_minute_without_anything_it_is_ready_and_the_metrics_tell(world: World) -> None:
    world.line.set(State.REFUSED)
    guard = world.guard(ready=False)
    time.sleep(30)
    assert guard.get("/readyz").status_code == 503
    eventually(guard.ready, 40, "it is ready")
    assert guard.metrics()["region_guard_lease_read_age_seconds",] > 55


def test_metrics_need_the_password_and_no_secret_is_told(world: World) -> None:
    guard = world.guard()
    world.line.set(State.REFUSED)
    time.sleep(3)
    assert guard.get("/metrics").status_code == 401
    assert guard.get("/metrics", (SCRAPER[0], "wrong")).status_code == 401
    log = guard.log.read_text()
    assert "the witness: cannot read regions/lease.json" in log
    for secret in (world.storage.secrets.key, world.storage.secrets.secret, "operator-password", SCRAPER[1]):
        assert secret not in log
