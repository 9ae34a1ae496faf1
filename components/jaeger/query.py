"""Jaeger's queries, one per clearance, each behind a login of its own (requirements J2, J3).

The query listens on the loopback address of its pod; the only way in is the oauth2-proxy beside it
(`components.login_proxy`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components import login_proxy, naming
from components.collector.config import METRICS_PORT, rendered
from components.collector.pods import htpasswd
from components.contracts import OidcEndpoint, ScrapeTarget, SearchEndpoint, TraceQueryEndpoint
from components.jaeger.config import QUERY_PORT, QueryConfig, SearchClient, jaeger_container, query_config
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
    deployment,
    headless_service,
    load_balancer,
    network,
    network_policy,
    secret_files,
    with_access,
    workload_pods,
)
from components.login_proxy import (
    OAUTH_PORT,
    PORTS,
    OauthConfig,
    any_of,
    begins,
    login_files,
    login_url,
    oauth_command,
    proxy_container,
    request_template,
    says,
    to_provider,
    whole,
    with_id,
)
from components.telemetry.attributes import clearances

_TRACE_ID = 32
_QUERIES = (
    *("/api/services", "/api/operations", "/api/dependencies", "/api/metrics/", "/api/quality-metrics"),
    *("/api/v3/services", "/api/v3/operations", "/api/v3/dependencies"),
)
"""What paths of the API begin with that tell of services, and show no trace."""
_PAGES = (
    *("/", "/search", "/dependencies", "/deep-dependencies", "/monitor", "/quality-metrics", "/favicon.ico"),
    *("/robots.txt", *login_proxy.PAGES),
)
"""Paths of Jaeger's UI and of the proxy that show nothing of a trace; the UI asks the API for what a page shows."""
_PAGES_BELOW = ("/trace/", "/static/", *login_proxy.PAGES_BELOW)
"""What such paths begin with. The proxy answers a path that leads out of them ("..") with where it leads to."""
REQUESTS = request_template(
    (
        *(with_id(path, "trace", _TRACE_ID) for path in ("/api/traces/", "/api/v3/traces/")),
        *(says(begins(path), "search") for path in ("/api/traces", "/api/v3/traces")),
        says(any_of(map(begins, _QUERIES)), "query"),
        says(any_of((*map(whole, _PAGES), *map(begins, _PAGES_BELOW))), "page"),
    )
)
"""What a request is about, for the audit log: which trace, a search, a query, a page, or ``other``."""


TOKEN = "obs:jaeger:JaegerQuery"  # noqa: S105  (a type token)


@dataclass(frozen=True, kw_only=True)
class JaegerQueryArgs:
    """What the query of one clearance needs.

    Attributes:
        context: Deployment context.
        scrape: Its metrics endpoint.
        clearance: Most restricted class that it shows.
        search: Where spans are read from; its users include this query's.
        oidc: Where people sign in.
        groups: Class -> groups that are cleared for it (and so for the classes before it).
        replicas: Pods (at creation, where ``autoscale`` is set).
        resources: Of each query.
        proxy_resources: Of each oauth2-proxy.
        address: Load balancer address to ask for, or None.
        client_cidrs: Networks that may ask.
        load_balancer: What the cloud's load balancer is told.
        hosts: Host names of the load balancer, for the certificate.
        autoscale: Bounds of the autoscaler, or None.
    """

    context: DeploymentContext
    scrape: ScrapeTarget
    clearance: str
    search: SearchEndpoint
    oidc: OidcEndpoint
    groups: Mapping[str, Sequence[str]]
    replicas: int
    resources: Resources
    proxy_resources: Resources
    address: str | None
    client_cidrs: Sequence[str]
    load_balancer: LoadBalancerOptions
    hosts: Sequence[str] = ()
    autoscale: Autoscale | None = None


def query_workload(clearance: str) -> str:
    """Workload (and Service, and search user) of the query of a clearance."""
    return f"jaeger-query-{clearance}"


