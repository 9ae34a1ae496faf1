"""Dashboards as a whole: complete, of existing metrics, current in the repository, and readable by Grafana's types."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard as GrafanaDashboard

from components.dashboards import kpis, limits
from components.dashboards.__main__ import DOCS, files
from components.dashboards.grafana import Plugins, rendered, steps
from components.dashboards.model import GRID, Dashboard, Kind, Limit
from components.dashboards.promql import metrics, within
from components.dashboards.registry import DASHBOARDS, dashboard_named
from components.telemetry import catalogue
from components.telemetry.catalogue import Metric
from components.telemetry.layers import BUSINESS, DEVICE, LAYERS
from components.telemetry.naming import Kind as Instrument
from components.telemetry.schema import Comparison
from components.telemetry.summaries import operations, recorded, worst
from components.telemetry.thresholds import SLOS, THRESHOLDS, Threshold, is_wide
from lab.toolchain import tools

EVERY = [(dashboard, panel) for dashboard in DASHBOARDS for panel in dashboard.panels]
QUERIES = [(dashboard.name, panel, query) for dashboard, panel in EVERY for query in panel.queries]
DASHBOARD = pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.name)


def grafana_panels(dashboard: Dashboard) -> list[dict[str, Any]]:
    return [panel for panel in rendered(dashboard)["panels"] if panel["type"] != "row"]


def test_committed_files_are_current() -> None:
    written = files()
    stale = [name for name, text in written.items() if (DOCS / name).read_text(encoding="utf-8") != text]
    assert not stale, f"run `python -m components.dashboards`: {stale}"
    left_over = {path.name for path in (DOCS / "dashboards").iterdir()} - {Path(name).name for name in written}
    assert not left_over, f"files of no dashboard: {left_over}"


def test_there_is_an_overview_a_dashboard_per_layer_and_those_of_the_platform() -> None:
    names = [dashboard.name for dashboard in DASHBOARDS]
    assert names[0] == "overview"
    assert {f"layer-{layer.name}" for layer in LAYERS} | {
        "operations",
        "kafka",
        "traces",
        "alerting",
        "visualization",
        "recovery",
    } < set(names)
    assert (
        len({dashboard.uid for dashboard in DASHBOARDS})
        == len({dashboard.title for dashboard in DASHBOARDS})
        == len(DASHBOARDS)
    )


@DASHBOARD
def test_every_panel_says_what_it_shows_in_which_unit_and_asks_something(dashboard: Dashboard) -> None:
    rendered_panels = grafana_panels(dashboard)
    assert len(rendered_panels) == len(list(dashboard.panels)) > 0
    for panel in rendered_panels:
        assert panel["title"], panel
        assert panel["description"].endswith((".", ")")), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert all(target["expr"] for target in panel["targets"]), panel["title"]
        assert panel["targets"], panel["title"]
    titles = [panel["title"] for panel in rendered_panels]
    assert len(set(titles)) == len(titles), f"{dashboard.name}: two panels share a title"


@DASHBOARD
def test_ids_and_letters_of_queries_are_unique(dashboard: Dashboard) -> None:
    panels = rendered(dashboard)["panels"]
    identities = [panel["id"] for panel in panels]
    assert len(set(identities)) == len(identities)
    for panel in grafana_panels(dashboard):
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters)


@DASHBOARD
def test_panels_fill_the_grid_and_never_overlap(dashboard: Dashboard) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in rendered(dashboard)["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= GRID, panel["title"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, f"{dashboard.name}: {panel['title']} lies on another panel"
        taken |= cells
    for row in dashboard.rows:
        width = sum(panel.width for panel in row.panels)
        assert width % GRID == 0, (
            f"{dashboard.name}: the panels of row {row.title} are {width} wide, which leaves a hole: "
            f"make `width` of some of them add up to a multiple of {GRID}"
        )


@DASHBOARD
def test_grafanas_own_types_read_a_dashboard_and_write_the_same(dashboard: Dashboard) -> None:
    first = rendered(dashboard)
    again = json.loads(json.dumps(GrafanaDashboard.from_json(first), cls=JSONEncoder))
    assert again == first


@DASHBOARD
def test_data_sources_are_variables_and_nothing_names_an_instance(dashboard: Dashboard) -> None:
    model = rendered(dashboard)
    names = {variable["name"] for variable in model["templating"]["list"]}
    assert {"metrics", "traces", "logs", "region"} <= names
    uids = re.findall(r'"uid": "([^"]*)"', json.dumps(model))
    assert {uid for uid in uids if uid != dashboard.uid} <= {"${metrics}", "${traces}", "${logs}"}
    assert model["uid"] == dashboard.uid == f"obs-{dashboard.name}"


@DASHBOARD
def test_every_variable_in_a_query_is_one_of_the_dashboards_or_grafanas(dashboard: Dashboard) -> None:
    known = {"__rate_interval", "__range", "region", *(variable.name for variable in dashboard.variables)}
    for panel in grafana_panels(dashboard):
        for target in panel["targets"]:
            assert set(re.findall(r"\$([A-Za-z_]\w*)", target["expr"])) <= known, panel["title"]
    variable_names = {
        name for panel in dashboard.panels for query in panel.queries for name in re.findall(r"\$(\w+)", query.expr)
    }
    assert {variable.name for variable in dashboard.variables} <= variable_names, "a variable that changes nothing"


@DASHBOARD
def test_every_series_is_asked_of_the_chosen_regions_only(dashboard: Dashboard) -> None:
    for panel in dashboard.panels:
        for query in panel.queries:
            restricted = within(query.expr, 'region=~"$region"')
            assert restricted.count('region=~"$region"') >= len(metrics(query.expr))
            assert 'region=~"$region"' not in query.expr


def test_every_metric_of_the_catalogue_is_on_the_dashboard_of_its_layer() -> None:
    for metric in catalogue.METRICS:
        dashboard = dashboard_named(f"layer-{metric.layer.name}")
        seen = set().union(*(metrics(query.expr) for panel in dashboard.panels for query in panel.queries))
        records = {f"obs:{series}:{operation}" for series in metric.series for operation in operations(metric)}
        assert seen & {*metric.series, *records}, metric.name


def worst_value(row: Threshold) -> str:
    """What a panel reads for it: of a value of each device what is recorded of all, or whether its alert waits."""
    if not is_wide(row):
        return row.value
    (metric,) = map(catalogue.metric, row.metrics)
    state = row.comparison is Comparison.EQUAL
    return f'ALERTS{{alertname="{row.alert}",' if state else recorded(metric, worst(metric))


def test_no_panel_reads_a_series_of_each_sender_for_a_figure_of_all() -> None:
    """Only thresholds of a moment do, and what devices somebody chose told."""
    added = {metric.prometheus for metric in catalogue.METRICS if metric.layer is DEVICE or operations(metric)}
    values = {row.value for row in THRESHOLDS}
    for name, panel, query in QUERIES:
        if any(value in query.expr for value in values):
            continue
        for series in metrics(query.expr):
            if series.removesuffix("_bucket") in added:
                selectors = re.findall(rf"(?<![\w:]){series}(\{{[^}}]*\}})", query.expr)
                assert selectors, f"{name}: {panel.title}"
                assert all(kpis.CHOSEN in matchers for matchers in selectors), f"{name}: {panel.title}"


def test_every_threshold_is_on_the_dashboard_of_its_layer_with_the_limit_of_the_file() -> None:
    for row in THRESHOLDS:
        panels = [
            panel for panel in dashboard_named(f"layer-{row.layer.name}").panels if row.alert in panel.description
        ]
        assert panels, row.name
        assert any(worst_value(row) in query.expr for panel in panels for query in panel.queries), row.name
        assert [limit.value for panel in panels[:1] for limit in panel.limits] == [
            limit.value for limit in limits.line(row)
        ]
    alerts = {row.alert: row.limit for row in THRESHOLDS}
    shown = [limit for _, panel in EVERY for limit in panel.limits if limit.label in alerts]
    assert len(shown) > len(THRESHOLDS)
    assert all(limit.value == alerts[limit.label] for limit in shown)


def test_every_objective_and_every_speed_of_burning_is_seen() -> None:
    expressions = {query.expr for _, _, query in QUERIES}
    assert "slo:error_budget_remaining:ratio" in expressions
    assert {f"slo:burn:rate{window}" for window in ("1h", "6h", "1d", "3d")} <= expressions
    assert len(SLOS) > 0


def test_a_service_that_is_added_as_data_gets_a_row_with_a_panel_per_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    added = tuple(
        Metric(
            name=name,
            unit=unit,
            kind=kind,
            layer=BUSINESS,
            service="billing",
            description="what it is",
            attributes=keys,
        )
        for name, unit, kind, keys in (
            ("billing.invoices", "{invoice}", Instrument.COUNTER, ("outcome",)),
            ("billing.backlog", "{invoice}", Instrument.GAUGE, ()),
            ("billing.duration", "s", Instrument.HISTOGRAM, ()),
        )
    )
    monkeypatch.setattr(catalogue, "METRICS", (*catalogue.METRICS, *added))
    row = next(row for row in kpis.kpi_rows(BUSINESS) if row.title == "KPIs of billing")
    assert [panel.title for panel in row.panels] == [
        "Billing invoices, per second",
        "Billing backlog",
        "Billing duration",
    ]
    assert metrics(row.panels[2].queries[0].expr) == {"obs:billing_duration_seconds_bucket:rate5m"}
    assert row.panels[0].queries[0].legend == "{{outcome}}"


@pytest.mark.parametrize("count", range(1, 30))
def test_panels_of_a_service_leave_no_line_half_empty(count: int) -> None:
    widths = kpis._widths(count)
    assert len(widths) == count
    left = 0
    for width in widths:
        left += width
        assert left <= GRID
        left %= GRID
    assert left == 0


@DASHBOARD
def test_a_panel_of_services_leads_to_their_traces_and_logs(dashboard: Dashboard) -> None:
    for panel, grafana_panel in zip(dashboard.panels, grafana_panels(dashboard), strict=True):
        links = grafana_panel["fieldConfig"]["defaults"].get("links", [])
        links = [link for link in links if link["url"].startswith("/d/obs-service?")]
        assert len(links) == bool(panel.service), panel.title
        for link in links:
            assert "${__url_time_range}" in link["url"]
            assert " " not in link["url"]
            assert '"' not in link["url"]


def test_the_state_of_a_layer_leads_to_its_dashboard() -> None:
    panel = grafana_panels(dashboard_named("overview"))[0]
    (link,) = panel["fieldConfig"]["defaults"]["links"]
    for layer in LAYERS:
        address = link["url"].replace("${__field.labels.layer}", layer.name)
        assert address.startswith(f"/d/{dashboard_named(f'layer-{layer.name}').uid}?${{__url_time_range}}")


def test_bars_have_the_limits_of_their_panel_and_never_those_that_grafana_would_make() -> None:
    bars = [
        (panel, grafana_panel)
        for dashboard in DASHBOARDS
        for panel, grafana_panel in zip(dashboard.panels, grafana_panels(dashboard), strict=True)
        if panel.kind is Kind.BARS
    ]
    assert {bool(panel.limits) for panel, _ in bars} == {True, False}
    for panel, bar_panel in bars:
        shown = bar_panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert shown == [step.to_json() for step in steps(panel.limits)], panel.title


def test_limits_from_below_and_from_above_become_colours() -> None:
    below = (Limit(value=0.2, label="Battery", bad="below", tone="warning"),)
    above = (Limit(value=0.9, label="Full"), Limit(value=0.75, label="Filling", tone="warning"))
    assert [(step.value, step.color) for step in steps(below)] == [(None, "orange"), (0.2, "green")]
    assert [(step.value, step.color) for step in steps(above)] == [(None, "green"), (0.75, "orange"), (0.9, "red")]


def test_layers_that_send_traces_have_links_and_a_map() -> None:
    for layer in LAYERS:
        dashboard = dashboard_named(f"layer-{layer.name}")
        assert any(panel.kind is Kind.GRAPH for panel in dashboard.panels), layer.name
        assert any(panel.service for panel in dashboard.panels), layer.name


def test_another_plugin_of_logs_changes_its_variable_and_its_links_only() -> None:
    dashboard = dashboard_named("layer-business")
    open_search, elastic = (
        json.dumps(rendered(dashboard, Plugins(logs=name)))
        for name in ("grafana-opensearch-datasource", "elasticsearch")
    )
    assert open_search != elastic
    assert open_search.replace("grafana-opensearch-datasource", "elasticsearch") == elastic


def test_promtool_takes_every_query(tmp_path: Path) -> None:
    rules = [
        {
            "record": f"panel:{number}",
            "expr": re.sub(r"\$__\w+", "5m", within(query.expr, 'region=~".*"')),
        }
        for number, (_, _, query) in enumerate(QUERIES)
    ]
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(
        [str(tools.path("promtool")), "check", "rules", str(path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert f"{len(QUERIES)} rules found" in done.stdout


def test_an_unknown_dashboard_is_told_with_those_there_are() -> None:
    with pytest.raises(KeyError, match="use one of overview, layer-device"):
        dashboard_named("nothing")
