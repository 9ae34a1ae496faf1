"""Bulk requests to the search cluster, answered item by item."""

from __future__ import annotations

import http.client
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from services.log_indexer.documents import Document
from services.runtime.json_api import ApiError
from services.runtime.search import WriteAlias
from services.runtime.settings import SearchIndex

_LIMIT_S = 30.0
_TOO_LARGE = 413
_UNACCEPTABLE = 400


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


class BulkWriter:
    """Writes documents; what it says about a failure never has a part of one."""

    def __init__(self, settings: SearchIndex) -> None:
        """Write as ``settings`` say."""
        self._alias = WriteAlias(settings, read_s=_LIMIT_S)

    def write(self, documents: Sequence[Document]) -> Outcome:
        """Send documents once.

        Raises:
            ApiError: Nobody knows what became of them: send them again.
        """
        answer = self._alias.bulk(b"".join(documents))
        if answer.status == _TOO_LARGE:
            return self._parted(documents)
        if answer.status != http.client.OK:
            raise ApiError(f"{self._alias.url} answered {answer.status}: {_reason(answer.content)}", answer.status)
        return _outcome(documents, answer.content, self._alias.url)

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._alias.close()

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


def _outcome(documents: Sequence[Document], body: bytes, url: str) -> Outcome:
    try:
        content = orjson.loads(body)
        items, failed = content["items"], bool(content["errors"])
        states = [(int(item["index"]["status"]), _error(item["index"])) for item in items] if failed else []
    except (ValueError, KeyError, TypeError):
        raise ApiError(f"{url} did not answer as a bulk request is answered") from None
    if len(items) != len(documents):
        raise ApiError(f"{url} answered for {len(items)} of {len(documents)} documents")
    if not failed:
        return Outcome(written=len(documents))
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
        error = orjson.loads(body).get("error", "")
    except (ValueError, AttributeError):
        return "no JSON"
    return str(error.get("type", "unknown")) if isinstance(error, dict) else str(error)[:80]
