"""Grafana's form of a panel."""

from __future__ import annotations

from collections.abc import Iterator
from string import ascii_uppercase
from typing import Any, Final

from grafana_foundation_sdk.builders import bargauge, common, nodegraph, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from components.dashboards.model import Kind, Limit, Panel, Query
from components.dashboards.promql import within
from components.dashboards.sources import METRICS, Plugins, dashboard_link, reference, service_link
from components.dashboards.units import grafana_unit

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
