"""What a load test sends: requests of the real generator, decoded, beside what the simulator sends by itself."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.telemetry.layers import Signal
from lab.simulator import capture
from lab.simulator.__main__ import Runner
from lab.simulator.config import Config
from lab.toolchain import tools
from lab.toolchain.recipes import LOAD_GENERATOR
from ops.core.errors import OpsError
from ops.loadtest import bench_load
from ops.loadtest.bench_load import Load, LoadResult, Target
from ops.loadtest.bench_requests import CAPTURE, ENVIRONMENT, FAILED_OF_100, LEFT_OUT, SEQUENCE, SLOW_OF_100, batch

LIFETIME_S = 30


@pytest.fixture(autouse=True)
def generator(monkeypatch: pytest.MonkeyPatch) -> None:
    """The load generator that is built here is on PATH."""
    monkeypatch.setenv("PATH", str(tools.path(LOAD_GENERATOR).parent), prepend=":")


def attributes(owner: Any) -> dict[str, Any]:
    return {
        attribute.key: getattr(attribute.value, attribute.value.WhichOneof("value")) for attribute in owner.attributes
    }


def target(receiver: Any) -> Target:
    layers = ("device", "streaming", "business", "data", "analytics")
    return Target(
        url=receiver.endpoint,
        authority=receiver.ca_file.read_text(),
        passwords={layer: f"pw-{layer}" for layer in layers},
    )


def sent(receiver: Any, signal: Signal, size: int, batches: int = 4) -> LoadResult:
    sent_batch = batch(signal, size)
    # A client for each request: none waits for another one, and is then too late to be sent, on a busy machine.
    load = Load(rate=sent_batch.items * batches, seconds=1, clients=batches)
    result = bench_load.run(target(receiver), sent_batch, load)
    assert result.acknowledged == result.offered == sent_batch.items * batches, result.values
    return result


def test_the_committed_capture_is_what_the_simulator_sends() -> None:
    assert json.loads(CAPTURE.read_text()) == json.loads(json.dumps(capture.capture())), (
        "the simulator has changed: `make docs`"
    )


@pytest.mark.timeout(LIFETIME_S)
def test_metrics_are_those_of_a_device_and_every_device_counts(receiver: Any) -> None:
    sent(receiver, Signal.METRICS, 100, batches=10)
    sequences: dict[str, list[float]] = {}
    for user, own, resource in receiver.resources("/v1/metrics"):
        assert (user, own["layer"], own["service.name"]) == ("device", "device", "device-agent")
        assert own["deployment.environment.name"] == ENVIRONMENT
        assert own["device_id"] == own["service.instance.id"]
        (scope,) = resource.scope_metrics
        for metric in scope.metrics:
            assert metric.name != LEFT_OUT
            for point in getattr(metric, metric.WhichOneof("data")).data_points:
                assert abs(time.time_ns() - point.time_unix_nano) < LIFETIME_S * 1e9
                assert point.start_time_unix_nano < point.time_unix_nano
                if metric.name == SEQUENCE:
                    sequences.setdefault(own["device_id"], []).append(point.as_double)
    assert len(sequences) == 100, "ten requests of ten devices, none of them twice"
    assert all(seen == [1.0] for seen in sequences.values())


@pytest.mark.timeout(LIFETIME_S)
def test_attributes_of_every_signal_are_the_simulators(receiver: Any, config: Config) -> None:
    runner = Runner(replace(config, devices=3, seed=5), lambda *_, **__: None)
    for _ in range(3):
        runner.tick(10)
    runner.close()
    usual = shapes(receiver)
    receiver.got.clear()
    for signal in Signal:
        sent(receiver, signal, 100)
    loaded = shapes(receiver)
    assert loaded
    strange = {key: kinds - usual.get(key, set()) for key, kinds in loaded.items() if kinds - usual.get(key, set())}
    assert not strange


def shapes(receiver: Any) -> dict[str, set[str]]:
    """Name of a metric, span or event -> keys and types of its attributes and its resource's, as text."""
    shapes_by_kind: dict[str, set[str]] = {}

    def see(name: str, owner: Any, resource: Any) -> None:
        keys = {
            f"{where}{key}:{type(value).__name__}"
            for where, attributes_owner in (("", owner), ("resource ", resource))
            for key, value in attributes(attributes_owner).items()
        }
        shapes_by_kind.setdefault(name, set()).update(keys)

    for _, _, resource in receiver.resources("/v1/metrics"):
        for metric in resource.scope_metrics[0].metrics:
            for point in getattr(metric, metric.WhichOneof("data")).data_points:
                see(metric.name, point, resource.resource)
    for _, own, resource in receiver.resources("/v1/traces"):
        for span in resource.scope_spans[0].spans:
            see(f"{own['service.name']} {span.name} {span.kind}", span, resource.resource)
    for _, own, resource in receiver.resources("/v1/logs"):
        for record in resource.scope_logs[0].log_records:
            see(f"{own['service.name']} {record.event_name} {record.severity_text}", record, resource.resource)
    return shapes_by_kind


