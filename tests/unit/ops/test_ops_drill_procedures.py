"""What procedures note and say, with a platform that does as it should and with one that loses something."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest

from ops.core.context import Context
from ops.core.kube import Pod
from ops.drills.procedure import load as procedure_of
from ops.drills.procedures import alerts, drain, kafka, telemetry, zone
from ops.drills.run import find
from ops.drills.tools.accounts import Ledger, Number
from ops.drills.tools.notifications import NotificationRecord
from ops.drills.tools.span_load import SPANS_PER_TRACE, Sort, Stored
from ops.evidence import files as evidence
from ops.evidence.reading import named
from tests.support.running import running

POD = running("pod-0", "any")
TRACES = [bytes([number]) * 16 for number in range(120)]


class Clock:
    """Time that passes only where somebody waits."""

    def __init__(self) -> None:
        self.now = time.time()

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


CLOCK = Clock()


class Load:
    """A load whose numbers arrive, but for those that the platform loses."""

    lost = 0
    """How many."""

    def __init__(self, *_: object, **__: object) -> None:
        self.ledger = Ledger()

    def __enter__(self) -> Load:
        self._acknowledge()
        return self

    def __exit__(self, *_: object) -> None:
        self._acknowledge()

    def run_for(self, seconds: float) -> None:
        while seconds > 0:
            CLOCK.sleep(min(seconds, 20.0))
            self._acknowledge()
            seconds -= 20.0

    def longest_pause(self, since: float) -> float:
        return self.ledger.longest_gap(since, CLOCK.now)

    def _acknowledge(self) -> None:
        self.ledger.acknowledge([(0, len(self.ledger.acknowledged))], CLOCK.now)

    def _arrived(self) -> set[Number]:
        return set(sorted(self.ledger.acknowledged)[self.lost :])

    def missing(self, *_: object) -> dict[str, set[Number]]:
        lost = self.ledger.missing(self._arrived())
        return {name: set(lost) for name in ("Kafka", "prometheus-primary", "prometheus-secondary")}

    def in_kafka(self, *_: object) -> set[Number]:
        return self._arrived()

    def counts_in_kafka(self, *_: object) -> Counter[Number]:
        return Counter(self._arrived())

    def in_prometheus(self, *_: object) -> set[Number]:
        return self._arrived()

    def stored(self, *_: object) -> Counter[Number]:
        return Counter(self._arrived())

    def doubled(self, counts: Mapping[Number, int]) -> int:
        return sum(count - 1 for count in counts.values())


class Producer(Load):
    """A load straight to Kafka, of which one record was refused."""

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__()
        self.ledger.give_up([(9, 9)])
        self.refusals: Counter[str] = Counter({"NOT_ENOUGH_REPLICAS": 1})
        self.timeouts: Counter[str] = Counter()


class Spans(Load):
    """A load of traces, all sent right before the kill."""

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__()
        self.begun = CLOCK.now
        self.sent = SimpleNamespace(sorts=dict.fromkeys(TRACES, Sort.FAILED), times=dict[bytes, float]())

    def run_for(self, seconds: float) -> None:
        super().run_for(seconds)
        self.sent.times = self.sent.times or dict.fromkeys(TRACES, CLOCK.now)


class Ticker:
    selector = "marker"

    def __init__(self, *_: object) -> None:
        self.queries, self.failed, self.sent = 9, list[str](), {1, 2, 3}

    def __enter__(self) -> Ticker:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Returning:
    def __init__(self, *_: object) -> None:
        pass

    def after(self) -> float:
        return 3.4


class Ending:
    """A pod that waits for Kafka and ends well."""

    grace_s, ended = 360, False
    exit_codes: Mapping[str, int] = {"collector": 0}
    lines = ("Shutdown complete.",)

    def __init__(self, *_: object) -> None:
        pass

    def tell(self) -> None:
        pass

    def after(self) -> float:
        return 14.2


class Asking:
    """Somebody who asks, and gets every answer but so many."""

    unanswered = 0

    def __init__(self, question: object) -> None:
        self.requested, self.repeated, self.slowest = 12, 1, 0.4
        self.failed = ["no answer"] * self.unanswered

    def __enter__(self) -> Asking:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Raised:
    def __init__(self, name: str) -> None:
        self.name = name

    def latency(self, _: object) -> float:
        return 11.14

    def notifications(self, notifications: Iterable[Any]) -> list[Any]:
        return list(notifications)


class Injector:
    def __init__(self, *_: object) -> None:
        self.raised: list[Raised] = []

    def __enter__(self) -> Injector:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def raise_one(self, _: object) -> Raised:
        self.raised.append(Raised(f"drill-{len(self.raised)}"))
        return self.raised[-1]


class Record:
    def newest(self) -> int:
        return 1

    def since(self, _: int) -> list[Any]:
        return []

    def switch_armed(self) -> bool:
        return True

    def wait_for(self, *_: object, count: int = 1) -> list[Any]:
        return [SimpleNamespace(received_at=CLOCK.now + 60.04, title="the platform is silent")] * count


@contextmanager
def block(*_: object, **__: object) -> Iterator[str]:
    yield "how"


@contextmanager
def dropped(_: int) -> Iterator[Any]:
    yield SimpleNamespace(text="how", packets=lambda: 7)


@contextmanager
def own_disk(*_: object) -> Iterator[Any]:
    yield SimpleNamespace(full=block, slow=block)


def waited(condition: Callable[[], bool], *_: object) -> float:
    """Look once, and not wait."""
    condition()
    return 0.04


class Kube:
    """A cluster that rolls after some looks."""

    def __init__(self) -> None:
        self._looks = 0

    def pods(self, workload: str = "") -> list[Pod]:
        return [] if workload.startswith("prometheus-") else [POD, POD, POD]

    def ready_pod(self, workload: str) -> Pod:
        return POD

    def wait_ready(self, *_: object) -> float:
        return 2.04

    def restart(self, *_: object) -> None:
        pass

    def rolled(self, _: str) -> bool:
        self._looks += 1
        return self._looks > 12


def context() -> Context:
    query = SimpleNamespace(
        raw=lambda *_: {"series": [(0, "1"), (0, "2"), (0, "3")]}, number=lambda _: 1.0, instant=lambda _: []
    )
    firing = SimpleNamespace(name="KafkaBrokerDown", starts=datetime.now(UTC).replace(year=2100), labels={})
    return cast(
        Context,
        SimpleNamespace(
            kube=Kube(),
            kafka=SimpleNamespace(
                end_offsets=lambda _: {0: 0}, topics=lambda: {"scratch": SimpleNamespace(in_sync=(3, 2))}
            ),
            platform=SimpleNamespace(prometheus_replicas=("primary", "secondary"), topics=()),
            prometheus=lambda _: query,
            thanos=query,
            web=None,
            otlp=None,
            ca_file="",
            alertmanager=lambda *_: SimpleNamespace(alerts=lambda: [firing]),
        ),
    )


STUBS: Mapping[str, Any] = {
    "OtlpLoad": Load,
    "ProducerLoad": Producer,
    "LogLoad": Load,
    "Ticker": Ticker,
    "Returning": Returning,
    "Ending": Ending,
    "groups": list,
    "frozen": block,
    "groups_frozen": block,
    "on_disk": lambda _: {POD.name: 4096},
    "QueryRunner": Asking,
    "Injector": Injector,
    "scaled": block,
    "dropped": dropped,
    "away": block,
    "kill": lambda *_: "SIGKILL to 1 process",
    "wait_until": waited,
    "is_settled": lambda _: True,
    "leader_for": lambda *_: 1,
    "leading_broker": lambda _: POD,
    "own_disk": own_disk,
    "members": lambda *_: [POD],
    "fate": lambda *_: None,
    "failing": lambda _: Spans(),
    "is_green": lambda _: True,
    "reader": lambda *_: None,
    "fetch_token": lambda *_: "",
    "stored_logs": lambda _: None,
    "gateway": lambda _: None,
    "agent": lambda _: None,
    "budget": lambda _: SimpleNamespace(wait_s=10.0),
    "collected": lambda *_: [],
}


@pytest.fixture(autouse=True)
def platform(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that a procedure uses does as it should, at once."""
    modules: tuple[ModuleType, ...] = (
        alerts,
        telemetry,
        kafka,
        drain,
        kafka,
        telemetry,
        telemetry,
        alerts,
        telemetry,
        zone,
    )
    for module in modules:
        for name, stub in STUBS.items():
            if hasattr(module, name):
                monkeypatch.setattr(module, name, stub)
        if hasattr(module, "time"):
            monkeypatch.setattr(
                module, "time", SimpleNamespace(time=CLOCK.time, monotonic=CLOCK.time, sleep=CLOCK.sleep)
            )

    @contextmanager
    def scratch_topic(_: Context) -> Iterator[str]:
        yield "scratch"

    for module in (kafka, kafka):
        monkeypatch.setattr(module, "scratch_topic", scratch_topic)
    monkeypatch.setattr(telemetry, "fate", lambda *_: stored(Load.lost))
    monkeypatch.setattr(NotificationRecord, "of_environment", classmethod(lambda _: Record()))


