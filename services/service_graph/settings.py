"""The settings of the service graph."""

from __future__ import annotations

from typing import Annotated

from services.runtime.settings import KafkaTopic, SearchIndex, ServerSettings, number


class ServiceGraphSettings(ServerSettings):
    """How to read spans, where the map goes, and how to serve it.

    Attributes:
        interval_s: Seconds between documents.
        window_s: Seconds within which a span and its parent have to come.
        most_spans: Spans remembered per window; twice as many are held.
        most_edges: Edges that are told apart.
    """

    kafka: KafkaTopic
    search: SearchIndex
    interval_s: Annotated[int | float, number(1, 3600)]
    window_s: Annotated[int | float, number(1, 600)]
    most_spans: Annotated[int, number(1000, 10_000_000)]
    most_edges: Annotated[int, number(1, 100_000)]
