"""How old the other region's heartbeat is, whatever its clock shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
from prometheus_client import CollectorRegistry

from services.failover_agent import FailoverAgentSettings
from services.failover_agent.__main__ import AgentCollector
from services.failover_agent.notification_gate import EgressProbe, NotificationGate
from services.failover_agent.witness import HeartbeatExchange, LeasePoller, PeerClock
from services.regions.witness import Heartbeat, Witness, WitnessError
from services.runtime.serving import DedupLogger
from tests.unit.services.failover_agent.contents import NOW, content

EVERY_S = 5.0


def beat(at: datetime) -> Heartbeat:
    """A heartbeat of the other region."""
    return Heartbeat(
        region="region-b",
        role="standby",
        at=at,
        epoch=0,
        holder=None,
        notifies=False,
        isolated=False,
        fingerprints={},
        silences=(),
    )


@dataclass
class Regions:
    """Two regions whose clocks differ; this one looks every few seconds.

    Attributes:
        ahead_s: By how much the other region's clock is ahead.
        now: Seconds that have passed.
        peer: How old the other one is.
    """

    ahead_s: float
    now: float = 0.0
    peer: PeerClock = field(init=False)
    said: Heartbeat = field(init=False)

    def __post_init__(self) -> None:
        self.peer = PeerClock(lambda: self.now)
        self.say()

    def say(self) -> None:
        """The other region says something."""
        self.said = beat(NOW + timedelta(seconds=self.now + self.ahead_s))

    def look(self) -> None:
        """This region reads it."""
        self.peer.seen(self.said, self.now, NOW + timedelta(seconds=self.now))

    def go(self, seconds: float, *, says: bool = True, looks: bool = True) -> list[float]:
        """Let time pass; the ages after each interval."""
        ages = []
        for _ in range(int(seconds / EVERY_S)):
            self.now += EVERY_S - 1
            if says:
                self.say()
            self.now += 1
            if looks:
                self.look()
            ages.append(self.peer.age() or 0.0)
        return ages


AHEAD = pytest.mark.parametrize("ahead_s", [-300.0, 0.0, 300.0])


@AHEAD
def test_a_region_that_lives_is_young_and_one_that_died_grows_old(ahead_s: float) -> None:
    regions = Regions(ahead_s)
    regions.look()
    assert max(regions.go(60)) <= EVERY_S
    assert regions.peer.difference_s == pytest.approx(ahead_s, abs=EVERY_S)
    ages = regions.go(90, says=False)
    assert ages == sorted(ages)
    assert 90 <= ages[-1] <= 90 + EVERY_S


@AHEAD
def test_a_region_that_was_dead_before_the_first_look_grows_old(ahead_s: float) -> None:
    regions = Regions(ahead_s)
    regions.now = 40.0
    regions.look()
    assert regions.peer.age() == max(0.0, 40 - ahead_s)
    assert regions.go(90, says=False)[-1] == max(0.0, 40 - ahead_s) + 90
    assert regions.peer.difference_s is None


def test_a_clock_that_is_set_back_is_a_sign_of_life() -> None:
    regions = Regions(300)
    regions.look()
    regions.go(30)
    regions.ahead_s = 0
    assert max(regions.go(30)) <= EVERY_S


def test_who_died_while_nobody_could_look_is_not_young_when_it_is_seen_again() -> None:
    regions = Regions(0)
    regions.look()
    regions.go(600, looks=False)
    assert regions.peer.age() == 600
    regions.go(300, says=False, looks=False)
    regions.look()
    assert regions.peer.age() == 301


def test_nothing_is_told_before_the_first_look() -> None:
    assert PeerClock(lambda: 7.0).age() is None


class PeerWitness:
    """The bucket with the other region's heartbeat."""

    def __init__(self, said: Callable[[], Heartbeat | None]) -> None:
        self._said = said

    def beat(self, heartbeat: Heartbeat) -> None:
        """Nobody reads this region's own."""

    def heartbeat(self, region: str) -> Heartbeat | None:
        """What the other one said."""
        assert region == "region-b"
        return self._said()


@pytest.mark.parametrize("ahead_s", [-300.0, 300.0])
def test_metrics_tell_age_and_difference(tmp_path: Path, ahead_s: float) -> None:
    now, said = [100.0], list[Heartbeat | None]([None])

    def read() -> Heartbeat | None:
        if now[0] >= 200:
            raise WitnessError("away")
        return said[0]

    settings = FailoverAgentSettings.model_validate(content(tmp_path))
    gate, problems = NotificationGate(20, lambda: now[0]), DedupLogger(lambda _: None)
    witness = cast(Witness, PeerWitness(read))
    exchange = HeartbeatExchange(settings, witness, gate, [], lambda: True, problems)
    poller = LeasePoller(settings, witness, gate, lambda: None, problems, lambda _: None)
    registry = CollectorRegistry()
    probe = EgressProbe(("pager.invalid", 443), gate, 20)
    AgentCollector(settings, gate, [], poller, exchange, lambda: True, registry, [probe])

    def seen() -> float | None:
        return registry.get_sample_value("failover_agent_peer_seen", {"peer": "region-b"})

    def value(name: str) -> float | None:
        return registry.get_sample_value(f"failover_agent_peer_{name}_seconds", {"peer": "region-b"})

    exchange.poll()
    assert (seen(), value("age"), value("clock_difference")) == (0, None, None)
    for _ in range(3):
        now[0] += EVERY_S
        said[0] = beat(datetime.now(UTC) + timedelta(seconds=ahead_s))
        exchange.poll()
    assert seen() == 1
    assert (
        registry.get_sample_value("failover_agent_egress_reached_age_seconds", {"address": "pager.invalid:443"})
        == 3 * EVERY_S
    )
    assert 0 <= cast(float, value("age")) <= EVERY_S
    assert value("clock_difference") == pytest.approx(ahead_s, abs=5)
    now[0] += 60
    exchange.poll()
    now[0] = 260.0
    exchange.poll()
    assert cast(float, value("age")) >= 260 - 115
    assert exchange.errors == 1


def test_who_cannot_write_to_the_witness_still_hears_the_other_region(tmp_path: Path) -> None:
    class ReadOnly(PeerWitness):
        def beat(self, heartbeat: Heartbeat) -> None:
            raise WitnessError("the witness: cannot write regions/region-a.json: AccessDenied")

    told: list[str] = []
    settings = FailoverAgentSettings.model_validate(content(tmp_path))
    gate, problems = NotificationGate(20, lambda: 0.0), DedupLogger(told.append)
    said = [beat(NOW)]
    exchange = HeartbeatExchange(settings, cast(Witness, ReadOnly(lambda: said[0])), gate, [], lambda: True, problems)
    exchange.poll()
    assert exchange.peer == said[0]
    said[0] = beat(NOW + timedelta(seconds=5))
    exchange.poll()
    assert exchange.peer == said[0]
    assert exchange.peer_clock.age() == 0
    assert exchange.errors == 2
    assert len(told) == 1
    assert "AccessDenied" in told[0]
