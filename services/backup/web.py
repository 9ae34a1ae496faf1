"""HTTPS to one server that speaks JSON: verified, bounded in time and tries, every failure one line."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import requests

from services.backup.errors import BackupError, one_line

TIMEOUT_S = (10.0, 60.0)
"""Seconds to connect, and to wait for an answer."""
_WAITS_S = (1.0, 2.0, 4.0)
_BUSY = frozenset({429, 502, 503, 504})
_NOT_FOUND, _FIRST_REFUSAL = 404, 300


class RefusedError(BackupError):
    """The server refuses.

    Attributes:
        status: HTTP status.
    """

    def __init__(self, message: str, status: int) -> None:
        """Keep the status."""
        super().__init__(message)
        self.status = status


class Web:
    """A server, as one user."""

    def __init__(
        self,
        what: str,
        url: str,
        ca_file: Path,
        *,
        login: tuple[str, str] | None = None,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        """Get ready; nothing is asked yet.

        Args:
            what: Which server, for messages, for example ``Grafana``.
            url: ``https://host:port``.
            ca_file: Authority of its certificate.
            login: Name and password for every request.
            certificate: Files with chain and key of the client, if it has one.

        Raises:
            BackupError: The address is not HTTPS, or the authority's file is not there.
        """
        if not url.startswith("https://"):
            raise BackupError(f"{what}: the address is {url!r}; it must be https://host:port")
        if not ca_file.is_file():
            raise BackupError(f"{ca_file}: cannot be read: it must hold the authority of {what}")
        self.what, self._url = what, url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(ca_file)
        self._session.auth = login
        if certificate:
            self._session.cert = (str(certificate[0]), str(certificate[1]))

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        params: Mapping[str, str | int] | None = None,
        again: bool | None = None,
    ) -> Any:
        """Send a request and return the content of the answer; None where there is no such thing (404).

        Args:
            method: HTTP method.
            path: Path, every part quoted; see `part`.
            body: Sent as JSON; bytes are sent as they are (NDJSON).
            params: Query.
            again: Whether it may be sent again when there is no answer; None: where the method is GET.

        Raises:
            RefusedError: The server refuses.
            BackupError: There is no answer, or none in JSON.
        """
        purpose = f"{self.what}: {method} {path}"
        waits = _WAITS_S if (method == "GET" if again is None else again) else ()
        for wait in (*waits, None):
            try:
                answer = self._session.request(
                    method,
                    self._url + path,
                    params=dict(params or {}),
                    data=body if isinstance(body, bytes) or body is None else json.dumps(body).encode(),
                    headers={
                        "Accept": "application/json",
                        **({"Content-Type": _type(body)} if body is not None else {}),
                    },
                    timeout=TIMEOUT_S,
                    allow_redirects=False,
                )
            except requests.RequestException as error:
                # Waiting makes no other certificate.
                if wait is None or isinstance(error, requests.exceptions.SSLError):
                    raise BackupError(f"{purpose}: no answer: {_cause(error)}") from None
            else:
                if answer.status_code not in _BUSY or wait is None:
                    return _content(purpose, answer)
            time.sleep(wait)
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def __enter__(self) -> Web:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def part(text: str) -> str:
    """A text as one part of a path."""
    return quote(text, safe="")


def _type(body: object) -> str:
    return "application/x-ndjson" if isinstance(body, bytes) else "application/json"


def _content(purpose: str, answer: requests.Response) -> Any:
    if answer.status_code == _NOT_FOUND:
        return None
    try:
        content = answer.json() if answer.content else {}
    except requests.JSONDecodeError:
        content = None
    if answer.status_code >= _FIRST_REFUSAL:
        raise RefusedError(f"{purpose}: {answer.status_code} {_said(content, answer)}".rstrip(), answer.status_code)
    if content is None:
        raise BackupError(f"{purpose}: the answer is no JSON")
    return content


def _said(content: Any, answer: requests.Response) -> str:
    if isinstance(content, dict):
        error = content.get("error", content.get("message", ""))
        return one_line(error.get("reason", error) if isinstance(error, dict) else error or answer.reason)
    return one_line(answer.text or answer.reason)


def _cause(error: BaseException) -> str:
    """The innermost reason, which is the one that says something."""
    while (inner := error.__cause__ or error.__context__) is not None and inner is not error:
        error = inner
    return one_line(error)
