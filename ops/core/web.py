"""HTTPS to the platform's own servers: always verified against the platform's CA, always bounded; and questions to what
answers for a time: series and rules from a Prometheus or Thanos Query, and the search cluster.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from time import sleep
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from components.alerting.escalation import recorded_of
from ops.core.errors import OpsError, innermost, one_line, waiting_for

TIMEOUT = (5.0, 15.0)
"""Seconds to connect, and to wait for an answer."""


@dataclass(frozen=True)
class Sample:
    """One series of a query's answer with its newest value."""

    labels: Mapping[str, str]
    time: float
    value: float


@contextmanager
def authority_file(pem: str) -> Iterator[str]:
    """Path of a file with an authority, which is gone after the block."""
    with NamedTemporaryFile("w", prefix="obs-ca-", suffix=".pem") as file:
        file.write(pem)
        file.flush()
        yield file.name


@contextmanager
def connected(authority: str, server: Callable[[str], str] = lambda _: "") -> Iterator[Web]:
    """A session of its own that trusts an authority, given as PEM; nothing of Kubernetes is needed for it."""
    with authority_file(authority) as file:
        web = Web(file, server)
        try:
            yield web
        finally:
            web.close()


class Web:
    """A session that trusts only ``ca_file`` and takes nothing (proxies, netrc) from the environment.

    Args:
        ca_file: Authority of the servers.
        server: Says which server answers at a URL, for messages; empty where that is not known.
    """

    def __init__(self, ca_file: str, server: Callable[[str], str] = lambda _: "") -> None:
        self._server = server
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = ca_file

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    @contextmanager
    def trusting(self, authority: str) -> Iterator[Web]:
        """A session that trusts another authority instead: its PEM, or empty for the public ones."""
        with connected(authority or Path(DEFAULT_CA_BUNDLE_PATH).read_text(), self._server) as web:
            yield web

    def call(
        self,
        method: str,
        url: str,
        *,
        auth: tuple[str, str] | None = None,
        data: bytes | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """One request.

        Raises:
            OpsError: There was no answer; the message has no credentials.
        """
        try:
            with waiting_for(lambda: self._called(url)):
                return self._session.request(
                    method,
                    url,
                    auth=auth,
                    data=data,
                    params=dict(params or {}),
                    headers=dict(headers or {}),
                    timeout=TIMEOUT,
                )
        except requests.RequestException as error:
            what = f"no answer from {self._called(url)}" if self._server(url) else f"{method} {url}"
            raise OpsError(f"{what}: {one_line(innermost(error))}") from None

    def _called(self, url: str) -> str:
        """Name and address of the server at a URL."""
        at = urlsplit(url)
        return f"{self._server(url) or 'a server'} ({at.scheme}://{at.netloc})"

    def status(self, url: str, auth: tuple[str, str] | None = None) -> int:
        """Status code of a GET."""
        response = self.call("GET", url, auth=auth)
        response.close()
        return response.status_code


class Query:
    """Prometheus' query API on a Prometheus or a Thanos Query.

    Args:
        web: Session.
        base: Gives the base URL; asked before every attempt, so that a broken tunnel is opened again.
        auth: Reader's name and password.
        name: For messages.
        attempts: How often a query is tried; more than once only where a tunnel may break.
    """

    def __init__(self, web: Web, base: Callable[[], str], auth: tuple[str, str], name: str, attempts: int = 1) -> None:
        self._web, self._base, self._auth, self.name, self._attempts = web, base, auth, name, attempts

    def instant(self, expression: str, time: float | None = None) -> list[Sample]:
        """Answer of an instant query whose result is a vector.

        Raises:
            OpsError: No answer, or the server refused the query.
        """
        vector = self._data(expression, time)
        if vector.get("resultType") != "vector":
            raise OpsError(f"{self.name}: {expression!r} is a {vector.get('resultType')}, not a vector")
        return [
            Sample(labels=sample["metric"], time=float(sample["value"][0]), value=float(sample["value"][1]))
            for sample in vector["result"]
        ]

    def number(self, expression: str) -> float | None:
        """Sum of the answer's values, or nothing when no series answers."""
        values = [sample.value for sample in self.instant(expression) if not math.isnan(sample.value)]
        return sum(values) if values else None

    def raw(
        self, selector: str, seconds: int, time: float | None = None
    ) -> dict[tuple[tuple[str, str], ...], list[tuple[float, float]]]:
        """Stored samples of the last ``seconds``: sorted labels -> (time, value), oldest first."""
        matrix = self._data(f"{selector}[{seconds}s]", time)
        return {
            tuple(sorted(series["metric"].items())): [(float(at), float(value)) for at, value in series["values"]]
            for series in matrix["result"]
        }

    def unreached(self) -> dict[str, str]:
        """Targets of a Prometheus whose last scrape failed, and jobs without any target -> the reason.

        Raises:
            OpsError: No answer, or the server refused the question.
        """
        targets = self._asked("targets", {"state": "active"})["activeTargets"]
        jobs = self._asked("scrape_pools", {})["scrapePools"]
        failed = {
            f"{target['labels']['job']} {target['labels'].get('instance', '')}": one_line(target["lastError"], 160)
            for target in targets
            if target["health"] == "down"
        }
        empty = sorted(set(jobs) - {target["scrapePool"] for target in targets})
        return dict(sorted(failed.items())) | dict.fromkeys(empty, "no target")

    def _get(self, path: str, params: Mapping[str, str]) -> requests.Response:
        for left in reversed(range(self._attempts)):
            try:
                return self._web.call("GET", f"{self._base()}/api/v1/{path}", auth=self._auth, params=params)
            except OpsError:
                if not left:
                    raise
                sleep(1.0)
        raise OpsError(f"{self.name} was never asked")

    def _data(self, expression: str, time: float | None) -> dict[str, Any]:
        return self._asked("query", {"query": expression, **({"time": f"{time:.3f}"} if time is not None else {})})

    def _asked(self, path: str, params: Mapping[str, str]) -> dict[str, Any]:
        with self._get(path, params) as response:
            if response.status_code != 200:
                raise OpsError(f"{self.name} answered {response.status_code}: {one_line(response.text, 160)}")
            try:
                body = response.json()
            except json.JSONDecodeError:
                raise OpsError(f"{self.name} did not answer with JSON") from None
        if body.get("status") != "success":
            raise OpsError(f"{self.name} refused {params.get('query', path)!r}: {one_line(body.get('error', ''))}")
        data: dict[str, Any] = body["data"]
        return data


class ShardedQuery(Query):
    """What the servers of one replica have together.

    Aggregations are each server's own: of `instant` ask for sums and counts that may be added up, or for series.

    Args:
        shards: The servers.
        name: For messages.
    """

    def __init__(self, shards: Sequence[Query], name: str) -> None:
        self._shards, self.name = tuple(shards), name

    def instant(self, expression: str, time: float | None = None) -> list[Sample]:
        """The answers of all."""
        return [sample for shard in self._shards for sample in shard.instant(expression, time)]

    def raw(
        self, selector: str, seconds: int, time: float | None = None
    ) -> dict[tuple[tuple[str, str], ...], list[tuple[float, float]]]:
        """Stored samples of all; of a series that moved, those of every shard that it was in."""
        joined: dict[tuple[tuple[str, str], ...], set[tuple[float, float]]] = {}
        for shard in self._shards:
            for labels, samples in shard.raw(selector, seconds, time).items():
                joined.setdefault(labels, set()).update(samples)
        return {labels: sorted(samples) for labels, samples in joined.items()}

    def unreached(self) -> dict[str, str]:
        """Targets of all whose last scrape failed, and jobs without any target -> the reason."""
        return {target: reason for shard in self._shards for target, reason in shard.unreached().items()}


def basic(user: str, password: str) -> str:
    """Value of the header ``Authorization`` with a login."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


MOST_POINTS = 240
FINEST_S = 15.0


@dataclass(frozen=True, kw_only=True)
class Found:
    """One series: labels, and (seconds since 1970, value); what is no finite number is nothing."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float | None], ...]


@dataclass(frozen=True, kw_only=True)
class AlertRule:
    """An alerting rule as it runs."""

    name: str
    expression: str
    labels: Mapping[str, str]


class Metrics:
    """Reads series.

    Args:
        web: Session that trusts the platform.
        url: Base address.
        auth: Reader's name and password.
        name: For messages.
    """

    def __init__(self, web: Web, url: str, auth: tuple[str, str], name: str) -> None:
        self._web, self._url, self._auth, self._name = web, url.rstrip("/"), auth, name

    def over(
        self, expression: str, start: datetime, end: datetime, step_s: float, *, merged: bool = True
    ) -> list[Found]:
        """Answer of a range query.

        Args:
            expression: PromQL.
            start: First moment.
            end: Last moment.
            step_s: Seconds between samples.
            merged: Whether equal series of several Prometheus are one; else each has the label of its own.

        Raises:
            OpsError: No answer, or the server refuses the query.
        """
        data = self._get(
            "query_range",
            {
                "query": expression,
                "start": f"{start.timestamp():.3f}",
                "end": f"{end.timestamp():.3f}",
                "step": f"{step_s:.0f}",
                "dedup": str(merged).lower(),
            },
        )
        return [
            Found(
                labels=dict(series["metric"]),
                points=tuple((float(at), _finite(value)) for at, value in series["values"]),
            )
            for series in data["result"]
        ]

    def count(self, expression: str, at: datetime) -> int:
        """How many series an expression has at a moment.

        Raises:
            OpsError: No answer, or the server refuses the query.
        """
        data = self._get("query", {"query": f"count({expression})", "time": f"{at.timestamp():.3f}"})
        return int(float(data["result"][0]["value"][1])) if data["result"] else 0

    def alert_rules(self) -> dict[str, AlertRule]:
        """Alerting rules by name, one of those that share a name; one that reads a record has the record's expression.

        Raises:
            OpsError: No answer, or an answer of another kind.
        """
        data = self._get("rules", {"exclude_alerts": "true"})
        rules = [rule for group in data["groups"] for rule in group["rules"]]
        records = {rule["name"]: rule["query"] for rule in rules if rule.get("type") == "recording"}
        return {
            rule["name"]: AlertRule(
                name=rule["name"],
                expression=records.get(recorded_of(rule["query"]), rule["query"]),
                labels=dict(rule.get("labels") or {}),
            )
            for rule in rules
            if rule.get("type") == "alerting"
        }

    def _get(self, what: str, params: Mapping[str, str]) -> dict[str, Any]:
        response = self._web.call("GET", f"{self._url}/api/v1/{what}", auth=self._auth, params=params)
        with response:
            if response.status_code != 200:
                raise OpsError(f"{self._name} answered {response.status_code}: {one_line(response.text, 160)}")
            try:
                data = response.json()["data"]
            except (ValueError, KeyError, TypeError):
                raise OpsError(f"{self._name} did not answer as Prometheus does") from None
        if not isinstance(data, dict):
            raise OpsError(f"{self._name} did not answer as Prometheus does")
        return data


def step(start: datetime, end: datetime) -> float:
    """Seconds between samples, so that a chart gets no more than it can show."""
    return max(FINEST_S, math.ceil((end - start).total_seconds() / MOST_POINTS))


def _finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


_SHOWN = 160
"""Characters of an answer in a message."""


def ask(web: Web, url: str, auth: tuple[str, str], body: Mapping[str, Any]) -> dict[str, Any]:
    """What the cluster answers to a JSON request.

    Args:
        web: Session that trusts the cluster's authority.
        url: Address of the request.
        auth: User and password.
        body: The request.

    Raises:
        OpsError: The cluster refuses, or does not answer, or not with an object, or a part of it does not answer.
    """
    headers = {"Content-Type": "application/json"}
    with web.call("POST", url, auth=auth, data=json.dumps(body).encode(), headers=headers) as response:
        if response.status_code != 200:
            raise OpsError(f"the search cluster answered {response.status_code}: {one_line(response.text, _SHOWN)}")
        try:
            answer = response.json()
        except ValueError:
            answer = None
    if not isinstance(answer, dict):
        raise unexpected()
    shards = answer.get("_shards", {})
    if answer.get("timed_out") or shards.get("failed"):
        raise OpsError(
            f"the search cluster answered from {shards.get('successful')} of {shards.get('total')} shards only"
        )
    return answer


def unexpected() -> OpsError:
    """The error for an answer that is none of the search cluster's."""
    return OpsError("the search cluster did not answer as one does")
