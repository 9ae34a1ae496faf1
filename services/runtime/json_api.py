"""A client of one HTTPS server that speaks JSON: verified, bounded in time and tries, every failure one line.

A certificate, an authority or a password that was renewed is taken up: passwords are read for each request, the other
files for the first request after a failure. `WriteAlias` is the search cluster as a program writes to it.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import urllib3

from services.runtime import one_line
from services.runtime.settings import SearchIndex

_BUSY = frozenset({429, 502, 503, 504})
_NOT_FOUND, _FIRST_REFUSAL = 404, 300
_JSON, _NDJSON = "application/json", "application/x-ndjson"
_GZIP = zlib.MAX_WBITS | 16
_WRITTEN = (http.client.OK, http.client.CREATED)
# An alias must exist: without the parameter, a first write would make an index of the alias' name.
_REQUIRE = "require_alias=true"
_OUTCOME = "filter_path=errors,items.*.status,items.*._index,items.*.error.type"
"""What of an answer to a bulk request is needed: the rest is ten times as long."""


class ApiError(Exception):
    """A request that failed; the message is one line that names the server, and has no credentials.

    Attributes:
        status: HTTP status of a refusal, 0 where there was no answer.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        """Keep the status."""
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Answer:
    """An answer: HTTP status, and body as it came."""

    status: int
    content: bytes


