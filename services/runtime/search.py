"""The search cluster, as a program writes to it through an alias with a write index."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from services.runtime.json_api import Answer, ApiError, JsonApi, reason
from services.runtime.settings import SearchIndex

_WRITTEN = (http.client.OK, http.client.CREATED)
# An alias must exist: without the parameter, a first write would make an index of the alias' name.
_REQUIRE = "require_alias=true"
_OUTCOME = "filter_path=errors,items.*.status,items.*.error.type"
"""What of an answer to a bulk request is needed: the rest is ten times as long."""


class WriteAlias:
    """Writes documents through the alias of some settings, over one connection."""

    def __init__(self, settings: SearchIndex, *, read_s: float) -> None:
        """Get ready.

        Args:
            settings: Which cluster, which alias, as whom.
            read_s: Limit of the wait for an answer.
        """
        self.url = settings.url
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
        """Send a bulk request; the answer has ``errors`` and, of each item, ``status`` and type of ``error``.

        Raises:
            ApiError: There is no answer: nobody knows what became of the documents.
        """
        return self._api.send("POST", f"{self._path}/_bulk?{_REQUIRE}&{_OUTCOME}", lines)

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._api.close()
