"""The simulator's telemetry, fault by fault, against the generated rules: the right alert, in time, and no other."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.telemetry.catalogue import Metric
from components.telemetry.naming import Kind, prometheus_label
from components.telemetry.rules import RULES, layer_groups
from components.telemetry.schema import Threshold
from components.telemetry.thresholds import DOCUMENT, THRESHOLDS
from lab.simulator.config import FaultPlan, parse_faults
from lab.simulator.devices import Attributes, Source
from lab.simulator.services import Simulation
from tests.rules.thresholds_promtool import run

EXPORT_S = 10
"""Seconds between the simulator's exports."""
EVALUATION_S = 5
HEALTHY_S = 320
IN_TIME_S = 5
"""From the first faulty export to the alert, besides what the condition has to last: one evaluation. What is left of
the 30 s of a critical alert (2 min of a high one) is for the export, the way through Kafka, and Alertmanager."""
LATER_S = {"recording-failures": 15, "battery": 30}
"""Of some: the one looks at a minute, of which one export more has to be faulty; the other's batteries drain first."""
BACK_S = 400
"""Longest time from a fault's end to the alert's: the longest window, and the rest."""
FIRING = 'group by (alertname) (ALERTS{alertstate="firing"})'


Moments = dict[int, frozenset[str]]
"""Second -> names of the alerts that fire."""
NONE = frozenset[str]()


class Recorder:
    """Series of a simulation as promtool reads them."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._names: dict[tuple[Source, str, Attributes, str], str] = {}
        self._values: dict[str, list[str]] = {}
        self._histograms: dict[tuple[str, Attributes], list[float]] = {}
        self._steps = 0

    def step(self, plan: FaultPlan) -> None:
        """One export."""
        self._simulation.step(EXPORT_S, plan)
        for source in self._simulation.sources:
            self._read(source)
        self._steps += 1

    @property
    def series(self) -> dict[str, str]:
        """Series -> values."""
        return {name: " ".join(values) for name, values in self._values.items()}

    def _read(self, source: Source) -> None:
        for name, key, value in source.drain_measurements():
            insort(self._histograms.setdefault((name, key), []), value)
        if source.silent:
            return
        for name, metric in source.metrics.items():
            for key, value in source.values.get(name, {}).items():
                self._write(self._series(source, metric, key), value)
            if metric.kind is Kind.HISTOGRAM:
                self._buckets(source, metric)

    def _buckets(self, source: Source, metric: Metric) -> None:
        for (name, key), values in self._histograms.items():
            if name == metric.name:
                for bound in (*metric.buckets, float("inf")):
                    le = "+Inf" if bound == float("inf") else f"{bound:g}"
                    self._write(self._series(source, metric, key, le), bisect_right(values, bound))
                self._write(self._series(source, metric, key, "_count"), len(values))

    def _series(self, source: Source, metric: Metric, key: Attributes, part: str = "") -> str:
        """Name and labels of a series; of a histogram, ``part`` is ``_count`` or the bound of a bucket."""
        identity = (source, metric.name, key, part)
        if identity not in self._names:
            labels, suffix = _labels(source, metric, key), part
            if part and part != "_count":
                labels, suffix = {**labels, "le": part}, "_bucket"
            text = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
            self._names[identity] = f"{metric.prometheus}{suffix}{{{text}}}"
        return self._names[identity]

    def _write(self, series: str, value: float) -> None:
        values = self._values.setdefault(series, [])
        values += ["_"] * (self._steps - len(values))
        values.append(f"{value:.6g}" if value != int(value) else str(int(value)))


def _labels(source: Source, metric: Metric, key: Attributes) -> dict[str, str]:
    device = source.attributes.get("device_id")
    return {
        "layer": metric.layer.name,
        "job": source.service,
        "instance": source.instance,
        **({"device_id": device} if device else {}),
        **{prometheus_label(name): value for name, value in key},
    }


def _expect(moments: Moments) -> list[dict[str, Any]]:
    return [
        {
            "expr": FIRING,
            "eval_time": f"{moment}s",
            "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(names)],
        }
        for moment, names in sorted(moments.items())
    ]


def _test(series: dict[str, str], moments: Moments) -> dict[str, Any]:
    return {
        "interval": f"{EXPORT_S}s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": _expect(moments),
    }


def _during(names: frozenset[str], begin_s: int, end_s: int, every_s: int = EVALUATION_S) -> Moments:
    """What fires at each evaluation from a time up to another one."""
    return dict.fromkeys(range(begin_s, end_s, every_s), names)


def _steps(seconds: float) -> Iterator[int]:
    return iter(range(round(seconds / EXPORT_S)))


def _waited_s(row: Threshold) -> int:
    """What the condition itself has to last before the requirement calls it one."""
    return row.hold_s + (round(row.limit) if row.name == "adls-stalled" else 0)


@pytest.mark.parametrize("row", THRESHOLDS, ids=lambda row: row.alert)
def test_a_fault_raises_its_alert_in_time_and_no_other_and_its_end_is_the_alerts_end(
    row: Threshold, tmp_path: Path
) -> None:
    recorder = Recorder(Simulation(seed=3, devices=36))
    lasting = _waited_s(row) + 120
    plan = FaultPlan(parse_faults([{"kind": row.name, "start": HEALTHY_S, "duration": lasting}], "faults"))
    for _ in _steps(HEALTHY_S + lasting + BACK_S):
        recorder.step(plan)
    # The first export is at second 0 of promtool and at second 10 of the simulation: the fault's first is at HEALTHY_S
    # - 10.
    fault = HEALTHY_S - EXPORT_S
    in_time = fault + _waited_s(row) + LATER_S.get(row.name, IN_TIME_S)
    moments = _during(NONE, 0, fault) | _during(frozenset({row.alert}), in_time, fault + lasting)
    if row.name != "battery":  # It has to be charged first.
        moments |= _during(NONE, fault + lasting + BACK_S - EVALUATION_S, fault + lasting + BACK_S)
    run(tmp_path, layer_groups(DOCUMENT), _test(recorder.series, moments), every=f"{EVALUATION_S}s")


def test_a_device_that_falls_silent_counts_as_disconnected_after_a_minute_more(tmp_path: Path) -> None:
    recorder = Recorder(Simulation(seed=3, devices=6))
    fault = {"kind": "silent", "start": HEALTHY_S, "duration": 3000, "targets": 2}
    plan = FaultPlan(parse_faults([fault], "faults"))
    for _ in _steps(HEALTHY_S + 2000):
        recorder.step(plan)
    # The last samples are one export before the fault.
    silent = HEALTHY_S - 2 * EXPORT_S
    moments = _during(NONE, 0, silent + 240)
    moments |= _during(frozenset({"DeviceDisconnected"}), silent + 240 + 2 * EVALUATION_S, silent + 1900, every_s=60)
    run(tmp_path, layer_groups(DOCUMENT), _test(recorder.series, moments), every=f"{EVALUATION_S}s")


def test_nobody_is_told_of_anything_while_all_goes_well(tmp_path: Path) -> None:
    recorder = Recorder(Simulation(seed=5, devices=36))
    for _ in _steps(1800):
        recorder.step(FaultPlan())
    run(tmp_path, RULES, _test(recorder.series, _during(NONE, 0, 1800, every_s=30)), every="10s")
