"""Two pages that a link leads to: the traces and logs of a service, and one trace with its logs.

They ask Jaeger and the store of logs, not Prometheus, so they are no `Dashboard` of queries. Grafana's own search
(Explore) would show the same, but viewers may not open it; whoever sees a panel sees these pages as well.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from components.dashboards.grafana import (
    LOGS,
    METRICS,
    SERVICE,
    SERVICE_OF_LOGS,
    SERVICE_PAGE,
    TRACE,
    TRACE_OF_LOGS,
    TRACE_PAGE,
    TRACES,
    Plugins,
    reference,
    trace_link,
)

TRACES_SHOWN: Final = 50
LOGS_SHOWN: Final = 500
_TRACE_COLUMN: Final = "/^trace ?id$/i"
"""The column of Jaeger's answer that holds a trace's identity, by its name or by its heading."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """One of the pages.

    Attributes:
        uid: Grafana's identity of it.
        title: For people.
        description: What it shows.
    """

    uid: str
    title: str
    description: str


SERVICE_DASHBOARD = Page(
    uid=SERVICE_PAGE,
    title="Traces and logs of a service",
    description="The newest traces and the logs of one service. A trace's identity leads to the trace.",
)
TRACE_DASHBOARD = Page(
    uid=TRACE_PAGE,
    title="One trace and its logs",
    description="A trace by its identity, and what services logged while they worked on it.",
)
PAGES: Final[tuple[Page, ...]] = (SERVICE_DASHBOARD, TRACE_DASHBOARD)


def texts(plugins: Plugins | None = None) -> dict[str, str]:
    """Grafana's identity -> text of the file, of both pages.

    Args:
        plugins: Plugins of the data sources; the default is for OpenSearch.
    """
    used = plugins or Plugins()
    page_models = {SERVICE_DASHBOARD: _service_page(used), TRACE_DASHBOARD: _trace_page(used)}
    return {page.uid: json.dumps(content, indent=2, ensure_ascii=False) + "\n" for page, content in page_models.items()}


def _service_page(plugins: Plugins) -> dict[str, Any]:
    variable = (
        builders.QueryVariable(SERVICE)
        .label("Service")
        .description("Service whose traces and logs are shown; another name can be written")
        .datasource(reference(plugins.metrics, METRICS))
        .query("label_values(obs:span_latency:p95, service_name)")
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
    )
    search = {"queryType": "search", "service": f"${SERVICE}", "limit": TRACES_SHOWN}
    traces_panel = _panel(1, "Traces", "table", TRACES, plugins.traces, search, height=10)
    traces_panel["description"] = "The newest traces that are kept; the clearance of the data source says of what."
    traces_panel["fieldConfig"] = {
        "defaults": {},
        "overrides": [
            {
                "matcher": {"id": "byRegexp", "options": _TRACE_COLUMN},
                "properties": [{"id": "links", "value": [{"title": "Trace and its logs", "url": trace_link()}]}],
            }
        ],
    }
    logs = _logs(2, "Logs", plugins, f'{SERVICE_OF_LOGS}:"${SERVICE}"', top=10)
    return _page(SERVICE_DASHBOARD, plugins, variable, [traces_panel, logs], since="1h")


def _trace_page(plugins: Plugins) -> dict[str, Any]:
    variable = builders.TextBoxVariable(TRACE).label("Trace").description("Its identity: 32 hexadecimal digits")
    shown = _panel(1, "Trace", "traces", TRACES, plugins.traces, {"query": f"${TRACE}"}, height=16)
    shown["description"] = (
        "Empty where the trace was not kept (of ordinary ones only a share is), is older than traces are kept, or is "
        "about data that needs a higher clearance than the data source has."
    )
    logs = _logs(2, "Logs of this trace", plugins, f'{TRACE_OF_LOGS}:"${TRACE}"', top=16)
    return _page(TRACE_DASHBOARD, plugins, variable, [shown, logs], since="24h")


def _page(page: Page, plugins: Plugins, variable: Any, panels: list[dict[str, Any]], *, since: str) -> dict[str, Any]:
    builder = (
        builders.Dashboard(page.title)
        .uid(page.uid)
        .description(page.description)
        .tags(["obs", "lookup"])
        .readonly()
        .time(f"now-{since}", "now")
        .timezone("browser")
    )
    for name, label, plugin in (
        (METRICS, "Metrics", plugins.metrics),
        (TRACES, "Traces", plugins.traces),
        (LOGS, "Logs", plugins.logs),
    ):
        builder.with_variable(builders.DatasourceVariable(name).label(label).type(plugin))
    builder.with_variable(variable)
    model: dict[str, Any] = json.loads(json.dumps(builder.build(), cls=JSONEncoder))
    return {**model, "panels": panels}


def _logs(identity: int, title: str, plugins: Plugins, query: str, *, top: int) -> dict[str, Any]:
    target = {"query": query, "metrics": [{"type": "logs", "id": "1", "settings": {"limit": str(LOGS_SHOWN)}}]}
    shown = _panel(identity, title, "logs", LOGS, plugins.logs, target, height=14, top=top)
    shown["description"] = "Newest first. Of a record with a trace, the field of its identity leads to that trace."
    shown["options"] = {
        "showTime": True,
        "wrapLogMessage": True,
        "enableLogDetails": True,
        "sortOrder": "Descending",
        "dedupStrategy": "none",
    }
    return shown


def _panel(
    identity: int,
    title: str,
    kind: str,
    variable: str,
    plugin: str,
    query: dict[str, Any],
    *,
    height: int,
    top: int = 0,
) -> dict[str, Any]:
    source = {"type": plugin, "uid": f"${{{variable}}}"}
    return {
        "id": identity,
        "type": kind,
        "title": title,
        "datasource": source,
        "gridPos": {"x": 0, "y": top, "w": 24, "h": height},
        "targets": [{"refId": "A", "datasource": source, **query}],
    }
