"""Grafana's form of a dashboard, made with Grafana's own types."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from components.dashboards import grafana_panels
from components.dashboards.model import GRID, Dashboard, Variable
from components.dashboards.promql import within
from components.dashboards.sources import LOGS, METRICS, TRACES, Plugins, reference

TAG = "obs"
"""Tag of every dashboard; the links at their heads are made of it."""
REGION = Variable(name="region", label="Region", description="Regions that are shown", metric="up", of="region")


def rendered(dashboard: Dashboard, plugins: Plugins | None = None) -> dict[str, Any]:
    """A dashboard as Grafana reads it.

    Args:
        dashboard: What it shows.
        plugins: Plugins of the data sources; the default is for OpenSearch.
    """
    used = plugins or Plugins()
    builder = (
        builders.Dashboard(dashboard.title)
        .uid(dashboard.uid)
        .description(dashboard.description)
        .tags([TAG, *dashboard.tags])
        .readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .time(f"now-{dashboard.since}", "now")
        .timezone("browser")
        .refresh("30s")
        .link(
            builders.DashboardLink("Dashboards")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
    )
    for variable in _variables(dashboard, used):
        builder.with_variable(variable)
    _place(builder, dashboard, used)
    document: dict[str, Any] = json.loads(json.dumps(builder.build(), cls=JSONEncoder))
    return document


def text(dashboard: Dashboard, plugins: Plugins | None = None) -> str:
    """The same as the text of a file."""
    return json.dumps(rendered(dashboard, plugins), indent=2, ensure_ascii=False) + "\n"


def _variables(dashboard: Dashboard, plugins: Plugins) -> Iterator[Any]:
    for name, label, plugin in (
        (METRICS, "Metrics", plugins.metrics),
        (TRACES, "Traces", plugins.traces),
        (LOGS, "Logs", plugins.logs),
    ):
        yield builders.DatasourceVariable(name).label(label).type(plugin)
    for variable in (REGION, *dashboard.variables):
        yield _variable(variable, plugins)


def _variable(variable: Variable, plugins: Plugins) -> Any:
    if variable.values:
        return (
            builders.CustomVariable(variable.name)
            .label(variable.label)
            .description(variable.description)
            .values(",".join(variable.values))
            .multi(True)
            .include_all(True)
            .all_value(".*")
            .current(_all())
        )
    matcher = "" if variable is REGION else 'region=~"$region"'
    return (
        builders.QueryVariable(variable.name)
        .label(variable.label)
        .description(variable.description)
        .datasource(reference(plugins.metrics, METRICS))
        .query(f"label_values({within(variable.metric, matcher)}, {variable.of})")
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(_all())
    )


def _all() -> models.VariableOption:
    return models.VariableOption(selected=True, text=["All"], value=["$__all"])


def _place(builder: builders.Dashboard, dashboard: Dashboard, plugins: Plugins) -> None:
    """Rows and panels, with ids and places of our own: the same after every change of something else."""
    identity, top = 1, 0
    for row in dashboard.rows:
        builder.with_row(builders.Row(row.title).id(identity).grid_pos(models.GridPos(x=0, y=top, w=GRID, h=1)))
        identity, top, left, tallest = identity + 1, top + 1, 0, 0
        for panel in row.panels:
            if left + panel.width > GRID:
                top, left, tallest = top + tallest, 0, 0
            place = models.GridPos(x=left, y=top, w=panel.width, h=panel.height)
            builder.with_panel(grafana_panels.panel(panel, identity, place, plugins))
            identity, left, tallest = identity + 1, left + panel.width, max(tallest, panel.height)
        top += tallest