def query_url(context: DeploymentContext, clearance: str, address: str | None, hosts: Sequence[str] = ()) -> str:
    """Where browsers reach the query of a clearance."""
    host = hosts[0] if hosts else address or context.host(query_workload(clearance))
    return login_url(host)


def allowed_groups(clearance: str, groups: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Groups that may use the query of a clearance: those cleared for its class or for a more restricted one."""
    return tuple(dict.fromkeys(group for name in clearances(clearance) for group in groups.get(name, ())))


class JaegerQuery(pulumi.ComponentResource):
    """UI and API of the traces of one clearance.

    Attributes:
        endpoint: Where to read, and who may.
        scrape: Its own metrics.
    """

    endpoint: TraceQueryEndpoint
    scrape: ScrapeTarget

    def __init__(self, name: str, args: JaegerQueryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        context, workload = args.context, query_workload(args.clearance)
        groups = allowed_groups(args.clearance, args.groups)
        url = query_url(context, args.clearance, args.address, args.hosts)
        self.scrape = args.scrape
        self.endpoint = TraceQueryEndpoint(clearance=args.clearance, workload=workload, url=url, groups=groups)
        tls = certificate(self, context, workload=workload, hosts=args.hosts, addresses=[args.address])
        headless_service(self, context, workload=workload, ports={naming.METRICS_PORT: METRICS_PORT})
        network_policy(
            self,
            context,
            workload=workload,
            ingress=[
                Allow(
                    peers=[with_access(naming.access_label(workload)), *(network(cidr) for cidr in args.client_cidrs)],
                    ports=[OAUTH_PORT],
                ),
                Allow(peers=[with_access(naming.METRICS_ACCESS)], ports=[METRICS_PORT]),
            ],
            egress=[
                Allow(peers=[workload_pods(args.search.workload)], ports=[args.search.port]),
                to_provider(args.oidc),
            ],
        )
        proxy = OauthConfig(
            issuer=args.oidc.issuer,
            client_id=args.oidc.client_id,
            url=url,
            upstream=f"http://127.0.0.1:{QUERY_PORT}/",
            groups=groups,
            cookie_name=workload,
            requests=REQUESTS,
            private_authority=bool(args.oidc.authority),
        )
        pods = deployment(
            self,
            context,
            Workload(
                name=workload,
                replicas=args.replicas,
                containers=[
                    jaeger_container("jaeger", args.resources, {}),
                    proxy_container(oauth_command(proxy), args.proxy_resources),
                ],
                volumes=self._volumes(args, workload),
                tls=tls,
                access=[args.search.access_label],
                grace_s=45,
                autoscale=args.autoscale,
                certificate_at_start=True,
            ),
            after=args.search.after,
        )
        service = load_balancer(
            self,
            context,
            workload=workload,
            name=workload,
            ports=PORTS,
            address=args.address,
            source_ranges=args.client_cidrs,
            options=args.load_balancer,
        )
        self.register_outputs({"pods": pods.id, "service": service.id, "url": url})

    def _volumes(self, args: JaegerQueryArgs, workload: str) -> Sequence[Volume]:
        search = SearchClient(url=args.search.url, user=args.search.users[workload].username)
        config = rendered(query_config(QueryConfig(search=search, clearance=args.clearance)))
        public = config_files(self, args.context, name=workload, workload=workload, files={"config.yaml": config})
        scrape = self.scrape.credential
        secret = secret_files(
            self,
            args.context,
            name=f"{workload}-auth",
            workload=workload,
            files={
                "scrape.htpasswd": pulumi.Output.all(**{scrape.username: scrape.password}).apply(htpasswd),
                "search-password": args.search.users[workload].password,
            },
        )
        return [
            Volume(name="config", files=public),
            Volume(name="auth", files=secret),
            login_files(self, args.context, workload=workload, oidc=args.oidc),
        ]
