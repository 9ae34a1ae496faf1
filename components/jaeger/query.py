"""Jaeger's queries, one per clearance, each behind a login of its own (requirements J2, J3): an oauth2-proxy.

A request is let through with a session cookie from an OpenID Connect login (authorization code with PKCE), or with a
bearer token of the same provider whose audience is our client. Either way its groups must include an allowed one: the
proxy asks that of every request, for pages and API alike, and answers 403 otherwise.

The query listens on the loopback address of its pod; the only way in is the oauth2-proxy beside it. The proxy's own
metrics are off: it can serve them with TLS, but not with a password.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components import naming
from components.collector.config import METRICS_PORT, TLS_DIRECTORY, rendered
from components.collector.pods import htpasswd
from components.contracts import OidcEndpoint, ScrapeTarget, SearchEndpoint, TraceQueryEndpoint
from components.jaeger.config import QUERY_PORT, QueryConfig, SearchClient, jaeger_container, query_config
from components.k8s import (
    Allow,
    Autoscale,
    Container,
    DeploymentContext,
    LoadBalancerOptions,
    Mount,
    Probe,
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
    random_key,
    secret_files,
    with_access,
    workload_pods,
)
from components.telemetry.attributes import clearances

OAUTH_PORT = 4180
SECRETS_DIRECTORY = "/etc/oauth2-proxy"
CLIENT_SECRET = f"{SECRETS_DIRECTORY}/client-secret"
COOKIE_SECRET = f"{SECRETS_DIRECTORY}/cookie-secret"
PROVIDER_AUTHORITY = f"{SECRETS_DIRECTORY}/provider-ca.crt"
CALLBACK_PATH = "/oauth2/callback"
READY_PATH = "/ready"
PING_PATH = "/ping"
SESSION = "1h"
"""How long a login lasts: so long does somebody who lost a group keep what it allowed."""
_NAME = '{{printf "%q" .Username}}'
_TRACE_ID = 32
_QUERIES = (
    *("/api/services", "/api/operations", "/api/dependencies", "/api/metrics/", "/api/quality-metrics"),
    *("/api/v3/services", "/api/v3/operations", "/api/v3/dependencies"),
)
"""What paths of the API begin with that tell of services, and show no trace."""
_PAGES = (
    *("/", "/search", "/dependencies", "/deep-dependencies", "/monitor", "/quality-metrics", "/favicon.ico"),
    *("/robots.txt", PING_PATH, READY_PATH, CALLBACK_PATH, "/oauth2/start", "/oauth2/sign_in", "/oauth2/sign_out"),
)
"""Paths of Jaeger's UI and of the proxy that show nothing of a trace; the UI asks the API for what a page shows."""
_PAGES_BELOW = ("/trace/", "/static/", "/oauth2/static/")
"""What such paths begin with. The proxy answers a path that leads out of them ("..") with where it leads to."""


def _target() -> str:
    """What a request is about, for the audit log (`services.audit.sources`): which trace, a query, a page, or `other`.

    Only known paths are queries, or pages, which the audit log leaves out: Jaeger decodes paths, so that of a trace can
    be written in many ways. Queries may name people, devices or places, so nothing else of a path stays in the log. The
    proxy gives templates the path in quotation marks; templates can cut a text, and cannot search in it.
    """

    def begins(path: str) -> str:
        return f'eq (printf "%.{len(path) + 1}s" .RequestURI) "\\"{path}"'

    def whole(path: str) -> str:
        return f'eq (printf "%.{len(path) + 2}s" .RequestURI) "\\"{path}\\"" "\\"{path}?"'

    def trace(path: str) -> str:
        """The id where it is of full length and the path ends with it."""
        first = len(path) + 1
        after = first + _TRACE_ID
        cut = f'(printf "%.{after + 1}s" .RequestURI)'
        ends = f'or (eq (len .RequestURI) {after + 1}) (eq (slice {cut} {after}) "?")'
        return (
            f"{begins(path)}}}}}trace:{{{{if and (gt (len .RequestURI) {after}) ({ends})}}}}"
            f"{{{{slice {cut} {first} {after}}}}}{{{{else}}}}other{{{{end}}}}"
        )

    searches = (f"{begins(path)}}}}}search" for path in ("/api/traces", "/api/v3/traces"))
    queries = " ".join(f"({begins(path)})" for path in _QUERIES)
    pages = " ".join(f"({test})" for test in (*map(whole, _PAGES), *map(begins, _PAGES_BELOW)))
    branches = (
        *(trace("/api/traces/"), trace("/api/v3/traces/"), *searches),
        *(f"or {queries}}}}}query", f"or {pages}}}}}page"),
    )
    return "{{if " + "{{else if ".join(branches) + "{{else}}other{{end}}"


_TARGET = _target()


@dataclass(frozen=True, kw_only=True)
class OauthConfig:
    """What an oauth2-proxy's command line depends on.

    Attributes:
        issuer: Issuer URL of the provider.
        client_id: Our client there; the audience that tokens must have.
        url: Where browsers reach this proxy, without a path.
        upstream: The query, on the loopback address.
        groups: Groups whose members are let in.
        cookie_name: Name of the session cookie, without its prefix.
        private_authority: Whether the provider's certificate is signed by the authority in `PROVIDER_AUTHORITY`, else
            by a public one.
        listen: Address and port to listen on.
        tls_directory: Folder with ``tls.crt``, ``tls.key`` and ``ca.crt``.
        client_secret: File with the client's password.
        cookie_secret: File with the key of the session cookies, 32 characters.
        provider_authority: File with the provider's authority.
    """

    issuer: str
    client_id: str
    url: str
    upstream: str
    groups: Sequence[str]
    cookie_name: str
    private_authority: bool
    listen: str = f"0.0.0.0:{OAUTH_PORT}"
    tls_directory: str = TLS_DIRECTORY
    client_secret: str = CLIENT_SECRET
    cookie_secret: str = COOKIE_SECRET
    provider_authority: str = PROVIDER_AUTHORITY

    def __post_init__(self) -> None:
        if not self.groups or not all(self.groups):
            raise ValueError(
                f"groups of {self.url} are {list(self.groups)!r}: without a group everybody would be let in"
            )


