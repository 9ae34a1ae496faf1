"""``ops dashboard``: a dashboard as a page or as JSON, the list of them, and whether every panel answers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column
from rich.text import Text

from components.dashboards.model import Dashboard
from components.dashboards.registry import DASHBOARDS
from components.dashboards.registry import dashboard_named as find
from ops.core import platform as platform_module
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.grafana import Grafana, address, administrator, known_credentials
from ops.core.kube import Kube
from ops.core.terminal import Table
from ops.core.web import Metrics
from ops.dashboards.page import last, legends, page
from ops.dashboards.panel_queries import (
    LIMIT_S,
    GrafanaQueryClient,
    QueryClient,
    Result,
    Source,
    Span,
    ask,
    latencies,
    quantile,
    span,
)

CHECK_RANGE = "15m"
"""Time that `check` looks at, unless told otherwise."""
_FILE_WIDTH = 220


def dashboard(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A dashboard; `list` lists them, `check` asks all.")],
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page that stands alone.")] = None,
    length: Annotated[str | None, typer.Option("--range", help="Time that is shown, such as 15m, 6h, 7d.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print for machines.")] = False,
    region: Annotated[str, typer.Option(help="Regular expression of regions; else all.")] = ".*",
    choose: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A choice of the dashboard, such as layer=data.")
    ] = None,
    only: Annotated[str | None, typer.Option("--only", metavar="NAME", help="`check` this dashboard only.")] = None,
    direct: Annotated[
        bool, typer.Option("--direct", help="Ask the read address of metrics, where Grafana is away.")
    ] = False,
) -> None:
    """Show a dashboard from the same queries as Grafana, asked through Grafana as its pages ask."""
    if name == "list":
        _list(as_json)
        return
    if name == "check":
        _check(length or CHECK_RANGE, region, only, as_json, direct=direct)
        return
    chosen = known(name)
    if html is None and not as_json:
        raise OpsError("say what you want: --html FILE for a page, or --json")
    seen, choices = span(length or chosen.since), _choices(chosen, choose or [])
    with connected(region, direct=direct) as (panel_client, platform):
        results = ask(replace(panel_client, chosen={**panel_client.chosen, **choices}), list(chosen.panels), seen)
    if html is not None:
        where = f"{platform}, region {region}" if region != ".*" else f"{platform}, all regions"
        where += "".join(f", {key} {value}" for key, value in choices.items())
        try:
            html.write_text(page(chosen, results, seen, where), encoding="utf-8")
        except OSError as error:
            raise OpsError(f"--html {html}: {error.strerror}") from None
        missing = [result.panel.title for result in results if result.empty]
        typer.echo(f"{html}: {len(results)} panels, {len(missing)} without data", err=True)
    if as_json:
        typer.echo(json.dumps({"dashboard": chosen.uid, "panels": [_data(result) for result in results]}, indent=2))


def known(name: str) -> Dashboard:
    """A dashboard by its name.

    Raises:
        OpsError: There is none.
    """
    try:
        return find(name.removeprefix("obs-"))
    except KeyError as error:
        raise OpsError(str(error.args[0])) from None


def _choices(chosen: Dashboard, given: Sequence[str]) -> dict[str, str]:
    names = [variable.name for variable in chosen.variables]
    choices = dict(choice.partition("=")[::2] for choice in given)
    for name, value in choices.items():
        if name not in names or not value:
            allowed = ", ".join(f"{variable}=VALUE" for variable in names) or "none: this dashboard has no choices"
            raise OpsError(f"--choose is {name}={value}, must be one of {allowed}")
    return choices


@contextmanager
def connected(region: str = ".*", *, direct: bool = False) -> Iterator[tuple[QueryClient | GrafanaQueryClient, str]]:
    """Somebody to ask, and the platform's name."""
    platform = platform_module.load()
    with Context(platform, Kube.of(platform)) as context:
        if direct:
            yield query_client(context, region), platform.platform
            return
        with as_viewer(context, region) as panel_client:
            yield panel_client, platform.platform


@contextmanager
def as_viewer(context: Context, region: str = ".*") -> Iterator[GrafanaQueryClient]:
    """Grafana as somebody who may only look, where an account of the directory is known; else as the administrator.

    Raises:
        OpsError: The stack has no Grafana, or the login is refused.
    """
    url, credentials = address(context.platform), known_credentials()
    visitor = (
        Grafana.sign_in(context.ca_file, url, credentials.viewer.pair)
        if credentials
        else Grafana(context.ca_file, url, auth=administrator(context.platform))
    )
    with visitor:
        yield GrafanaQueryClient(grafana=visitor, chosen={"region": region})
        if visitor.session:
            visitor.status("GET", "/logout")


