"""Jaeger's dependency documents, and the search cluster that they go to."""

from __future__ import annotations

import base64
import datetime
import hashlib
import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from services.runtime.settings import SearchIndex
from services.service_graph.edges import Edge, links

_LIMIT_S = 20.0
_WRITTEN = (200, 201)


class SearchError(Exception):
    """The search cluster did not take a document; in one line."""


def document(calls: Mapping[Edge, int], newest_ms: int) -> dict[str, Any]:
    """A document as Jaeger 2 reads it: calls, and the time at which the last of them was recorded."""
    moment = datetime.datetime.fromtimestamp(newest_ms / 1000, datetime.UTC)
    return {"timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"), "dependencies": links(calls)}


def document_id(topic: str, first_offsets: Mapping[int, int]) -> str:
    """Name of the document that begins at these offsets of the topic's partitions.

    What is read again after a crash begins at the same offsets, so it replaces what may have been written already.
    """
    text = json.dumps([topic, sorted(first_offsets.items())])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


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


class SearchWriter:
    """Writes documents; CA and password are read for each, since both are renewed."""

    def __init__(self, settings: SearchIndex) -> None:
        """Write as ``settings`` say."""
        self._settings = settings
        parts = urlsplit(settings.url)
        self._host, self._port = parts.hostname or "", parts.port or 443

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write one document, or replace it.

        Raises:
            SearchError: The cluster cannot be reached, or refused it.
        """
        settings = self._settings
        # The alias must exist: without the parameter, a first write would make an index of the alias' name.
        path = f"/{quote(settings.index)}/_doc/{quote(name)}?require_alias=true"
        try:
            password = settings.password_file.read_text().strip()
            context = ssl.create_default_context(cafile=str(settings.ca_file))
            token = base64.b64encode(f"{settings.username}:{password}".encode()).decode()
            connection = _Connection(self._host, self._port, settings.server_name, context)
            try:
                connection.request(
                    "PUT",
                    path,
                    json.dumps(content),
                    {"Authorization": f"Basic {token}", "Content-Type": "application/json"},
                )
                answer = connection.getresponse()
                body = answer.read(2000).decode(errors="replace")
            finally:
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            raise SearchError(f"{settings.url} cannot be reached: {error}") from None
        if answer.status not in _WRITTEN:
            raise SearchError(f"{settings.url}{path} answered {answer.status}: {' '.join(body.split())[:300]}")
