"""Asks Thanos Query: HTTPS verified against one CA, Basic auth, bounded in time."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import requests

from services.reports.errors import ReportError, one_line

TIMEOUT = (10.0, 120.0)
"""Seconds to connect, and to wait for an answer: a month is a large question."""
MOST_POINTS = 10_000
"""Prometheus refuses a range with more points than 11,000."""


class RefusedError(ReportError):
    """The server answered, and said no to this one question."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One series of an answer about one moment."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, kw_only=True)
class Series:
    """One series of an answer about a range: seconds since 1970 and value, oldest first, without gaps' NaN."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]


class Metrics(Protocol):
    """Who answers PromQL."""

    @property
    def warnings(self) -> Sequence[str]:
        """What answers were incomplete over: a store that did not answer, for one."""

    def instant(self, expression: str, at: float) -> list[Sample]:
        """Answer about one moment; series without a number are left out.

        Raises:
            RefusedError: This question is not answered.
            ReportError: There is no answer to any question.
        """

    def range(self, expression: str, start: float, end: float, step: float) -> list[Series]:
        """Answer about ``start`` to ``end``, a point every ``step`` seconds.

        Raises:
            RefusedError: This question is not answered.
            ReportError: There is no answer to any question.
        """


class ThanosMetrics:
    """Thanos Query, or a Prometheus: the same interface."""

    def __init__(self, url: str, *, ca_file: Path, user: str, password: str) -> None:
        """Get ready.

        Args:
            url: ``https://host:port``, with a path where there is one.
            ca_file: The only authority that is trusted.
            user: Reader.
            password: Its password.
        """
        self._url = url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(ca_file)
        self._session.auth = (user, password)
        self._warnings: dict[str, None] = {}

    @property
    def warnings(self) -> Sequence[str]:
        """As `Metrics` says."""
        return tuple(self._warnings)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def instant(self, expression: str, at: float) -> list[Sample]:
        """As `Metrics` says."""
        vector = self._ask("query", {"query": expression, "time": f"{at:.3f}"}, "vector")
        samples = [Sample(labels=sample["metric"], value=float(sample["value"][1])) for sample in vector]
        return [sample for sample in samples if math.isfinite(sample.value)]

    def range(self, expression: str, start: float, end: float, step: float) -> list[Series]:
        """As `Metrics` says."""
        if (end - start) / step > MOST_POINTS:
            raise RefusedError(f"{(end - start) / step:.0f} points are too many, use a step of more than {step:.0f} s")
        times = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:.3f}"}
        matrix = self._ask("query_range", {"query": expression, **times}, "matrix")
        return [
            Series(
                labels=series["metric"],
                points=[(float(at), float(value)) for at, value in series["values"] if math.isfinite(float(value))],
            )
            for series in matrix
        ]

    def _ask(self, path: str, data: Mapping[str, str], kind: str) -> list[dict[str, Any]]:
        url = f"{self._url}/api/v1/{path}"
        try:
            response = self._session.post(url, data=dict(data), timeout=TIMEOUT, allow_redirects=False)
        except requests.ReadTimeout:
            raise RefusedError(f"no answer within {TIMEOUT[1]:.0f} s") from None
        except requests.RequestException as error:
            raise ReportError(f"{self._url} cannot be asked: {one_line(_cause(error))}") from None
        with response:
            if response.status_code in (401, 403):
                raise ReportError(
                    f"{self._url} refuses the user {self._user!r}: {response.status_code}; see its password"
                )
            try:
                body = response.json()
            except json.JSONDecodeError:
                raise RefusedError(f"{response.status_code} without JSON: {one_line(response.text, 120)}") from None
        if not isinstance(body, dict) or body.get("status") != "success":
            reason = body.get("error", "") if isinstance(body, dict) else body
            raise RefusedError(one_line(f"{response.status_code}: {reason}"))
        self._warnings.update(dict.fromkeys(one_line(warning) for warning in body.get("warnings") or ()))
        answer = body["data"]
        if answer.get("resultType") != kind:
            raise RefusedError(f"the answer is a {answer.get('resultType')}, not a {kind}")
        result: list[dict[str, Any]] = answer["result"]
        return result

    @property
    def _user(self) -> str:
        auth = self._session.auth
        return str(auth[0]) if isinstance(auth, tuple) else ""


def _cause(error: BaseException) -> BaseException:
    """The innermost reason, which is the one that says something."""
    while (inner := error.__cause__ or error.__context__) is not None and inner is not error:
        error = inner
    return error
