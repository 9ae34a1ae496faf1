"""Scenarios of the gateway's alerts."""

from __future__ import annotations

from tests.rules.scenario import Scenario

GATEWAY = 'job="gateway",instance="gateway-0"'
_REFUSED = f'otelcol_receiver_refused_metric_points_total{{{GATEWAY},receiver="otlp",transport="grpc"}}'
_SIZE = f'otelcol_exporter_queue_size{{{GATEWAY},exporter="kafka/metrics",data_type="metrics"}}'
_CAPACITY = f'otelcol_exporter_queue_capacity{{{GATEWAY},exporter="kafka/metrics",data_type="metrics"}}'
_LOST = f'otelcol_exporter_send_failed_metric_points_total{{{GATEWAY},exporter="kafka/metrics"}}'
_OWN = f'otelcol_exporter_send_failed_metric_points_total{{{GATEWAY},exporter="prometheus/self"}}'
_FOREIGN = f'otelcol_processor_filter_spans_filtered_total{{{GATEWAY},filter="filter/refused-signal"}}'
_LOGIN = f'http_server_request_duration_seconds_count{{{GATEWAY},http_response_status_code="401"}}'
_FINE = f'http_server_request_duration_seconds_count{{{GATEWAY},http_response_status_code="200"}}'

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        alert="GatewayRefusesTelemetry",
        bad={_REFUSED: "0x9 0+5x40", _REFUSED.replace("metric_points", "spans"): "0x9 0+5x40"},
        good={_REFUSED: "7x50"},
        silent_at="5m30s",
        firing_at="7m",
        labels={"job": "gateway", "instance": "gateway-0"},
    ),
    Scenario(
        alert="GatewayQueueFilling",
        bad={_SIZE: "49x9 51x40", _CAPACITY: "100x50"},
        good={_SIZE: "49x50", _CAPACITY: "100x50"},
        silent_at="5m30s",
        firing_at="6m30s",
        labels={"instance": "gateway-0", "exporter": "kafka/metrics"},
    ),
    Scenario(
        alert="GatewayLostTelemetry",
        bad={_LOST: "0x9 3x40"},
        good={_LOST: "3x50", _OWN: "0+1x50"},
        silent_at="4m30s",
        firing_at="5m30s",
        labels={"job": "gateway", "instance": "gateway-0"},
    ),
    Scenario(
        alert="GatewayDropsForeignTelemetry",
        bad={_FOREIGN: "0x9 0+5x60"},
        good={_FOREIGN: "0x9 5x60"},
        silent_at="9m30s",
        firing_at="11m",
        labels={"job": "gateway", "filter": "filter/refused-signal"},
    ),
    Scenario(
        alert="GatewayLoginsFail",
        bad={_LOGIN: "0x9 0+30x60"},
        good={_LOGIN: "0x9 0+3x60", _FINE: "0+300x70"},
        silent_at="9m30s",
        firing_at="13m",
        labels={"job": "gateway"},
    ),
)
