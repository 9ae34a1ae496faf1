"""Jaeger's query for Grafana: a password instead of a browser's login (requirements G1, J3; docs/adr/0023).

Who is logged in at Grafana reads through it, whoever they are, so its clearance is one that all of Grafana's groups
have. Only pods with its access label reach it; nothing leads to it from outside.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components import naming
from components.collector.config import METRICS_PORT, Data, merged, rendered, server_tls
from components.collector.pods import htpasswd
from components.contracts import Credential, ScrapeTarget, SearchEndpoint, TraceReaderEndpoint
from components.jaeger.config import (
    AUTH_DIRECTORY,
    QUERY_PORT,
    QueryConfig,
    SearchClient,
    jaeger_container,
    query_config,
)
from components.k8s import (
    Allow,
    DeploymentContext,
    Resources,
    Volume,
    Workload,
    certificate,
    cluster_service,
    config_files,
    credential,
    deployment,
    headless_service,
    network_policy,
    secret_files,
    with_access,
    workload_pods,
)

TOKEN = "obs:jaeger:JaegerReader"  # noqa: S105  (a type token)
WORKLOAD = "jaeger-reader"
"""Workload and search user."""
_AUTH = "basicauth/reader"
_HTPASSWD = f"{AUTH_DIRECTORY}/reader.htpasswd"


@dataclass(frozen=True, kw_only=True)
class JaegerReaderArgs:
    """What the query for Grafana needs.

    Attributes:
        context: Deployment context.
        endpoint: Where it answers: `trace_reader_endpoint`.
        scrape: Its metrics endpoint.
        clearance: Most restricted class that it shows.
        search: Where spans are read from; its users include this query's, with the same clearance.
        replicas: Pods.
        resources: Of each pod.
    """

    context: DeploymentContext
    endpoint: TraceReaderEndpoint
    scrape: ScrapeTarget
    clearance: str
    search: SearchEndpoint
    replicas: int
    resources: Resources

    @property
    def user(self) -> Credential:
        """Who may ask.

        Raises:
            ValueError: The endpoint has none, and this query knows passwords only.
        """
        if self.endpoint.user is None:
            raise ValueError("traces.reader has no user: give its endpoint one, since it asks for a password")
        return self.endpoint.user


def reader_config(settings: QueryConfig, htpasswd_file: str = _HTPASSWD) -> Data:
    """A query's configuration with TLS and a password in front of it.

    Args:
        settings: As for a query behind a proxy.
        htpasswd_file: Who may ask.
    """
    config = merged(
        query_config(settings),
        {"extensions": {_AUTH: {"htpasswd": {"file": htpasswd_file}}}, "service": {"extensions": [_AUTH]}},
    )
    config["extensions"]["jaeger_query"]["http"] = {
        "endpoint": f"0.0.0.0:{QUERY_PORT}",
        "tls": server_tls(settings.tls_directory),
        "auth": {"authenticator": _AUTH},
    }
    return config


def trace_reader_endpoint(parent: pulumi.Resource, context: DeploymentContext) -> TraceReaderEndpoint:
    """Where the query for Grafana will be, with Grafana's password.

    Args:
        parent: Component that owns the password.
        context: Deployment context.
    """
    return TraceReaderEndpoint(
        url=f"https://{context.host(WORKLOAD)}:{QUERY_PORT}",
        access_label=naming.access_label(WORKLOAD),
        user=credential(parent, name=f"{WORKLOAD}-grafana", username="grafana"),
    )


class JaegerReader(pulumi.ComponentResource):
    """API of the traces of one clearance, for programs of the platform.

    Attributes:
        scrape: Its own metrics.
    """

    scrape: ScrapeTarget

    def __init__(self, name: str, args: JaegerReaderArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        context = args.context
        self.scrape = args.scrape
        headless_service(self, context, workload=WORKLOAD, ports={naming.METRICS_PORT: METRICS_PORT})
        service = cluster_service(self, context, workload=WORKLOAD, ports={"https": QUERY_PORT})
        network_policy(
            self,
            context,
            workload=WORKLOAD,
            ingress=[
                Allow(peers=[with_access(args.endpoint.access_label)], ports=[QUERY_PORT]),
                Allow(peers=[with_access(naming.METRICS_ACCESS)], ports=[METRICS_PORT]),
            ],
            egress=[Allow(peers=[workload_pods(args.search.workload)], ports=[args.search.port])],
        )
        pods = deployment(
            self,
            context,
            Workload(
                name=WORKLOAD,
                replicas=args.replicas,
                containers=[jaeger_container("jaeger", args.resources, {"https": QUERY_PORT})],
                volumes=self._volumes(args),
                tls=certificate(self, context, workload=WORKLOAD),
                access=[args.search.access_label],
            ),
            after=args.search.after,
        )
        self.register_outputs({"pods": pods.id, "service": service.id, "url": args.endpoint.url})

    def _volumes(self, args: JaegerReaderArgs) -> list[Volume]:
        store = args.search.users[WORKLOAD]
        search = SearchClient(url=args.search.url, user=store.username)
        config = rendered(reader_config(QueryConfig(search=search, clearance=args.clearance)))
        public = config_files(self, args.context, name=WORKLOAD, workload=WORKLOAD, files={"config.yaml": config})
        scraper, reader = self.scrape.credential, args.user
        secret = secret_files(
            self,
            args.context,
            name=f"{WORKLOAD}-auth",
            workload=WORKLOAD,
            files={
                "scrape.htpasswd": pulumi.Output.all(**{scraper.username: scraper.password}).apply(htpasswd),
                "reader.htpasswd": pulumi.Output.all(**{reader.username: reader.password}).apply(htpasswd),
                "search-password": store.password,
            },
        )
        return [Volume(name="config", files=public), Volume(name="auth", files=secret)]
