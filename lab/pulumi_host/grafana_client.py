"""Grafana's HTTP API for the provider plugin, by its settings: connected on first use, patient with a restart, never
for ever.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from lab.pulumi_host.provider import Properties, ProviderError, Unknown, say
from ops.core.errors import innermost

_RETRIES: Final = 30
_RETRY_WAIT_S: Final = 2
_LIBRARY: Final = frozenset({"version", "pluginDownloadURL"})
_SETTINGS: Final = frozenset({"url", "auth", "caCert", "orgId", "retries", "retryWait", "insecureSkipVerify"})


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How Grafana is reached.

    Attributes:
        url: Root of the server, without a slash at the end.
        login: User and password.
        trust: Who may vouch for the server.
        retries: How often a request is repeated while Grafana is away.
        retry_wait_s: Seconds between two attempts.
    """

    url: str
    login: tuple[str, str]
    trust: ssl.SSLContext
    retries: int
    retry_wait_s: int


def check(settings: Properties) -> None:
    """Refuse settings that are wrong whatever the ones are that a preview does not know yet.

    Raises:
        ProviderError: Names the setting, what is allowed and what to do; never the password.
    """
    strange = sorted(settings.keys() - _SETTINGS - _LIBRARY)
    if strange:
        raise _refusal(strange[0], f"is not supported by the lab's plugin; allowed: {', '.join(sorted(_SETTINGS))}")
    known = {key: value for key, value in settings.items() if not isinstance(value, Unknown)}
    if _decoded(known.get("insecureSkipVerify", False)) is not False:
        raise _refusal("insecureSkipVerify", "is refused: give the certificate's authority in caCert instead")
    if _decoded(known.get("orgId", 1)) != 1:
        raise _refusal("orgId", "must be 1, the main organization, or left out")
    if "url" in known and not _is_root(str(known["url"])):
        raise _refusal("url", f'is {known["url"]}; it must be like "https://grafana.example.com:3000"')
    if "auth" in known and not all(str(known["auth"]).partition(":")):
        raise _refusal("auth", 'must be like "user:password"; tokens are not supported by the lab\'s plugin')
    if "caCert" in known:
        _trust(str(known["caCert"]))
    _number(known, "retries", _RETRIES)
    _number(known, "retryWait", _RETRY_WAIT_S)


def connection(settings: Properties) -> Connection:
    """Translate settings that are all known.

    Raises:
        ProviderError: One is wrong, missing, or not known yet.
    """
    check(settings)
    waiting = sorted(key for key, value in settings.items() if isinstance(value, Unknown))
    if waiting:
        raise ProviderError(f"grafana provider: {', '.join(waiting)} not known yet, so Grafana cannot be asked")
    for key in ("url", "auth"):
        if key not in settings:
            raise _refusal(key, "is required")
    user, _, password = str(settings["auth"]).partition(":")
    return Connection(
        url=str(settings["url"]).rstrip("/"),
        login=(user, password),
        trust=_trust(str(settings.get("caCert", ""))),
        retries=_number(settings, "retries", _RETRIES),
        retry_wait_s=_number(settings, "retryWait", _RETRY_WAIT_S),
    )


def _refusal(key: str, reason: str) -> ProviderError:
    return ProviderError(f"grafana provider: {key} {reason}")


def _decoded(value: Any) -> Any:
    """Return a number or truth value as what it is: the SDK hands those over as JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def _number(settings: Properties, key: str, default: int) -> int:
    value = _decoded(settings.get(key, default))
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _refusal(key, f"is {value}; it must be a whole number of at least 0")
    return value


def _is_root(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    bare = not (parts.query or parts.fragment or parts.username or parts.password)
    return parts.scheme == "https" and bool(parts.hostname) and port != 0 and bare


def _trust(authority: str) -> ssl.SSLContext:
    """Trust only that authority, a file's path or the certificate itself; without one, those of the machine."""
    if not authority:
        return ssl.create_default_context()
    try:
        text = authority if "-----BEGIN" in authority else Path(authority).read_text()
        return ssl.create_default_context(cadata=text)
    except (OSError, ValueError) as error:
        kind = type(error).__name__
        raise _refusal(
            "caCert", f"is neither a file with PEM certificates nor PEM certificates themselves ({kind})"
        ) from None


NOT_FOUND: Final = 404
CONFLICT: Final = 409
PRECONDITION: Final = 412
_UNAUTHORIZED: Final = 401
_TOO_MANY: Final = 429
_TIMEOUT_S: Final = (5.0, 30.0)
_LIMIT_S: Final = 180.0
_TEXT_LIMIT: Final = 300
# As many as the plugin has workers: requests would drop what is over, and say so to the user.
_POOL: Final = 32


@dataclass(frozen=True)
class Answer:
    """What Grafana said.

    Attributes:
        status: HTTP status.
        content: The JSON in it; None where there is none.
        said: Status and message on one line, for messages.
        repeated: Whether an earlier attempt may have been carried out unseen.
    """

    status: int
    content: Any
    said: str
    repeated: bool = False


