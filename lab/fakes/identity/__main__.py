"""The fake: its settings, in one file that its owner alone can read; who may have a token, by the rules of the
authorization code flow with PKCE and of the client grant; the signed tokens; and the HTTP interface: discovery, keys,
login form.

Runs as ``python3 -m lab.fakes.identity --config FILE``.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import html
import json
import re
import secrets
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import parse_qsl, unquote_plus, urlencode

import bcrypt
from joserfc import jwt
from joserfc.jwk import ECKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.runtime.https import HttpsServer
from services.runtime.serving import wait_for_stop

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_Text = Annotated[str, Field(min_length=1)]


class SettingsError(Exception):
    """What is wrong with a settings file, in one line that says what to do."""


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class User(_Closed):
    """Somebody who can sign in; the name is the subject of the tokens, the hash one of bcrypt."""

    name: _Text
    password_hash: _Text
    email: _Text
    groups: tuple[_Text, ...] = ()


class Client(_Closed):
    """A program that users sign in to, or that signs in itself.

    Attributes:
        client_id: Its name.
        secret: Its password.
        redirects: Where its users may be sent back to; none: it has no login.
        groups: Groups of its own tokens (client credentials).
        audiences: Audiences of its own tokens; none: it gets none of its own.
    """

    client_id: _Text
    secret: _Text
    redirects: tuple[_Text, ...] = ()
    groups: tuple[_Text, ...] = ()
    audiences: tuple[_Text, ...] = ()


class Settings(_Closed):
    """How the fake is reached and served, and who can sign in.

    Attributes:
        issuer: Issuer URL, without a slash at its end.
        host, port: Where to listen.
        cert_file: Certificate chain.
        key_file: Its key.
        token_life_s: Life of a token in seconds.
        users, clients: Who can sign in.
    """

    issuer: Annotated[str, Field(pattern=r"^https://.*[^/]$")]
    host: _Text
    port: Annotated[int, Field(ge=1, le=65535)]
    cert_file: _Text
    key_file: _Text
    token_life_s: Annotated[int, Field(ge=60, le=86_400)] = 3600
    users: tuple[User, ...]
    clients: tuple[Client, ...]


def load(path: Path) -> Settings:
    """Read the settings, as JSON; messages never show a value.

    Raises:
        SettingsError: The file cannot be read, or a value in it is not acceptable.
    """
    try:
        return Settings.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise SettingsError(f"{path}: {where}: {first['msg']}") from None


CODE_LIFE_S = 60.0
_CODES = 1000
"""Codes that wait at the same time; the oldest give way."""
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_NOBODY = bcrypt.hashpw(b"nobody", bcrypt.gensalt(10))
"""Checked in the place of an unknown user's password, so that both take the same time."""
ALGORITHM = "ES256"


