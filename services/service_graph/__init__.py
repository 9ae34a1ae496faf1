"""The dependency map: who calls whom, how often, how well, and how fast, from every span before sampling.

Runs as ``python3 -m services.service_graph --config FILE``. It reads spans from Kafka, offers the map to Prometheus
and writes it for Jaeger's *System Architecture* page.
"""

from __future__ import annotations

from typing import Annotated

from services.runtime.settings import KafkaTopic, SearchIndex, ServerSettings, number


class ServiceGraphSettings(ServerSettings):
    """How to read spans, where the map goes, and how to serve it.

    Attributes:
        interval_s: Seconds between documents.
        window_s: Seconds within which a span and its parent have to come.
        most_spans: Spans remembered per window, and callers that they wait for; twice as many are held.
        most_edges: Edges that are told apart.
    """

    kafka: KafkaTopic
    search: SearchIndex
    interval_s: Annotated[int | float, number(1, 3600)]
    window_s: Annotated[int | float, number(1, 600)]
    most_spans: Annotated[int, number(1000, 10_000_000)]
    most_edges: Annotated[int, number(1, 100_000)]
