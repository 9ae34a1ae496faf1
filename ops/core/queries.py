"""Questions to what answers for a time: series and rules from a Prometheus or Thanos Query, and the search cluster."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from components.alerting.escalation import recorded_of
from ops.core.errors import OpsError, one_line
from ops.core.web import Web

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
