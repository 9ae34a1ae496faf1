"""A personal login in front of a server: an oauth2-proxy, which signs people in by OpenID Connect.

A request is let through with a session cookie from a login (authorization code with PKCE), or with a bearer token of
the same provider whose audience is our client. Either way its groups must include an allowed one: the proxy asks that
of every request, for pages and API alike, and answers 403 otherwise. Each request is a line of its log, which the audit
log reads (`services.audit.login_proxies`).

The proxy's own metrics are off: it can serve them with TLS, but not with a password.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pulumi

from components.contracts import Credential, OidcEndpoint
from components.k8s import (
    TLS_MOUNT,
    Allow,
    Container,
    DeploymentContext,
    Mount,
    Probe,
    Resources,
    Volume,
    network,
    random_key,
    secret_files,
)

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
PROXY = "oauth2-proxy"
"""Container of the login, whose log tells who read what."""
PORT_NAME: Final = "https"
PORTS: Final = {PORT_NAME: OAUTH_PORT}
LOGIN_VOLUME: Final = "login"
_NAME = '{{printf "%q" .Username}}'
PAGES: Final = (PING_PATH, READY_PATH, CALLBACK_PATH, "/oauth2/start", "/oauth2/sign_in", "/oauth2/sign_out")
"""Paths of the proxy itself, which show nothing of what is behind it."""
PAGES_BELOW: Final = ("/oauth2/static/",)
"""What such paths begin with."""


def begins(path: str) -> str:
    """Test of a template: whether the path of the request begins so."""
    return f'eq (printf "%.{len(path) + 1}s" .RequestURI) "\\"{path}"'


def whole(path: str) -> str:
    """Test of a template: whether this is the path of the request."""
    return f'eq (printf "%.{len(path) + 2}s" .RequestURI) "\\"{path}\\"" "\\"{path}?"'


def any_of(tests: Iterable[str]) -> str:
    """Test of a template: whether one of two or more holds."""
    return "or " + " ".join(f"({test})" for test in tests)


def says(test: str, word: str) -> str:
    """Branch of `request_template`: the word where the test holds."""
    return f"{test}}}}}{word}"


def with_id(path: str, word: str, length: int) -> str:
    """Branch of `request_template`: ``word:`` and the id after ``path``, or ``word:other``.

    The id is told where it is of full length and the path ends with it.
    """
    first = len(path) + 1
    after = first + length
    cut = f'(printf "%.{after + 1}s" .RequestURI)'
    ends = f'or (eq (len .RequestURI) {after + 1}) (eq (slice {cut} {after}) "?")'
    return (
        f"{begins(path)}}}}}{word}:{{{{if and (gt (len .RequestURI) {after}) ({ends})}}}}"
        f"{{{{slice {cut} {first} {after}}}}}{{{{else}}}}other{{{{end}}}}"
    )


def request_template(branches: Sequence[str]) -> str:
    """What a request is about, for the audit log: the first branch that fits, else ``other``.

    Only known paths are told as what they are, or as pages, which the audit log leaves out: servers decode paths, so
    that one can be written in many ways. Queries may name people, devices or places, so nothing else of a path stays in
    the log. The proxy gives templates the path in quotation marks; templates can cut a text, and cannot search in it.
    """
    return "{{if " + "{{else if ".join(branches) + "{{else}}other{{end}}"


@dataclass(frozen=True, kw_only=True)
class OauthConfig:
    """What an oauth2-proxy's command line depends on.

    Attributes:
        issuer: Issuer URL of the provider.
        client_id: Our client there; the audience that tokens must have.
        url: Where browsers reach this proxy, without a path.
        upstream: What is behind it.
        groups: Groups whose members are let in.
        cookie_name: Name of the session cookie, without its prefix.
        requests: What a request is about: `request_template`.
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
    requests: str
    private_authority: bool
    listen: str = f"0.0.0.0:{OAUTH_PORT}"
    tls_directory: str = TLS_MOUNT
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
        "redirect-url": callback_url(settings.url),
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
        "{{.RequestDuration}} " + f"{_NAME} {settings.requests}",
        "auth-logging-format": "login {{.Client}} {{.RequestID}} " + _NAME + ' [{{.Status}}] {{printf "%q" .Message}}',
        # What a client makes the proxy tell of an error is one line, so that it cannot look like an access.
        "standard-logging-format": '[{{.Timestamp}}] [{{.File}}] {{printf "%q" .Message}}',
        "metrics-address": "",
    }


def oauth_command(settings: OauthConfig, program: str = "/bin/oauth2-proxy") -> list[str]:
    """The command line that starts the proxy."""
    return _command(program, oauth_options(settings))


def _command(program: str, options: Mapping[str, str | list[str]]) -> list[str]:
    arguments = [program]
    for name, value in options.items():
        arguments += [f"--{name}={argument}" for argument in ([value] if isinstance(value, str) else value)]
    return arguments


def callback_url(url: str) -> str:
    """Where the provider sends browsers back to; it has to be registered with the client."""
    return f"{url}{CALLBACK_PATH}"


def login_url(host: str) -> str:
    """Where browsers reach a login."""
    return f"https://{host}:{OAUTH_PORT}"


STRUCTURED: Final = f"{SECRETS_DIRECTORY}-config/structured.yaml"
UPSTREAM_LOGIN: Final = f"{SECRETS_DIRECTORY}/upstream-authorization"
_STRUCTURED_OPTIONS: Final = frozenset(
    {
        *("provider", "oidc-issuer-url", "client-id", "client-secret-file", "code-challenge-method"),
        *("insecure-oidc-skip-nonce", "oidc-enabled-signing-alg", "scope", "oidc-groups-claim", "allowed-group"),
        *("provider-ca-file", "use-system-trust-store", "upstream", "proxy-websockets"),
        *("http-address", "https-address", "tls-cert-file", "tls-key-file", "tls-min-version", "metrics-address"),
        *("pass-basic-auth", "pass-user-headers", "pass-access-token", "pass-authorization-header"),
        *("set-xauthrequest", "skip-auth-strip-headers"),
    }
)
"""Options that the proxy takes from its structured file ("alpha configuration") alone once it has one."""


