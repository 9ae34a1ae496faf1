"""The services of the end-to-end trace: consistent with each other and with the layers."""

from __future__ import annotations

import pytest

from components.telemetry.attributes import CLASSES
from components.telemetry.catalogue import SERVICES
from components.telemetry.layers import Signal
from components.telemetry.services import (
    DEFAULT_LATENCY_LIMIT_MS,
    EDGES,
    LATENCY_LIMITS_MS,
    TRACED_SERVICES,
    SpanKind,
    TracedOperation,
    latency_limit_ms,
    services_by_limit,
)


def test_the_trace_goes_through_five_services_of_layers_that_may_send_traces() -> None:
    assert [service.name for service in TRACED_SERVICES] == [
        "device-edge",
        "streaming",
        "recording",
        "metadata",
        "analysis-ui",
    ]
    assert all(service.layer.may_send(Signal.TRACES) for service in TRACED_SERVICES)
    assert {service.layer.name for service in TRACED_SERVICES} == {"streaming", "business", "analytics"}


def test_the_expected_map_is_the_chain_of_them() -> None:
    assert EDGES == (
        ("device-edge", "streaming"),
        ("streaming", "recording"),
        ("recording", "metadata"),
        ("metadata", "analysis-ui"),
    )


def test_every_class_occurs_and_a_resource_has_the_least_strict_of_its_spans() -> None:
    assert {operation.classification for service in TRACED_SERVICES for operation in service.operations} == set(CLASSES)
    assert {service.name: service.classification for service in TRACED_SERVICES} == {
        "device-edge": "confidential",
        "streaming": "confidential",
        "recording": "internal",
        "metadata": "internal",
        "analysis-ui": "public",
    }


def test_an_unknown_class_is_refused() -> None:
    with pytest.raises(ValueError, match="classification is 'secret', must be one of public, internal, confidential"):
        TracedOperation(name="x", kind=SpanKind.SERVER, classification="secret")


def test_limits_are_for_services_that_exist_and_all_others_have_the_default() -> None:
    known = {service.name for service in TRACED_SERVICES} | set(SERVICES)
    assert set(LATENCY_LIMITS_MS) <= known
    assert latency_limit_ms("streaming") == 500
    assert latency_limit_ms("anything") == DEFAULT_LATENCY_LIMIT_MS
    listed = {name for names in services_by_limit().values() for name in names}
    assert listed == set(LATENCY_LIMITS_MS)
