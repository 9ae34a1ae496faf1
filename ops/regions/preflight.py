"""Preflight checks of a failover: can a region take over? Each check is one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from ops.core.errors import OpsError
from ops.core.kafka import KafkaAdmin
from ops.regions.probe import handshake
from ops.regions.region import Region, witness_errors
from services.regions.records import Heartbeat
from services.regions.witness import Witness

FRESH_S = 30.0
"""A heartbeat that is older is no sign of life: a failover agent writes one each 5 s."""
MOST_BEHIND_S = 15.0
"""How old the newest copied record may be in a planned failover, seconds (requirement D2)."""
_IN_SYNC = "min.insync.replicas"


@dataclass(frozen=True, kw_only=True)
class PreflightCheck:
    """One answer.

    Attributes:
        name: What was asked about.
        problem: What is wrong; empty when nothing is.
        seen: What was seen.
        fatal: Whether a region with this problem cannot take over.
    """

    name: str
    problem: str = ""
    seen: str = ""
    fatal: bool = True

    def __str__(self) -> str:
        return f"{self.name}: {self.problem or self.seen}"


def target(region: Region, witness: Witness, *, planned: bool, now: datetime | None = None) -> list[PreflightCheck]:
    """Everything that is asked before a region takes over."""
    moment = now or datetime.now(UTC)
    return [
        _ask("kafka", lambda: kafka(region.kafka, region.topics)),
        _ask("gateway", lambda: _gateway(region)),
        _ask("metrics", lambda: _metrics(region)),
        _ask("failover agent", lambda: _agent(region, witness, moment)),
        parity(region, witness, fatal=planned),
    ]


def kafka(admin: KafkaAdmin, topics: tuple[str, ...]) -> str:
    """Every partition has a leader and as many copies as a write needs.

    Raises:
        OpsError: One has not, or a topic is not there.
    """
    known = admin.topics()
    settings = admin.topic_settings(list(topics))
    wrong = []
    for topic in topics:
        state = known.get(topic)
        if state is None:
            wrong.append(f"topic {topic} is not there")
            continue
        needed = int(settings.get(topic, {}).get(_IN_SYNC, "2"))
        offline = [number for number, leader in enumerate(state.leaders) if leader < 0]
        few = [number for number, count in enumerate(state.in_sync) if count < needed]
        if offline:
            wrong.append(f"{topic} has partitions without a leader: {', '.join(map(str, offline))}")
        elif few:
            wrong.append(f"{topic} has partitions with less than {needed} copies in sync: {', '.join(map(str, few))}")
    if wrong:
        raise OpsError("; ".join(wrong))
    return f"{sum(known[topic].partitions for topic in topics)} partitions online and in sync"


def newest(admin: KafkaAdmin, topics: tuple[str, ...]) -> dict[str, datetime]:
    """Topic -> time of its newest record, as its writer stamped it; topics without records are left out.

    Raises:
        OpsError: Kafka does not answer.
    """
    newest_times = {}
    for topic in topics:
        stamps = [int(message.timestamp()[1]) for message in admin.read_last(topic, 1)]
        if stamps:
            newest_times[topic] = datetime.fromtimestamp(max(stamps) / 1000, UTC)
    return newest_times


def heartbeat(witness: Witness, region: str) -> Heartbeat | None:
    """The last heartbeat of a region.

    Raises:
        OpsError: The witness does not answer, or has something else there.
    """
    with witness_errors():
        return witness.heartbeat(region)


def differences(here: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """Definitions that differ, by name; what only one region has differs."""
    return [name for name in sorted({*here, *there}) if here.get(name) != there.get(name)]


def parity(region: Region, witness: Witness, *, fatal: bool) -> PreflightCheck:
    """Whether the definitions of a region's stack are those of the other one's last heartbeat."""

    def look() -> str:
        other = region.peer.region
        last = heartbeat(witness, other)
        if last is None:
            raise OpsError(f"{other} has never told what it has")
        if drift := differences(region.access.fingerprints, last.fingerprints):
            raise OpsError(f"{', '.join(drift)} differ between {region.name} and {other}")
        return f"{len(last.fingerprints)} definitions are the same in {other}"

    return _ask("parity", look, fatal=fatal)


def _gateway(region: Region) -> str:
    handshake(region)
    return f"{region.platform.otlp_http} answers with a good certificate"


def _metrics(region: Region) -> str:
    count = region.metrics.number("count(up == 1)")
    if not count:
        raise OpsError("the read address knows no target that is up")
    return f"{count:.0f} targets are up"


def _agent(region: Region, witness: Witness, now: datetime) -> str:
    last = heartbeat(witness, region.name)
    if last is None:
        raise OpsError(f"the failover agent of {region.name} has never told anything")
    if last.age(now) > FRESH_S:
        raise OpsError(f"the failover agent of {region.name} is silent since {last.age(now):.0f} s")
    if last.isolated:
        raise OpsError(f"{region.name} says that it is isolated")
    return f"heartbeat {last.age(now):.0f} s old, epoch {last.epoch}"


def _ask(name: str, look: Callable[[], str], *, fatal: bool = True) -> PreflightCheck:
    try:
        return PreflightCheck(name=name, seen=look(), fatal=fatal)
    except OpsError as error:
        return PreflightCheck(name=name, problem=str(error), fatal=fatal)
