"""Grafana's replicas: what they need, what is refused before anything is made, pods, files, passwords, certificate,
who reaches whom (requirements G1, G5, S1).

They hold nothing: content and sessions are in PostgreSQL, so any replica answers anybody, and an autoscaler may add
and take away some. It is a StatefulSet that starts one replica after the other all the same, so that a new database is
migrated by one of them (docs/adr/0023).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import yaml

from components import naming
from components.contracts import (
    AlertmanagerEndpoint,
    Credential,
    DatabaseEndpoint,
    GrafanaEndpoint,
    OidcEndpoint,
    QueryEndpoint,
    ScrapeTarget,
    SearchEndpoint,
    TraceQueryEndpoint,
    TraceReaderEndpoint,
)
from components.grafana import process
from components.grafana.config import GrafanaConfig, grafana_config, ini_text
from components.grafana.login import (
    Directory,
    OidcLogin,
    check_site,
    directory_files,
    has_authority,
    ldap_config,
    oidc_files,
    toml,
)
from components.grafana.process import PORT, WORKLOAD, grafana_container
from components.grafana.sources import (
    LogsPlugin,
    Source,
    alerts_source,
    logs_source,
    metrics_source,
    sources_config,
    traces_source,
)
from components.k8s import (
    Allow,
    Autoscale,
    DeploymentContext,
    LoadBalancerOptions,
    Resources,
    Volume,
    Workload,
    certificate,
    config_files,
    credential,
    headless_service,
    load_balancer,
    network,
    network_policy,
    random_key,
    secret_files,
    stateful_set,
    with_access,
    workload_pods,
)


def grafana_network(
    parent: pulumi.Resource,
    context: DeploymentContext,
    *,
    clients: Sequence[str],
    database: DatabaseEndpoint,
    directory: Directory | None,
    sources: Sequence[Source],
    oidc: OidcEndpoint | None,
) -> None:
    """The NetworkPolicy: browsers and programs in; database, directory, data sources and DNS out, and nothing else.

    Args:
        parent: Component that owns it.
        context: Deployment context.
        clients: Networks of people and tools.
        database: Where content and sessions are.
        directory: Where logins are proven.
        sources: What is asked for data.
        oidc: Where else people sign in.
    """
    callers = [with_access(naming.access_label(WORKLOAD)), with_access(naming.METRICS_ACCESS)]
    # A database of this platform by its pods, any other one by its networks.
    peers = [workload_pods(database.workload)] if database.workload else [network(cidr) for cidr in database.networks]
    egress = [
        Allow(peers=peers, ports=[database.port]),
        *([Allow(peers=[network(cidr) for cidr in directory.networks], ports=[directory.port])] if directory else []),
        *(Allow(peers=[workload_pods(source.workload)], ports=[source.port]) for source in sources),
        *([Allow(peers=[network(cidr) for cidr in oidc.networks], ports=[oidc.port])] if oidc else []),
    ]
    network_policy(
        parent,
        context,
        workload=WORKLOAD,
        ingress=[Allow(peers=[*callers, *(network(cidr) for cidr in clients)], ports=[PORT])],
        egress=egress,
    )


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
class GrafanaArgs:
    """What Grafana needs.

    Attributes:
        context: Deployment context.
        scrape: Its metrics endpoint.
        replicas: Pods, 2 or more (at creation, where ``autoscale`` is set).
        resources: Of each pod.
        address: Load balancer address to ask for, or None.
        client_cidrs: Networks of people and tools.
        load_balancer: What the cloud's load balancer is told.
        hosts: Host names of the load balancer, for the certificate; browsers are sent to the first.
        database: Where content and sessions are.
        connections: Connections of one replica to the database, at most.
        directory: The directory that people are in; None: the administrator alone signs in, or who ``oidc`` lets in.
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
    load_balancer: LoadBalancerOptions
    database: DatabaseEndpoint
    directory: Directory | None
    directory_secrets: pulumi.Input[Mapping[str, Any]] | None
    query: QueryEndpoint
    alertmanager: AlertmanagerEndpoint
    alerts_user: Credential | None = None
    logs: Logs | None = None
    traces: TraceReaderEndpoint | None = None
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


TOKEN = "obs:grafana:Grafana"  # noqa: S105  (a type token)
ADMINISTRATOR = "platform-administrator"
"""The account that makes the content. Nobody in the directory may have this name."""


