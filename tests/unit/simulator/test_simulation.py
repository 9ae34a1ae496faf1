"""Values are realistic, and each fault moves exactly its own threshold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import pytest

from components.telemetry.catalogue import REQUIRED_METRICS
from components.telemetry.naming import Kind
from components.telemetry.thresholds import THRESHOLDS, threshold
from lab.simulator.config import FAULT_KINDS, Fault, FaultPlan, parse_faults
from lab.simulator.devices import Source
from lab.simulator.services import Simulation

STEP_S = 10.0
RANGES = {
    "hw.battery.charge": (0.29, 1.0),
    "device.connected": (1, 1),
    "device.state": (0, 1),
    "device.network.latency": (0.01, 0.2),
    "device.delivery.delay": (0.1, 0.6),
    "device.delivery.frames": (0, 1e9),
    "device.stream.quality": (3.5, 4.5),
    "device.speech_recognition.accuracy": (0.88, 0.99),
    "stream.active": (0, 36),
    "stream.delay": (0.2, 0.6),
    "stream.throughput": (0, 15e6),
    "stream.packet.loss": (0, 0.02),
    "recording.active": (0, 36),
    "recording.attempts": (0, 1e6),
    "recording.failures": (0, 1e4),
    "recording.stored": (0, 1e13),
    "system.filesystem.usage": (1e12, 4.4e12),
    "system.filesystem.limit": (4e12, 5e12),
    "system.filesystem.utilization": (0.3, 0.6),
    "adls.transfer.backlog": (0, 1e9),
    "adls.transfer.io": (0, 1e13),
    "adls.transfer.failures": (0, 0),
    "adls.transfer.age": (0, 0),
    "http.server.request.duration": (0.005, 2.0),
    "http.server.active_requests": (0, 20),
    "db.client.connection.count": (0, 40),
    "db.client.connection.max": (40, 40),
    "work_event.processed": (0, 1e6),
    "work_event.queue.length": (0, 10),
    "work_event.processing.delay": (0, 10),
    "etl.job.last_status": (1, 1),
    "etl.job.runs": (0, 1000),
    "etl.job.duration": (10, 600),
    "consistency.check.runs": (0, 1000),
    "consistency.check.inconsistencies": (0, 0),
    "report.generated": (0, 1000),
    "report.generation.delay": (0, 0),
    "user.session.active": (10, 80),
    "screen.display.duration": (0.1, 5),
    "system.cpu.utilization": (0.05, 0.86),
    "system.memory.utilization": (0.3, 0.7),
    "analysis.job.queue.length": (0, 20),
}

Seen = dict[str, list[float]]


def observe(simulation: Simulation, plan: FaultPlan, steps: int, then: Callable[[Seen], None] | None = None) -> Seen:
    """Run the simulation and collect every value of every metric."""
    seen: Seen = defaultdict(list)
    for _ in range(steps):
        simulation.step(STEP_S, plan)
        for source in simulation.sources:
            for name, _, value in source.drain_measurements():
                seen[name].append(value)
            for name, series in source.values.items():
                seen[name].extend(series.values())
    return seen


def source_of(simulation: Simulation, service: str) -> Source:
    """The only source of a service."""
    return next(source for source in simulation.sources if source.service == service)


def crossed(simulation: Simulation, plan: FaultPlan) -> set[str]:
    """Thresholds that are crossed at the end of 5 minutes under a plan that starts at once."""
    before = {
        name: source_of(simulation, "recorder").value(name) for name in ("recording.attempts", "recording.failures")
    }
    durations: Seen = defaultdict(list)
    for _ in range(int(330 / STEP_S)):
        simulation.step(STEP_S, plan)
        for source in simulation.sources:
            for name, _, value in source.drain_measurements():
                durations[name].append(value)
    recorder = source_of(simulation, "recorder")
    attempts, failures = (recorder.value(name) - before[name] for name in ("recording.attempts", "recording.failures"))
    api = source_of(simulation, "work-api")
    used = sum(
        value
        for key, value in api.values["db.client.connection.count"].items()
        if ("db.client.connection.state", "used") in key
    )
    special = {
        "recording-failures": [failures / attempts],
        "db-pool": [used / api.value("db.client.connection.max")],
        "api-latency": [p95(durations["http.server.request.duration"])],
        "screen-display": [p95(durations["screen.display.duration"])],
    }
    names = set()
    for limit in THRESHOLDS:
        values = special.get(limit.name) or [
            value
            for source in simulation.sources
            if not source.silent
            for value in source.values.get(limit.metrics[0], {}).values()
        ]
        assert values, f"{limit.name}: no values"
        if any(limit.crossed(value) for value in values):
            names.add(limit.name)
    return names


def p95(values: list[float]) -> float:
    """95th percentile."""
    return sorted(values)[int(len(values) * 0.95)]


def test_every_metric_of_the_catalogue_has_realistic_values_for_an_hour() -> None:
    seen = observe(Simulation(seed=1, devices=36), FaultPlan(), steps=360)
    assert set(RANGES) == {metric.name for metric in REQUIRED_METRICS}
    assert set(RANGES) <= set(seen)
    for name, (lowest, highest) in RANGES.items():
        assert min(seen[name]) >= lowest, f"{name}: {min(seen[name])} is under {lowest}"
        assert max(seen[name]) <= highest, f"{name}: {max(seen[name])} is over {highest}"


def test_the_same_seed_gives_the_same_values_and_another_seed_others() -> None:
    first, second, other = (observe(Simulation(seed=seed, devices=6), FaultPlan(), steps=20) for seed in (7, 7, 8))
    assert first == second
    assert first != other


def test_no_threshold_is_crossed_without_a_fault() -> None:
    for seed in (1, 2, 3):
        assert crossed(Simulation(seed=seed, devices=36), FaultPlan()) == set()


@pytest.mark.parametrize("name", [limit.name for limit in THRESHOLDS])
def test_each_fault_crosses_exactly_its_own_threshold(name: str) -> None:
    plan = FaultPlan(parse_faults([{"kind": name, "start": 0, "duration": 10_000}], "faults"))
    assert crossed(Simulation(seed=1, devices=36), plan) == {name}


def test_every_threshold_has_a_fault_and_every_other_fault_is_known() -> None:
    assert set(FAULT_KINDS) - {limit.name for limit in THRESHOLDS} == {
        "silent",
        "trace-errors",
        "trace-slow",
    }
    assert {limit.name for limit in THRESHOLDS} <= set(FAULT_KINDS)


@pytest.mark.parametrize("name", [limit.name for limit in THRESHOLDS if limit.name not in ("battery", "adls-stalled")])
def test_values_come_back_when_a_fault_ends(name: str) -> None:
    simulation = Simulation(seed=1, devices=36)
    plan = FaultPlan(parse_faults([{"kind": name, "start": 0, "duration": 60}], "faults"))
    for _ in range(7):
        simulation.step(STEP_S, plan)
        for source in simulation.sources:
            list(source.drain_measurements())
    assert name not in crossed(simulation, plan)


def test_a_drained_battery_is_charged_again() -> None:
    simulation = Simulation(seed=1, devices=3)
    plan = FaultPlan((Fault(kind="battery", duration=120, magnitude=0.1, targets=1),))
    observe(simulation, plan, 12)
    battery = simulation.devices[0].source
    assert battery.value("hw.battery.charge") <= threshold("battery").limit
    observe(simulation, plan, 60)
    assert battery.value("hw.battery.charge") > threshold("battery").limit
    assert battery.values["device.state"][(("device.state", "charging"),)] == 1


def test_a_device_fault_hits_only_as_many_devices_as_it_says_and_changes_nothing_else() -> None:
    plan = FaultPlan((Fault(kind="delivery-delay", duration=600, magnitude=3, targets=2),))
    healthy, faulty = Simulation(seed=5, devices=6), Simulation(seed=5, devices=6)
    observe(healthy, FaultPlan(), 5)
    observe(faulty, plan, 5)
    delays = [device.delay_s for device in faulty.devices]
    assert delays[:2] == [3, 3]
    assert delays[2:] == [device.delay_s for device in healthy.devices[2:]]
    for one, other in zip(healthy.sources, faulty.sources, strict=True):
        for name in one.values:
            if name != "device.delivery.delay":
                assert one.values[name] == other.values[name], f"{one.service}: {name}"


def test_a_disconnected_device_stops_streaming_and_says_so() -> None:
    simulation = Simulation(seed=1, devices=36)
    observe(simulation, FaultPlan(), 1)
    before = source_of(simulation, "stream-server").value("stream.active")
    observe(simulation, FaultPlan((Fault(kind="disconnected", duration=600, targets=36),)), 1)
    assert before > 0
    assert source_of(simulation, "stream-server").value("stream.active") == 0
    assert all(device.source.events[-1].name == "device.disconnected" for device in simulation.devices)


def test_a_storage_fault_ends_within_the_storages_size() -> None:
    simulation = Simulation(seed=1, devices=2)
    observe(simulation, FaultPlan((Fault(kind="storage", duration=600, magnitude=0.95),)), 1)
    storage = source_of(simulation, "storage")
    assert storage.value("system.filesystem.usage") == pytest.approx(storage.value("system.filesystem.limit"), rel=1e-6)


def test_a_source_refuses_a_metric_or_attribute_that_the_catalogue_does_not_list() -> None:
    source = Source("etl", "etl-1")
    with pytest.raises(KeyError):
        source.set("hw.battery.charge", 1)
    with pytest.raises(KeyError, match="has the attributes"):
        source.set("etl.job.last_status", 1, {"job": "x"})
    with pytest.raises(TypeError, match="is a histogram"):
        source.set("etl.job.duration", 1, {"etl.job.name": "x"})


def test_only_layers_that_may_send_traces_do_work_that_becomes_spans_or_they_are_not_sent() -> None:
    simulation = Simulation(seed=1, devices=2)
    observe(simulation, FaultPlan(), 30)
    traced = {source.layer.name for source in simulation.sources if source.operations}
    assert traced == {"streaming", "business", "analytics"}


def test_histograms_carry_the_catalogues_buckets() -> None:
    assert {metric.name for metric in REQUIRED_METRICS if metric.kind is Kind.HISTOGRAM} == {
        "http.server.request.duration",
        "screen.display.duration",
        "etl.job.duration",
    }
