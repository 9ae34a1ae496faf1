"""``ops loadtest``: virtual users open dashboards concurrently; load times are measured (requirement S2).

Each virtual user logs in at Grafana's form, opens a dashboard, waits until every panel has its answer, looks at it for
a while and opens the next one. A browser asks as many questions at a time as it has connections to a server; so does
each person here. What is measured is what a user waits: from the request for the dashboard to the last panel's answer.
The load goes to the addresses of the selected stack and nowhere else, and only where they are private ones.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ops.core import platform as platform_module
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.grafana import CREDENTIALS_FORM, TEST_ACCOUNTS_FILE, read_credentials
from ops.core.kube import Kube
from ops.core.terminal import Table
from ops.dashboards.command import query_client
from ops.evidence import files as evidence
from ops.loadtest.virtual_users import SECONDS, THINK_S, LoadTestResult, directly, run_virtual_users, through_grafana

COUNT = 50


def loadtest(
    count: Annotated[int, typer.Option(min=1, max=500, help="Virtual users.")] = COUNT,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="How long they open dashboards.")] = SECONDS,
    think: Annotated[float, typer.Option(min=0, max=600, help="Seconds that one looks at a dashboard.")] = THINK_S,
    direct: Annotated[bool, typer.Option("--direct", help="Ask the read address of metrics, without Grafana.")] = False,
    credentials: Annotated[
        Path | None, typer.Option(metavar="FILE", envvar=TEST_ACCOUNTS_FILE, help="Accounts of the directory, JSON.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print for machines.")] = False,
) -> None:
    """Run virtual users that open dashboards concurrently, measure load times, and write evidence."""
    if credentials is None and not direct:
        raise OpsError(
            "virtual users log in with directory accounts: "
            f"give --credentials FILE or {TEST_ACCOUNTS_FILE}; {CREDENTIALS_FORM}"
        )
    accounts = None if direct or credentials is None else read_credentials(credentials)
    platform, started = platform_module.load(), datetime.now(UTC)
    screen = Console(stderr=True)
    with Context(platform, Kube.of(platform)) as context, screen.status("virtual users start") as status:
        factories = through_grafana(context, accounts.inside, count) if accounts else directly(context, count)
        outcome = run_virtual_users(
            factories, query_client(context), seconds=seconds, think_s=think, progress=status.update
        )
        name = "dashboard-load" if accounts else "dashboard-load-direct"
        figures = outcome.figures()
        evidence.write(
            name,
            figures=figures,
            kube=context.kube,
            passed=not outcome.wrong(),
            problems=outcome.wrong(),
            started=started,
            settings={"people": count, "seconds": seconds, "think s": think},
        )
    _show(outcome, as_json)
    raise typer.Exit(1 if outcome.wrong() else 0)


def _show(outcome: LoadTestResult, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"figures": outcome.figures(), "wrong": outcome.wrong()}, indent=2))
        return
    table = Table("figure", "value", title="Dashboard load test")
    for name, value in outcome.figures().items():
        shown = ", ".join(f"{key} {figure}" for key, figure in value.items()) if isinstance(value, dict) else str(value)
        table.add_row(name, shown)
    Console().print(table)
    for line in outcome.wrong():
        typer.echo(f"wrong: {line}", err=True)
