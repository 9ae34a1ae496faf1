"""Makes attacks one after the other beside a well-behaved client, and tells what each did to whom."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families

from components.naming import size_of
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import Kube, call_errors, wait_until
from ops.core.terminal import say
from ops.drills.gate_attacks import ATTACKS, NEIGHBOUR, Attack, Counted
from ops.drills.gate_neighbour import Neighbour, Sample, Service, service
from ops.drills.gate_target import WORKLOAD, Target, own_target

COUNTED_S: Final = 90.0
"""Until a counter must show what happened: scrapes, and what they are delayed by."""
QUIET_S: Final = 10.0
"""Without an attack, before the first and after the last: what the neighbour sees then."""
_MEMORY_EVERY_S: Final = 2.0
_MEMORY: Final = "container_memory_working_set_bytes"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one attack.

    Attributes:
        attack: Which one.
        answers: How often each answer came.
        seconds: How long it lasted.
        counted: Selector -> by how much it rose.
        neighbour: How the well-behaved client was served meanwhile.
    """

    attack: Attack
    answers: Mapping[str, int]
    seconds: float
    counted: Mapping[str, float]
    neighbour: Service

    def problems(self) -> list[str]:
        """What did not hold."""
        wrong = {answer: times for answer, times in self.answers.items() if answer not in self.attack.answers}
        problems = [f"{times} times {answer}" for answer, times in wrong.items()]
        problems += [] if self.answers else ["no answer at all"]
        problems += [
            f"{counter.selector()} rose by {self.counted.get(counter.selector(), 0):.0f}, "
            f"must by {counter.at_least} or more"
            for counter in self.attack.counted
            if self.counted.get(counter.selector(), 0) < counter.at_least
        ]
        return [f"{self.attack.name}: {problem}" for problem in problems]

    def figures(self) -> dict[str, Any]:
        """For evidence."""
        return {
            "sent": self.attack.what,
            "answers": dict(self.answers),
            "seconds": round(self.seconds, 1),
            "counted": {selector: round(rise) for selector, rise in self.counted.items()},
            "neighbour requests": self.neighbour.requests,
            "neighbour failures": self.neighbour.failed,
            "neighbour P95 s": self.neighbour.p95_s,
        }


@dataclass(frozen=True, kw_only=True)
class Run:
    """All attacks.

    Attributes:
        outcomes: Of each.
        quiet: How the neighbour was served without an attack.
        whole: How it was served from the first attack to the end.
    """

    outcomes: tuple[Outcome, ...]
    quiet: Service
    whole: Service

    def problems(self) -> list[str]:
        """What did not hold, of all attacks."""
        return [problem for outcome in self.outcomes for problem in outcome.problems()]

    def figures(self) -> dict[str, Any]:
        """For evidence."""
        return {
            "attacks": {outcome.attack.name: outcome.figures() for outcome in self.outcomes},
            "attacks tried": len(self.outcomes),
            "wrong answers and missing counts": len(self.problems()),
            "neighbour requests": self.whole.requests,
            "neighbour failures": self.whole.failed,
            "neighbour failures by answer": dict(self.whole.failures),
            "neighbour P95 s without attacks": self.quiet.p95_s,
            "neighbour P95 s": self.whole.p95_s,
            "neighbour worst s": self.whole.worst_s,
        }


def attack(
    target: Target,
    read: Callable[[Counted], float],
    attacks: Sequence[Attack] = ATTACKS,
    *,
    counted_s: float = COUNTED_S,
    quiet_s: float = QUIET_S,
) -> Run:
    """Make every attack once, in order.

    Args:
        target: The gateway.
        read: Value of a counter now, over all gateways.
        attacks: Which ones.
        counted_s: Longest wait for the counters of an attack.
        quiet_s: Seconds without an attack, at the beginning and at the end.

    Raises:
        OpsError: The client beside them, or who is asked for counters, does not work.
    """
    spans: list[tuple[Attack, Mapping[str, int], float, float, Mapping[str, float]]] = []
    with Neighbour(target, NEIGHBOUR.name) as neighbour:
        time.sleep(quiet_s)
        first = time.monotonic()
        for planned in attacks:
            before = {counter.selector(): read(counter) for counter in planned.counted}
            say(f"{planned.name}: {planned.what}")
            begin = time.monotonic()
            answers = planned.run(target, begin + planned.limit_s)
            end = time.monotonic()
            spans.append((planned, dict(answers), begin, end, _rises(planned.counted, before, read, counted_s)))
        time.sleep(quiet_s)
        last = time.monotonic()
    samples: Sequence[Sample] = neighbour.samples
    return Run(
        outcomes=tuple(
            Outcome(
                attack=planned,
                answers=answers,
                seconds=end - begin,
                counted=rises,
                neighbour=service(samples, begin, end),
            )
            for planned, answers, begin, end, rises in spans
        ),
        quiet=service(samples, end=first),
        whole=service(samples, first, last),
    )


def _rises(
    counters: Sequence[Counted], before: Mapping[str, float], read: Callable[[Counted], float], seconds: float
) -> dict[str, float]:
    """By how much counters have risen, as soon as each did by enough, or when the time is up."""
    rises: dict[str, float] = {}

    def risen() -> bool:
        rises.update({counter.selector(): read(counter) - before[counter.selector()] for counter in counters})
        return all(rises[counter.selector()] >= counter.at_least for counter in counters)

    if counters:
        try:
            wait_until(risen, seconds, "the counters to rise")
        except OpsError:
            return rises
    return rises


@dataclass(frozen=True, kw_only=True)
class Gateways:
    """The gateways' containers.

    Attributes:
        restarts: Pod -> restarts of its containers, with its uid.
        killed: Containers that ended for want of memory, with the time.
        limits: Pod -> memory limit in bytes.
    """

    restarts: Mapping[str, tuple[str, int]]
    killed: frozenset[str]
    limits: Mapping[str, int]


def gateways(kube: Kube) -> Gateways:
    """The gateways as Kubernetes has them now."""
    with call_errors(f"cannot list the pods of {WORKLOAD}"):
        items = kube.core.list_namespaced_pod(
            kube.namespace, label_selector=f"app.kubernetes.io/name={WORKLOAD}", _request_timeout=15
        ).items
    restarts: dict[str, tuple[str, int]] = {}
    killed: set[str] = set()
    limits: dict[str, int] = {}
    for pod in items:
        name = pod.metadata.name
        statuses = pod.status.container_statuses or []
        restarts[name] = (pod.metadata.uid, sum(status.restart_count for status in statuses))
        limits[name] = sum(size_of(container.resources.limits["memory"]) for container in pod.spec.containers)
        for status in statuses:
            for state in (status.last_state, status.state):
                ended = state.terminated if state else None
                if ended is not None and ended.reason == "OOMKilled":
                    killed.add(f"{name}/{status.name} at {ended.finished_at}")
    return Gateways(restarts=restarts, killed=frozenset(killed), limits=limits)


class MemoryWatch:
    """Reads the memory of the gateways' containers from the nodes, every other second, until the block ends.

    Args:
        kube: The platform's namespace.
        pods: Names of the gateways.
    """

    def __init__(self, kube: Kube, pods: Sequence[str]) -> None:
        self._kube, self._pods = kube, frozenset(pods)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.first: dict[str, float] = {}
        self.peak: dict[str, float] = {}
        self.last: dict[str, float] = {}
        self.reads = 0

    def __enter__(self) -> MemoryWatch:
        self._note()
        self.first = dict(self.last)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join(60)
        if kind is None:
            self._note()

    def _watch(self) -> None:
        while not self._stopping.wait(_MEMORY_EVERY_S):
            try:
                self._note()
            except OpsError:
                continue  # A node is busy; the next reading tells.

    def _note(self) -> None:
        now: dict[str, float] = {}
        with call_errors("the nodes do not tell what their containers use"):
            nodes = self._kube.core.list_node(_request_timeout=15).items
            for node in nodes:
                text = self._kube.core.connect_get_node_proxy_with_path(
                    node.metadata.name, "metrics/resource", _request_timeout=15
                )
                now |= working_sets(text, self._kube.namespace, self._pods)
        self.last = now
        self.peak |= {pod: max(used, self.peak.get(pod, 0.0)) for pod, used in now.items()}
        self.reads += 1


def working_sets(text: str, namespace: str, pods: frozenset[str]) -> dict[str, float]:
    """Pod -> bytes of its containers, from a node's metrics."""
    used: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            pod = sample.labels.get("pod", "")
            if sample.name == _MEMORY and sample.labels.get("namespace") == namespace and pod in pods:
                used[pod] = used.get(pod, 0.0) + sample.value
    return used


def attack_platform(
    context: Context, figures: dict[str, Any], attacks: Sequence[Attack] = ATTACKS, quiet_s: float = QUIET_S
) -> list[str]:
    """Attack the gateways of the platform; what did not hold.

    Args:
        context: The platform.
        figures: Filled with what was seen, also when something breaks off.
        attacks: Which ones.
        quiet_s: Seconds without an attack, at the beginning and at the end.

    Raises:
        OpsError: The platform's own address is not, or a server does not answer.
    """
    target = own_target(context)
    before = gateways(context.kube)
    figures["gateways"] = len(before.restarts)

    def read(counter: Counted) -> float:
        return context.thanos.number(counter.selector(WORKLOAD)) or 0.0

    started = time.monotonic()
    with MemoryWatch(context.kube, list(before.restarts)) as memory:
        outcome = attack(target, read, attacks, quiet_s=quiet_s)
    after = gateways(context.kube)
    window = int(time.monotonic() - started) + 30
    # Nodes measure every ten seconds or so; the collectors themselves, more often.
    own = context.thanos.instant(f'max_over_time(otelcol_process_memory_rss_bytes{{job="{WORKLOAD}"}}[{window}s])')
    processes = [sample.value for sample in own]
    smallest = min(before.limits.values(), default=0)
    shares = [used / before.limits[pod] for pod, used in memory.peak.items() if pod in before.limits]
    shares += [used / smallest for used in processes if smallest]
    figures |= outcome.figures()
    figures |= {
        "gateway restarts": restarts(before, after),
        "gateways ended for want of memory": len(after.killed - before.killed),
        "memory before MiB": _mebibytes(memory.first),
        "memory peak MiB": _mebibytes(memory.peak),
        "memory after MiB": _mebibytes(memory.last),
        "memory readings": memory.reads,
        "process memory peak MiB": round(max(processes, default=0.0) / 2**20),
        "memory peak, share of the limit": round(max(shares), 3) if shares else None,
    }
    return outcome.problems()


def restarts(before: Gateways, after: Gateways) -> int:
    """How often a gateway was started again, or replaced."""
    count = 0
    for pod, (uid, times) in before.restarts.items():
        now_uid, now_times = after.restarts.get(pod, ("", 0))
        count += now_times - times if now_uid == uid else 1
    return count


def _mebibytes(used: Mapping[str, float]) -> dict[str, int]:
    return {pod: round(value / 2**20) for pod, value in sorted(used.items())}
