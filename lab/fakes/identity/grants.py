"""Who may have a token: the rules of the authorization code flow with PKCE, and of the client grant; and the fake's
settings, in one file that its owner alone can read.

And the signed tokens themselves, with the key that they are checked with.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import bcrypt
from joserfc import jwt
from joserfc.jwk import ECKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

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
