"""Source "logs": lines of the layer with errors, masked as they are stored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ops.core.errors import OpsError, one_line
from ops.core.web import Web
from ops.incidents.evidence import LogSeen
from ops.incidents.model import Incident
from ops.incidents.time_window import TimeWindow
from ops.telemetry.logs import LEVELS, READ_ALIAS
from ops.telemetry.trace_tree import printable

MOST = 100
LONGEST_TEXT = 300


def query(incident: Incident, window: TimeWindow) -> dict[str, Any]:
    """The search: errors of the layer, or of the service that an alert without layer names."""
    layer, service = incident.alert.layer, incident.alert.labels.get("job", "")
    filters: list[dict[str, Any]] = [
        {"range": {"@timestamp": {"gte": window.start.isoformat(), "lte": window.end.isoformat()}}},
        {"range": {"severity_number": {"gte": LEVELS["error"]}}},
    ]
    if layer:
        filters.append({"term": {"layer": layer}})
    elif service:
        filters.append({"term": {"service": service}})
    return {"bool": {"filter": filters}}


def logs(
    web: Web, url: str, auth: tuple[str, str], incident: Incident, window: TimeWindow
) -> tuple[tuple[LogSeen, ...], int]:
    """The first lines with errors, oldest first, and how many there are.

    The oldest, since those are nearest to the cause.

    Raises:
        OpsError: The search cluster refuses, or does not answer.
    """
    body = {
        "query": query(incident, window),
        "sort": [{"@timestamp": "asc"}],
        "size": MOST,
        "track_total_hits": True,
    }
    response = web.call(
        "POST",
        f"{url}/{READ_ALIAS}/_search",
        auth=auth,
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with response:
        if response.status_code != 200:
            raise OpsError(f"the search cluster answered {response.status_code}: {one_line(response.text, 160)}")
        try:
            hits = response.json()["hits"]
            lines = {str(hit["_id"]): _seen(hit["_source"]) for hit in hits["hits"]}
            total = int(hits["total"]["value"])
        except (ValueError, KeyError, TypeError):
            raise OpsError("the search cluster did not answer as one does") from None
    return tuple(lines.values()), max(total, len(lines))


def _seen(source: Mapping[str, Any]) -> LogSeen:
    at = datetime.fromisoformat(str(source["@timestamp"])[:26].rstrip("Z").removesuffix("+00:00"))
    notes = " ".join(f"{key}={value}" for key, value in (source.get("attributes") or {}).items())
    text = " | ".join(part for part in (str(source.get("body", "")), notes) if part)
    return LogSeen(
        at=at.replace(tzinfo=UTC),
        severity=str(source.get("severity") or source.get("severity_number") or ""),
        service=str(source.get("service", "")),
        trace=str(source.get("trace_id", "")),
        text=one_line(printable(text) or "-", LONGEST_TEXT),
    )