class Grafana(pulumi.ComponentResource):
    """Equal replicas behind a load balancer, over one database.

    Attributes:
        endpoint: Where people and tools reach it, and the account that makes the content.
        scrape: Its metrics.
    """

    endpoint: GrafanaEndpoint
    scrape: ScrapeTarget

    def __init__(self, name: str, args: GrafanaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        context, sources = args.context, args.sources()
        self.scrape = args.scrape
        administrator = credential(self, name=f"{WORKLOAD}-administrator", username=ADMINISTRATOR)
        tls = certificate(self, context, workload=WORKLOAD, hosts=args.hosts, addresses=[args.address])
        headless_service(self, context, workload=WORKLOAD, ports={naming.METRICS_PORT: PORT})
        grafana_network(
            self,
            context,
            clients=args.client_cidrs,
            database=args.database,
            directory=args.directory,
            sources=sources,
            oidc=args.oidc.endpoint if args.oidc else None,
        )
        labels = [
            args.database.access_label,
            *(source.access_label for source in sources),
        ]
        pods = stateful_set(
            self,
            context,
            Workload(
                name=WORKLOAD,
                replicas=args.replicas,
                containers=[grafana_container(args.resources, directory=args.directory is not None)],
                volumes=[*self._files(args, sources), self._secrets(args, sources, administrator), Volume(name="data")],
                tls=tls,
                access=list(dict.fromkeys(label for label in labels if label)),
                grace_s=45,
                autoscale=args.autoscale,
            ),
            parallel=False,
            after=args.database.after,
            timeout="15m",
        )
        service = load_balancer(
            self,
            context,
            workload=WORKLOAD,
            name=WORKLOAD,
            ports={"https": PORT},
            address=args.address,
            source_ranges=args.client_cidrs,
            options=args.load_balancer,
        )
        self.endpoint = GrafanaEndpoint(
            url=args.url,
            internal_url=f"https://{context.host(WORKLOAD)}:{PORT}",
            port=PORT,
            server_name=context.host(WORKLOAD),
            access_label=naming.access_label(WORKLOAD),
            administrator=administrator,
            after=(pods, service),
        )
        self.register_outputs({"pods": pods.id, "service": service.id, "url": self.endpoint.url})

    def _files(self, args: GrafanaArgs, sources: Sequence[Source]) -> list[Volume]:
        """What anybody may read: every password in them is the name of a file."""
        config = grafana_config(
            GrafanaConfig(
                url=args.url,
                database=args.database,
                connections=args.connections,
                administrator=ADMINISTRATOR,
                scraper=self.scrape.credential.username,
                sources=[source.address for source in sources],
                oidc=args.oidc,
                directory=args.directory is not None,
            )
        )
        files = config_files(
            self,
            args.context,
            name=WORKLOAD,
            workload=WORKLOAD,
            files={process.INI_FILE: ini_text(config), **_directory_file(args)},
        )
        provisioned = config_files(
            self,
            args.context,
            name=f"{WORKLOAD}-sources",
            workload=WORKLOAD,
            files={process.SOURCES_FILE: yaml.safe_dump(sources_config(sources), sort_keys=False)},
        )
        return [Volume(name="config", files=files), Volume(name="sources", files=provisioned)]

    def _secrets(self, args: GrafanaArgs, sources: Sequence[Source], administrator: Credential) -> Volume:
        key = random_key(self, f"{WORKLOAD}-secret-key")
        files = secret_files(
            self,
            args.context,
            name=f"{WORKLOAD}-secrets",
            workload=WORKLOAD,
            files={
                process.ADMINISTRATOR_SECRET: administrator.password,
                process.DATABASE_SECRET: args.database.user.password,
                **({process.DATABASE_AUTHORITY: args.database.authority} if args.database.authority else {}),
                process.KEY_SECRET: key,
                process.METRICS_SECRET: self.scrape.credential.password,
                **(directory_files(args.directory_secrets) if args.directory_secrets is not None else {}),
                **{source.secret: source.user.password for source in sources if source.user},
                **(oidc_files(args.oidc.endpoint) if args.oidc else {}),
            },
        )
        return Volume(name="secrets", files=files)


def _directory_file(args: GrafanaArgs) -> dict[str, pulumi.Output[str]]:
    """``ldap.toml``, where people are in a directory."""
    directory, secrets = args.directory, args.directory_secrets
    if directory is None or secrets is None:
        return {}
    return {
        process.LDAP_FILE: has_authority(secrets).apply(
            lambda private: toml(ldap_config(directory, private_authority=private))
        )
    }
