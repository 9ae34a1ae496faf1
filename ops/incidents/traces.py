"""Source "traces": failed and slow traces of the layer's services, as far as one clearance shows them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from components.telemetry.classification import CLASSES
from components.telemetry.services import TRACED_SERVICES, latency_limit_ms
from ops.incidents.evidence import TraceSeen
from ops.incidents.model import Incident
from ops.incidents.time_window import TimeWindow
from ops.telemetry.trace_tree import Trace
from ops.telemetry.traces import TraceReader

MOST_SERVICES = 6
MOST_EACH = 15
MOST = 40


class WindowReader(TraceReader):
    """Reads the traces of a time that may lie in the past."""

    def between(
        self, service: str, window: TimeWindow, *, errors: bool = False, slower_us: int = 0, limit: int = MOST_EACH
    ) -> list[Trace]:
        """Traces of a service, the newest first.

        Raises:
            OpsError: The query refuses, or does not answer.
        """
        params = {
            "service": service,
            "start": str(int(window.start.timestamp() * 1_000_000)),
            "end": str(int(window.end.timestamp() * 1_000_000)),
            "limit": str(limit),
            **({"tags": json.dumps({"error": "true"})} if errors else {}),
            **({"minDuration": f"{slower_us}us"} if slower_us else {}),
        }
        return sorted(self._get("/api/traces", params), key=lambda trace: -trace.start_us)


def services_of(incident: Incident) -> tuple[str, ...]:
    """Services that send traces and belong to the alert: the one that it names, then those of its layer."""
    named = [incident.alert.labels.get(key, "") for key in ("service", "service_name", "job")]
    known = {service.name: service for service in TRACED_SERVICES}
    own = [name for name in named if name in known]
    layer = [name for name, service in known.items() if service.layer.name == incident.alert.layer]
    return tuple(dict.fromkeys([*own, *layer]))[:MOST_SERVICES]


def traces(reader: WindowReader, services: Sequence[str], window: TimeWindow) -> tuple[TraceSeen, ...]:
    """Failed and slow traces of the services, oldest first, each once.

    Raises:
        OpsError: The query refuses, or does not answer.
    """
    traces_by_id: dict[str, TraceSeen] = {}
    for service in services:
        failed = reader.between(service, window, errors=True)
        slow = reader.between(service, window, slower_us=latency_limit_ms(service) * 1000)
        for trace in (*failed, *slow):
            traces_by_id.setdefault(trace.trace_id, _seen(trace, service))
    # Failed ones first when there are too many.
    chosen = sorted(traces_by_id.values(), key=lambda trace: (not trace.failed, -trace.duration_us))[:MOST]
    return tuple(sorted(chosen, key=lambda trace: trace.at))


def _seen(trace: Trace, service: str) -> TraceSeen:
    spans = sorted(trace.spans, key=lambda span: span.start_us)
    own = [span for span in spans if span.service == service] or spans
    worst = max(own, key=lambda span: (span.error, span.duration_us))
    return TraceSeen(
        trace_id=trace.trace_id,
        at=datetime.fromtimestamp(trace.start_us / 1e6, UTC),
        service=worst.service,
        operation=worst.name[:120],
        duration_us=trace.duration_us,
        failed=any(span.error for span in spans),
        services=tuple(dict.fromkeys(span.service for span in spans)),
        data_class=most_restricted(span.data_class for span in spans),
    )


def most_restricted(classes: Iterable[str]) -> str:
    """The most restricted of some classes."""
    return max(classes, key=CLASSES.index)
