"""Spans and logs in the search cluster: found by the pseudonym wherever it can stand, and removed by query."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from components.search.access import erasable, members
from components.search.indices import LOGS
from ops.core import search
from ops.core.errors import OpsError, one_line
from ops.core.web import Web
from ops.privacy.record import Holding

_AT_ONCE: Final = 1000
"""Documents of one request, so that each is answered within a request's time."""
_LONGEST_S: Final = 3600.0
_SPAN_TIME, _LOG_TIME = "startTimeMillis", "@timestamp"


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family of indices.

    Attributes:
        name: As in the settings of the index manager.
        keep_s: Seconds for which its documents are kept.
    """

    name: str
    keep_s: float

    @property
    def is_logs(self) -> bool:
        """Whether its documents are logs; else they are spans."""
        return self.name == LOGS


def families(kept: Mapping[str, float]) -> tuple[Family, ...]:
    """Families that may hold something about a person, of all with the seconds for which they are kept."""
    return tuple(Family(name=name, keep_s=kept[name]) for name in erasable(tuple(kept)))


def query(family: Family, pseudonym: str) -> dict[str, Any]:
    """The search that finds a pseudonym wherever a document of the family can have it."""
    if family.is_logs:
        fields: list[dict[str, Any]] = [
            {"term": {"resource": pseudonym}},
            {"term": {"attributes": pseudonym}},
            {"match_phrase": {"body": pseudonym}},
        ]
    else:
        named = [("tags", "tags.value"), ("process.tags", "process.tags.value"), ("logs.fields", "logs.fields.value")]
        fields = [{"nested": {"path": path, "query": {"term": {value: pseudonym}}}} for path, value in named]
        fields[2] = {"nested": {"path": "logs", "query": fields[2]}}
        # Tags that Jaeger was told to keep as fields of their own.
        fields.append(
            {"query_string": {"query": f'"{pseudonym}"', "fields": ["tag.*", "process.tag.*"], "lenient": True}}
        )
    return {"bool": {"should": fields, "minimum_should_match": 1}}


class SearchStore:
    """The search cluster as the user that erases.

    Args:
        web: Session that trusts it.
        url: Base address of a node.
        auth: Name and password.
    """

    def __init__(self, web: Web, url: str, auth: tuple[str, str]) -> None:
        self._web, self._url, self._auth = web, url.rstrip("/"), auth

    def find(self, family: Family, pseudonym: str) -> Holding:
        """What a family has.

        Raises:
            OpsError: The cluster refuses, or does not answer, or not all of it.
        """
        field = _LOG_TIME if family.is_logs else _SPAN_TIME
        body = {
            "size": 0,
            "track_total_hits": True,
            "query": query(family, pseudonym),
            "aggs": {name: {name: {"field": field}} for name in ("min", "max")},
        }
        answer = self._call(f"{members(family.name)}/_search?ignore_unavailable=true", body)
        count = int(answer["hits"]["total"]["value"])
        oldest, newest = (_time(answer.get("aggregations", {}).get(name, {}).get("value")) for name in ("min", "max"))
        return Holding(
            store="logs" if family.is_logs else "traces",
            where=members(family.name),
            matches=count,
            oldest=oldest,
            newest=newest,
            removable=True,
            left=count,
            expires=None if newest is None else newest + timedelta(seconds=family.keep_s),
        )

    def erase(self, family: Family, pseudonym: str) -> Holding:
        """Remove what a family has; what is there afterwards is counted anew.

        Raises:
            OpsError: The cluster refuses, or does not answer, or not all of it.
        """
        before = self.find(family, pseudonym)
        removed, deadline = 0, time.monotonic() + _LONGEST_S
        while time.monotonic() < deadline:
            answer = self._call(
                f"{members(family.name)}/_delete_by_query?conflicts=proceed&refresh=true&ignore_unavailable=true"
                f"&max_docs={_AT_ONCE}",
                {"query": query(family, pseudonym)},
            )
            if failures := answer.get("failures"):
                raise OpsError(f"the search cluster did not remove everything: {one_line(failures[0], 200)}")
            removed += int(answer["deleted"])
            if not answer["deleted"] and not answer.get("version_conflicts"):
                break
        after = self.find(family, pseudonym)
        return before.after(removed, after.matches or 0)

    def _call(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        answer = search.ask(self._web, f"{self._url}/{path}", self._auth, body)
        shards = answer.get("_shards", {})
        if answer.get("timed_out") or shards.get("failed"):
            raise OpsError(f"only {shards.get('successful')} of {shards.get('total')} shards of {path} answered")
        return answer


def _time(milliseconds: float | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)


def search_all(store: SearchStore, kept: Sequence[Family], pseudonym: str, *, erase: bool) -> list[Holding]:
    """Every family, found or erased."""
    return [(store.erase if erase else store.find)(family, pseudonym) for family in kept]
