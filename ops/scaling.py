"""``ops scale``: what a load needs, from what the newest bench of each signal measured (requirements S1, S2)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Column

from components.naming import size_of, size_text
from components.telemetry.layers import TOPIC_OF_SIGNAL, Signal
from components.telemetry.topics import Load, broker_volume, samples_size, topic, topic_bytes
from ops.core import platform as platform_module
from ops.core.autoscalers import Amounts, Recommendation, Size, recommendations
from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.core.terminal import Table
from ops.evidence import files as evidence
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


COLUMNS: Final = ("workload", "container", "requests", "may use", "recommended", "upper bound", "requests too little")


def read() -> tuple[list[Size], str]:
    """Every container that has a vertical autoscaler, and what there is to say of them, one line.

    What cannot be read is said in the line: the rest of a plan needs no cluster.
    """
    try:
        with closing(Kube.of(platform_module.load())) as kube:
            there = recommendations(kube)
    except OpsError as error:
        return [], f"recommended sizes were not read: {error}"
    return [size for recommendation in there for size in recommendation.sizes], note(there)


def note(there: Sequence[Recommendation]) -> str:
    """What there is to say of recommendations, in one line."""
    if not there:
        return (
            "no sizes are recommended: set autoscaling.recommendations in the stack file, then "
            "`pulumi up --policy-pack policy`"
        )
    late = [recommendation.workload for recommendation in there if not recommendation.given]
    if len(late) == len(there):
        return "no sizes are recommended yet: the recommender needs a few minutes"
    below = [f"{size.workload}/{size.container}" for one in there for size in one.sizes if size.below]
    lines = [f"requests too little: {', '.join(below)}" if below else "no container requests less than is recommended"]
    return "; ".join([*lines, *([f"not recommended yet: {', '.join(late)}"] if late else [])])


def rows(sizes: Sequence[Size]) -> list[tuple[str, ...]]:
    """A row of `COLUMNS` for each container."""
    return [
        (
            size.workload,
            size.container,
            *(text(amounts) for amounts in (size.request, size.limit, size.target, size.upper)),
            ", ".join(size.below),
        )
        for size in sizes
    ]


def text(amounts: Amounts) -> str:
    """``120m, 64Mi``; what is not said is left out."""
    cpu, memory = amounts.get("cpu"), amounts.get("memory")
    cores = [] if cpu is None else [f"{cpu * 1000:,.0f}m"]
    return ", ".join([*cores, *([] if memory is None else [size_text(memory)])])


def as_data(sizes: Sequence[Size]) -> list[dict[str, Any]]:
    """For machines: cores and bytes."""
    return [asdict(size) | {"below": list(size.below)} for size in sizes]


scale_app = typer.Typer(
    help="What a load needs, from what benches measured, and what containers need now.", no_args_is_help=True
)

_FILE_WIDTH = 140
_MOST = 1e9


@scale_app.callback()
def _scale() -> None:
    """Keep `plan` a command of its own while it is the only one."""


@scale_app.command("plan")
def plan_(
    points: Annotated[float, typer.Option(min=0, max=_MOST, help="Points a second.")] = 100_000,
    spans: Annotated[float, typer.Option(min=0, max=_MOST, help="Spans a second.")] = 10_000,
    log_records: Annotated[float, typer.Option(min=0, max=_MOST, help="Log records a second.")] = 20_000,
    retention: Annotated[
        str,
        typer.Option(metavar="DAYS", help="Days that topics and Prometheus keep, such as 30d; default: each its own."),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print for machines.")] = False,
) -> None:
    """Print brokers, partitions, pods, nodes and volumes for a load, and sizes that the cluster recommends now."""
    load = Load(points=points, spans=spans, log_records=log_records)
    measured = costs({signal: evidence.newest(name) for signal, (name, _) in BENCHES.items()})
    sizes = plan(load, days_of(retention), measured)
    containers, told = read()
    if as_json:
        both = sizes.as_json() | {"containers": as_data(containers), "containers_note": told}
        typer.echo(json.dumps(both, indent=2))
        return
    console = Console()
    console = console if console.is_terminal else Console(width=_FILE_WIDTH)
    columns = Table(
        "workload", Column("cores", justify="right"), Column("pods", justify="right"), "volume each", "limit"
    )
    for row in table(sizes):
        columns.add_row(*row)
    console.print(columns)
    console.print(f"{sizes.cores:,.1f} cores at {BUSY:.0%} use, {sizes.nodes:,} nodes of 16 cores")
    console.print("partitions: " + ", ".join(f"{name} {count}" for name, count in sizes.partitions.items()))
    for signal, (workload, rate) in breaks_first(measured).items():
        console.print(f"first to be full with more {BENCHES[signal][1]}: {workload}, at {rate:,.0f} a second")
    for run in measured.runs.values():
        stale = evidence.staleness(run)
        console.print(f"costs: {run.name} of {run.time:%Y-%m-%d}, {run.commit}{f', {stale}' if stale else ''}")
    if any(size.target for size in containers):
        columns = Table(*COLUMNS)
        for cells in rows(containers):
            columns.add_row(*cells)
        console.print(columns)
    console.print(told)


def days_of(retention: str) -> dict[Signal, float]:
    """Signal -> days that its topic keeps.

    Raises:
        OpsError: The text is no number of days.
    """
    if not retention:
        return catalogue_days()
    number = retention.removesuffix("d")
    if not number.isdecimal() or not int(number) or number == retention:
        raise OpsError(f"--retention is {retention!r}: allowed is a number of days such as 30d")
    return dict.fromkeys(TOPIC_OF_SIGNAL, float(number))