def stored(lost: int) -> Stored:
    """What is stored of the traces, without the first ones."""
    spans = {trace: {f"{number}" for number in range(SPANS_PER_TRACE)} for trace in TRACES[lost:]}
    return Stored(spans=spans, documents=len(spans) * SPANS_PER_TRACE)


def carried_out(name: str) -> tuple[list[str], dict[str, Any]]:
    figures: dict[str, Any] = {}
    return procedure_of(find(name).procedure)(context(), figures), figures


FLOW = (
    "gateway",
    "gateway-drain",
    "consumer",
    "prometheus",
    "broker",
    "two-brokers",
    "disk-full",
    "disk-slow",
    "clock",
    "kafka",
    "kafka-roll",
    "log-indexer",
    "agent",
    "jaeger",
    "sampler",
    "search-node",
    "zone",
    "failover-agent",
    "switch",
)


@pytest.mark.parametrize("name", FLOW)
def test_a_procedure_notes_every_figure_of_its_report_and_its_targets_and_passes(name: str) -> None:
    problems, figures = carried_out(name)
    assert problems == []
    drill, entry = find(name), evidence.catalog().entry(find(name).evidence)
    wanted = {figure for texts in drill.figures.values() for text in texts for figure in named(text)}
    wanted |= {target.figure for target in entry.targets}
    assert [figure for figure in sorted(wanted) if evidence.figure(figures, figure) is None] == []
    assert [problem for target in entry.targets if (problem := target.problem(figures))] == []


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("two-brokers", "gateway: 1 of 6 acknowledged are missing"),
        ("disk-full", "producer: 1 of 2 acknowledged are missing"),
        ("disk-slow", "gateway: 1 of 8 acknowledged are missing"),
        ("clock", "neighbour: 1 of 2 acknowledged are missing"),
        ("kafka-roll", "gateway: 1 of 2 acknowledged are missing"),
        ("gateway", "gateway: 1 of 4 acknowledged are missing"),
        ("gateway-drain", "gateway: 1 of 5 acknowledged are missing"),
        ("consumer", "prometheus-primary: 1 of 4 acknowledged are missing"),
        ("broker", "producer: 1 of 2 acknowledged are missing"),
        ("kafka", "gateway: 1 of 6 acknowledged are missing"),
        ("log-indexer", "1 of 4 acknowledged log records are missing"),
        ("agent", "1 of 4 acknowledged log records are missing"),
        ("search-node", "3 spans lost"),
        ("zone", "1 of 10 acknowledged points are missing in prometheus-secondary"),
    ],
)
def test_what_a_platform_loses_is_said(monkeypatch: pytest.MonkeyPatch, name: str, problem: str) -> None:
    monkeypatch.setattr(Load, "lost", 1)
    assert problem in carried_out(name)[0]