@pytest.mark.timeout(LIFETIME_S)
def test_traces_are_whole_across_layers_and_of_known_fate(receiver: Any) -> None:
    sent(receiver, Signal.TRACES, 470, batches=2)
    traces: dict[bytes, list[tuple[str, Any]]] = {}
    for user, own, resource in receiver.resources("/v1/traces"):
        assert own["layer"] == user
        for span in resource.scope_spans[0].spans:
            traces.setdefault(span.trace_id, []).append((own["service.name"], span))
    assert len(traces) == 2 * batch(Signal.TRACES, 470).units
    people = set()
    for spans in traces.values():
        ids = {span.span_id for _, span in spans}
        assert len(ids) == len(spans), "ids of spans are unique within a trace"
        parents = [span.parent_span_id for _, span in spans]
        assert parents.count(b"") == 1
        assert {parent for parent in parents if parent} <= ids
        assert all(link.span_id in ids and link.trace_id == span.trace_id for _, span in spans for link in span.links)
        own = {attributes(span)["device.id"] for _, span in spans}
        assert len(own) == 1, "all spans of a trace are about one device"
        people |= own
        assert all(span.start_time_unix_nano < span.end_time_unix_nano <= time.time_ns() for _, span in spans)
    assert len(people) > len(traces) / 2
    failed = sum(any(span.status.code == 2 for _, span in spans) for spans in traces.values())
    slow = sum(
        any(span.end_time_unix_nano - span.start_time_unix_nano > 5e8 and name == "streaming" for name, span in spans)
        for spans in traces.values()
    )
    assert (failed, slow) == (2, 2), f"one of a hundred each: {FAILED_OF_100} and {SLOW_OF_100}"
    assert not {span.span_id for _, span in next(iter(traces.values()))} & {
        span.span_id for _, span in list(traces.values())[1]
    }


@pytest.mark.timeout(LIFETIME_S)
def test_logs_are_a_journeys_and_each_layer_sends_its_own(receiver: Any) -> None:
    sent(receiver, Signal.LOGS, 50)
    traces: Counter[bytes] = Counter()
    events: Counter[str] = Counter()
    for user, own, resource in receiver.resources("/v1/logs"):
        assert own["layer"] == user
        for record in resource.scope_logs[0].log_records:
            traces[record.trace_id] += 1
            events[record.event_name] += 1
            assert abs(time.time_ns() - record.time_unix_nano) < LIFETIME_S * 1e9
    assert set(traces.values()) == {5}
    assert len(traces) == 200
    assert set(events.values()) == {200}


@pytest.mark.parametrize("signal", list(Signal))
@pytest.mark.parametrize("size", [20, 1000, 5000])
def test_requests_have_about_the_size_that_is_asked_for(signal: Signal, size: int) -> None:
    new_batch = batch(signal, size)
    average = new_batch.items / len(new_batch.requests)
    assert abs(average - size) / size < 0.15
    assert all(request.piece.patches for request in new_batch.requests)


def test_refusals_and_answers_are_told_apart(receiver: Any) -> None:
    receiver.status, receiver.refusals = 503, 2
    metric_batch = batch(Signal.METRICS, 20)
    result = bench_load.run(target(receiver), metric_batch, Load(rate=100, seconds=1, clients=5))
    assert result.offered == 100
    assert result.acknowledged == 60
    assert result.values["refused_requests_by_status"] == {"503": 2}
    assert result.figures()["requests refused, by status"] == {"503": 2}
    assert result.unanswered == 0


def test_a_foreign_or_absent_target_is_one_line(receiver: Any) -> None:
    metric_batch, load = batch(Signal.METRICS, 20), Load(rate=100, seconds=1, clients=1)
    with pytest.raises(OpsError, match="neither loopback nor private: load is not sent to others"):
        bench_load.run(replace(target(receiver), url="https://192.0.2.1:4318"), metric_batch, load)
    with pytest.raises(OpsError, match=r"cannot connect to 127\.0\.0\.1:9: .*connection refused"):
        bench_load.run(replace(target(receiver), url="https://127.0.0.1:9"), metric_batch, load)


def test_without_a_generator_one_line_says_how_to_get_it(
    receiver: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OpsError, match="`obs-loadgen` is not on PATH: `make tools` builds it") as told:
        bench_load.run(target(receiver), batch(Signal.METRICS, 20), Load(rate=1, seconds=1, clients=1))
    assert "\n" not in str(told.value)


def test_the_generator_is_given_no_secret_but_by_its_input(receiver: Any) -> None:
    metric_batch = batch(Signal.METRICS, 20)
    plan = bench_load.plan(target(receiver), metric_batch, Load(rate=100, seconds=1, clients=4, in_flight=2))
    assert plan["parts"][0]["password"] == "pw-device"
    assert plan["devices"] >= metric_batch.devices * 8, "requests in flight at the same time share no device"
    without = bench_load.plan(replace(target(receiver), passwords={}), metric_batch, Load(rate=1, seconds=1, clients=1))
    assert (without["parts"][0]["user"], without["parts"][0]["password"]) == ("", "")
