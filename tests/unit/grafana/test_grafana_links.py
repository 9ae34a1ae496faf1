"""Whoever may see a dashboard can follow its links: every link of every dashboard and data source, for every role."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from components.contracts import TraceReaderEndpoint
from components.dashboards import drilldowns
from components.dashboards.grafana import LOGS, METRICS, TRACES, text, trace_link
from components.dashboards.registry import DASHBOARDS
from components.grafana.content import FOLDERS
from components.telemetry.layers import LAYERS
from tests.unit.grafana.stubs import arguments, login

ROLES = ("Viewer", "Editor", "Admin")
DASHBOARDS: dict[str, dict[str, Any]] = {
    uid: json.loads(content)
    for uid, content in ({dashboard.uid: text(dashboard) for dashboard in DASHBOARDS} | drilldowns.texts()).items()
}
SOURCE_LINKS = ("url", "urlDisplayLabel", "matcherRegex", "name", "field")
EXPLORE = ("datasourceUid", "tracesToLogs", "tracesToLogsV2", "tracesToMetrics", "tracesToProfiles")
"""Keys of a data source by which Grafana makes links that open Explore."""


READER = TraceReaderEndpoint(
    url="https://jaeger-query-internal.ns.svc.cluster.local:16686", access_label="obs.access/x", user=login("grafana")
)


@dataclass(frozen=True)
class Link:
    """A link, and where it is shown."""

    dashboard: str
    place: str
    url: str


def may_see(role: str) -> set[str]:
    """Dashboards that a role sees; an administrator sees all."""
    return {
        uid
        for folder in FOLDERS
        for uid in folder.dashboards
        if role == "Admin" or any(grant.org_role == role for grant in folder.grants)
    }


def may_explore(role: str) -> bool:
    """Whether a role may open Explore: by Grafana's own roles, viewers may not."""
    return role != "Viewer"


