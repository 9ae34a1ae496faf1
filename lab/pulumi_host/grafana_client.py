"""Grafana's HTTP API for the provider plugin: connected on first use, patient with a restart, never for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter

from lab.pulumi_host import grafana_settings
from lab.pulumi_host.grafana_settings import Connection
from lab.pulumi_host.provider import ProviderError, say
from lab.pulumi_host.values import Properties

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
            cause = _cause(error)
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
        grafana_settings.check(settings)

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
                self._opened = _Session(grafana_settings.connection(self._settings))
            return self._opened


def _remedy(status: int) -> str:
    if status == _UNAUTHORIZED:
        return ". Check auth of the provider"
    return ""


def _cause(error: BaseException) -> str:
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return f"{type(error).__name__}: {_line(error)}"


def _line(text: object) -> str:
    return " ".join(str(text).split())[:_TEXT_LIMIT]
