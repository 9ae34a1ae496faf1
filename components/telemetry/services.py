"""The observed services that send traces: their layers, operations, latency limits and calls. Data only.

Further services come from ``services`` in ``thresholds.yaml``. The end-to-end trace goes through `TRACED_SERVICES`. A
device may not send traces (requirement L1), so its edge begins the trace on its behalf; see ADR 0009.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from enum import StrEnum

from components.telemetry.attributes import CLASSES
from components.telemetry.file import content, explaining, text
from components.telemetry.layers import ANALYTICS, BUSINESS, STREAMING, Layer


class SpanKind(StrEnum):
    """Kinds of spans, as OTLP names them without their prefix."""

    INTERNAL = "INTERNAL"
    SERVER = "SERVER"
    CLIENT = "CLIENT"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"


ENTRY_KINDS: tuple[SpanKind, ...] = (SpanKind.SERVER, SpanKind.CONSUMER)
"""Kinds with which a service answers for itself: its rate, errors and latency are counted on these."""


@dataclass(frozen=True, kw_only=True)
class TracedOperation:
    """One kind of span.

    Attributes:
        name: Span name; it has no varying part.
        kind: Span kind.
        classification: Value of the span's ``data.classification``.
    """

    name: str
    kind: SpanKind
    classification: str

    def __post_init__(self) -> None:
        if self.classification not in CLASSES:
            raise ValueError(
                f"operation {self.name!r}: classification is {self.classification!r}, "
                f"must be one of {', '.join(CLASSES)}"
            )


@dataclass(frozen=True, kw_only=True)
class TracedService:
    """One service of the end-to-end trace.

    Attributes:
        name: ``service.name``.
        layer: Layer that it sends as; one that may send traces.
        description: What it does.
        latency_limit_ms: A span of it that lasts longer is slow: its trace is kept.
        operations: Its spans.
    """

    name: str
    layer: Layer
    description: str
    latency_limit_ms: int
    operations: tuple[TracedOperation, ...]

    @property
    def classification(self) -> str:
        """Least restricted class of its spans: that of its resource, since a span may only be stricter than that."""
        return min((operation.classification for operation in self.operations), key=CLASSES.index)

    def operation(self, name: str) -> TracedOperation:
        """Find an operation by name.

        Raises:
            KeyError: The service has no such operation.
        """
        for candidate in self.operations:
            if candidate.name == name:
                return candidate
        raise KeyError(f"service {self.name} has no operation {name!r}")


def _operations(*rows: tuple[str, SpanKind, str]) -> tuple[TracedOperation, ...]:
    return tuple(TracedOperation(name=name, kind=kind, classification=level) for name, kind, level in rows)


SEGMENTS_TOPIC = "stream.segments"
"""Where `streaming` hands segments over to `recording` (a topic of the observed system, not of this platform)."""
REGISTRATIONS_TOPIC = "recording.registered"
"""Where `metadata` tells that a recording can be found."""

DEVICE_EDGE = TracedService(
    name="device-edge",
    layer=STREAMING,
    description="takes the devices' uploads; begins the trace on their behalf",
    latency_limit_ms=2000,
    operations=_operations(
        ("POST /v1/devices/{device}/segments", SpanKind.SERVER, "confidential"),
        ("POST /v1/streams/{stream}/segments", SpanKind.CLIENT, "confidential"),
    ),
)
STREAMING_SERVICE = TracedService(
    name="streaming",
    layer=STREAMING,
    description="decodes segments for live viewers and hands them over",
    latency_limit_ms=500,
    operations=_operations(
        ("POST /v1/streams/{stream}/segments", SpanKind.SERVER, "confidential"),
        ("decode segment", SpanKind.INTERNAL, "confidential"),
        (f"send {SEGMENTS_TOPIC}", SpanKind.PRODUCER, "confidential"),
    ),
)
RECORDING = TracedService(
    name="recording",
    layer=STREAMING,
    description="stores segments, one by one and then in batches",
    latency_limit_ms=1000,
    operations=_operations(
        (f"process {SEGMENTS_TOPIC}", SpanKind.CONSUMER, "confidential"),
        ("encode segment", SpanKind.INTERNAL, "confidential"),
        ("PUT", SpanKind.CLIENT, "confidential"),
        ("POST /v1/recordings", SpanKind.CLIENT, "internal"),
        ("compact batch", SpanKind.INTERNAL, "internal"),
    ),
)
METADATA = TracedService(
    name="metadata",
    layer=BUSINESS,
    description="registers recordings, so that they can be found",
    latency_limit_ms=500,
    operations=_operations(
        ("POST /v1/recordings", SpanKind.SERVER, "internal"),
        ("INSERT recordings", SpanKind.CLIENT, "internal"),
        (f"send {REGISTRATIONS_TOPIC}", SpanKind.PRODUCER, "internal"),
    ),
)
ANALYSIS_UI = TracedService(
    name="analysis-ui",
    layer=ANALYTICS,
    description="shows new recordings to analysts",
    latency_limit_ms=1000,
    operations=_operations(
        (f"process {REGISTRATIONS_TOPIC}", SpanKind.CONSUMER, "internal"),
        ("render site totals", SpanKind.INTERNAL, "public"),
    ),
)

TRACED_SERVICES: tuple[TracedService, ...] = (DEVICE_EDGE, STREAMING_SERVICE, RECORDING, METADATA, ANALYSIS_UI)
"""Services of the end-to-end trace, in the order in which it passes them."""

EDGES: tuple[tuple[str, str], ...] = tuple(
    (caller.name, called.name) for caller, called in itertools.pairwise(TRACED_SERVICES)
)
"""The expected dependency map: (caller, called)."""

DEFAULT_LATENCY_LIMIT_MS = 3000
"""For spans of services that `LATENCY_LIMITS_MS` does not list."""

LATENCY_LIMITS_MS: dict[str, int] = {
    **{service.name: service.latency_limit_ms for service in TRACED_SERVICES},
    "stream-server": 1000,
    "recorder": 1000,
    "event-processor": 1000,
    "adls-transfer": 5000,
    "dashboard-ui": 10000,
    "analysis-worker": 10000,
}
"""``service.name`` -> milliseconds above which one of its spans makes its trace worth keeping."""

with explaining():
    LATENCY_LIMITS_MS |= {
        text(service["name"]): int(service["traces"]["latency_limit_ms"])
        for service in content()["services"]
        if service.get("traces")
    }


def latency_limit_ms(service: str) -> int:
    """Latency limit of a service's spans."""
    return LATENCY_LIMITS_MS.get(service, DEFAULT_LATENCY_LIMIT_MS)


def services_by_limit() -> dict[int, tuple[str, ...]]:
    """Limit -> services that have it, tightest first; the default limit's other services are not listed."""
    limits = sorted({*LATENCY_LIMITS_MS.values()})
    return {limit: tuple(sorted(name for name, own in LATENCY_LIMITS_MS.items() if own == limit)) for limit in limits}
