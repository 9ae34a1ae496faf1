"""Chaos: a fault or two a minute by a plan, under load of every signal; what is promised is watched all the time.

The plan is the same for the same seed and the same platform. What is promised holds for one fault in each redundant
part. So a step has one fault, or two of different parts, and the next step waits until everything is whole again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from random import Random
from typing import Any, Final

from components.alertmanager.component import WORKLOAD as ALERTMANAGER
from components.gateway.component import WORKLOAD as GATEWAY
from components.jaeger.collector import WORKLOAD as JAEGER_COLLECTOR
from components.kafka.config import BROKERS as KAFKA
from components.logs import WORKLOAD as LOG_INDEXER
from components.postgres.config import WORKLOAD as POSTGRES
from components.sampler import WORKLOAD as SAMPLER
from components.search.config import WORKLOAD as SEARCH
from components.shards import ruler_name
from ops.core.context import Context
from ops.core.kube import Kube, Pod, call_errors, pod_of, wait_until
from ops.core.terminal import say
from ops.drills.procedure import CannotRunError, is_settled
from ops.drills.procedures.certificates import Certificates
from ops.drills.procedures.kafka import WRITES_PER_S, broker_disk
from ops.drills.procedures.telemetry import account_logs, fate
from ops.drills.procedures.zone import NOTICED_S
from ops.drills.tools import durations
from ops.drills.tools.accounts import unmet
from ops.drills.tools.disks import Disk
from ops.drills.tools.faults import cut, groups, groups_frozen, kill
from ops.drills.tools.load import TOPIC, LogLoad, OtlpLoad, gateway
from ops.drills.tools.markers import Ticker
from ops.drills.tools.notifications import CRITICAL, Injector, NotificationRecord, collected, duplicates
from ops.drills.tools.outside import StorageCommands, storage_commands, taken_away, try_first
from ops.drills.tools.span_load import SPANS_PER_TRACE, SpanLoad, Traffic, batches


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


MINUTE_S: Final = 60.0
WHOLE_S: Final = 300.0
"""Until everything is ready and in sync again after a step."""
ALERT_EVERY: Final = 3
"""A Critical condition begins with one step in so many."""
_LOOK_S, _TOLD_S, _DNS_NAMESPACE, _DNS = 2.0, 120.0, "kube-system", "k8s-app=kube-dns"
_TRACES_PER_S: Final = 10
_SENT_AGAIN_S: Final = 15.0
"""After a fault a gateway sends again what Kafka has not confirmed."""
_GIVE_UP_S: Final = 240.0


def make_chaos(context: Context, figures: dict[str, Any]) -> list[str]:
    """Carry out the plan of the seed, step by step, and count what became of the load.

    Raises:
        OpsError: The platform was not whole again in time after a step.
    """
    record, storage = NotificationRecord.of_environment(), storage_commands()
    try_first("the object storage", storage.start)
    steps = plan_of(context)
    figures |= {"seed": durations.CHAOS_SEED, "steps": [str(step) for step in steps]}
    start, newest, began = context.kafka.end_offsets(TOPIC), record.newest(), time.time()
    # A sampler decides by what it has after its wait, so each part of a trace has to be one to keep.
    traffic = Traffic(durations.CHAOS_SEED, failed=1.0, throughout=True)
    spans = SpanLoad(context, batches(traffic, 10), per_second=_TRACES_PER_S, workers=2)
    points = OtlpLoad(context, workers=2, pause=0.5, give_up_after=_GIVE_UP_S, clock_changes=True)
    logs = LogLoad(context.ca_file, gateway(context), pause=0.5)
    recoveries = figures["whole again after s"] = []
    with (
        broker_disk(context, context.kube.pods(KAFKA)[DISK_OF]) as disk,
        Injector(context.otlp) as injector,
        Ticker(context, f"{int(began)}", context.thanos) as ticker,
        points,
        logs,
        spans,
    ):
        points.run_for(durations.WARM_UP)
        wait_until(lambda: ticker.queries > 3, 60, "the marker at Thanos Query")
        first = time.monotonic()
        for step in steps:
            points.run_for(max(0.0, first + step.minute * MINUTE_S - time.monotonic()))
            say(f"step {step.minute + 1} of {len(steps)}: {step}")
            recoveries.append(_carried_out(Means(context, storage, disk, points), step, injector))
            injector.end_told(record.since(newest))
        points.run_for(durations.AFTER_FAULT)
        told = collected(record, newest, injector.raised, _TOLD_S)
    figures["minutes"] = round((time.monotonic() - first) / 60, 1)
    latencies = [raised.latency(told) for raised in injector.raised]
    known = [latency for latency in latencies if latency is not None]
    figures |= {
        "Criticals": len(latencies),
        "Criticals not told": len(latencies) - len(known),
        "Criticals told in time": sum(latency <= CRITICAL.limit_s for latency in known),
        "Critical told after s, worst": round(max(known, default=0.0), 1),
        "notices twice": duplicates([one for raised in injector.raised for one in raised.notifications(told)]),
        "queries": ticker.queries,
        "failed queries": len(ticker.failed),
        "longest time without an answer s": round(ticker.longest_s, 1),
        "longest pause of clients s": points.longest_pause(began),
        "out of memory": out_of_memory(context.kube, began),
    }
    counts = points.counts_in_kafka(start, durations.ARRIVAL)
    missing = {"Kafka": points.ledger.missing(counts), **points.missing_in_prometheus(context, began)}
    figures |= {
        "acknowledged": len(points.ledger.acknowledged),
        "missing": sum(map(len, missing.values())),
        "doubled in Kafka": points.doubled(counts),
        "given up": len(points.ledger.given_up) + len(logs.ledger.given_up) + len(spans.ledger.given_up),
    }
    share = repeated_share(steps, time.time() - began)
    figures["points and log records that may be there twice"] = {
        "points": int(share * len(points.ledger.acknowledged)),
        "log records": (log_bound := int(share * len(logs.ledger.acknowledged))),
    }
    log_problems = account_logs(figures, context, logs, most_doubled=log_bound)
    stored = fate(context, spans)
    figures |= {
        "spans acknowledged": len(spans.sent.sorts) * SPANS_PER_TRACE,
        "spans lost": stored.lost(set(spans.sent.sorts)),
        "spans stored twice": stored.doubled,
    }
    return [*log_problems, *problems(figures, steps, {name: len(numbers) for name, numbers in missing.items()})]


def problems(figures: dict[str, Any], steps: tuple[Step, ...], missing: dict[str, int]) -> list[str]:
    """What did not hold, from the figures of a run."""
    faults = [fault for step in steps for fault in step.faults]
    twice_allowed = any(ALERTMANAGER in fault.to for fault in faults)
    most_doubled = figures["points and log records that may be there twice"]["points"]
    acknowledged, worst = figures["acknowledged"], figures["Critical told after s, worst"]
    silence = figures["longest time without an answer s"]
    return unmet(
        (acknowledged > 0, "no point was acknowledged"),
        *((not count, f"{count} of {acknowledged} acknowledged points are missing in {name}")
          for name, count in missing.items()),
        (figures["spans acknowledged"] > 0, "no span was acknowledged"),
        (figures["spans lost"] == 0, f"{figures['spans lost']} of {figures['spans acknowledged']} spans are lost"),
        (figures["given up"] == 0, f"{figures['given up']} points, log records or traces were never acknowledged"),
        (
            figures["doubled in Kafka"] <= most_doubled,
            f"{figures['doubled in Kafka']} points are in Kafka twice, must be at most {most_doubled}: what was sent "
            "while a gateway or broker had a fault",
        ),
        (figures["Criticals not told"] == 0, f"{figures['Criticals not told']} Critical alerts were never notified"),
        (
            worst <= CRITICAL.limit_s + NOTICED_S,
            f"a Critical was notified after {worst} s, must be within {CRITICAL.limit_s + NOTICED_S:g} s of its fault",
        ),
        (
            twice_allowed or figures["notices twice"] == 0,
            f"{figures['notices twice']} notifications came twice though no Alertmanager had a fault",
        ),
        (silence <= NOTICED_S, f"the read address gave no answer for {silence} s, must be at most {NOTICED_S:g} s"),
        (not figures["out of memory"], f"ended for want of memory: {', '.join(figures['out of memory'])}"),
    )  # fmt: skip


def repeated_share(steps: Sequence[Step], seconds: float) -> float:
    """Share of a load that a gateway may have sent twice: what came while it or a broker had a fault."""
    faults = [fault for step in steps for fault in step.faults if {GATEWAY, KAFKA} & {*fault.to}]
    return min(1.0, sum(fault.held_s + _SENT_AGAIN_S for fault in faults) / seconds)


def plan_of(context: Context) -> tuple[Step, ...]:
    """The plan for the platform as it is."""
    sizes: dict[str, int] = {}
    for pod in context.kube.pods():
        if pod.workload and pod.ready:
            sizes[pod.workload] = sizes.get(pod.workload, 0) + 1
    return plan(durations.CHAOS_SEED, durations.CHAOS_MINUTES, sizes, sorted(Certificates(context).serials()))


@dataclass(frozen=True)
class Means:
    """By what faults are made.

    Attributes:
        context: The platform.
        storage: How the object storage is stopped and started.
        disk: Of a broker.
        points: A load, whose clock can be set.
    """

    context: Context
    storage: StorageCommands
    disk: Disk
    points: OtlpLoad


def _carried_out(means: Means, step: Step, injector: Injector) -> float:
    """Make the faults of a step, end them, and wait until everything is whole; seconds that this took."""
    with ExitStack() as stack:
        for fault in step.faults:
            stack.enter_context(_made(means, fault))
        if step.minute % ALERT_EVERY == 0:
            injector.raise_one(CRITICAL)
        means.points.run_for(max(fault.held_s for fault in step.faults))
    ended = time.monotonic()
    wait_until(lambda: is_settled(means.context), WHOLE_S, f"everything is whole after: {step}", _LOOK_S)
    return round(time.monotonic() - ended, 1)


@contextmanager
def _made(means: Means, fault: Fault) -> Iterator[None]:
    """A fault inside the block."""
    context, storage = means.context, means.storage
    with ExitStack() as stack:
        match fault.kind:
            case Kind.KILL:
                [pod] = _pods(context, fault)
                kill(context.kube, pod)
            case Kind.FREEZE:
                stack.enter_context(groups_frozen(groups(_pods(context, fault))))
            case Kind.CUT:
                one, other = _pods(context, fault)
                stack.enter_context(cut(one, other))
            case Kind.RENEW:
                Certificates(context).renew(fault.to[0])
            case Kind.STORAGE:
                stack.enter_context(taken_away("the object storage", storage.stop, storage.start))
            case Kind.NAMES:
                stack.enter_context(groups_frozen(groups(name_servers(context.kube))))
            case Kind.FULL:
                stack.enter_context(means.disk.full())
            case Kind.SLOW:
                stack.enter_context(means.disk.slow(WRITES_PER_S))
            case Kind.CLOCK:
                means.points.ahead_s = durations.CLOCK_STEP
                stack.callback(setattr, means.points, "ahead_s", 0.0)
        yield


def _pods(context: Context, fault: Fault) -> list[Pod]:
    """The pods of a fault: where a workload has fewer pods than planned, counted over again."""
    chosen = []
    for workload, number in zip(fault.to, fault.pods, strict=True):
        pods = sorted(context.kube.pods(workload), key=lambda pod: pod.name)
        chosen.append(pods[number % len(pods)])
    return chosen


def name_servers(kube: Kube) -> list[Pod]:
    """Pods of the cluster's DNS.

    Raises:
        CannotRunError: There is none.
    """
    with call_errors("cannot list the pods of the cluster's DNS"):
        items = kube.core.list_namespaced_pod(_DNS_NAMESPACE, label_selector=_DNS, _request_timeout=15).items
    if not items:
        raise CannotRunError(f"no pod in {_DNS_NAMESPACE} has the label {_DNS}")
    return [pod_of(item) for item in items]


def out_of_memory(kube: Kube, since: float) -> list[str]:
    """Containers that the kernel ended since a moment because they took more memory than they may."""
    with call_errors(f"cannot list the pods of {kube.namespace}"):
        items = kube.core.list_namespaced_pod(kube.namespace, _request_timeout=15).items
    return sorted(
        f"{item.metadata.name}/{status.name}"
        for item in items
        for status in item.status.container_statuses or []
        if (ended := status.last_state.terminated) is not None
        and ended.reason == "OOMKilled"
        and _moment(ended.finished_at) >= since
    )


def _moment(moment: datetime | None) -> float:
    return moment.timestamp() if moment else 0.0
