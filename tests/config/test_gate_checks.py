"""What the platform's own checks and drills send passes the gate as it is rendered for the lab and for production."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from random import Random

import pytest
from google.protobuf.message import Message

from components.telemetry.layers import LAYERS, Signal, layers_sending
from ops.checks import ingest as verify_gateway
from ops.checks import traces as verify_traces
from ops.core import otlp
from ops.drills.tools.load import LOG_LAYER, log_request, sequence_request
from ops.drills.tools.notifications import CRITICAL, HIGH, OTHER_CRITICAL, condition
from ops.drills.tools.span_load import SPANS_PER_TRACE, Traffic, batches
from tests.config.gateway_process import PASSWORDS, GatewayProcess, gateway_data, gateway_process
from tests.config.servers import eventually
from tests.support import engine

TRACES_LAYER = layers_sending(Signal.TRACES)[0].name
LOGS_LAYER = layers_sending(Signal.LOGS)[0].name


def opened(stack: str) -> tuple[str, ...]:
    """Layers that a stack file opens."""
    return tuple(engine.stack_settings(stack)["gateway"]["open_layers"])


def requests() -> Iterator[tuple[str, str, str, Message]]:
    """Name, signal, layer, request."""
    for layer in LAYERS:
        yield f"probe of {layer.name}", "metrics", layer.name, verify_gateway.probe(layer.name)
    verified = otlp.resource_of(TRACES_LAYER, "ops-verify", "ops-verify")
    yield "a failed span", "traces", TRACES_LAYER, otlp.span(verified, "ops-verify-failed", failed=True)
    yield "a trace of all classes", "traces", TRACES_LAYER, verify_traces.probe(b"t" * 16, ["public", "internal"])
    yield "examples of masking", "logs", LOGS_LAYER, verify_gateway.example_request(list(verify_gateway.examples()))
    yield "numbered points", "metrics", "device", sequence_request("run-1", [(1, number) for number in range(9)])
    for kind in (CRITICAL, OTHER_CRITICAL, HIGH):
        for value in (kind.bad, kind.good):
            what = f"{value:g} as a condition of {kind.alert}"
            yield what, "metrics", kind.layer, condition(kind, "drill-abcdefx", value)


def left_out(gateway: GatewayProcess) -> dict[str, float]:
    """What the gate has refused or dropped so far."""
    return {name: gateway.value(f"otelcol_gate_{name}_total") for name in ("refused_items", "dropped_attributes")}


@pytest.mark.parametrize("stack", ["local", "prod"])
def test_everything_is_let_in_whole(stack: str, tmp_path: Path) -> None:
    open_layers = opened(stack)
    with gateway_process(tmp_path, gateway_data(tmp_path, open_layers=open_layers)) as gateway:
        _let_in(gateway, open_layers)


def _let_in(gateway: GatewayProcess, open_layers: Collection[str]) -> None:
    answers = {
        name: answer.text
        for name, signal, layer, request in requests()
        if (answer := gateway.post(signal, request.SerializeToString(), layer, PASSWORDS[layer])).status_code != 200
    }
    assert answers == {}
    if LOG_LAYER in open_layers:  # each run of that drill is a service of its own
        numbered = log_request("e2e-0123abcd", [(1, number) for number in range(9)])
        gateway.accept("logs", numbered.SerializeToString(), LOG_LAYER)
    batch = next(batches(Traffic(Random(1).getrandbits(32), failed=0.5), 20))
    for layer, body in batch.bodies.items():
        gateway.accept("traces", body, layer)
    spans = 20 * SPANS_PER_TRACE + 3
    eventually(
        lambda: gateway.value("otelcol_gate_accepted_items_total", signal="traces") == spans, 15, "all are counted"
    )
    assert left_out(gateway) == {"refused_items": 0, "dropped_attributes": 0}
