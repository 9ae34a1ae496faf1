"""The fake's HTTP interface: discovery, keys, login form, tokens; its start and its end.

Runs as ``python3 -m lab.fakes.identity --config FILE``.
"""

from __future__ import annotations

import argparse
import base64
import html
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote_plus, urlencode

from lab.fakes.identity.grants import (
    ALGORITHM,
    Grants,
    RefusedError,
    Request,
    Settings,
    SettingsError,
    TokenMaker,
    User,
    load,
)
from services.runtime.https import HttpsServer
from services.runtime.serving import wait_for_stop

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_BODY_LIMIT = 16_384
_PARAMETERS = (
    "client_id",
    "redirect_uri",
    "response_type",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
)
_SAFE = (
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
)
_SCOPES = ("openid", "email", "profile", "groups")
Answer = tuple[HTTPStatus, list[tuple[str, str]], bytes]


def application(issuer: str, grants: Grants, tokens: TokenMaker) -> WSGIApplication:
    """The provider as a WSGI application."""
    provider = _Provider(issuer, grants, tokens)
    routes: dict[tuple[str, str], Callable[[WSGIEnvironment], Answer]] = {
        ("GET", "/healthz"): lambda _: _plain(HTTPStatus.OK, "ok"),
        ("GET", "/.well-known/openid-configuration"): lambda _: _json(HTTPStatus.OK, provider.discovery()),
        ("GET", "/jwks"): lambda _: _json(HTTPStatus.OK, tokens.keys()),
        ("GET", "/authorize"): provider.form,
        ("POST", "/authorize"): provider.login,
        ("POST", "/token"): provider.token,
    }

    def serve(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        method, path = environ.get("REQUEST_METHOD", ""), environ.get("PATH_INFO", "")
        route = routes.get(("GET" if method == "HEAD" else method, path))
        try:
            status, headers, body = route(environ) if route else _plain(HTTPStatus.NOT_FOUND, "not here")
        except RefusedError as error:
            status, headers, body = _refusal(error)
        start(f"{status.value} {status.phrase}", [*headers, *_SAFE, ("Content-Length", str(len(body)))])
        return [body]

    return serve


class _Provider:
    def __init__(self, issuer: str, grants: Grants, tokens: TokenMaker) -> None:
        self._issuer, self._grants, self._tokens = issuer, grants, tokens

    def discovery(self) -> dict[str, Any]:
        """What the provider offers."""
        return {
            "issuer": self._issuer,
            "authorization_endpoint": f"{self._issuer}/authorize",
            "token_endpoint": f"{self._issuer}/token",
            "jwks_uri": f"{self._issuer}/jwks",
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "client_credentials"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "scopes_supported": list(_SCOPES),
            "claims_supported": ["sub", "iss", "aud", "exp", "iat", "nonce", "email", "email_verified", "groups"],
        }

    def form(self, environ: WSGIEnvironment) -> Answer:
        """The login form."""
        fields = dict(parse_qsl(environ.get("QUERY_STRING", "")))
        return _form(HTTPStatus.OK, self._grants.request(fields), fields, "")

    def login(self, environ: WSGIEnvironment) -> Answer:
        """The answered login form: back to the client with a code, or the form once more."""
        fields = _body(environ)
        request = self._grants.request(fields)
        user = self._grants.sign_in(fields.get("username", ""), fields.get("password", ""))
        if user is None:
            return _form(HTTPStatus.UNAUTHORIZED, request, fields, "Name or password is wrong.")
        query = urlencode({"code": self._grants.code(request, user), "state": request.state})
        return HTTPStatus.SEE_OTHER, [("Location", f"{request.redirect}?{query}")], b""

    def token(self, environ: WSGIEnvironment) -> Answer:
        """Tokens for a code, or for a client itself."""
        fields = _body(environ)
        client = self._grants.client(*_client_login(environ.get("HTTP_AUTHORIZATION", ""), fields))
        match fields.get("grant_type"):
            case "authorization_code":
                user, request = self._grants.redeem(client, fields)
                return self._answer(id_token=self._user_token(user, request))
            case "client_credentials":
                if not client.audiences:
                    raise RefusedError("unauthorized_client", "this client gets no tokens of its own")
                claims = {"groups": list(client.groups)}
                return self._answer(access=self._tokens.make(client.client_id, client.audiences, claims))
            case _:
                raise RefusedError("unsupported_grant_type", "use authorization_code or client_credentials")

    def _user_token(self, user: User, request: Request) -> str:
        claims = {
            "email": user.email,
            "email_verified": True,
            "name": user.name,
            "preferred_username": user.name,
            "groups": list(user.groups),
            **({"nonce": request.nonce} if request.nonce else {}),
        }
        return self._tokens.make(user.name, [request.client.client_id], claims)

    def _answer(self, *, id_token: str | None = None, access: str | None = None) -> Answer:
        body = {"access_token": access or id_token, "token_type": "Bearer", "expires_in": self._tokens.life_s}
        return _json(HTTPStatus.OK, body | ({"id_token": id_token} if id_token else {}))


def _client_login(header: str, fields: Mapping[str, str]) -> tuple[str, str]:
    """Name and password of the client, from the header or the body."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return fields.get("client_id", ""), fields.get("client_secret", "")
    try:
        name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        raise RefusedError("invalid_client", "the Authorization header is malformed") from None
    return unquote_plus(name), unquote_plus(secret)


def _body(environ: WSGIEnvironment) -> dict[str, str]:
    length = environ.get("CONTENT_LENGTH") or "0"
    if not length.isdigit() or int(length) > _BODY_LIMIT:
        raise RefusedError("invalid_request", "the body is too long")
    try:
        return dict(parse_qsl(environ["wsgi.input"].read(int(length)).decode()))
    except ValueError:
        raise RefusedError("invalid_request", "the body is not a form") from None


def _form(status: HTTPStatus, request: Request, fields: Mapping[str, str], complaint: str) -> Answer:
    hidden = "".join(
        f'<input type="hidden" name="{name}" value="{html.escape(fields[name])}">'
        for name in _PARAMETERS
        if name in fields
    )
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Sign in</title>'
        f"<h1>Sign in to {html.escape(request.client.client_id)}</h1>"
        "<p>This is the lab's fake of an identity provider.</p>"
        f'<p role="alert">{html.escape(complaint)}</p><form method="post" action="/authorize">{hidden}'
        '<label>Name <input name="username" autocomplete="username" required></label> '
        '<label>Password <input name="password" type="password" autocomplete="current-password" required></label> '
        "<button>Sign in</button></form></html>"
    )
    return status, [("Content-Type", "text/html; charset=utf-8")], page.encode()


def _refusal(error: RefusedError) -> Answer:
    status = HTTPStatus.UNAUTHORIZED if error.code == "invalid_client" else HTTPStatus.BAD_REQUEST
    answer = _json(status, {"error": error.code, "error_description": error.description})
    if status is HTTPStatus.UNAUTHORIZED:
        answer[1].append(("WWW-Authenticate", 'Basic realm="token"'))
    return answer


def _json(status: HTTPStatus, content: object) -> Answer:
    return status, [("Content-Type", "application/json")], json.dumps(content).encode()


def _plain(status: HTTPStatus, text: str) -> Answer:
    return status, [("Content-Type", "text/plain; charset=utf-8")], text.encode() + b"\n"


def serve(settings: Settings, stop: threading.Event) -> None:
    """Serve until ``stop`` is set.

    Raises:
        OSError: The address is taken, or the certificate does not fit its key.
    """
    tokens = TokenMaker(settings.issuer, settings.token_life_s)
    app = application(settings.issuer, Grants(settings.users, settings.clients), tokens)
    server = HttpsServer(
        settings.host, settings.port, Path(settings.cert_file), Path(settings.key_file), app, program="identity"
    )
    server.start()
    print(f"serving {settings.issuer} on port {server.server_port}", flush=True)
    wait_for_stop(stop)
    server.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the fake; returns the exit code."""
    parser = argparse.ArgumentParser(prog="lab.fakes.identity", description="Fake of an OpenID Connect provider.")
    parser.add_argument("--config", type=Path, required=True, help="settings file (JSON)")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        serve(load(parser.parse_args(arguments).config), stop)
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 2
    except OSError as error:
        print(f"error: cannot serve: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
