"""Series with the pseudonym as the value of a label, at the read address and in each Prometheus."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from ops.core.errors import OpsError, one_line
from ops.core.web import Web
from ops.privacy.record import Holding

_AT_ONCE: Final = 40
"""Labels that one request asks for."""
_AHEAD_S: Final = 900.0
"""The gate lets in what is up to ten minutes ahead."""
_LABEL: Final = re.compile(r"(?!__name__$)[A-Za-z_][A-Za-z0-9_]*")
_DURATION: Final = re.compile(r"(\d+)(ms|s|m|h|d|w|y)")
_UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
_ADMIN_FLAG, _RETENTION_FLAG = "web.enable-admin-api", "storage.tsdb.retention.time"
ADMIN_OFF: Final = "Prometheus offers no removal of series: its administration interface is off (policy)"


def seconds(duration: str) -> float:
    """Seconds of a duration as Prometheus writes it, for example ``30d`` or ``1h30m``.

    Raises:
        OpsError: It is none.
    """
    parts = _DURATION.findall(duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        raise OpsError(f"{duration!r} is no duration of Prometheus")
    return float(sum(int(number) * _UNITS[unit] for number, unit in parts))


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
        now = time.time()
        span = {"start": f"{now - since_s:.0f}", "end": f"{now + _AHEAD_S:.0f}"}
        names = [name for name in self._get("labels", span) if _LABEL.fullmatch(name)]
        held: set[str] = set()
        for start in range(0, len(names), _AT_ONCE):
            matchers = [f'{{{name}="{pseudonym}"}}' for name in names[start : start + _AT_ONCE]]
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
