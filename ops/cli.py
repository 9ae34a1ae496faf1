"""The command line: ``python -m ops verify`` and ``python -m ops health``.

Exit codes: 0 nothing fails, 1 something fails, 2 it cannot run at all. Progress and errors go
to standard error, results to standard output.
"""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from ops.alerts.ack import ack
from ops.alerts.command import alerts
from ops.alerts.events_command import alert_events
from ops.alerts.notify import notify
from ops.alerts.silences import silence_app
from ops.backups.command import backup_app
from ops.checks.command import verify
from ops.core import health as health_module
from ops.core import platform as platform_module
from ops.core.context import Context
from ops.core.errors import OpsError, one_line
from ops.core.kube import Kube
from ops.dashboards.command import dashboard
from ops.drills.command import drill_app
from ops.incidents.command import incident_app
from ops.loadtest.bench_command import bench
from ops.loadtest.command import loadtest
from ops.maintenance.certificates import certificates
from ops.maintenance.command import maintain_app
from ops.pages import docs
from ops.privacy.command import privacy_app
from ops.regions.command import failback, failover, regions_app
from ops.reports.command import report_app
from ops.review.command import review
from ops.telemetry.logs import logs
from ops.telemetry.traces import trace

app = typer.Typer(
    help="Day-2 commands of the monitoring platform.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(verify)
app.command()(review)
app.command()(trace)
app.command()(logs)
app.command()(alerts)
app.command()(ack)
app.add_typer(silence_app, name="silence")
app.add_typer(incident_app, name="incident")
app.command()(notify)
app.command()(alert_events)
app.command()(certificates)
app.command()(dashboard)
app.command()(loadtest)
app.command()(bench)
app.add_typer(report_app, name="report")
app.add_typer(backup_app, name="backup")
app.add_typer(maintain_app, name="maintain")
app.add_typer(regions_app, name="regions")
app.command()(failover)
app.command()(failback)
app.add_typer(drill_app, name="drill")
app.add_typer(privacy_app, name="privacy")
app.command()(docs)
_CANNOT_RUN = 2


def main() -> None:
    """Run the command line; a user's mistake is one line and exit code 2."""
    try:
        app()
    except OpsError as error:
        typer.echo(f"error: {one_line(error, 400)}", err=True)
        raise SystemExit(_CANNOT_RUN) from None


@app.command()
def health(as_json: Annotated[bool, typer.Option("--json", help="Print lines for machines.")] = False) -> None:
    """Show every workload's pods and whether Kafka and Thanos Query answer."""
    with _context() as context:
        lines = health_module.check(context)
    if as_json:
        rows = [{"name": line.name, "healthy": line.healthy, "detail": line.detail} for line in lines]
        typer.echo(json.dumps({"lines": rows}, indent=2))
    else:
        table = Table("", "workload", "state")
        for line in lines:
            state = Text("ok", style="green") if line.healthy else Text("bad", style="bold red")
            table.add_row(state, line.name, Text(line.detail))
        Console().print(table)
    raise typer.Exit(0 if all(line.healthy for line in lines) else 1)


def _context() -> Context:
    platform = platform_module.load()
    return Context(platform, Kube.connect(platform.namespace))


def _progress() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )
