"""Grafana's form of a dashboard, made with Grafana's own types.

A dashboard asks data sources by kind and never by the identity of one.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any, Final

from grafana_foundation_sdk.builders import bargauge, common, nodegraph, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.dashboard import DataSourceRef
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from components.dashboards.model import GRID, Dashboard, Kind, Limit, Panel, Query, Variable
from components.dashboards.promql import within

METRICS, TRACES, LOGS = "metrics", "traces", "logs"
"""Names of the variables with which a reader chooses a data source; the first of each kind is chosen at first."""

SERVICE_OF_LOGS, TRACE_OF_LOGS = "service", "trace_id"
"""Fields of a stored log record that name its service and its trace."""
SERVICE_PAGE, TRACE_PAGE = "obs-service", "obs-trace"
"""Grafana's identities of the pages of ``components.dashboards.drilldowns``."""
SERVICE, TRACE = "service", "trace"
"""Their variables."""


@dataclass(frozen=True, kw_only=True)
class Plugins:
    """Grafana's plugins of the data sources.

    Attributes:
        metrics: For Thanos Query.
        traces: For Jaeger.
        logs: For the search cluster: another one for Elasticsearch than for OpenSearch.
    """

    metrics: str = "prometheus"
    traces: str = "jaeger"
    logs: str = "grafana-opensearch-datasource"


def reference(plugin: str, variable: str) -> DataSourceRef:
    """The data source that is chosen."""
    return DataSourceRef(type_val=plugin, uid=f"${{{variable}}}")


def service_link(service: str) -> str:
    """Address of the page with traces and logs of a service, at the same time.

    Args:
        service: Grafana's expression for its name.
    """
    return f"/d/{SERVICE_PAGE}?var-{SERVICE}={service}&${{__url_time_range}}"


def trace_link(value: str = "${__value.raw}", time: str = "${__url_time_range}") -> str:
    """Address of the page with one trace and its logs.

    Args:
        value: Grafana's expression for the identity of the trace.
        time: Its expression for the time; empty where Grafana knows none: then the page's own.
    """
    return f"/d/{TRACE_PAGE}?var-{TRACE}={value}" + (f"&{time}" if time else "")


def dashboard_link(label: str) -> str:
    """Address of the dashboard with the details of what a value is about, at the same time and in the same regions."""
    return f"/d/obs-{label}-${{__field.labels.{label}}}?${{__url_time_range}}&${{region:queryparam}}"


_KNOWN: Final = {
    "": "none",
    "1": "percentunit",
    "s": "s",
    "ms": "ms",
    "By": "bytes",
    "By/s": "binBps",
    "bit/s": "bps",
    "Hz": "hertz",
    "Cel": "celsius",
    "V": "volt",
    "W": "watt",
}
"""UCUM -> Grafana."""
_COUNTED: Final = re.compile(r"\{[^{}]+\}(/\w+)?")


def grafana_unit(unit: str) -> str:
    """Grafana's name of a unit; counted things are plain numbers, with what they are counted per.

    Raises:
        ValueError: The unit is neither known nor of the form ``{thing}`` or ``{thing}/s``.
    """
    if unit in _KNOWN:
        return _KNOWN[unit]
    match = _COUNTED.fullmatch(unit)
    if not match:
        raise ValueError(
            f"unit is {unit!r}, must be one of {', '.join(filter(None, _KNOWN))}, {{thing}} or {{thing}}/s"
        )
    return f"suffix: {match.group(1)}" if match.group(1) else "short"


COLOURS: Final = {"good": "green", "note": "blue", "warning": "orange", "bad": "red"}
LEAST_STEP: Final = "15s"
"""Samples come no more often: a shorter step draws the same points twice."""
_NO_VALUE: Final = "no data"
_IDENTIFIED: Final = {
    "A": 'label_join({}, "id", " to ", "client", "server")',
    "B": 'label_replace({}, "id", "$1", "service_name", "(.*)")',
}
"""Arrows and services of a graph need a name that is theirs alone."""
_EDGES: Final = {"client": "source", "server": "target", "Value #A": "mainstat"}
_NODES: Final = {"service_name": "title", "Value #B": "mainstat"}


def panel(shown: Panel, identity: int, place: models.GridPos, plugins: Plugins) -> Any:
    """A panel as Grafana's builder.

    Args:
        shown: What it shows.
        identity: Its id within the dashboard.
        place: Where it is.
        plugins: Plugins of the data sources.
    """
    builder = _BUILDERS[shown.kind](shown)
    builder.id(identity).title(shown.title).description(shown.description).grid_pos(place)
    builder.datasource(reference(plugins.metrics, METRICS)).unit(grafana_unit(shown.unit)).no_value(_NO_VALUE)
    builder.interval(LEAST_STEP)
    for letter, query in zip(ascii_uppercase, shown.queries, strict=False):
        builder.with_target(_target(shown, query, letter, plugins))
    if shown.limits or shown.kind is Kind.BARS:
        builder.thresholds(builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps(shown.limits)))
    if shown.states:
        builder.mappings([_mapping(shown)])
    if shown.since:
        builder.time_from(shown.since)
    if links := list(_links(shown)):
        builder.data_links(links)
    return builder


def steps(limits: tuple[Limit, ...]) -> list[models.Threshold]:
    """Thresholds as colours from a value on. Grafana would make limits of its own where none are given."""
    below = [limit for limit in limits if limit.bad == "below"]
    above = sorted((limit for limit in limits if limit.bad == "above"), key=lambda limit: limit.value)
    thresholds = [models.Threshold(value=None, color=COLOURS[below[0].tone] if below else COLOURS["good"])]
    thresholds += [models.Threshold(value=limit.value, color=COLOURS["good"]) for limit in below]
    return thresholds + [models.Threshold(value=limit.value, color=COLOURS[limit.tone]) for limit in above]


def _target(shown: Panel, query: Query, letter: str, plugins: Plugins) -> prometheus.Dataquery:
    expr = within(query.expr, 'region=~"$region"')
    built = (
        prometheus.Dataquery()
        .ref_id(letter)
        .datasource(reference(plugins.metrics, METRICS))
        .expr(_IDENTIFIED[letter].format(expr) if shown.kind is Kind.GRAPH else expr)
        .legend_format(query.legend or "__auto")
    )
    if shown.kind is Kind.SERIES:
        return built.range().exemplar(shown.exemplars)
    if shown.kind in (Kind.TABLE, Kind.GRAPH):
        return built.instant().format(PromQueryFormat.TABLE)
    return built.instant()


def _stat(shown: Panel) -> Any:
    coloured = shown.limits or shown.states
    return (
        stat.Panel()
        .color_mode(looks.BigValueColorMode.BACKGROUND if coloured else looks.BigValueColorMode.NONE)
        .graph_mode(looks.BigValueGraphMode.NONE)
        .text_mode(looks.BigValueTextMode.AUTO)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def _series(shown: Panel) -> Any:
    built = (
        timeseries.Panel()
        .line_width(1.5)
        .fill_opacity(25 if shown.stacked else 6)
        .show_points(looks.VisibilityMode.NEVER)
        .span_nulls(False)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(looks.LegendDisplayMode.LIST)
            .placement(looks.LegendPlacement.BOTTOM)
            .calcs(["lastNotNull"])
        )
        .tooltip(common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI).sort(looks.SortOrder.DESCENDING))
    )
    if shown.stacked:
        built.stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL))
    if shown.limits:
        built.thresholds_style(common.GraphThresholdsStyleConfig().mode(looks.GraphTresholdsStyleMode.DASHED_AND_AREA))
    return built


def _bars(shown: Panel) -> Any:
    built = (
        bargauge.Panel()
        .display_mode(looks.BarGaugeDisplayMode.BASIC)
        .orientation(looks.VizOrientation.HORIZONTAL)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .min(0)
    )
    return built.max(1) if shown.unit == "1" else built


def _table(shown: Panel) -> Any:
    built = table.Panel().show_header(True).cell_height(looks.TableCellHeight.SM)
    names = {column.label: column.heading for column in shown.columns}
    letters = dict(zip(ascii_uppercase, shown.queries, strict=False))
    values = {_value(letter, letters): query for letter, query in letters.items()}
    order = [*names, *values]
    built.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    built.with_transformation(
        models.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": {"Time": True},
                "indexByName": {name: index for index, name in enumerate(order)},
                "renameByName": {**names, **{name: query.legend for name, query in values.items()}},
            },
        )
    )
    if shown.top:
        limit = {"limitField": shown.top}
        by = {"sort": [{"field": shown.queries[0].legend, "desc": True}]}
        built.with_transformation(models.DataTransformerConfig(id_val="sortBy", options=by))
        built.with_transformation(models.DataTransformerConfig(id_val="limit", options=limit))
    for query in shown.queries:
        unit = models.DynamicConfigValue(id_val="unit", value=grafana_unit(query.unit))
        built.override_by_name(query.legend, [unit])
    return built


def _value(letter: str, letters: dict[str, Query]) -> str:
    """Name that Grafana gives the column of a query's values."""
    return "Value" if len(letters) == 1 else f"Value #{letter}"


def _graph(shown: Panel) -> Any:
    """Two tables: the one with the columns ``source`` and ``target`` is taken for arrows, the other for services."""
    unit = grafana_unit(shown.unit)
    built = nodegraph.Panel()
    built.nodes(nodegraph.NodeOptions().main_stat_unit(unit)).edges(nodegraph.EdgeOptions().main_stat_unit(unit))
    for letter, names in (("A", _EDGES), ("B", _NODES)):
        built.with_transformation(
            models.DataTransformerConfig(
                id_val="organize",
                filter_val=models.MatcherConfig(id_val="byRefId", options=letter),
                options={"excludeByName": {"Time": True}, "renameByName": names},
            )
        )
    return built


def _mapping(shown: Panel) -> models.ValueMap:
    return models.ValueMap(
        options={
            str(state.value): models.ValueMappingResult(text=state.text, color=COLOURS[state.tone], index=index)
            for index, state in enumerate(shown.states)
        }
    )


def _named(shown: Panel) -> str:
    """Grafana's expression for the service of a point, a row or a node."""
    if shown.kind is Kind.GRAPH:
        return f"${{__data.fields.{_NODES[shown.service]}}}"
    if shown.kind is Kind.TABLE:
        heading = next(column.heading for column in shown.columns if column.label == shown.service)
        return f"${{__data.fields.{heading}}}"
    return f"${{__field.labels.{shown.service}}}"


def _links(shown: Panel) -> Iterator[builders.DashboardLink]:
    if shown.detail:
        yield builders.DashboardLink("Details").url(dashboard_link(shown.detail))
    if shown.service:
        service = _named(shown)
        yield builders.DashboardLink("Traces and logs of this service").url(service_link(service))


_BUILDERS: Final = {
    Kind.STAT: _stat,
    Kind.SERIES: _series,
    Kind.BARS: _bars,
    Kind.TABLE: _table,
    Kind.GRAPH: _graph,
}


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


@functools.cache
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
        for shown in row.panels:
            if left + shown.width > GRID:
                top, left, tallest = top + tallest, 0, 0
            place = models.GridPos(x=left, y=top, w=shown.width, h=shown.height)
            builder.with_panel(panel(shown, identity, place, plugins))
            identity, left, tallest = identity + 1, left + shown.width, max(tallest, shown.height)
        top += tallest
