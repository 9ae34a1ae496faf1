"""The API server, as far as a pod reads it: lists, watches, and logs that are followed."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote, urlencode

from services.audit.settings import Kubernetes

ANSWER_S: Final = 15.0
QUIET_S: Final = 300.0
"""A stream that says nothing for so long is opened again: that is how one that broke silently is noticed."""
NOT_FOUND: Final = 404
_OK: Final = 200
_LONGEST_LINE: Final = 1024 * 1024


class ApiError(Exception):
    """The API server does not answer, or refuses; in one line."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class KubernetesApi:
    """Reads the namespace; each call has a connection of its own, so that several threads may call."""

    def __init__(self, settings: Kubernetes, quiet_s: float = QUIET_S) -> None:
        self._settings, self._quiet_s = settings, quiet_s

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """A JSON document below the namespace.

        Raises:
            ApiError: There is none.
        """
        with _errors(path), self.open(path, ANSWER_S, **query) as response:
            content: dict[str, Any] = json.loads(response.read())
            return content

    def follow(self, path: str, opened: Callable[[], None], **query: str) -> Iterator[bytes]:
        """Lines of a log or of a watch, as they come, until the server ends it or nothing came for a while.

        Args:
            path: What, below the namespace.
            opened: Called when the server lets it be read. A kubelet answers with the first line, not before.
            query: Parameters.

        Raises:
            ApiError: It cannot be opened, or breaks.
        """
        try:
            with self.open(path, self._quiet_s, **query) as response:
                opened()
                while line := response.readline(_LONGEST_LINE):
                    yield line
        except TimeoutError:
            return
        except (OSError, http.client.HTTPException) as error:
            raise ApiError(f"{path}: broke off: {error!r}") from None

    @contextmanager
    def open(self, path: str, limit_s: float, **query: str) -> Iterator[http.client.HTTPResponse]:
        """An answer that is read by the block.

        Raises:
            ApiError: It is not ``200``.
            TimeoutError: Nothing came in time.
        """
        settings = self._settings
        url = f"/api/v1/namespaces/{quote(settings.namespace)}/{path}?{urlencode(query)}"
        with _errors(path):
            trust = ssl.create_default_context(cafile=str(settings.ca_file))
            token = settings.token_file.read_text().strip()
            connection = http.client.HTTPSConnection(settings.host, settings.port, timeout=ANSWER_S, context=trust)
        try:
            with _errors(path):
                connection.connect()
            connection.sock.settimeout(limit_s)
            connection.request("GET", url, headers={"Authorization": f"Bearer {token}"})
            response = connection.getresponse()
            if response.status != _OK:
                raise ApiError(f"{path}: the API server answers {response.status}", response.status)
            yield response
        finally:
            connection.close()


@contextmanager
def _errors(path: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise ApiError(f"{path}: {error!r}") from None


def watched(line: bytes) -> tuple[str, Mapping[str, Any]]:
    """Type and object of a line of a watch.

    Raises:
        ApiError: The watch cannot go on from where it was.
    """
    try:
        content = json.loads(line)
        kind, item = content["type"], content["object"]
    except (ValueError, KeyError, TypeError):
        raise ApiError("a watch gave no JSON") from None
    if kind == "ERROR":
        raise ApiError(f"the watch ends: {item.get('message', '')}", int(item.get("code", 0)))
    return kind, item
