"""Jaeger's dependency documents."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from services.service_graph.edges import Edge, links


def document(calls: Mapping[Edge, int], newest_ms: int) -> dict[str, Any]:
    """A document as Jaeger 2 reads it: calls, and the time at which the last of them was recorded."""
    moment = datetime.datetime.fromtimestamp(newest_ms / 1000, datetime.UTC)
    return {"timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"), "dependencies": links(calls)}


def document_id(topic: str, first_offsets: Mapping[int, int]) -> str:
    """Name of the document that begins at these offsets of the topic's partitions.

    What is read again after a crash begins at the same offsets, so it replaces what may have been written already.
    """
    text = json.dumps([topic, sorted(first_offsets.items())])
    return hashlib.sha256(text.encode()).hexdigest()[:32]
