"""A read address that answers from memory, and panels to ask it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from components.dashboards.model import Dashboard, Kind, Limit, Panel, Query, Row, State, bars, series, stat, table
from ops.core.errors import OpsError
from ops.core.web import Found, Sample
from ops.dashboards.panel_queries import QueryClient, Span

END = datetime(2026, 11, 25, 1, 0, tzinfo=UTC)
HOUR = Span(start=END - timedelta(hours=1), end=END)
Answers = Mapping[str, list[tuple[dict[str, str], float]]]


@dataclass
class ReadAddress:
    """Answers of both kinds of queries; ``asked`` are the expressions as they arrived."""

    answers: Answers
    delay_s: float = 0.0
    requests: list[str] = field(default_factory=list)

    def instant(self, expression: str, at: float) -> list[Sample]:
        return [Sample(labels=labels, time=at, value=value) for labels, value in self._found(expression)]

    def over(self, expression: str, start: datetime, end: datetime, step_s: float) -> list[Found]:
        times = [start.timestamp() + step_s * index for index in range(int((end - start).total_seconds() / step_s))]
        return [
            Found(labels=labels, points=tuple((at, value) for at in times)) for labels, value in self._found(expression)
        ]

    def _found(self, expression: str) -> list[tuple[dict[str, str], float]]:
        self.requests.append(expression)
        time.sleep(self.delay_s)
        for name, answer in self.answers.items():
            if name in expression:
                return answer
        if "broken" in expression:
            raise OpsError("Thanos Query answered 422: many-to-many matching")
        if "bug" in expression:
            raise RuntimeError("something else")
        return []


def query_client(answers: Answers, *, delay_s: float = 0.0, **chosen: str) -> tuple[QueryClient, ReadAddress]:
    address = ReadAddress(answers, delay_s)
    fake: Any = address
    return QueryClient(metrics=fake, now=fake, chosen=chosen), address


STATE = (State(value=0, text="OK", tone="good"), State(value=4, text="critical", tone="bad"))
FULL = (Limit(value=0.75, label="Filling", tone="warning"), Limit(value=0.9, label="Full"))

NUMBER = stat("Streams", "Live streams.", "{stream}", Query(expr="sum(stream_active)", legend="live"))
WORDS = stat("State", "State by layer.", "", Query(expr="states", legend="{{layer}}"), states=STATE)
DISKS = bars("Disks", "Used share.", "1", Query(expr="disk_used", legend="{{instance}}"), limits=FULL)
LINES = series(
    "Lag", "Records.", "{record}", Query(expr="lag", legend="{{group}}"), limits=(Limit(value=5000, label="Lag"),)
)
TABLE = table(
    "Topics",
    "All topics.",
    {"topic": "Topic"},
    Query(expr="partitions", legend="Partitions"),
    Query(expr="size_bytes", legend="Size", unit="By"),
    top=2,
)
MAP = Panel(
    title="Who calls whom",
    description="Calls.",
    kind=Kind.GRAPH,
    unit="{call}/s",
    queries=(Query(expr="calls"), Query(expr="served")),
)
ANSWERS: Answers = {
    "stream_active": [({}, 16.0)],
    "states": [({"layer": "data"}, 4.0), ({"layer": "device"}, 0.0)],
    "disk_used": [({"instance": "kafka-0"}, 0.5), ({"instance": "kafka-1"}, 0.95), ({"instance": "<b>"}, 0.8)],
    "lag": [({"group": "sampler"}, 7.0)],
    "partitions": [({"topic": "a"}, 4.0), ({"topic": "b"}, 12.0), ({"topic": "c"}, 2.0)],
    "size_bytes": [({"topic": "a"}, 2048.0)],
    "calls": [({"client": "edge", "server": "streaming"}, 2.0), ({"client": "streaming", "server": "edge"}, 1.0)],
    "served": [({"service_name": "edge"}, 1.0), ({"service_name": "streaming"}, 2.0)],
}


def dashboard(*panels: Panel) -> Dashboard:
    return Dashboard(name="made-up", title="Made up", description="All kinds.", rows=(Row(title="One", panels=panels),))