def urls(content: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Every address in a dashboard or data source, with the way to it."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            if key == "url" and isinstance(value, str) and value:
                yield place, value
            else:
                yield from urls(value, f"{place}.{key}")
    elif isinstance(content, list):
        for index, value in enumerate(content):
            yield from urls(value, f"{place}[{index}]")


def sources() -> dict[str, dict[str, Any]]:
    """Data sources as the platform has them: by identity, what the plugin is told."""
    return {
        source.uid: dict(source.data)
        for source in arguments(traces=READER, trace_dashboard=trace_link("", "")).sources()
    }


def datasource_uids(dashboard: Mapping[str, Any]) -> set[str]:
    """Kinds of data sources that a dashboard's panels ask."""
    uids = {target["datasource"]["uid"] for panel in dashboard["panels"] for target in panel.get("targets", [])}
    return {uid.strip("${}") for uid in uids}


def links() -> list[Link]:
    """Every link that somebody may meet: of the dashboards, and of the data sources on the dashboards that ask them."""
    link_list = [Link(uid, place, url) for uid, dashboard in DASHBOARDS.items() for place, url in urls(dashboard)]
    for name, data in sources().items():
        for uid, dashboard in DASHBOARDS.items():
            if name in datasource_uids(dashboard):
                link_list += [
                    Link(uid, f"data source {name}{place}", url.replace("$$", "$")) for place, url in urls(data)
                ]
    return link_list


def targets(url: str) -> list[str]:
    """An address for each value that a place holder in its path may have."""
    layer = "${__field.labels.layer}"
    return [url.replace(layer, known_layer.name) for known_layer in LAYERS] if layer in urlsplit(url).path else [url]


def problem(url: str, role: str) -> str:
    """Why a role cannot follow a link; empty where it can."""
    parts = urlsplit(url)
    if parts.netloc:
        return f"{parts.netloc} is another site"
    if parts.path == "/explore":
        return "" if may_explore(role) else "opens Explore"
    dashboard = re.fullmatch(r"/d/([\w-]+)", parts.path)
    if dashboard is None:
        return f"{parts.path} is no place of ours"
    if dashboard[1] not in may_see(role):
        return f"{dashboard[1]} is hidden or does not exist"
    known = {variable["name"] for variable in DASHBOARDS[dashboard[1]]["templating"]["list"]}
    given = {name.removeprefix("var-") for name, _ in parse_qsl(parts.query) if name.startswith("var-")}
    return f"{dashboard[1]} has no variable {', '.join(sorted(given - known))}" if given - known else ""


def test_there_are_links_of_every_kind() -> None:
    all_links = links()
    assert {urlsplit(link.url).path for link in all_links} >= {"/d/obs-service", "/d/obs-trace"}
    assert {link.place.partition(".")[0] for link in all_links if link.place.startswith("data source")} == {
        f"data source {METRICS}",
        f"data source {LOGS}",
    }
    assert len(all_links) > 50


@pytest.mark.parametrize("role", ROLES)
def test_whoever_sees_a_dashboard_can_follow_all_its_links(role: str) -> None:
    seen = may_see(role)
    dead = [
        (link.dashboard, link.place, problem(url, role))
        for link in links()
        if link.dashboard in seen
        for url in targets(link.url)
        if problem(url, role)
    ]
    assert dead == []
    assert seen


def test_no_data_source_makes_links_that_open_explore() -> None:
    for name, data in sources().items():
        text = json.dumps(data)
        assert not [key for key in EXPLORE if f'"{key}"' in text], name


@pytest.mark.parametrize(
    ("url", "role", "told"),
    [
        ("/explore?panes=x", "Viewer", "opens Explore"),
        ("/explore?panes=x", "Editor", ""),
        ("/d/obs-kafka", "Viewer", "obs-kafka is hidden or does not exist"),
        ("/d/obs-kafka", "Editor", ""),
        ("/d/obs-gone", "Admin", "obs-gone is hidden or does not exist"),
        ("/d/obs-trace?var-trace=1", "Viewer", ""),
        ("/d/obs-trace?var-span=1", "Viewer", "obs-trace has no variable span"),
        ("https://jaeger.example.org/trace/1", "Admin", "jaeger.example.org is another site"),
    ],
)
def test_the_walk_knows_a_dead_link(url: str, role: str, told: str) -> None:
    assert problem(url, role) == told


def test_an_exemplar_leads_to_its_trace() -> None:
    (destination,) = sources()[METRICS]["exemplarTraceIdDestinations"]
    assert destination["name"] == "trace_id"
    assert destination["url"] == "/d/obs-trace?var-trace=$${__value.raw}"
    shown = [
        panel
        for dashboard in DASHBOARDS.values()
        for panel in dashboard["panels"]
        if any(target.get("exemplar") for target in panel.get("targets", []))
    ]
    assert shown
    for panel in shown:
        assert panel["type"] == "timeseries"
        assert all("traces_span_metrics_duration_seconds_bucket" in target["expr"] for target in panel["targets"])


def test_a_trace_stands_beside_its_logs_and_a_record_leads_to_its_trace() -> None:
    dashboard = DASHBOARDS["obs-trace"]
    trace, logs = dashboard["panels"]
    assert (trace["type"], trace["targets"][0]["query"]) == ("traces", "$trace")
    assert (logs["type"], logs["targets"][0]["query"]) == ("logs", 'trace_id:"$trace"')
    assert [panel["datasource"]["uid"] for panel in (trace, logs)] == ["${traces}", "${logs}"]
    (link,) = sources()[LOGS]["dataLinks"]
    assert (link["field"], link["url"]) == ("trace_id", "/d/obs-trace?var-trace=$${__value.raw}")


def test_the_traces_of_a_service_lead_to_each_of_them() -> None:
    trace_panel, logs = DASHBOARDS["obs-service"]["panels"]
    assert trace_panel["targets"][0] | {"queryType": "search", "service": "$service"} == trace_panel["targets"][0]
    assert logs["targets"][0]["query"] == 'service:"$service"'
    (override,) = trace_panel["fieldConfig"]["overrides"]
    pattern = re.compile(override["matcher"]["options"].strip("/i"), re.IGNORECASE)
    assert all(pattern.search(name) for name in ("traceID", "Trace ID"))
    assert not pattern.search("Trace name")
    (links_of_column,) = (
        override_property["value"] for override_property in override["properties"] if override_property["id"] == "links"
    )
    assert links_of_column[0]["url"].startswith("/d/obs-trace?var-trace=${__value.raw}")


def test_without_a_source_of_traces_a_record_leads_to_jaegers_own_page() -> None:
    data = {source.uid: source.data for source in arguments(traces=None, trace_dashboard=trace_link("", "")).sources()}
    assert TRACES not in data
    assert "exemplarTraceIdDestinations" not in data[METRICS]
    (link,) = data[LOGS]["dataLinks"]
    assert re.fullmatch(r"https://[^/]+/trace/\$\$\{__value\.raw\}", link["url"])
