"""The plan of chaos: which fault begins in which minute, the same plan for the same seed and the same platform.

What is promised holds for one fault in each redundant part. So a step has one fault, or two of different parts, and the
next step waits until everything is whole again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

from components.alertmanager.component import WORKLOAD as ALERTMANAGER
from components.gateway.component import WORKLOAD as GATEWAY
from components.jaeger.collector import WORKLOAD as JAEGER_COLLECTOR
from components.kafka.config import BROKERS as KAFKA
from components.logs.component import WORKLOAD as LOG_INDEXER
from components.postgres.config import WORKLOAD as POSTGRES
from components.sampler.component import WORKLOAD as SAMPLER
from components.search.config import WORKLOAD as SEARCH
from components.shards import ruler_name


class Kind(StrEnum):
    """What is done."""

    KILL = "killed"
    FREEZE = "frozen"
    CUT = "cut off from each other"
    RENEW = "certificate renewed"
    STORAGE = "object storage away"
    NAMES = "names not resolved"
    FULL = "disk full"
    SLOW = "disk slow"
    CLOCK = "a client's clock set"


_WEIGHTS: Final = dict.fromkeys(Kind, 1) | {Kind.KILL: 4, Kind.FREEZE: 3, Kind.CUT: 2}
_HELD_S: Final = dict.fromkeys(Kind, 30.0) | {Kind.KILL: 5.0, Kind.RENEW: 5.0, Kind.NAMES: 15.0}
_TWO_OF: Final = 3
"""One step in so many has a second fault."""
DISK_OF: Final = 0
"""The broker that has a disk of its own, which can be full or slow."""
SPARED: Final = {
    SAMPLER: "spans that wait for a decision are in its memory alone",
    JAEGER_COLLECTOR: "spans of its newest bulk are in its memory alone",
    POSTGRES: "a standby is promoted by people",
}
"""Workload -> why no fault is made there: what the platform does not promise, which drills of their own measure."""
SINGLE: Final = (LOG_INDEXER,)
"""Workloads that run once and lose nothing by a fault, besides those of a Prometheus."""
PAIRS: Final = (
    (GATEWAY, KAFKA),
    (KAFKA, KAFKA),
    (SEARCH, SEARCH),
    (LOG_INDEXER, SEARCH),
    (ALERTMANAGER, ALERTMANAGER),
)
"""Workloads of which two pods are cut off from each other."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault.

    Attributes:
        kind: What is done.
        to: The workloads: two of a cut, none of what is outside of the platform; the name of a certificate.
        pods: Which pod of each, counted over its pods by name; a disk is always that of the same broker.
        held_s: Seconds until it is over.
    """

    kind: Kind
    to: tuple[str, ...] = ()
    pods: tuple[int, ...] = ()
    held_s: float

    def __str__(self) -> str:
        names = [f"{name}-{pod}" for name, pod in zip(self.to, self.pods, strict=True)] if self.pods else self.to
        return f"{' and '.join(names)} {self.kind}" if names else str(self.kind)

    @property
    def parts(self) -> frozenset[str]:
        """Redundant parts of the platform that have one less meanwhile."""
        return frozenset(_part(name) for name in self.to)

    @property
    def alone(self) -> bool:
        """Whether no other fault goes with it."""
        return self.kind not in (Kind.KILL, Kind.FREEZE)


@dataclass(frozen=True, kw_only=True)
class Step:
    """What begins in a minute.

    Attributes:
        minute: Counted from 0.
        faults: One, or two of different parts.
    """

    minute: int
    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        return "; ".join(map(str, self.faults))


def plan(seed: int, minutes: int, pods: Mapping[str, int], certificates: Sequence[str]) -> tuple[Step, ...]:
    """A step for each minute.

    Args:
        seed: Decides.
        minutes: How many steps.
        pods: Workload -> number of its pods.
        certificates: Names of certificates.
    """
    random = Random(seed)
    return tuple(Step(minute=minute, faults=_step(random, pods, certificates)) for minute in range(minutes))


def _step(random: Random, pods: Mapping[str, int], certificates: Sequence[str]) -> tuple[Fault, ...]:
    first = _fault(random, pods, certificates)
    if first.alone or random.randrange(_TWO_OF):
        return (first,)
    others = {name: count for name, count in pods.items() if _part(name) not in first.parts}
    if not list(targets(others)):
        return (first,)
    return (first, _at_a_pod(random, random.choice((Kind.KILL, Kind.FREEZE)), others))


def _fault(random: Random, pods: Mapping[str, int], certificates: Sequence[str]) -> Fault:
    pairs = [pair for pair in PAIRS if all(pods.get(name, 0) > (pair[0] == pair[1]) for name in pair)]
    possible = {
        kind: weight
        for kind, weight in _WEIGHTS.items()
        if not (kind is Kind.CUT and not pairs)
        and not (kind is Kind.RENEW and not certificates)
        and not (kind in (Kind.FULL, Kind.SLOW) and not pods.get(KAFKA))
    }
    [kind] = random.choices(list(possible), list(possible.values()))
    match kind:
        case Kind.KILL | Kind.FREEZE:
            return _at_a_pod(random, kind, pods)
        case Kind.CUT:
            left, right = random.choice(pairs)
            one = random.randrange(pods[left])
            others = [pod for pod in range(pods[right]) if left != right or pod != one]
            return Fault(kind=kind, to=(left, right), pods=(one, random.choice(others)), held_s=_HELD_S[kind])
        case Kind.RENEW:
            return Fault(kind=kind, to=(random.choice(sorted(certificates)),), held_s=_HELD_S[kind])
        case Kind.FULL | Kind.SLOW:
            return Fault(kind=kind, to=(KAFKA,), pods=(DISK_OF,), held_s=_HELD_S[kind])
        case Kind.STORAGE | Kind.NAMES | Kind.CLOCK:
            return Fault(kind=kind, held_s=_HELD_S[kind])


def _at_a_pod(random: Random, kind: Kind, pods: Mapping[str, int]) -> Fault:
    workload = random.choice(list(targets(pods)))
    return Fault(kind=kind, to=(workload,), pods=(random.randrange(pods[workload]),), held_s=_HELD_S[kind])


def targets(pods: Mapping[str, int]) -> Iterator[str]:
    """Workloads that a pod may be taken from, by name."""
    for workload in sorted(pods):
        redundant = pods[workload] > 1 or workload in SINGLE or _part(workload) in _COPIES
        if redundant and workload not in SPARED:
            yield workload


_COPIES: Final = {"prometheus": ("prometheus-", "metrics-consumer-"), "ruler": (ruler_name(""),)}
"""Redundant part -> beginnings of its workloads, which run once for each replica: those of the other one are a copy."""


def _part(workload: str) -> str:
    """The redundant part that a workload belongs to."""
    return next((part for part, beginnings in _COPIES.items() if workload.startswith(beginnings)), workload)
