"""The data sources that dashboards ask, by kind and never by the identity of one, and the ways from a panel to them."""

from __future__ import annotations

from dataclasses import dataclass

from grafana_foundation_sdk.models.dashboard import DataSourceRef

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