def query_client(context: Context, region: str = ".*") -> QueryClient:
    """The read address of metrics, past Grafana."""
    platform = context.platform
    return QueryClient(
        metrics=Metrics(context.web, platform.query_url, platform.query_reader.pair, "Thanos Query"),
        now=context.thanos,
        chosen={"region": region},
    )


def check(query_client: Source, dashboards: Sequence[Dashboard], seen: Span) -> list[tuple[Dashboard, list[Result]]]:
    """Ask every panel of some dashboards, one dashboard after the other."""
    return [(dashboard, ask(query_client, list(dashboard.panels), seen, limit_s=LIMIT_S)) for dashboard in dashboards]


def rows(checked: Sequence[tuple[Dashboard, list[Result]]]) -> list[dict[str, Any]]:
    """One row per query: dashboard, panel, query, latency, series, points, problem."""
    return [
        {
            "dashboard": dashboard.name,
            "panel": result.panel.title,
            "query": answer.query.expr,
            "latency_ms": None if math.isnan(answer.latency_s) else round(answer.latency_s * 1000, 1),
            "series": len(answer.series),
            "points": answer.points,
            "problem": answer.problem,
        }
        for dashboard, results in checked
        for result in results
        for answer in result.answers
    ]


def _check(length: str, region: str, only: str | None, as_json: bool, *, direct: bool) -> None:
    dashboards = (known(only),) if only else DASHBOARDS
    with connected(region, direct=direct) as (panel_client, _):
        checked = check(panel_client, dashboards, span(length))
    table_rows = rows(checked)
    results = [result for _, panel_results in checked for result in panel_results]
    times, empty = latencies(results), [result for result in results if result.empty]
    summary = {
        "dashboards": len(dashboards),
        "panels": len(results),
        "queries": len(table_rows),
        "panels without data": len(empty),
        "mean ms": round(1000 * sum(times) / len(times), 1) if times else None,
        "P95 ms": round(1000 * quantile(times, 0.95), 1) if times else None,
        "slowest ms": round(1000 * times[-1], 1) if times else None,
    }
    if as_json:
        typer.echo(json.dumps({"summary": summary, "queries": table_rows}, indent=2))
    else:
        _print(table_rows)
        typer.echo(", ".join(f"{key} {value}" for key, value in summary.items()))
    raise typer.Exit(1 if empty else 0)


def _print(rows: Sequence[dict[str, Any]]) -> None:
    table = Table("dashboard", "panel", Column("query", no_wrap=True, ratio=1), "ms", "series", "points", expand=True)
    for row in rows:
        points = Text(str(row["points"]), style="" if row["points"] else "bold red")
        latency = "-" if row["latency_ms"] is None else f"{row['latency_ms']:.0f}"
        shown = Text(row["problem"], style="red") if row["problem"] else Text(row["query"])
        table.add_row(row["dashboard"], Text(row["panel"]), shown, latency, str(row["series"]), points)
    console = Console()
    # A file has room for the queries.
    (console if console.is_terminal else Console(width=_FILE_WIDTH)).print(table)


def _list(as_json: bool) -> None:
    if as_json:
        listed = [
            {
                "name": dashboard.name,
                "uid": dashboard.uid,
                "title": dashboard.title,
                "panels": len(list(dashboard.panels)),
            }
            for dashboard in DASHBOARDS
        ]
        typer.echo(json.dumps({"dashboards": listed}, indent=2))
        return
    table = Table("name", "title", "panels", "what it answers")
    for dashboard in DASHBOARDS:
        table.add_row(dashboard.name, dashboard.title, str(len(list(dashboard.panels))), dashboard.description)
    Console().print(table)


def _data(result: Result) -> dict[str, Any]:
    return {
        "title": result.panel.title,
        "unit": result.panel.unit,
        "problems": list(result.problems),
        "series": [
            {"name": label, "labels": dict(line.labels), "value": last(line), "points": [list(p) for p in line.points]}
            for answer in result.answers
            for label, line in zip(
                legends(result.panel, answer.query.legend, answer.series), answer.series, strict=True
            )
        ],
    }
