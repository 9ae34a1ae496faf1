"""A personal login in front of the metrics' read address and of Alertmanager (ADR 80): an oauth2-proxy of each.

Neither server knows people, nor logs who asks. So people come by `components.login_proxy`, which has a login of its own
at the server, that no browser ever sees. Programs have logins of their own, and ask the servers themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import yaml

from components import login_proxy, naming
from components.contracts import OidcEndpoint, PersonalLogin
from components.k8s import (
    Allow,
    DeploymentContext,
    LoadBalancerOptions,
    Mount,
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
    with_access,
    workload_pods,
)
from components.login_proxy import (
    OAUTH_PORT,
    PORTS,
    STRUCTURED,
    OauthConfig,
    any_of,
    begins,
    login_files,
    proxy_container,
    request_template,
    says,
    structured_command,
    structured_config,
    to_provider,
    whole,
    with_id,
)

TOKEN = "obs:signin:SignIn"  # noqa: S105  (a type token)
METRICS_LOGIN, ALERTS_LOGIN = LOGINS = ("metrics-login", "alerts-login")
"""Workloads; their pods serve no metrics (`components.login_proxy`): the prober looks at each."""
_SILENCE_ID = 36
_STRUCTURED_VOLUME = "structured"


def _pages(paths: Sequence[str], below: Sequence[str]) -> str:
    tests = (*map(whole, (*paths, *login_proxy.PAGES)), *map(begins, (*below, *login_proxy.PAGES_BELOW)))
    return says(any_of(tests), "page")


METRICS_REQUESTS = request_template(
    (
        says(begins("/api/v1/query"), "query"),
        says(any_of(map(begins, ("/api/v1/series", "/api/v1/label", "/api/v1/metadata"))), "metadata"),
        _pages(
            (
                *("/", "/graph", "/stores", "/targets", "/rules", "/alerts", "/status", "/tsdb-status", "/flags"),
                *("/favicon.ico", "/manifest.json", "/-/healthy", "/-/ready"),
            ),
            ("/static/",),
        ),
    )
)
"""What a request to Thanos Query is about: a query, what series there are, a page, or ``other``."""
ALERTS_REQUESTS = request_template(
    (
        with_id("/api/v2/silence/", "silence", _SILENCE_ID),
        says(begins("/api/v2/silences"), "silences"),
        says(begins("/api/v2/alerts"), "alerts"),
        says(any_of(map(begins, ("/api/v2/status", "/api/v2/receivers"))), "status"),
        _pages(("/", "/script.js", "/favicon.ico", "/-/healthy", "/-/ready"), ("/lib/",)),
    )
)
"""What a request to Alertmanager is about: which silence, all of them, alerts, its status, a page, or ``other``."""
REQUESTS = {METRICS_LOGIN: METRICS_REQUESTS, ALERTS_LOGIN: ALERTS_REQUESTS}


@dataclass(frozen=True, kw_only=True)
class Protected:
    """The server that a login is in front of.

    Attributes:
        workload: Its workload (the peer of the egress NetworkPolicy).
        url: Where it is inside the cluster.
        port: Its port.
        access_label: Label that a client pod needs.
    """

    workload: str
    url: str
    port: int
    access_label: str


@dataclass(frozen=True, kw_only=True)
class SignInArgs:
    """What a login needs.

    Attributes:
        context: Deployment context.
        login: Where people reach it, and its own login at the server.
        protected: The server.
        oidc: Where people sign in.
        groups: Groups whose members are let in.
        replicas: Pods.
        resources: Of each pod.
        host: Host name or address of the load balancer.
        address: Load balancer address to ask for, or None.
        client_cidrs: Networks that people come from.
        load_balancer: What the cloud's load balancer is told.
    """

    context: DeploymentContext
    login: PersonalLogin
    protected: Protected
    oidc: OidcEndpoint
    groups: Sequence[str]
    replicas: int
    resources: Resources
    host: str
    address: str | None
    client_cidrs: Sequence[str]
    load_balancer: LoadBalancerOptions


class SignIn(pulumi.ComponentResource):
    """A login in front of one server; its name is that of the workload: `METRICS_LOGIN` or `ALERTS_LOGIN`."""

    def __init__(self, name: str, args: SignInArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        context, protected = args.context, args.protected
        tls = certificate(self, context, workload=name, hosts=[args.host], addresses=[args.address])
        headless_service(self, context, workload=name, ports=PORTS)
        network_policy(
            self,
            context,
            workload=name,
            ingress=[
                Allow(
                    peers=[with_access(naming.access_label(name)), *(network(cidr) for cidr in args.client_cidrs)],
                    ports=[OAUTH_PORT],
                )
            ],
            egress=[Allow(peers=[workload_pods(protected.workload)], ports=[protected.port]), to_provider(args.oidc)],
        )
        proxy = OauthConfig(
            issuer=args.oidc.issuer,
            client_id=args.oidc.client_id,
            url=args.login.url,
            upstream=protected.url,
            groups=args.groups,
            cookie_name=name,
            requests=REQUESTS[name],
            private_authority=bool(args.oidc.authority),
        )
        folder, _, file = STRUCTURED.rpartition("/")
        structured = yaml.safe_dump(structured_config(proxy), sort_keys=False, width=120)
        public = config_files(self, context, name=name, workload=name, files={file: structured})
        pods = deployment(
            self,
            context,
            Workload(
                name=name,
                replicas=args.replicas,
                containers=[
                    proxy_container(
                        structured_command(proxy), args.resources, [Mount(volume=_STRUCTURED_VOLUME, path=folder)]
                    )
                ],
                volumes=[
                    Volume(name=_STRUCTURED_VOLUME, files=public),
                    login_files(self, context, workload=name, oidc=args.oidc, upstream=args.login.credential),
                ],
                tls=tls,
                access=[protected.access_label],
                grace_s=45,
                certificate_at_start=True,
            ),
        )
        service = load_balancer(
            self,
            context,
            workload=name,
            name=name,
            ports=PORTS,
            address=args.address,
            source_ranges=args.client_cidrs,
            options=args.load_balancer,
        )
        self.register_outputs({"pods": pods.id, "service": service.id, "url": args.login.url})
