"""Volumes for a promised load, and the bounds by which they are computed."""

from __future__ import annotations

import pytest

from components.naming import size_of, size_text
from components.telemetry.layers import Signal
from components.telemetry.topics import KAFKA_BYTES, Load, broker_volume, samples_size
from ops.evidence import files as evidence

BENCHES = {Signal.METRICS: "bench-metrics", Signal.TRACES: "bench-traces", Signal.LOGS: "bench-logs"}
DAYS = {Signal.METRICS: 30.0, Signal.TRACES: 7.0, Signal.LOGS: 14.0}


def test_each_broker_has_its_share_of_all_copies_and_a_fifth_is_free() -> None:
    only_points = Load(points=100, spans=0, log_records=0)
    one_copy = KAFKA_BYTES[Signal.METRICS] * 100 * 30 * 86_400
    assert broker_volume(only_points, DAYS, brokers=3, copies=3) == pytest.approx(one_copy / 0.8)
    assert broker_volume(only_points, DAYS, brokers=6, copies=3) == pytest.approx(one_copy / 2 / 0.8)
    all_signals = Load(points=100, spans=10, log_records=20)
    spans, records = KAFKA_BYTES[Signal.TRACES] * 10 * 7, KAFKA_BYTES[Signal.LOGS] * 20 * 14
    expected = (one_copy + (spans + records) * 86_400) / 0.8
    assert broker_volume(all_signals, DAYS, brokers=3, copies=3) == pytest.approx(expected)


def test_a_prometheus_keeps_two_bytes_of_each_sample() -> None:
    assert samples_size(Load(points=100_000, spans=0, log_records=0), 30) == 2 * 100_000 * 30 * 86_400


@pytest.mark.parametrize(
    ("text", "size"), [("500Mi", 500 * 2**20), ("20Gi", 20 * 2**30), ("2Ti", 2**41), ("350GB", 350 * 2**30)]
)
def test_sizes_are_bytes(text: str, size: int) -> None:
    assert size_of(text) == size


@pytest.mark.parametrize("size", ["4", "4G", "1.5Gi", "", "Gi", "4GT", " 4Gi"])
def test_a_size_that_cannot_be_read_is_explained(size: str) -> None:
    with pytest.raises(ValueError, match="must be a whole number with Mi, Gi or Ti"):
        size_of(size)


def test_a_size_is_rounded_up_in_its_own_unit() -> None:
    assert size_text(2**41) == "2Ti"
    assert size_text(2**41 + 1) == "2.1Ti"
    assert size_text(1.05 * 2**30) == "1.1Gi"


@pytest.mark.parametrize("signal", Signal)
def test_a_bench_fails_above_the_bytes_that_volumes_are_computed_with(signal: Signal) -> None:
    targets = evidence.catalog().entry(BENCHES[signal]).targets
    [bound] = [target.at_most for target in targets if target.figure == "bytes of an item in Kafka"]
    assert bound == KAFKA_BYTES[signal]
