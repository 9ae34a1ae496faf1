"""The bench's judgement: which rate a platform sustains, what a load costs, and that it always ends with figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from components.telemetry.layers import Signal
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.evidence import files as evidence
from ops.evidence.files import Evidence
from ops.evidence.reading import told
from ops.loadtest import bench as bench_module
from ops.loadtest import bench_command, bench_load
from ops.loadtest.bench import Bench, BenchSettings
from ops.loadtest.bench_command import as_settings, numbers
from ops.loadtest.bench_load import Load, LoadResult, NodeUsage
from ops.loadtest.bench_paths import Mark, TracesPath
from ops.loadtest.bench_requests import Batch

NODE = "node_cpu_usage_seconds"
QUICK = BenchSettings(
    signal=Signal.METRICS, rate=1000, step_s=10, window_s=20, idle_s=0, catch_up_s=0.1, limit_s=10_000
)


class System:
    """A platform that acknowledges up to one rate, and delivers up to another; items per second."""

    item = "points"
    workloads = ("gateway",)
    groups = ("metrics-consumer-primary",)
    delay_s = 0.0

    def __init__(self, takes: float, delivers: float, slow_above: float = float("inf")) -> None:
        self.takes, self.delivers, self.slow_above = takes, delivers, slow_above
        self.rates: list[float] = []
        self.loads: list[tuple[int, int]] = []
        self.acknowledged = self._arrived = 0.0

    def send(self, _target: Any, batch: Batch, load: Load) -> LoadResult:
        self.rates.append(load.rate)
        if (one := (batch.requests[0].items, load.clients)) not in self.loads:
            self.loads.append(one)
        due = load.rate * load.seconds
        taken = min(load.rate, self.takes) * load.seconds
        self.acknowledged += taken
        self._arrived = min(taken, self.delivers * load.seconds)
        late = 6000.0 if load.rate > self.slow_above else 20.0
        return LoadResult(
            {
                "acknowledged_items": taken,
                "offered_items": due,
                "seconds": load.seconds,
                "latency_ms": {"p95": late} if taken else {},
                "refused_requests_by_status": {"503": 7} if taken < due else {},
                "requests_timed_out": 0,
                "requests_failed": 0,
                "not_sent_items": 0,
                "rejected_items": 0,
                "cpu_seconds": taken * 5e-7,
            }
        )

    def mark(self) -> Mark:
        return Mark(0.0, {})

    def arrived(self, *_: Any) -> dict[str, float]:
        return {"prometheus-primary": self._arrived, "prometheus-secondary": self._arrived}

    def tolerance(self) -> float:
        return 0.0

    def more(self, _: Mark) -> dict[str, Any]:
        return {}


def measured(
    system: System, settings: BenchSettings, monkeypatch: pytest.MonkeyPatch, seen: Iterable[int] = ()
) -> tuple[dict[str, Any], list[str]]:
    """Figures and lines of progress of a bench on a made-up platform; what waits for its consumers, look by look."""
    made_up(system, monkeypatch, seen)
    platform = SimpleNamespace(otlp_http="", ca_certificate="", otlp_credentials={})
    said: list[str] = []
    bench = Bench(cast(Context, SimpleNamespace(platform=platform)), settings, said.append)
    return bench.measure(), said


def made_up(system: System, monkeypatch: pytest.MonkeyPatch, seen: Iterable[int] = ()) -> None:
    """Let benches measure a made-up platform."""
    lags = iter(seen)
    usage = NodeUsage(2.0, 0.0, {"gateway-0": 0.0}, {"gateway-0": "gateway"}, {NODE: 100.0, "gateway-0": 100.0})
    monkeypatch.setattr(bench_module, "run", system.send)
    monkeypatch.setattr(bench_module, "path_of", lambda *_: system)
    monkeypatch.setattr(bench_module, "backlogs", lambda *_: {"metrics-consumer-primary": next(lags, 0)})
    monkeypatch.setattr(bench_load, "of_nodes", lambda _: usage)
    monkeypatch.setattr(bench_load, "settled", lambda *_: usage)
    monkeypatch.setattr(bench_load, "bytes_in_kafka", lambda *_: 100.0 + 12 * system.acknowledged)


@pytest.mark.parametrize("capacity", [700, 1500, 5000, 40_000])
def test_the_highest_rate_that_holds_is_found(capacity: float, monkeypatch: pytest.MonkeyPatch) -> None:
    system = System(takes=1e9, delivers=capacity)
    # All of what was too much arrives before the next step, as with a queue that empties.
    monkeypatch.setattr(Bench, "_catch_up", lambda *_: ({"end": system._arrived}, {}, 60.0))
    figures, said = measured(system, replace(QUICK, steps=12), monkeypatch)
    sustained = figures["sustained points/s"]
    assert capacity / 1.31 <= sustained <= capacity * 1.06, figures["steps"]
    assert figures["window s"] == 20
    assert any(line.lstrip("[ ").split()[0] == "0" and "step 1: 1,000 points/s for 10 s" in line for line in said)
    assert all("left]" in line for line in said)


def test_a_burst_is_judged_by_what_is_accepted_and_all_of_it_must_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    burst = replace(QUICK, steps=0, burst=True)
    late = System(takes=1e9, delivers=300)
    with monkeypatch.context() as patch:
        patch.setattr(Bench, "_catch_up", lambda *_: ({"end": late._arrived}, {}, 60.0))
        figures, _ = measured(late, burst, monkeypatch)
    assert (figures["accepted points/s"], figures["missing"], figures["caught up after s"]) == (1000, 0, 60.0)
    assert late.rates == [1000]
    figures, _ = measured(System(takes=1e9, delivers=300), burst, monkeypatch)
    assert (figures["accepted points/s"], figures["missing"]) == (0, 28_000)
    figures, _ = measured(System(takes=900, delivers=1e9), burst, monkeypatch)
    assert figures["accepted points/s"] == 750


def test_what_an_earlier_load_left_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_module, "_LAG_SEEN_S", 0.01)
    # Seen at first, seen no more, seen again after the idle platform was watched.
    figures, said = measured(System(takes=1e9, delivers=1e9), QUICK, monkeypatch, [9000, 4000, 20, 5000, 301])
    assert figures["missing"] == 0
    rests = [line.partition("] ")[2] for line in said if "earlier load" in line]
    assert rests == [
        f"waiting for the rest of an earlier load: {count} records for metrics-consumer-primary"
        for count in ("9,000", "4,000", "301")
    ]
    assert sum("idle platform" in line for line in said) == 2


def test_nothing_is_measured_on_top_of_what_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_module, "_LAG_SEEN_S", 0.01)
    monkeypatch.setattr(bench_module, "REST_S", 0.1)
    system = System(takes=1e9, delivers=1e9)
    with pytest.raises(OpsError, match=r"not been read after 0 s \(9,000 records for metrics-consumer-primary\)"):
        measured(system, QUICK, monkeypatch, repeat(9000))
    assert system.rates == []


def test_what_does_not_arrive_is_a_figure_and_no_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    figures, said = measured(System(takes=1e9, delivers=300), QUICK, monkeypatch)
    assert figures["sustained points/s"] == 0
    assert figures["missing"] == 14_000
    assert figures["not caught up"] == (
        "not caught up after 1 s, missing: 7,000 at prometheus-primary, 7,000 at prometheus-secondary"
    )
    assert len(figures["steps"]) == 1, "a load on top of one that has not arrived would measure nothing"
    assert any("not caught up after 1 s" in line for line in said)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Evidence, str]]:
    """Runs the command on a made-up platform: the evidence that it wrote, and how it ended."""
    platform = SimpleNamespace(otlp_http="", ca_certificate="", otlp_credentials={})
    write = evidence.write

    def call(
        system: System, seen: Iterable[int] = (), name: str = "bench-metrics", **options: Any
    ) -> tuple[Evidence, str]:
        made_up(system, monkeypatch, seen)
        monkeypatch.setattr(bench_module, "_LAG_SEEN_S", 0.01)
        monkeypatch.setattr(bench_module, "REST_S", 0.1)
        monkeypatch.setattr(bench_command, "REST_S", 0.1)
        monkeypatch.setattr(bench_command.platform_module, "load", lambda: platform)
        monkeypatch.setattr(bench_command.Kube, "of", lambda _: None)
        monkeypatch.setattr(
            bench_command, "Context", lambda *_: nullcontext(SimpleNamespace(platform=platform, kube=None))
        )
        monkeypatch.setattr(evidence, "write", lambda name, **run: write(name, **run, folder=tmp_path))
        said = ""
        try:
            bench_command.bench(
                **{"rate": "1000", "steps": 2, "step_seconds": 10, "window_seconds": 20, "idle_seconds": 0, **options}
            )
        except OpsError as error:
            said = str(error)
        return cast(Evidence, evidence.newest(name, tmp_path)), said

    return call


NOT_READ = "not been read after 0 s (9,000 records for metrics-consumer-primary)"


def test_a_size_that_cannot_be_measured_leaves_the_figures_of_those_before_it(
    command: Callable[..., tuple[Evidence, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    # The idle platform is looked at twice; what the first size sent is never read.
    run, said = command(System(takes=1e9, delivers=1e9), chain((0, 0), repeat(9000)), items="1000,20")
    assert not run.passed
    assert run.problems == (said,)
    assert said.startswith("requests of 20 items, 64 clients with 16 in flight each: an earlier load has ")
    assert NOT_READ in said
    assert run.figures["sustained points/s"] == 2000
    assert NOT_READ in run.figures["20 items a request"]["not measured"]
    shown = capsys.readouterr().out
    assert "sustained points/s: 2000" in shown
    assert NOT_READ in shown


def test_a_first_size_that_cannot_be_measured_keeps_its_steps_and_lets_the_next_one_be_measured(
    command: Callable[..., tuple[Evidence, str]],
) -> None:
    class Gone(System):
        """Does not answer when its window begins."""

        def mark(self) -> Mark:
            if len(self.rates) == 2:
                self.rates.append(0)
                raise OpsError("no answer from Thanos Query")
            return super().mark()

    run, said = command(Gone(takes=1e9, delivers=1e9), items="1000,20")
    assert not run.passed
    assert said == run.problems[0] == "requests of 1,000 items, 32 clients: no answer from Thanos Query"
    assert run.figures["not measured"] == "no answer from Thanos Query"
    assert [step["acknowledged/s"] for step in run.figures["steps"]] == [1000, 2000]
    assert "sustained points/s" not in run.figures, "they would be taken for those of the first size"
    assert run.figures["20 items a request"]["sustained points/s"] == 2000


def test_refusals_and_slow_answers_make_a_rate_too_high(monkeypatch: pytest.MonkeyPatch) -> None:
    figures, _ = measured(System(takes=3000, delivers=1e9), replace(QUICK, steps=3), monkeypatch)
    assert [step["held"] for step in figures["steps"]] == [True, True, False]
    assert figures["steps"][2]["why"] == "75% of what was due was acknowledged"
    assert figures["sustained points/s"] == 2000
    slow, _ = measured(System(takes=1e9, delivers=1e9, slow_above=1500), replace(QUICK, steps=2), monkeypatch)
    assert slow["steps"][1]["why"] == "answers took 6.0 s at P95"
    assert slow["sustained points/s"] == 1000


def test_a_gateway_that_takes_nothing_ends_with_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    figures, _ = measured(System(takes=0, delivers=0), QUICK, monkeypatch)
    assert figures["sustained points/s"] == 0
    assert all(not step["held"] for step in figures["steps"])


def test_a_window_that_does_not_hold_is_tried_once_more_lower(monkeypatch: pytest.MonkeyPatch) -> None:
    system = System(takes=1e9, delivers=1e9, slow_above=1700)
    figures, _ = measured(system, replace(QUICK, steps=0, rate=2000), monkeypatch)
    assert system.rates == [2000, 1500]
    assert figures["sustained points/s"] == 1500
    assert [(window["rate"], window["held"]) for window in figures["windows"]] == [(2000, False), (1500, True)]
    assert figures["bytes of an item in Kafka"] == 12.0
    assert figures["latency p95 ms"] == 20.0


def test_a_window_keeps_its_figures_where_what_comes_after_it_is_not_seen_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Late(System):
        """Is overloaded, so that its counters are scraped too late."""

        def more(self, _: Mark) -> dict[str, Any]:
            raise OpsError("no answer from a sampler")

    system = Late(takes=1e9, delivers=1e9)
    made_up(system, monkeypatch)

    def size(*_: Any) -> float:
        if system.rates:
            raise OpsError("waited 25 s in vain for the size of telemetry-metrics by a new scrape")
        return 0.0

    monkeypatch.setattr(bench_load, "bytes_in_kafka", size)
    platform = SimpleNamespace(otlp_http="", ca_certificate="", otlp_credentials={})
    said: list[str] = []
    context = cast(Context, SimpleNamespace(platform=platform))
    figures = Bench(context, replace(QUICK, steps=0, rate=2000), said.append).measure()
    assert figures["sustained points/s"] == 2000
    assert figures["latency p95 ms"] == 20.0
    assert "bytes of an item in Kafka" not in figures
    assert sum("not measured: " in line for line in said) == 2


def test_it_stops_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    system = System(takes=1e9, delivers=1e9)
    figures, _ = measured(system, replace(QUICK, limit_s=30), monkeypatch)
    assert figures["steps"] == []
    assert len(system.rates) == 0


def usage(total: float, gateway: float, at: float, extra: Mapping[str, float] | None = None) -> NodeUsage:
    pods = {"gateway-0": gateway, "search-0": gateway / 10, **(extra or {})}
    workloads = {pod: pod.rpartition("-")[0] for pod in pods}
    return NodeUsage(2.0, total, pods, workloads, dict.fromkeys((NODE, *pods), at))


def test_the_cost_of_a_load_has_no_idle_platform_in_it() -> None:
    cost = bench_load.cost(usage(10, 5, 1000), usage(25, 17, 1010), {"gateway": 0.2, "search": 0.02})
    assert cost.seconds == pytest.approx({"gateway": 10.0, "search": 1.0})
    assert cost.busy == pytest.approx(1.5)
    assert cost.pods == pytest.approx(1.32)
    costs = cost.per_million(500_000, ("gateway", "kafka"))
    assert costs == {"gateway": 20.0, "kafka": 0.0, "other workloads": 2.0, "all": 20.0}
    assert cost.per_million(0, ("gateway",)) == {}


def test_pods_that_are_new_or_were_restarted_count_what_they_used() -> None:
    cost = bench_load.cost(usage(10, 5, 1000), usage(25, 2, 1010, {"late-0": 3.0}), {"late": 0.1})
    assert cost.seconds["gateway"] == pytest.approx(2.0), "a counter that fell began again"
    assert cost.seconds["late"] == pytest.approx(2.0), "the window is ten seconds, not since 1970"


def test_a_reading_is_waited_for_until_it_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([usage(1, 1, 100), usage(1, 1, 100), usage(2, 2, 110)])
    monkeypatch.setattr(bench_load, "of_nodes", lambda _: next(readings))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    cpu = bench_load.settled(cast(Context, None), 105.0)
    assert cpu.oldest == 110
    assert next(readings, None) is None


class Counters:
    """A Prometheus of a platform whose gateways and samplers count spans, and are scraped together."""

    def __init__(self) -> None:
        self.taken, self.read, self.scraped = 5e6, 4e6, 0.0
        self.asked: list[str] = []

    def instant(self, _: str) -> list[Any]:
        return []

    def number(self, expression: str) -> float:
        self.asked.append(expression)
        if "rate(" in expression:
            return 30.0
        if "timestamp(" in expression:
            return self.scraped
        if 'job="gateway"' in expression:
            return self.taken
        return self.read if expression.startswith("sum(otelcol_receiver") and 'job="sampler"' in expression else 0.0


@pytest.fixture
def counters(monkeypatch: pytest.MonkeyPatch) -> tuple[TracesPath, Counters, Mark]:
    """A path of spans, marked at 1,000 s."""
    monkeypatch.setattr("ops.loadtest.bench_paths.time", SimpleNamespace(time=lambda: 1000.0))
    scrapes = iter((999.0, 1001.0))

    def wait(done: Callable[[], bool], *_: Any) -> None:
        for store.scraped in scrapes:
            if done():
                return
        raise AssertionError("a counter from before the mark counts")

    monkeypatch.setattr("ops.loadtest.bench_paths.wait_until", wait)
    store = Counters()
    platform = SimpleNamespace(prometheus_replicas=("primary", "secondary"))
    context = SimpleNamespace(platform=platform, replica=lambda name: {"primary": store}[name])
    path = TracesPath(cast(Context, context))
    mark = path.mark()
    assert store.scraped == 1001
    return path, store, mark


@pytest.mark.parametrize("lost", [0, 900])
def test_spans_that_gateways_took_and_samplers_did_not_read_are_missing_whoever_sent_them(
    lost: int, counters: tuple[TracesPath, Counters, Mark]
) -> None:
    path, store, mark = counters
    others = 35 * 600
    store.taken, store.read, store.scraped = (
        store.taken + 100_000 + others,
        store.read + 100_000 + others - lost,
        1605.0,
    )
    assert path.arrived(mark, 100_000, 1600.0) == {"sampler": 100_000 - lost}
    assert (lost > path.tolerance()) == bool(lost)
    taken = [expression for expression in store.asked if expression.startswith("sum(max_over_time(")]
    assert taken[-1] == (
        'sum(max_over_time(otelcol_receiver_accepted_spans_total{job="gateway",receiver="otlp"}[60s]))'
    )
    assert path.more(mark)["spans of others"] == others


def test_spans_of_others_are_not_taken_for_ours_while_the_gateways_were_not_scraped(
    counters: tuple[TracesPath, Counters, Mark],
) -> None:
    path, store, mark = counters
    store.read, store.scraped = store.read + 150_000, 1599.0
    [arrived] = path.arrived(mark, 100_000, 1600.0).values()
    assert arrived < 100_000 - path.tolerance()


def test_sizes_of_requests_are_read_and_refused() -> None:
    assert numbers("--items", "1000,20, 5000", most=20_000) == (1000, 20, 5000)
    for text in ("", "a", "0", "20,", "30000"):
        with pytest.raises(OpsError, match="--items is"):
            numbers("--items", text, most=20_000)


def test_other_sizes_have_as_much_in_flight_and_other_numbers_of_clients_the_first_size(
    command: Callable[..., tuple[Evidence, str]],
) -> None:
    system = System(takes=1e9, delivers=1e9)
    run, said = command(system, items="1000,20,5000", clients="8,4,64")
    assert (said, run.settings["clients"], run.settings["more_clients"]) == ("", 8, [4, 64])
    assert system.loads == [(1000, 8), (20, 57), (5000, 2), (1000, 4), (1000, 64)]
    others = [run.figures[name] for name in ("20 items a request", "5000 items a request", "4 clients", "64 clients")]
    assert [part["sustained points/s"] for part in (run.figures, *others)] == [2000] * 5
    assert [(part["clients"], part["requests in flight of each"]) for part in others] == [
        (57, 7),
        (2, 1),
        (4, 1),
        (64, 1),
    ]
    shown = told(run.told, evidence.catalog().entry("bench-metrics").text.split("; "))
    assert {"of 20: 2,000", "of 5,000: 2,000", "by 4 clients: 2,000", "by 64: 2,000"} <= set(shown)
    with pytest.raises(OpsError, match="--clients is '8,65', must be numbers from 1 to 64"):
        bench_command.bench(clients="8,65")


def test_a_long_window_has_evidence_of_its_own_and_each_size_its_rate(
    command: Callable[..., tuple[Evidence, str]],
) -> None:
    system = System(takes=1e9, delivers=1e9)
    run, said = command(system, name="sustained-metrics", items="1000,20", rate="3000,700", steps=0, window_seconds=600)
    assert (said, run.settings["rate"], run.settings["limit_s"]) == ("", [3000, 700], pytest.approx(645.1))
    assert (run.figures["sustained points/s"], run.figures["window s"]) == (3000, 600)
    assert run.figures["20 items a request"]["sustained points/s"] == 700
    with pytest.raises(OpsError, match="--rate is '1,2,3', must be one number, or one for each of the 2 of --items"):
        bench_command.bench(items="1000,20", rate="1,2,3")


def test_settings_are_kept_as_data() -> None:
    assert as_settings(QUICK)["signal"] == "metrics"
    assert as_settings(QUICK)["rate"] == 1000
