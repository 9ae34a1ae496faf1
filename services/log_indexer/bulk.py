"""Bulk requests to the search cluster, answered item by item."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from services.log_indexer.documents import Document
from services.runtime.settings import SearchIndex

_LIMIT_S = 30.0
_TOO_LARGE = 413
_UNACCEPTABLE = 400


class SearchError(Exception):
    """The search cluster did not answer a bulk request as it should; in one line, without any document."""


@dataclass
class Outcome:
    """What became of the documents of one request.

    Attributes:
        written: How many are in the index.
        rejected: Those that the index can never take, with the reason.
        waiting: Those that have to be sent again.
        reason: Why they have to wait.
    """

    written: int = 0
    rejected: list[tuple[Document, str]] = field(default_factory=list)
    waiting: list[Document] = field(default_factory=list)
    reason: str = ""


class _Connection(http.client.HTTPSConnection):
    """Verifies the cluster's name, by whatever address it is reached."""

    def __init__(self, host: str, port: int, server_name: str, context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=_LIMIT_S)
        self._server_name, self._tls = server_name, context

    def connect(self) -> None:
        plain = socket.create_connection((self.host, self.port), self.timeout)
        try:
            self.sock = self._tls.wrap_socket(plain, server_hostname=self._server_name)
        except OSError:
            plain.close()
            raise


class BulkWriter:
    """Writes documents over one connection; it is opened again after a failure, with the CA and password of then."""

    def __init__(self, settings: SearchIndex) -> None:
        """Write as ``settings`` say."""
        self._settings = settings
        parts = urlsplit(settings.url)
        self._host, self._port = parts.hostname or "", parts.port or 443
        # The alias must exist: without the parameter, a first write would make an index of the alias' name.
        self._path = f"/{quote(settings.index)}/_bulk?require_alias=true"
        self._connection: _Connection | None = None
        self._token = ""

    def write(self, documents: Sequence[Document]) -> Outcome:
        """Send documents once.

        Raises:
            SearchError: Nobody knows what became of them: send them again.
        """
        status, body = self._post("".join(_lines(documents)).encode())
        if status == _TOO_LARGE:
            return self._parted(documents)
        if status != http.client.OK:
            raise SearchError(f"{self._settings.url} answered {status}: {_reason(body)}")
        return _outcome(documents, body, self._settings.url)

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _parted(self, documents: Sequence[Document]) -> Outcome:
        if len(documents) == 1:
            return Outcome(rejected=[(documents[0], "too_large")])
        middle = len(documents) // 2
        outcomes = [self.write(part) for part in (documents[:middle], documents[middle:])]
        return Outcome(
            written=sum(outcome.written for outcome in outcomes),
            rejected=[item for outcome in outcomes for item in outcome.rejected],
            waiting=[item for outcome in outcomes for item in outcome.waiting],
            reason=next((outcome.reason for outcome in outcomes if outcome.reason), ""),
        )

    def _post(self, body: bytes) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/x-ndjson"}
        try:
            connection = self._connection or self._open()
            connection.request("POST", self._path, body, {**headers, "Authorization": f"Basic {self._token}"})
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise SearchError(f"{self._settings.url} cannot be reached: {type(error).__name__}: {error}") from None
        if answer.status != http.client.OK:
            self.close()
        return answer.status, content

    def _open(self) -> _Connection:
        settings = self._settings
        password = settings.password_file.read_text().strip()
        self._token = base64.b64encode(f"{settings.username}:{password}".encode()).decode()
        context = ssl.create_default_context(cafile=str(settings.ca_file))
        self._connection = _Connection(self._host, self._port, settings.server_name, context)
        return self._connection


def _lines(documents: Sequence[Document]) -> Iterator[str]:
    for document in documents:
        yield f'{{"index":{{"_id":"{document.id}"}}}}\n{document.body}\n'


def _outcome(documents: Sequence[Document], body: bytes, url: str) -> Outcome:
    try:
        items = [item["index"] for item in json.loads(body)["items"]]
        states = [(int(outcome["status"]), _error(outcome)) for outcome in items]
    except (ValueError, KeyError, TypeError):
        raise SearchError(f"{url} did not answer as a bulk request is answered") from None
    if len(states) != len(documents):
        raise SearchError(f"{url} answered for {len(states)} of {len(documents)} documents")
    outcome = Outcome()
    for document, (status, reason) in zip(documents, states, strict=True):
        if status in (http.client.OK, http.client.CREATED):
            outcome.written += 1
        elif status == _UNACCEPTABLE:
            outcome.rejected.append((document, reason))
        else:
            # Busy, read-only, no permission, no such alias: all of that can be mended, and the log stays in Kafka.
            outcome.waiting.append(document)
            outcome.reason = f"{status} {reason}"
    return outcome


def _error(item: dict[str, Any]) -> str:
    error = item.get("error")
    return str(error.get("type", "unknown")) if isinstance(error, dict) else "unknown"


def _reason(body: bytes) -> str:
    """The type of an error; its text may quote a document."""
    try:
        error = json.loads(body).get("error", "")
    except (ValueError, AttributeError):
        return "no JSON"
    return str(error.get("type", "unknown")) if isinstance(error, dict) else str(error)[:80]
