"""Command line of the oauth2-proxy in front of a Jaeger query, as data.

A request is let through with a session cookie from an OpenID Connect login (authorization code with PKCE), or with a
bearer token of the same provider whose audience is our client. Either way its groups must include an allowed one: the
proxy asks that of every request, for pages and API alike, and answers 403 otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from components.collector.config import TLS_DIRECTORY

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


def _target() -> str:
    """What a request is about, for the audit log (`services.audit.sources`): which trace, or that there was a query.

    Queries may name people, devices or places, so nothing else of a path stays in the log. The proxy gives templates
    the path in quotation marks; templates can cut a text, and cannot search in it.
    """

    def begins(path: str) -> str:
        return f'eq (printf "%.{len(path) + 1}s" .RequestURI) "\\"{path}"'

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
    branches = (trace("/api/traces/"), trace("/api/v3/traces/"), *searches, f"{begins('/api/')}}}}}query")
    return "{{if " + "{{else if ".join(branches) + "{{else}}page{{end}}"


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
