"""Logs from Kafka into the search cluster, each once, none lost.

Runs as ``python3 -m services.log_indexer --config FILE``; several of them share the topic's partitions.
"""

from __future__ import annotations

from typing import Annotated

from services.runtime.settings import KafkaTopic, SearchIndex, ServerSettings, whole


class LogIndexerSettings(ServerSettings):
    """How to read logs, where they go, and how to serve the metrics.

    Attributes:
        batch_records: Kafka records that are read before they are written.
        batch_bytes: Size of one bulk request, about.
    """

    kafka: KafkaTopic
    search: SearchIndex
    batch_records: Annotated[int, whole(1, 10_000)]
    batch_bytes: Annotated[int, whole(10_000, 50_000_000)]
