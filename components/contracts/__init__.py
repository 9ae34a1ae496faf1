"""What one stage of the platform hands to the next.

A stage never imports another stage: it gets these values, so its signature says what it talks to.
"""

from __future__ import annotations

from components.contracts.alerts import AlertEventsEndpoint, AlertmanagerEndpoint, AlertReceiver
from components.contracts.credentials import Credential, TlsIdentity
from components.contracts.kafka import KafkaEndpoint, OtlpEndpoint
from components.contracts.metrics import ProbeJob, ProbeTarget, PrometheusEndpoint, QueryEndpoint, ScrapeTarget
from components.contracts.traces import (
    OidcEndpoint,
    SearchEndpoint,
    TraceQueryEndpoint,
    TraceReaderEndpoint,
    TracesEndpoint,
)
from components.contracts.visualization import DatabaseEndpoint, GrafanaEndpoint, ObjectStorage

__all__ = [
    "AlertEventsEndpoint",
    "AlertReceiver",
    "AlertmanagerEndpoint",
    "Credential",
    "DatabaseEndpoint",
    "GrafanaEndpoint",
    "KafkaEndpoint",
    "ObjectStorage",
    "OidcEndpoint",
    "OtlpEndpoint",
    "ProbeJob",
    "ProbeTarget",
    "PrometheusEndpoint",
    "QueryEndpoint",
    "ScrapeTarget",
    "SearchEndpoint",
    "TlsIdentity",
    "TraceQueryEndpoint",
    "TraceReaderEndpoint",
    "TracesEndpoint",
]