def oauth_options(settings: OauthConfig) -> dict[str, str | list[str]]:
    """Option -> value of the proxy."""
    trust: dict[str, str | list[str]] = (
        {"provider-ca-file": settings.provider_authority}
        if settings.private_authority
        else {"use-system-trust-store": "true"}
    )
    return {
        "provider": "oidc",
        "oidc-issuer-url": settings.issuer,
        "client-id": settings.client_id,
        "client-secret-file": settings.client_secret,
        "code-challenge-method": "S256",
        "insecure-oidc-skip-nonce": "false",
        "oidc-enabled-signing-alg": ["ES256", "RS256"],
        "scope": "openid email profile groups",
        "oidc-groups-claim": "groups",
        "allowed-group": list(settings.groups),
        "email-domain": "*",
        **trust,
        "redirect-url": f"{settings.url}{CALLBACK_PATH}",
        "upstream": settings.upstream,
        "http-address": "",
        "https-address": settings.listen,
        "tls-cert-file": f"{settings.tls_directory}/tls.crt",
        "tls-key-file": f"{settings.tls_directory}/tls.key",
        "tls-min-version": "TLS1.2",
        # "__Host-": browsers take it only when it is secure, for this very host, and for all its paths.
        "cookie-name": f"__Host-{settings.cookie_name}",
        "cookie-secret-file": settings.cookie_secret,
        "cookie-secure": "true",
        "cookie-httponly": "true",
        "cookie-samesite": "lax",
        "cookie-expire": SESSION,
        "cookie-refresh": "0",
        "session-cookie-minimal": "true",
        "skip-provider-button": "true",
        "skip-jwt-bearer-tokens": "true",
        "bearer-token-login-fallback": "false",
        "api-route": "^/api/",
        "pass-basic-auth": "false",
        "pass-user-headers": "false",
        "pass-access-token": "false",
        "pass-authorization-header": "false",
        "set-xauthrequest": "false",
        "skip-auth-strip-headers": "true",
        "reverse-proxy": "false",
        "proxy-websockets": "false",
        "show-debug-on-error": "false",
        "silence-ping-logging": "true",
        "request-logging-format": "access {{.Client}} {{.RequestID}} {{.RequestMethod}} {{.StatusCode}} "
        "{{.RequestDuration}} " + f"{_NAME} {_TARGET}",
        "auth-logging-format": "login {{.Client}} {{.RequestID}} " + _NAME + ' [{{.Status}}] {{printf "%q" .Message}}',
        # What a client makes the proxy tell of an error is one line, so that it cannot look like an access.
        "standard-logging-format": '[{{.Timestamp}}] [{{.File}}] {{printf "%q" .Message}}',
        "metrics-address": "",
    }


def oauth_command(settings: OauthConfig, program: str = "/bin/oauth2-proxy") -> list[str]:
    """The command line that starts the proxy."""
    arguments = [program]
    for name, value in oauth_options(settings).items():
        arguments += [f"--{name}={argument}" for argument in ([value] if isinstance(value, str) else value)]
    return arguments


TOKEN = "obs:jaeger:JaegerQuery"  # noqa: S105  (a type token)
PROXY = "oauth2-proxy"
"""Container of the login, whose log tells who read what."""

_PORTS = {"https": OAUTH_PORT}


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
    return f"https://{host}:{OAUTH_PORT}"


def callback_url(url: str) -> str:
    """Where the provider sends browsers back to; it has to be registered with the client."""
    return f"{url}{CALLBACK_PATH}"


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
                Allow(peers=[network(cidr) for cidr in args.oidc.networks], ports=[args.oidc.port]),
            ],
        )
        proxy = OauthConfig(
            issuer=args.oidc.issuer,
            client_id=args.oidc.client_id,
            url=url,
            upstream=f"http://127.0.0.1:{QUERY_PORT}/",
            groups=groups,
            cookie_name=workload,
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
                    _proxy(oauth_command(proxy), args.proxy_resources),
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
            ports=_PORTS,
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
        # 32 characters: oauth2-proxy takes them as the key of AES-256 as they are.
        cookies = random_key(self, f"{workload}-cookies")
        login = secret_files(
            self,
            args.context,
            name=f"{workload}-login",
            workload=workload,
            files={
                "client-secret": pulumi.Output.secret(args.oidc.client_secret),
                "cookie-secret": cookies,
                **({"provider-ca.crt": args.oidc.authority} if args.oidc.authority else {}),
            },
        )
        return [
            Volume(name="config", files=public),
            Volume(name="auth", files=secret),
            Volume(name="login", files=login),
        ]


def _proxy(command: Sequence[str], resources: Resources) -> Container:
    return Container(
        name=PROXY,
        image="oauth2-proxy",
        command=command,
        resources=resources,
        ports=_PORTS,
        mounts=[Mount(volume="login", path=SECRETS_DIRECTORY)],
        startup=Probe(http=PING_PATH, port=OAUTH_PORT, https=True, period_s=2, failures=90),
        liveness=Probe(http=PING_PATH, port=OAUTH_PORT, https=True, period_s=10, failures=6),
        readiness=Probe(http=READY_PATH, port=OAUTH_PORT, https=True, period_s=5, failures=2),
        pre_stop_sleep_s=5,
    )