class RefusedError(Exception):
    """A request that gets no token; the text is an OAuth error code."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code, self.description = code, description


@dataclass(frozen=True, kw_only=True)
class Request:
    """A checked request to sign somebody in.

    Attributes:
        client: Who asks.
        redirect: Where the answer goes.
        challenge: PKCE challenge.
        state: Given back to the client.
        nonce: Put into the token.
    """

    client: Client
    redirect: str
    challenge: str
    state: str
    nonce: str


@dataclass(frozen=True)
class _Code:
    request: Request
    user: User
    expires: float


class Grants:
    """Users, clients and the codes that wait to be redeemed."""

    def __init__(
        self, users: Iterable[User], clients: Iterable[Client], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._users = {user.name: user for user in users}
        self._clients = {client.client_id: client for client in clients}
        self._clock = clock
        self._codes: dict[str, _Code] = {}
        self._lock = threading.Lock()

    def request(self, fields: Mapping[str, str]) -> Request:
        """Check an authorization request.

        Raises:
            RefusedError: It is not acceptable; nobody may be redirected, since the address cannot be trusted.
        """
        client = self._clients.get(fields.get("client_id", ""))
        if client is None:
            raise RefusedError("invalid_request", "client_id is unknown")
        redirect = fields.get("redirect_uri", "")
        if redirect not in client.redirects:
            raise RefusedError("invalid_request", "redirect_uri is not registered for this client")
        if fields.get("response_type") != "code":
            raise RefusedError("unsupported_response_type", "response_type must be code")
        if "openid" not in fields.get("scope", "").split():
            raise RefusedError("invalid_scope", "scope must include openid")
        challenge = fields.get("code_challenge", "")
        if fields.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(challenge):
            raise RefusedError("invalid_request", "code_challenge with the method S256 is needed")
        return Request(
            client=client,
            redirect=redirect,
            challenge=challenge,
            state=fields.get("state", ""),
            nonce=fields.get("nonce", ""),
        )

    def sign_in(self, name: str, password: str) -> User | None:
        """The user, if name and password fit together."""
        user = self._users.get(name)
        hashed = user.password_hash.encode() if user else _NOBODY
        right = bcrypt.checkpw(password.encode()[:72], hashed)
        return user if right else None

    def code(self, request: Request, user: User) -> str:
        """A code for the client to redeem, once and soon."""
        code = secrets.token_urlsafe(32)
        with self._lock:
            now = self._clock()
            self._codes = {key: pending for key, pending in self._codes.items() if pending.expires > now}
            while len(self._codes) >= _CODES:
                del self._codes[next(iter(self._codes))]
            self._codes[code] = _Code(request, user, now + CODE_LIFE_S)
        return code

    def client(self, client_id: str, secret: str) -> Client:
        """The client, if its password is right.

        Raises:
            RefusedError: It is not.
        """
        client = self._clients.get(client_id)
        expected = client.secret if client else ""
        if not hmac.compare_digest(secret.encode(), expected.encode()) or client is None:
            raise RefusedError("invalid_client", "client_id or client_secret is wrong")
        return client

    def redeem(self, client: Client, fields: Mapping[str, str]) -> tuple[User, Request]:
        """Who signed in, for a code; the code is used up whether or not the rest fits.

        Raises:
            RefusedError: Code, client, address or verifier do not fit together.
        """
        with self._lock:
            code = self._codes.pop(fields.get("code", ""), None)
        if code is None or code.expires <= self._clock():
            raise RefusedError("invalid_grant", "the code is unknown, used up or too old")
        digest = hashlib.sha256(fields.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        fits = (
            code.request.client.client_id == client.client_id
            and code.request.redirect == fields.get("redirect_uri", "")
            and hmac.compare_digest(challenge, code.request.challenge)
        )
        if not fits:
            raise RefusedError("invalid_grant", "the code was given to another client, address or verifier")
        return code.user, code.request


class TokenMaker:
    """Signs tokens with a key that exists only in this process."""

    def __init__(self, issuer: str, life_s: int) -> None:
        self._issuer, self.life_s = issuer, life_s
        key = ECKey.generate_key("P-256", private=True)
        self._key_id = key.thumbprint()
        self._key = key

    def make(self, subject: str, audiences: Sequence[str], claims: Mapping[str, Any]) -> str:
        """A token about ``subject`` for ``audiences``."""
        now = int(time.time())
        body = {
            **claims,
            "iss": self._issuer,
            "sub": subject,
            "aud": list(audiences) if len(audiences) > 1 else audiences[0],
            "iat": now,
            "exp": now + self.life_s,
            "jti": str(uuid.uuid4()),
        }
        return jwt.encode({"alg": ALGORITHM, "kid": self._key_id, "typ": "JWT"}, body, self._key)

    def keys(self) -> dict[str, Any]:
        """The public key set."""
        public = self._key.as_dict(private=False)
        return {"keys": [{**public, "kid": self._key_id, "use": "sig", "alg": ALGORITHM}]}


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
