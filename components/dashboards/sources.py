"""The data sources that dashboards ask, by kind and never by the identity of one, and the ways from a panel to them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from grafana_foundation_sdk.models.dashboard import DataSourceRef

METRICS, TRACES, LOGS = "metrics", "traces", "logs"
"""Names of the variables with which a reader chooses a data source; the first of each kind is chosen at first."""

SERVICE_OF_LOGS = "service"
"""Field of a stored log record that names its service."""


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


def traces_link(plugins: Plugins, service: str) -> str:
    """Address of Grafana's search for traces of a service; ``service`` is Grafana's expression for its name."""
    query = {"queryType": "search", "service": service, "limit": 20}
    return _explore(TRACES, plugins.traces, query)


def logs_link(plugins: Plugins, service: str) -> str:
    """Address of Grafana's search for logs of that service."""
    query = {"query": f'{SERVICE_OF_LOGS}:"{service}"', "metrics": [{"type": "logs", "id": "1"}]}
    return _explore(LOGS, plugins.logs, query)


def dashboard_link(label: str) -> str:
    """Address of the dashboard with the details of what a value is about, at the same time and in the same regions."""
    return f"/d/obs-{label}-${{__field.labels.{label}}}?${{__url_time_range}}&${{region:queryparam}}"


def _explore(variable: str, plugin: str, query: dict[str, Any]) -> str:
    source = f"${{{variable}}}"
    pane = {
        "datasource": source,
        "queries": [{"refId": "A", "datasource": {"type": plugin, "uid": source}, **query}],
        "range": {"from": "${__from}", "to": "${__to}"},
    }
    # Grafana fills variables in before it reads the address: their signs may not be escaped.
    text = quote(json.dumps({"main": pane}, separators=(",", ":")), safe="${}:,._")
    return f"/explore?schemaVersion=1&panes={text}"
