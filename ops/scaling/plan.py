"""Sizes for a load, as rows, from the costs that the newest bench of each signal measured (requirements S1, S2)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from components.sizes import size_of, size_text
from components.telemetry.capacity import Load, broker_volume, samples_size, topic_bytes
from components.telemetry.layers import TOPIC_OF_SIGNAL, Signal
from components.telemetry.topics import topic
from ops.core.errors import OpsError
from ops.evidence.files import Evidence

BENCHES: Final = {
    Signal.METRICS: ("bench-metrics", "points"),
    Signal.TRACES: ("bench-traces", "spans"),
    Signal.LOGS: ("bench-logs", "log records"),
}
BUSY: Final = 0.6
"""Part of a core that is planned to be used: the rest is for peaks, catching up after an outage, and a lost pod."""
POD_CORES: Final = 4.0
"""Cores of one pod of a workload that runs as many pods as it needs."""
SERVER_CORES: Final = 16.0
"""Cores that one process can use well where there is only one: a Prometheus, a metrics consumer."""
NODE_CORES: Final = 14.0
"""Of a node with 16: two are for the system and the agents."""
BROKER_VOLUME: Final = size_of("8Ti")
"""Largest volume that a broker should have: a new one copies it in hours, not days."""
PARTITION_BYTES_PER_S: Final = 5 * 2**20
COPIES: Final = 3
_ONE_PROCESS: Final = ("prometheus-", "metrics-consumer-")
"""Beginnings of names of workloads that are one process for each shard of a replica (P4)."""
_TOTALS: Final = ("all", "load generator")


@dataclass(frozen=True, kw_only=True)
class Costs:
    """CPU seconds per million items of each signal, by workload, and the runs that measured them."""

    per_million: Mapping[Signal, Mapping[str, float]]
    runs: Mapping[Signal, Evidence]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One workload: cores at `BUSY`, pods, the volume of each in bytes (0: of no size that follows from the load).

    Attributes:
        limit: What it needs that is not so by default; empty where there is nothing.
    """

    workload: str
    cores: float
    pods: int
    volume: float = 0.0
    limit: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Sizes for a load.

    Attributes:
        load: What comes in.
        days: Signal -> days that its topic keeps.
        rows: Workloads, the largest cost first.
        partitions: Topic -> partitions.
        nodes: Nodes of 16 cores.
    """

    load: Load
    days: Mapping[Signal, float]
    rows: tuple[Row, ...]
    partitions: Mapping[str, int]
    nodes: int

    @property
    def cores(self) -> float:
        """Of all workloads."""
        return sum(row.cores for row in self.rows)

    def as_json(self) -> dict[str, Any]:
        """For machines; volumes in bytes."""
        return {
            "load": vars(self.load),
            "days": {signal.value: days for signal, days in self.days.items()},
            "workloads": [vars(row) for row in self.rows],
            "partitions": dict(self.partitions),
            "cores": round(self.cores, 1),
            "nodes": self.nodes,
        }


def costs(newest: Mapping[Signal, Evidence | None]) -> Costs:
    """Costs from the newest bench of each signal.

    Raises:
        OpsError: A signal was never measured.
    """
    runs: dict[Signal, Evidence] = {}
    per_million: dict[Signal, Mapping[str, float]] = {}
    for signal, (name, item) in BENCHES.items():
        run = newest[signal]
        measured = run.figures.get(f"CPU s per million {item}") if run else None
        if run is None or not isinstance(measured, Mapping):
            raise OpsError(f"no run of {name} has the cost of {item}: `ops bench --signal {signal.value}` measures it")
        runs[signal] = run
        per_million[signal] = {str(name): float(cost) for name, cost in measured.items() if name not in _TOTALS}
    return Costs(per_million=per_million, runs=runs)


def plan(load: Load, days: Mapping[Signal, float], measured: Costs) -> Plan:
    """Sizes for a load.

    Args:
        load: What comes in.
        days: Signal -> days that its topic keeps; a Prometheus keeps points as long as their topic.
        measured: See `costs`.
    """
    cores: dict[str, float] = {}
    for signal, rate in load.by_signal.items():
        for workload, cost in measured.per_million[signal].items():
            cores[workload] = cores.get(workload, 0.0) + max(0.0, cost) * rate / 1e6 / BUSY
    rows = [_row(workload, used, load, days) for workload, used in cores.items()]
    partitions = {TOPIC_OF_SIGNAL[signal]: _partitions(signal, rate, rows) for signal, rate in load.by_signal.items()}
    return Plan(
        load=load,
        days=days,
        rows=tuple(sorted(rows, key=lambda row: -row.cores)),
        partitions=partitions,
        nodes=max(COPIES, math.ceil(sum(cores.values()) / NODE_CORES)),
    )


def breaks_first(measured: Costs) -> dict[Signal, tuple[str, float]]:
    """Signal -> the workload of one process that is full first, and the items a second at which it is."""
    first: dict[Signal, tuple[str, float]] = {}
    for signal, by_workload in measured.per_million.items():
        limits = {
            workload: SERVER_CORES * BUSY / cost * 1e6
            for workload, cost in by_workload.items()
            if workload.startswith(_ONE_PROCESS) and cost > 0
        }
        if limits:
            workload = min(limits, key=lambda name: limits[name])
            first[signal] = (workload, limits[workload])
    return first


def _row(workload: str, cores: float, load: Load, days: Mapping[Signal, float]) -> Row:
    if workload == "kafka":
        by_volume = broker_volume(load, days, brokers=1, copies=COPIES) / BROKER_VOLUME
        brokers = max(COPIES, math.ceil(cores / POD_CORES), math.ceil(by_volume))
        volume = broker_volume(load, days, brokers=brokers, copies=COPIES)
        return Row(workload=workload, cores=cores, pods=brokers, volume=volume)
    if workload.startswith(_ONE_PROCESS):
        shards = math.ceil(cores / SERVER_CORES)
        volume = samples_size(load, days[Signal.METRICS]) / shards if workload.startswith("prometheus-") else 0.0
        limit = f"prometheus.shards: {shards}" if shards > 1 else ""
        return Row(workload=workload, cores=cores, pods=shards, volume=volume, limit=limit)
    return Row(workload=workload, cores=cores, pods=max(2, math.ceil(cores / POD_CORES)))


def _partitions(signal: Signal, rate: float, rows: Sequence[Row]) -> int:
    """Not fewer than now, than its bytes need, or than there are readers in a group."""
    name = TOPIC_OF_SIGNAL[signal]
    by_bytes = math.ceil(topic_bytes(signal, rate, 1) / 86_400 / PARTITION_BYTES_PER_S)
    readers = {Signal.METRICS: ("kafka-archive",), Signal.TRACES: ("sampler",), Signal.LOGS: ("log-indexer",)}[signal]
    pods = [row.pods for row in rows if row.workload in readers]
    return max(topic(name).partitions, by_bytes, *pods)


def table(sizes: Plan) -> list[tuple[str, str, str, str, str]]:
    """Workload, cores, pods, volume of each, limit: a row each, as texts."""
    return [
        (
            row.workload,
            f"{row.cores:,.1f}",
            f"{row.pods:,}",
            size_text(row.volume) if row.volume else "",
            row.limit,
        )
        for row in sizes.rows
    ]


COMPARED: Final = (1, 10, 100)
"""Multiples of the promised load of S2 that a page shows."""
PROMISED: Final = Load(points=100_000, spans=10_000, log_records=20_000)


def comparison(measured: Costs) -> str:
    """A Markdown table: the promised load and multiples of it, each topic keeping its own days."""
    days = catalogue_days()
    lines = [
        "| points, spans, log records a second | cores | nodes of 16 cores | brokers | volume of each | partitions of "
        f"metrics | shards of Prometheus | samples of each pair for {days[Signal.METRICS]:g} days |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for times in COMPARED:
        load = Load(**{name: rate * times for name, rate in vars(PROMISED).items()})
        sizes = plan(load, days, measured)
        rows = {row.workload: row for row in sizes.rows}
        shards = max(
            math.ceil(row.cores / SERVER_CORES) for name, row in rows.items() if name.startswith("prometheus-")
        )
        cells = (
            ", ".join(f"{rate:,.0f}" for rate in vars(load).values()),
            f"{sizes.cores:,.0f}",
            f"{sizes.nodes:,}",
            f"{rows['kafka'].pods:,}",
            size_text(rows["kafka"].volume),
            f"{sizes.partitions[TOPIC_OF_SIGNAL[Signal.METRICS]]:,}",
            f"{shards:,}",
            size_text(samples_size(load, days[Signal.METRICS])),
        )
        lines.append(f"| {' | '.join(cells)} |")
    full = "; ".join(
        f"{BENCHES[signal][1]}: {workload}, at {rate:,.0f} a second"
        for signal, (workload, rate) in breaks_first(measured).items()
    )
    return "\n".join([*lines, "", f"First to be full as it is built, with more {full}."])


def catalogue_days() -> dict[Signal, float]:
    """Signal -> days that its topic keeps, as the catalogue says."""
    return {signal: float(topic(name).retention_days) for signal, name in TOPIC_OF_SIGNAL.items()}
