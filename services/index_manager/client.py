"""Requests to the search cluster: over one connection, with a time limit, every failure one line."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from pathlib import Path
from typing import Any

REQUEST_S = 20.0
_REASON_LENGTH = 300
_NOT_FOUND = 404
_FIRST_ERROR = 400


class SearchError(Exception):
    """A request that failed.

    Attributes:
        status: HTTP status, or 0 where there was no answer.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        """Keep the status."""
        super().__init__(message)
        self.status = status


class Client:
    """The cluster's API, as a user with a password or as the owner of a certificate."""

    def __init__(
        self,
        host: str,
        port: int,
        ca_file: Path,
        *,
        user: tuple[str, Path] | None = None,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        """Reach ``host:port``.

        Args:
            host: Host, which the server's certificate must name.
            port: Port.
            ca_file: Authority of the server's certificate.
            user: Name, and file with the password.
            certificate: Files with chain and key.
        """
        self._address = (host, port)
        self._ca_file = ca_file
        self._user = user
        self._certificate = certificate
        self._connection: http.client.HTTPSConnection | None = None

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Send a request and return the answer's content; None where there is no such thing (404).

        Files are read for each new connection, so renewed passwords and certificates are taken up.

        Raises:
            SearchError: There was no answer, or it was a refusal.
        """
        what = f"{method} {path.partition('?')[0]}"
        try:
            connection = self._connection or self._connect()
            self._connection = connection
            text = None if body is None else json.dumps(body)
            connection.request(method, path, body=text, headers=self._headers())
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise SearchError(f"{what}: {error or type(error).__name__}") from None
        if answer.status == _NOT_FOUND:
            return None
        if answer.status >= _FIRST_ERROR:
            self.close()
            raise SearchError(f"{what}: {answer.status} {_reason(content)}", answer.status)
        try:
            return json.loads(content) if content else {}
        except ValueError:
            raise SearchError(f"{what}: the answer is not JSON", answer.status) from None

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=str(self._ca_file))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self._certificate is not None:
            context.load_cert_chain(*self._certificate)
        return http.client.HTTPSConnection(*self._address, timeout=REQUEST_S, context=context)

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._user is not None:
            name, file = self._user
            login = f"{name}:{file.read_text().strip()}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(login).decode()}"
        return headers


def _reason(content: bytes) -> str:
    text = content.decode(errors="replace")
    try:
        document = json.loads(text)
        error = document.get("error", document.get("message", text))
        text = str(error.get("reason", error) if isinstance(error, dict) else error)
    except (ValueError, AttributeError):
        pass
    return " ".join(text.split())[:_REASON_LENGTH]