class JsonApi:
    """A server, as one user. One connection is kept open; a client belongs to one thread.

    Attributes:
        name: Which server, for messages.
    """

    def __init__(
        self,
        name: str,
        url: str,
        ca_file: Path,
        *,
        server_name: str = "",
        login: tuple[str, str | Path] | None = None,
        certificate: tuple[Path, Path] | None = None,
        connect_s: float = 10.0,
        read_s: float = 60.0,
        waits_s: Sequence[float] = (),
    ) -> None:
        """Get ready; nothing is sent yet.

        Args:
            name: Which server, for messages, for example ``Grafana``.
            url: ``https://host:port``.
            ca_file: The only authority that is trusted.
            server_name: Name that its certificate must have; empty: the host of ``url``.
            login: User, and password or the file with it.
            certificate: Files with chain and key of the client.
            connect_s: Limit of a connection, TLS handshake included.
            read_s: Limit of the wait for an answer's next bytes.
            waits_s: Pauses before a request that may be repeated is sent again: as many tries more.
        """
        self.name = name
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 443
        self._ca_file, self._server_name = ca_file, server_name or self._host
        self._login, self._certificate = login, certificate
        self._timeout = urllib3.Timeout(connect=connect_s, read=read_s)
        self._waits_s = tuple(waits_s)
        self._connections: urllib3.HTTPSConnectionPool | None = None

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        params: Mapping[str, str | int] | None = None,
        again: bool | None = None,
    ) -> Any:
        """Send a request and return the content of the answer; None where there is no such thing (404).

        Args:
            method: HTTP method.
            path: Path, every part quoted (see `part`), and query.
            body: Sent as JSON; bytes are sent as they are (NDJSON).
            params: Query.
            again: Whether it may be sent again when the server is busy or there is no answer; None: where it is a GET.

        Raises:
            ApiError: The server refuses, does not answer, or not in JSON.
        """
        purpose = f"{self.name}: {method} {path.partition('?')[0]}"
        answer = self.send(method, path + (f"?{urlencode(params)}" if params else ""), body, again=again)
        if answer.status == _NOT_FOUND:
            return None
        if answer.status >= _FIRST_REFUSAL:
            raise ApiError(f"{purpose}: {answer.status} {reason(answer)}", answer.status)
        try:
            return json.loads(answer.content) if answer.content else {}
        except ValueError:
            raise ApiError(f"{purpose}: the answer is not JSON", answer.status) from None

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        again: bool | None = None,
        compressed: bool = False,
    ) -> Answer:
        """Send a request, as `ask`, and return whatever the server answers.

        Args:
            method: As in `ask`, like the next two.
            path: Path and query.
            body: Content.
            again: As in `ask`.
            compressed: Whether the content goes as gzip, of the quickest level.

        Raises:
            ApiError: There is no answer.
        """
        purpose = f"{self.name}: {method} {path.partition('?')[0]}"
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        kind = _NDJSON if isinstance(body, bytes) else _JSON
        headers = {"Accept": _JSON, **({} if content is None else {"Content-Type": kind})}
        if compressed and content is not None:
            content = zlib.compress(content, zlib.Z_BEST_SPEED, _GZIP)
            headers["Content-Encoding"] = "gzip"
        waits = self._waits_s if (method == "GET" if again is None else again) else ()
        for wait in (*waits, None):
            try:
                answer = self._once(method, path, content, headers | self._authorization())
            except (urllib3.exceptions.HTTPError, OSError) as error:
                self.close()
                # Waiting makes no other certificate.
                if wait is None or isinstance(error, urllib3.exceptions.SSLError):
                    raise ApiError(f"{purpose}: no answer: {_cause(error)}") from None
            else:
                if answer.status not in _BUSY or wait is None:
                    return answer
            time.sleep(wait)
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connections is not None:
            self._connections.close()
            self._connections = None

    def __enter__(self) -> JsonApi:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _once(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        if self._connections is None:
            self._connections = self._connected()
        answer = self._connections.urlopen(
            method, path, body=body, headers=headers, retries=False, redirect=False, assert_same_host=False
        )
        if answer.status >= _FIRST_REFUSAL and answer.status != _NOT_FOUND:
            self.close()
        return Answer(answer.status, answer.data)

    def _connected(self) -> urllib3.HTTPSConnectionPool:
        context = ssl.create_default_context(cafile=str(self._ca_file))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self._certificate is not None:
            context.load_cert_chain(*self._certificate)
        return urllib3.HTTPSConnectionPool(
            self._host,
            self._port,
            maxsize=1,
            timeout=self._timeout,
            ssl_context=context,
            server_hostname=self._server_name,
        )

    def _authorization(self) -> dict[str, str]:
        if self._login is None:
            return {}
        user, password = self._login
        text = password.read_text().strip() if isinstance(password, Path) else password
        return {"Authorization": f"Basic {base64.b64encode(f'{user}:{text}'.encode()).decode()}"}


def part(text: str) -> str:
    """A text as one part of a path."""
    return quote(text, safe="")


def reason(answer: Answer) -> str:
    """What the server says about a refusal, in one short line."""
    text = answer.content.decode(errors="replace")
    try:
        content = json.loads(text)
        error = content.get("error", content.get("message", text))
        text = str(error.get("reason", error) if isinstance(error, dict) else error)
    except (ValueError, AttributeError):
        pass
    return one_line(text) or _phrase(answer.status)


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else ""


def _cause(error: BaseException) -> str:
    """The innermost reason, which is the one that says something."""
    while (inner := error.__cause__ or error.__context__) is not None and inner is not error:
        error = inner
    return one_line(error)


class WriteAlias:
    """Writes documents through the alias of some settings, over one connection."""

    def __init__(self, settings: SearchIndex, *, read_s: float) -> None:
        """Get ready.

        Args:
            settings: Which cluster, which alias, as whom.
            read_s: Limit of the wait for an answer.
        """
        self.url, self.name = settings.url, settings.index
        self._path = f"/{quote(settings.index)}"
        self._api = JsonApi(
            settings.url,
            settings.url,
            settings.ca_file,
            server_name=settings.server_name,
            login=(settings.username, settings.password_file),
            read_s=read_s,
        )

    def put(self, name: str, content: Mapping[str, Any]) -> None:
        """Write one document, or replace it.

        Raises:
            ApiError: The cluster cannot be reached, or refused it.
        """
        path = f"{self._path}/_doc/{quote(name)}"
        answer = self._api.send("PUT", f"{path}?{_REQUIRE}", content)
        if answer.status not in _WRITTEN:
            raise ApiError(f"{self.url}: PUT {path}: {answer.status} {reason(answer)}", answer.status)

    def bulk(self, lines: bytes) -> Answer:
        """Send a bulk request; the answer has ``errors`` and of each item ``status``, ``_index``, type of ``error``.

        ``_index`` is the alias where an item was refused before the alias had led to an index. The request goes
        compressed: to unpack it costs the server less than to decrypt several times as much.

        Raises:
            ApiError: There is no answer: nobody knows what became of the documents.
        """
        return self._api.send("POST", f"{self._path}/_bulk?{_REQUIRE}&{_OUTCOME}", lines, compressed=True)

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._api.close()