class _Trusting(HTTPAdapter):
    """Verifies servers with a given context and nothing else; requests would add its own bundle to it."""

    def __init__(self, connection: Connection) -> None:
        self._context = connection.trust
        super().__init__(pool_maxsize=_POOL)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)

    def cert_verify(self, conn: Any, url: str, verify: bool | str, cert: Any) -> None:
        """Leave the pool to the context that it was made with."""


class _Session:
    """Requests with one login. Until it is known to be right there is one request at a time, and none after a refusal.

    Grafana locks an account after a few wrong passwords, and the engine asks for many resources at once.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._http = requests.Session()
        self._http.trust_env = False
        self._http.auth = connection.login
        self._http.mount("https://", _Trusting(connection))
        self._entry = threading.Lock()
        self._proven = False
        self._refusal: Answer | None = None

    def attempt(self, method: str, path: str, body: Any, params: Mapping[str, str] | None) -> Answer | str:
        """Return the answer, or why there is none.

        Raises:
            ProviderError: The server is not the one that the provider's caCert vouches for; waiting does not help.
        """
        if self._proven:
            return self._ask(method, path, body, params)
        if not self._entry.acquire(timeout=sum(_TIMEOUT_S)):
            return "no answer yet to the first request"
        try:
            if self._refusal is not None:
                return self._refusal
            outcome = self._ask(method, path, body, params)
            if isinstance(outcome, Answer) and outcome.status == _UNAUTHORIZED:
                self._refusal = outcome
            elif isinstance(outcome, Answer) and outcome.status < 500:
                self._proven = True
            return outcome
        finally:
            self._entry.release()

    def _ask(self, method: str, path: str, body: Any, params: Mapping[str, str] | None) -> Answer | str:
        url = self.connection.url + path
        try:
            response = self._http.request(
                method, url, json=body, params=dict(params or {}), timeout=_TIMEOUT_S, allow_redirects=False
            )
        except requests.RequestException as error:
            reason = innermost(error)
            cause = f"{type(reason).__name__}: {_line(reason)}"
            if "CERTIFICATE_VERIFY_FAILED" in cause:
                raise ProviderError(f"grafana: {url}: {cause}. Check url and caCert of the provider") from None
            return cause
        try:
            content = response.json()
        except requests.JSONDecodeError:
            content = None
        message = content.get("message") if isinstance(content, dict) else None
        said = f"{response.status_code} {_line(message or response.text)}".strip()
        return Answer(response.status_code, content, said)


class Grafana:
    """An administrator's access to a Grafana."""

    def __init__(self, stopping: threading.Event) -> None:
        """Wait no longer once ``stopping`` is set."""
        self._stopping = stopping
        self._lock = threading.Lock()
        self._settings: Properties = {}
        self._opened: _Session | None = None

    def configure(self, settings: Properties) -> None:
        """Take settings; nothing is connected until an operation needs it.

        Raises:
            ProviderError: A setting that is known already is wrong.
        """
        with self._lock:
            self._settings, self._opened = settings, None
        check(settings)

    def address(self, path: str) -> str:
        """Return the full address of a page of this Grafana."""
        return self._open().connection.url + path

    def call(
        self,
        purpose: str,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        accept: Collection[int] = (),
    ) -> Answer:
        """Ask Grafana for something, again while it is merely away, up to the limits.

        Args:
            purpose: What is being done, for messages.
            method: HTTP method.
            path: Path and nothing else, with every part quoted.
            body: Sent as JSON.
            params: Query.
            accept: Statuses that are good answers besides those of success.

        Raises:
            ProviderError: Grafana refuses, or is away for too long; one line with what it said.
        """
        session = self._open()
        connection = session.connection
        deadline = time.monotonic() + _LIMIT_S
        attempt, told = 0, ""
        while True:
            attempt += 1
            outcome = session.attempt(method, path, body, params)
            if isinstance(outcome, Answer):
                if outcome.status < 300 and outcome.content is None and method != "DELETE":
                    raise ProviderError(
                        f"grafana: {purpose}: {outcome.said}, which is no JSON: is it a Grafana? "
                        "Check url of the provider"
                    )
                if outcome.status < 300 or outcome.status in accept:
                    return Answer(outcome.status, outcome.content, outcome.said, repeated=attempt > 1)
                if outcome.status < 500 and outcome.status != _TOO_MANY:
                    raise ProviderError(f"grafana: {purpose}: {outcome.said}{_remedy(outcome.status)}")
            reason = outcome.said if isinstance(outcome, Answer) else outcome
            if attempt > connection.retries or time.monotonic() + connection.retry_wait_s > deadline:
                raise ProviderError(
                    f"grafana: {purpose}: {reason}; tried {attempt} times. Check url of the provider, "
                    "and that Grafana runs and can be reached from here"
                )
            if reason != told:
                say(f"grafana: {purpose}: waiting for Grafana: {reason}")
                told = reason
            if self._stopping.wait(connection.retry_wait_s):
                raise ProviderError(f"grafana: {purpose}: cancelled")

    def _open(self) -> _Session:
        with self._lock:
            if self._opened is None:
                self._opened = _Session(connection(self._settings))
            return self._opened


def _remedy(status: int) -> str:
    if status == _UNAUTHORIZED:
        return ". Check auth of the provider"
    return ""


def _line(text: object) -> str:
    return " ".join(str(text).split())[:_TEXT_LIMIT]
