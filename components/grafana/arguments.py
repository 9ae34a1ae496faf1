"""What Grafana needs, and what is refused before anything is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components.contracts import (
    AlertmanagerEndpoint,
    Credential,
    DatabaseEndpoint,
    QueryEndpoint,
    ScrapeTarget,
    SearchEndpoint,
    TraceQueryEndpoint,
)
from components.grafana.ldap import Directory
from components.grafana.oidc import OidcLogin, check_site
from components.grafana.process import PORT, WORKLOAD
from components.grafana.sources import (
    LogsPlugin,
    Source,
    alerts_source,
    logs_source,
    metrics_source,
    traces_source,
)
from components.k8s import Autoscale, DeploymentContext, Resources

_LEAST = 2


@dataclass(frozen=True, kw_only=True)
class Logs:
    """Where logs are read.

    Attributes:
        search: The search cluster; its users include ``user``.
        user: User that may read logs and nothing else.
        index: Alias that logs are read through.
        plugin: Who reads them: another one for Elasticsearch than for OpenSearch.
    """

    search: SearchEndpoint
    user: str
    index: str
    plugin: LogsPlugin


@dataclass(frozen=True, kw_only=True)
class TraceReader:
    """A Jaeger query that Grafana itself may ask (docs/adr/0023).

    Attributes:
        url: Where it is inside the cluster.
        access_label: Label that Grafana's pods need.
        user: Login of Grafana; None: it shows people's own tokens, for which they have to come by OpenID Connect.
    """

    url: str
    access_label: str
    user: Credential | None


@dataclass(frozen=True, kw_only=True)
class GrafanaArgs:
    """What Grafana needs.

    Attributes:
        context: Deployment context.
        scrape: Its metrics endpoint.
        replicas: Pods, 2 or more (at creation, where ``autoscale`` is set).
        resources: Of each pod.
        address: Load balancer address to ask for, or None.
        client_cidrs: Networks of people and tools.
        hosts: Host names of the load balancer, for the certificate; browsers are sent to the first.
        database: Where content and sessions are.
        connections: Connections of one replica to the database, at most.
        directory: The directory that people are in.
        directory_secrets: ``bind_password``, and ``authority``: PEM of the authority that signs the directory's
            certificate, empty for a public one.
        query: Where metrics are read.
        alertmanager: Where alerts are read.
        alerts_user: Login at Alertmanager for Grafana only; None: the operator's.
        logs: Where logs are read, or None.
        traces: A Jaeger query that Grafana may ask, or None: then traces are links to ``trace_pages``.
        trace_dashboard: Path of the dashboard that shows a trace, up to the id of the trace; empty: there is none.
        trace_pages: Where people read traces after a login of their own, for links where Grafana asks no Jaeger; or
            None.
        oidc: A further login, or None.
        autoscale: Bounds of the autoscaler, or None.
    """

    context: DeploymentContext
    scrape: ScrapeTarget
    replicas: int
    resources: Resources
    address: str | None
    client_cidrs: Sequence[str]
    database: DatabaseEndpoint
    directory: Directory
    directory_secrets: pulumi.Input[Mapping[str, Any]]
    query: QueryEndpoint
    alertmanager: AlertmanagerEndpoint
    alerts_user: Credential | None = None
    logs: Logs | None = None
    traces: TraceReader | None = None
    trace_dashboard: str = ""
    trace_pages: TraceQueryEndpoint | None = None
    oidc: OidcLogin | None = None
    hosts: Sequence[str] = ()
    connections: int = 20
    autoscale: Autoscale | None = None

    def __post_init__(self) -> None:
        if self.replicas < _LEAST:
            raise ValueError(
                f"grafana.replicas is {self.replicas}: at least {_LEAST}, else nobody sees dashboards while it restarts"
            )
        if self.traces and self.traces.user is None and not (self.oidc and self.oidc.forwarded):
            raise ValueError(
                "grafana.traces has no user and people do not come with a token of their own: give it a user, set "
                "oidc with forwarded, or leave traces out (then they are links)"
            )
        if self.oidc:
            check_site(self.oidc, self.url)

    @property
    def url(self) -> str:
        """Where browsers reach it, without a slash at the end."""
        return grafana_url(self.context, self.address, self.hosts)

    def sources(self) -> tuple[Source, ...]:
        """Every data source."""
        logs, traces = self.logs, self.traces
        pages = self.trace_pages
        # Jaeger's own page is behind a login of its own: only where Grafana cannot show a trace itself.
        page = self.trace_dashboard if traces else f"{pages.url}/trace/" if pages else ""
        sources = [
            metrics_source(self.query, trace_page=self.trace_dashboard if traces else ""),
            alerts_source(self.alertmanager, self.alerts_user),
        ]
        if logs:
            sources.append(
                logs_source(logs.search, user=logs.user, index=logs.index, plugin=logs.plugin, trace_page=page)
            )
        if traces:
            sources.append(traces_source(traces.url, traces.access_label, traces.user))
        return tuple(sources)


def grafana_url(context: DeploymentContext, address: str | None, hosts: Sequence[str] = ()) -> str:
    """Where browsers reach Grafana; also known before it exists, for a provider's settings."""
    return f"https://{hosts[0] if hosts else address or context.host(WORKLOAD)}:{PORT}"
