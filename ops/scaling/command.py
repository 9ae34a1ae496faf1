"""``ops scale``: what a load needs."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column

from components.telemetry.capacity import Load
from components.telemetry.layers import TOPIC_OF_SIGNAL, Signal
from ops.core.errors import OpsError
from ops.core.terminal import Table
from ops.evidence import files as evidence
from ops.scaling import sizes as recommended
from ops.scaling.plan import BENCHES, BUSY, breaks_first, catalogue_days, costs, plan, table

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
    containers, told = recommended.read()
    if as_json:
        both = sizes.as_json() | {"containers": recommended.as_json(containers), "containers_note": told}
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
        columns = Table(*recommended.COLUMNS)
        for cells in recommended.rows(containers):
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
