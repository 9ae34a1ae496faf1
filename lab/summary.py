"""The end of ``make up``: waits for live telemetry of all five layers and prints addresses and numbers."""

from __future__ import annotations

import tempfile
from typing import Any

import requests
from rich.console import Console
from rich.table import Table

from components.telemetry.layers import LAYERS
from lab.cluster.network import wait_until
from lab.directory import content as directory
from lab.fakes.identity import setup as identity
from lab.fakes.receivers import settings as receivers
from lab.paths import LabPaths
from lab.storage import keys as storage

_LIVE_LIMIT_S = 120
_CALL_LIMIT_S = 10
_NEXT = (
    "next: `python -m lab exec -- kubectl get pods -A`, `python -m lab notifications` (what on-call was notified), "
    "`make verify`, `make e2e`, `make up-dr` (a second region), `make down`"
)
_SECOND_NEXT = (
    "next: `python -m lab exec -- python -m ops regions`; with PULUMI_STACK=local-dr commands are for this region; "
    "`python -m lab partition obs-local`, `python -m lab reconnect obs-local`, `make destroy-dr`"
)


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


def show_summary(paths: LabPaths, outputs: dict[str, Any], series: dict[str, int], *, second: bool = False) -> None:
    """Print where everything is, and what is live.

    Args:
        paths: The lab.
        outputs: Of the stack, with secrets in clear.
        series: Layer -> number of live series.
        second: Whether it is the stack of the second region.
    """
    console = Console()
    table = Table(title="live telemetry")
    table.add_column("layer")
    table.add_column("series", justify="right")
    for layer, count in series.items():
        table.add_row(layer, str(count))
    console.print(table)
    query = Query(outputs)
    down = query.number("count(up == 0) or vector(0)")
    up = query.number("count(up == 1) or vector(0)")
    console.print(f"scrape targets up {up or 0:.0f}, down {down or 0:.0f}", highlight=False)
    places = Table(title=f"addresses (inside the network namespace {paths.netns})")
    places.add_column("what")
    places.add_column("where")
    for what, key in (
        ("OTLP gRPC", "otlp_grpc"),
        ("OTLP HTTP", "otlp_http"),
        ("Kafka, external listener", "kafka_bootstrap"),
        ("metrics, single read address (Thanos Query)", "query_url"),
    ):
        places.add_row(what, str(outputs[key]))
    for clearance, url in outputs["trace_query_urls"].items():
        places.add_row(f"traces, clearance {clearance}", str(url))
    places.add_row(f"fake of the identity provider, people in {identity.folder(paths)}", identity.URL)
    places.add_row("fakes of pager, SMS, Slack, dead man's switch", receivers.URL)
    places.add_row("fake of the mail server", receivers.MAIL_SERVER)
    places.add_row(f"directory (OpenLDAP), {directory.BASE}", directory.URL)
    bucket = storage.SECOND_BUCKET if second else storage.BUCKET
    places.add_row(f"object storage (S3), buckets {bucket} and {storage.WITNESS_BUCKET} (of both regions)", storage.URL)
    places.add_row(f"fake of Route 53, zone {receivers.DNS_ZONE}", receivers.URL)
    console.print(places)
    console.print(_SECOND_NEXT if second else _NEXT, highlight=False)
