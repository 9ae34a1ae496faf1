"""Scenario of the alert about masking."""

from __future__ import annotations

from tests.rules.scenario import Scenario

_LABELS = 'job="gateway",instance="gateway-0",processor="transform/mask",otel_signal="logs"'
_IN = f"otelcol_processor_incoming_items_total{{{_LABELS}}}"
_OUT = f"otelcol_processor_outgoing_items_total{{{_LABELS}}}"

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        alert="MaskingRefuses",
        bad={_IN: "0+100x60", _OUT: "0+100x9 900+80x50"},
        good={_IN: "0+100x60", _OUT: "0+100x60"},
        silent_at="5m",
        firing_at="9m",
        labels={"job": "gateway", "processor": "transform/mask"},
    ),
)
