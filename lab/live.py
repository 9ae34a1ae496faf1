"""Whether telemetry of all layers is live at a stack's single read address."""

from __future__ import annotations

import tempfile
from typing import Any

import requests

from components.telemetry.layers import LAYERS
from lab.cluster.network import wait_until

_LIVE_LIMIT_S = 120
_CALL_LIMIT_S = 10


class Query:
    """Instant queries against the platform's single read address."""

    def __init__(self, outputs: dict[str, Any]) -> None:
        self._url = f"{outputs['query_url']}/api/v1/query"
        reader = outputs["query_reader"]
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.auth = (reader["username"], reader["password"])
        with tempfile.NamedTemporaryFile("w", suffix=".crt", delete=False) as file:
            file.write(outputs["ca_certificate"])
        self._session.verify = file.name

    def number(self, expression: str) -> float | None:
        """Value of a query with one result, or None where there is no result or no answer."""
        try:
            answer = self._session.get(self._url, params={"query": expression}, timeout=_CALL_LIMIT_S)
            answer.raise_for_status()
        except requests.RequestException:
            return None
        result = answer.json()["data"]["result"]
        return float(result[0]["value"][1]) if result else None


def wait_for_layers(outputs: dict[str, Any], limit_s: float = _LIVE_LIMIT_S) -> dict[str, int]:
    """Wait until every layer has live series; returns the number of series per layer.

    Raises:
        LabError: One had none within the limit.
    """
    query = Query(outputs)
    series: dict[str, int] = {}

    def all_live() -> bool:
        for layer in LAYERS:
            series[layer.name] = int(query.number(f'count({{layer="{layer.name}"}})') or 0)
        return all(series.values())

    wait_until("telemetry of all five layers at the read address", all_live, timeout_s=limit_s, every_s=1)
    return series