def structured_command(
    settings: OauthConfig, program: str = "/bin/oauth2-proxy", structured: str = STRUCTURED
) -> list[str]:
    """The command line of a proxy that has a login of its own at what is behind it: the rest is `structured_config`."""
    options = {name: value for name, value in oauth_options(settings).items() if name not in _STRUCTURED_OPTIONS}
    return _command(program, {"alpha-config": structured, **options})


def structured_config(settings: OauthConfig, upstream_login: str = UPSTREAM_LOGIN) -> dict[str, Any]:
    """The structured file: provider, listener, and what is behind, with the proxy's own login there.

    Neither the client's ``Authorization`` nor its cookies, the session among them, are passed on.

    Args:
        settings: As for the command line.
        upstream_login: File with the header's value: `basic_authorization`.
    """
    options = oauth_options(settings)
    return {
        "upstreamConfig": {
            "upstreams": [
                {
                    "id": "server",
                    "path": "/",
                    "uri": options["upstream"],
                    "insecureSkipTLSVerify": False,
                    "passHostHeader": False,
                    "proxyWebSockets": False,
                }
            ]
        },
        "injectRequestHeaders": [
            {
                "name": "Authorization",
                "preserveRequestValue": False,
                "values": [{"secretSource": {"fromFile": upstream_login}}],
            },
            {"name": "Cookie", "preserveRequestValue": False, "values": []},
        ],
        "injectResponseHeaders": [],
        "server": {
            "bindAddress": options["http-address"],
            "secureBindAddress": options["https-address"],
            "tls": {
                "cert": {"fromFile": options["tls-cert-file"]},
                "key": {"fromFile": options["tls-key-file"]},
                "minVersion": options["tls-min-version"],
            },
        },
        "metricsServer": {"bindAddress": options["metrics-address"], "secureBindAddress": ""},
        "providers": [
            {
                "id": "oidc",
                "provider": options["provider"],
                "clientID": options["client-id"],
                "clientSecretFile": options["client-secret-file"],
                "scope": options["scope"],
                "code_challenge_method": options["code-challenge-method"],
                "allowedGroups": options["allowed-group"],
                # One pool for all connections of the process: the provider's, and that to what is behind.
                "caFiles": [
                    f"{settings.tls_directory}/ca.crt",
                    *([options["provider-ca-file"]] if settings.private_authority else []),
                ],
                "useSystemTrustStore": not settings.private_authority,
                "oidcConfig": {
                    "issuerURL": options["oidc-issuer-url"],
                    "insecureSkipNonce": False,
                    "insecureAllowUnverifiedEmail": False,
                    "insecureSkipIssuerVerification": False,
                    "groupsClaim": options["oidc-groups-claim"],
                    "emailClaim": "email",
                    "userIDClaim": "email",
                    "audienceClaims": ["aud"],
                    "enabledSigningAlgs": options["oidc-enabled-signing-alg"],
                },
            }
        ],
    }


def basic_authorization(user: str, password: str) -> str:
    """Value of the header ``Authorization`` by which the proxy signs in at what is behind it."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def login_files(
    parent: pulumi.Resource,
    context: DeploymentContext,
    *,
    workload: str,
    oidc: OidcEndpoint,
    upstream: Credential | None = None,
) -> Volume:
    """The secrets of a proxy.

    Args:
        parent: Component that owns them.
        context: Deployment context.
        workload: Whose proxy it is.
        oidc: Where people sign in.
        upstream: Its own login at what is behind it, or None.
    """
    # 32 characters: oauth2-proxy takes them as the key of AES-256 as they are.
    cookies = random_key(parent, f"{workload}-cookies")
    files: dict[str, pulumi.Input[str]] = {
        "client-secret": pulumi.Output.secret(oidc.client_secret),
        "cookie-secret": cookies,
        **({"provider-ca.crt": oidc.authority} if oidc.authority else {}),
    }
    if upstream:
        user = upstream.username
        files["upstream-authorization"] = upstream.password.apply(lambda known: basic_authorization(user, known))
    return Volume(
        name=LOGIN_VOLUME, files=secret_files(parent, context, name=f"{workload}-login", workload=workload, files=files)
    )


def to_provider(oidc: OidcEndpoint) -> Allow:
    """Traffic with the provider."""
    return Allow(peers=[network(cidr) for cidr in oidc.networks], ports=[oidc.port])


def proxy_container(command: Sequence[str], resources: Resources, mounts: Sequence[Mount] = ()) -> Container:
    """The proxy; the volume `LOGIN_VOLUME` has its secrets.

    Args:
        command: Its command line.
        resources: What it may use.
        mounts: Further files.
    """
    return Container(
        name=PROXY,
        image="oauth2-proxy",
        command=command,
        resources=resources,
        ports=PORTS,
        mounts=[Mount(volume=LOGIN_VOLUME, path=SECRETS_DIRECTORY), *mounts],
        startup=Probe(http=PING_PATH, port=OAUTH_PORT, https=True, period_s=2, failures=90),
        liveness=Probe(http=PING_PATH, port=OAUTH_PORT, https=True, period_s=10, failures=6),
        readiness=Probe(http=READY_PATH, port=OAUTH_PORT, https=True, period_s=5, failures=2),
        pre_stop_sleep_s=5,
    )
