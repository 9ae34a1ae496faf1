"""Jaeger's query for Grafana: a password instead of a browser's login (requirements G1, J3; docs/adr/0023).

Who is logged in at Grafana reads through it, whoever they are, so its clearance is one that all of Grafana's groups
have. Only pods with its access label reach it; nothing leads to it from outside.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components import naming
from components.collector.config import METRICS_PORT, Data, merged, rendered, server_tls
from components.collector.passwords import htpasswd
from components.contracts import Credential, ScrapeTarget, SearchEndpoint
from components.jaeger.config import QUERY_PORT, QueryConfig, query_config
from components.jaeger.process import AUTH_DIRECTORY, SearchClient, jaeger_container
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
        scrape: Its metrics endpoint.
        clearance: Most restricted class that it shows.
        search: Where spans are read from; its users include this query's, with the same clearance.
        replicas: Pods.
        resources: Of each pod.
    """

    context: DeploymentContext
    scrape: ScrapeTarget
    clearance: str
    search: SearchEndpoint
    replicas: int
    resources: Resources


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


class JaegerReader(pulumi.ComponentResource):
    """API of the traces of one clearance, for programs of the platform.

    Attributes:
        url: Where it is inside the cluster.
        access_label: Label that a client pod needs.
        user: May read.
        scrape: Its own metrics.
    """

    url: str
    access_label: str
    user: Credential
    scrape: ScrapeTarget

    def __init__(self, name: str, args: JaegerReaderArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        context = args.context
        self.scrape = args.scrape
        self.user = credential(self, name=f"{WORKLOAD}-grafana", username="grafana")
        self.url = f"https://{context.host(WORKLOAD)}:{QUERY_PORT}"
        self.access_label = naming.access_label(WORKLOAD)
        headless_service(self, context, workload=WORKLOAD, ports={naming.METRICS_PORT: METRICS_PORT})
        service = cluster_service(self, context, workload=WORKLOAD, ports={"https": QUERY_PORT})
        network_policy(
            self,
            context,
            workload=WORKLOAD,
            ingress=[
                Allow(peers=[with_access(self.access_label)], ports=[QUERY_PORT]),
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
        self.register_outputs({"pods": pods.id, "service": service.id, "url": self.url})

    def _volumes(self, args: JaegerReaderArgs) -> list[Volume]:
        store = args.search.users[WORKLOAD]
        search = SearchClient(url=args.search.url, user=store.username)
        config = rendered(reader_config(QueryConfig(search=search, clearance=args.clearance)))
        public = config_files(self, args.context, name=WORKLOAD, workload=WORKLOAD, files={"config.yaml": config})
        scraper = self.scrape.credential
        secret = secret_files(
            self,
            args.context,
            name=f"{WORKLOAD}-auth",
            workload=WORKLOAD,
            files={
                "scrape.htpasswd": pulumi.Output.all(**{scraper.username: scraper.password}).apply(htpasswd),
                "reader.htpasswd": pulumi.Output.all(**{self.user.username: self.user.password}).apply(htpasswd),
                "search-password": store.password,
            },
        )
        return [Volume(name="config", files=public), Volume(name="auth", files=secret)]
