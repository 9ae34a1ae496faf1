"""What each store holds with a pseudonym, and its removal where the store can remove it.

The archive of Kafka in object storage is read day by day, within bounds. Series have the pseudonym as the value of a
label, at the read address and in each Prometheus. In the search cluster, spans and logs are found by it wherever it can
stand, and removed by query.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from time import monotonic, sleep
from typing import Any, Final
from urllib.parse import urlencode

from components.search.access import erasable, members
from components.search.indices import LOGS
from ops.core import web
from ops.core.errors import OpsError, one_line
from ops.core.prometheus_text import seconds
from ops.core.web import Web
from ops.privacy.record import Holding
from services.backup.encryption import Identity
from services.backup.store import Store
from services.kafka_archive.catalogue import ReadStats, catalogue, records, topics

MOST_DAYS: Final = 31
WHY: Final = "segments are encrypted, complete and never rewritten: what is in them goes by retention"
NOT_READ: Final = "not read: give --archive-from, --archive-to and your age identity"


@dataclass(frozen=True, kw_only=True)
class Days:
    """Days of UTC, both included.

    Raises:
        OpsError: The last is before the first, or there are more than `MOST_DAYS`.
    """

    first: date
    last: date

    def __post_init__(self) -> None:
        """Check the bounds."""
        if not timedelta(0) <= self.last - self.first < timedelta(days=MOST_DAYS):
            raise OpsError(
                f"--archive-from {self.first} and --archive-to {self.last}: must be 1 to {MOST_DAYS} days, in order"
            )

    def __iter__(self) -> Iterator[tuple[date, datetime, datetime]]:
        """Each day with its begin and end."""
        for number in range((self.last - self.first).days + 1):
            day = self.first + timedelta(days=number)
            begin = datetime.combine(day, time(), UTC)
            yield day, begin, begin + timedelta(days=1)


def scan(
    store: Store,
    identities: Sequence[Identity],
    pseudonym: str,
    days: Days,
    keep_days: float,
    told: Callable[[str], None],
    prefix: str = "telemetry-",
) -> list[Holding]:
    """Read the days of every archived topic of telemetry.

    Args:
        store: The bucket of the backups.
        identities: Who may open the archive.
        pseudonym: What is looked for; records hold it as plain bytes of OTLP.
        days: By the time of the records.
        keep_days: Days for which a segment is kept.
        told: Told each day of each topic with what was read.
        prefix: What the topics begin with.

    Raises:
        BackupError: The storage refuses, an identity does not fit, or a segment is damaged.
    """
    needle = pseudonym.encode()
    holdings = []
    for topic in topics(store):
        if not topic.startswith(prefix):
            continue
        held, stats, times = catalogue(store, topic), ReadStats(), list[int]()
        for day, begin, end in days:
            read = 0
            for segments in held.segments.values():
                for record in records(store, identities, segments, stats, since=begin, until=end):
                    read += 1
                    if needle in (record.value or b"") or needle in (record.key or b""):
                        times.append(record.timestamp_ms)
            told(f"{topic}, {day}: {read} records read, {len(times)} with it so far")
        newest = datetime.fromtimestamp(max(times) / 1000, UTC) if times else None
        holdings.append(
            Holding(
                store="archive",
                where=f"{topic}, {days.first} to {days.last}",
                matches=len(times),
                oldest=datetime.fromtimestamp(min(times) / 1000, UTC) if times else None,
                newest=newest,
                left=len(times),
                expires=newest + timedelta(days=keep_days) if newest else None,
                why=WHY if times else "",
            )
        )
    return holdings


def unread(now: datetime, keep_days: float) -> Holding:
    """What is said of the archive where nobody reads it."""
    return Holding(
        store="archive",
        where="every topic of telemetry",
        matches=None,
        expires=now + timedelta(days=keep_days),
        why=NOT_READ,
    )


_SERIES_AT_ONCE: Final = 40
"""Labels that one request asks for."""
_AHEAD_S: Final = 900.0
"""The gate lets in what is up to ten minutes ahead."""
_LABEL: Final = re.compile(r"(?!__name__$)[A-Za-z_][A-Za-z0-9_]*")
_ADMIN_FLAG, _RETENTION_FLAG = "web.enable-admin-api", "storage.tsdb.retention.time"
ADMIN_OFF: Final = "Prometheus offers no removal of series: its administration interface is off (policy)"


class MetricStore:
    """A Prometheus, or the read address before several of them.

    Args:
        web: Session that trusts it.
        url: Base address.
        auth: Reader's name and password.
        name: For messages and records.
    """

    def __init__(self, web: Web, url: str, auth: tuple[str, str], name: str) -> None:
        self._web, self._url, self._auth, self.name = web, url.rstrip("/"), auth, name

    def labels(self, pseudonym: str, since_s: float) -> list[str]:
        """Labels that have the pseudonym as their value in some series of the last ``since_s`` seconds.

        Raises:
            OpsError: The server refuses, or does not answer.
        """
        now = datetime.now(UTC).timestamp()
        span = {"start": f"{now - since_s:.0f}", "end": f"{now + _AHEAD_S:.0f}"}
        names = [name for name in self._get("labels", span) if _LABEL.fullmatch(name)]
        held: set[str] = set()
        for start in range(0, len(names), _SERIES_AT_ONCE):
            matchers = [f'{{{name}="{pseudonym}"}}' for name in names[start : start + _SERIES_AT_ONCE]]
            for labels in self._get("series", {**span, "match[]": matchers}):
                held |= {name for name, value in labels.items() if value == pseudonym}
        return sorted(held)

    def count(self, pseudonym: str, labels: Sequence[str], since_s: float) -> int:
        """Series of the last ``since_s`` seconds that have samples and the pseudonym in one of the labels.

        Raises:
            OpsError: The server refuses, or does not answer.
        """
        if not labels:
            return 0
        parts = (f'last_over_time({{{label}="{pseudonym}"}}[{since_s:.0f}s])' for label in labels)
        data = self._get("query", {"query": f"count({' or '.join(parts)})"})
        return int(float(data["result"][0]["value"][1])) if data["result"] else 0

    def flags(self) -> dict[str, str]:
        """Command line of a Prometheus.

        Raises:
            OpsError: The server refuses, or does not answer.
        """
        return dict(self._get("status/flags", {}))

    def find(self, pseudonym: str) -> Holding:
        """What a Prometheus has.

        Raises:
            OpsError: The server refuses, or does not answer.
        """
        flags = self.flags()
        removable = flags.get(_ADMIN_FLAG) == "true"
        return self.kept(pseudonym, seconds(flags[_RETENTION_FLAG]), removable=removable, why=ADMIN_OFF)

    def kept(self, pseudonym: str, keep_s: float, *, removable: bool = False, why: str = "") -> Holding:
        """What there is, where samples are kept for so many seconds.

        Raises:
            OpsError: The server refuses, or does not answer.
        """
        labels = self.labels(pseudonym, keep_s)
        count = self.count(pseudonym, labels, keep_s)
        return Holding(
            store="metrics",
            where=f"{self.name}, labels {', '.join(labels)}" if labels else self.name,
            matches=count,
            removable=removable,
            left=count,
            expires=datetime.now(UTC) + timedelta(seconds=keep_s) if count else None,
            why=why if count and not removable else "",
        )

    def erase(self, pseudonym: str) -> Holding:
        """Remove what a Prometheus has, where its administration interface is on.

        Raises:
            OpsError: The server refuses, or does not answer.
        """
        before = self.find(pseudonym)
        if not before.removable or not before.matches:
            return before
        keep_s = seconds(self.flags()[_RETENTION_FLAG])
        labels = self.labels(pseudonym, keep_s)
        self._post("admin/tsdb/delete_series", {"match[]": [f'{{{label}="{pseudonym}"}}' for label in labels]})
        self._post("admin/tsdb/clean_tombstones", {})
        left = self.count(pseudonym, labels, keep_s)
        return before.after((before.matches or 0) - left, left)

    def _get(self, what: str, params: Mapping[str, Any]) -> Any:
        response = self._web.call("GET", self._address(what, params), auth=self._auth)
        with response:
            if response.status_code != 200:
                raise OpsError(f"{self.name} answered {response.status_code}: {one_line(response.text, 200)}")
            try:
                return response.json()["data"]
            except (ValueError, KeyError, TypeError):
                raise OpsError(f"{self.name} did not answer as Prometheus does") from None

    def _post(self, what: str, params: Mapping[str, Any]) -> None:
        response = self._web.call("POST", self._address(what, params), auth=self._auth)
        with response:
            if response.status_code != 204:
                raise OpsError(f"{self.name} answered {response.status_code}: {one_line(response.text, 200)}")

    def _address(self, what: str, params: Mapping[str, Any]) -> str:
        return f"{self._url}/api/v1/{what}?{urlencode(params, doseq=True)}"


_INDICES_AT_ONCE: Final = 1000
"""Documents of one request, so that each is answered within a request's time."""
_LONGEST_S: Final = 3600.0
_CONFLICT_PAUSE_S: Final = 1.0
"""Before documents are tried again that somebody else changed meanwhile."""
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
            # Resources: elements of ``key=value``, and as a field in indices that were begun before (ADR 72).
            {"wildcard": {"origin": {"value": f"*{pseudonym}*"}}},
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
        removed, deadline = 0, monotonic() + _LONGEST_S
        while monotonic() < deadline:
            answer = self._call(
                f"{members(family.name)}/_delete_by_query?conflicts=proceed&refresh=true&ignore_unavailable=true"
                f"&max_docs={_INDICES_AT_ONCE}",
                {"query": query(family, pseudonym)},
            )
            if failures := answer.get("failures"):
                raise OpsError(f"the search cluster did not remove everything: {one_line(failures[0], 200)}")
            removed += int(answer["deleted"])
            if answer.get("version_conflicts"):
                sleep(_CONFLICT_PAUSE_S)
            elif not answer["deleted"]:
                break
        after = self.find(family, pseudonym)
        return before.after(removed, after.matches or 0)

    def _call(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return web.ask(self._web, f"{self._url}/{path}", self._auth, body)


def _time(milliseconds: float | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)


def search_all(store: SearchStore, kept: Sequence[Family], pseudonym: str, *, erase: bool) -> list[Holding]:
    """Every family, found or erased."""
    return [(store.erase if erase else store.find)(family, pseudonym) for family in kept]
