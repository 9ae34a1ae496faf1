"""Scenarios of the gateway's alerts."""

from __future__ import annotations

from tests.rules.scenario import Scenario

GATEWAY = 'job="gateway",instance="gateway-0"'
_UP = 'up{job="gateway",instance="gateway-%d"}'
_REFUSED = f'otelcol_receiver_refused_metric_points_total{{{GATEWAY},receiver="otlp",transport="grpc"}}'
_SIZE = f'otelcol_exporter_queue_size{{{GATEWAY},exporter="kafka/metrics",data_type="metrics"}}'
_CAPACITY = f'otelcol_exporter_queue_capacity{{{GATEWAY},exporter="kafka/metrics",data_type="metrics"}}'
_LOST = (
    f'otelcol_exporter_send_failed_metric_points_total{{{GATEWAY},exporter="kafka/metrics",error_type="%s",'
    'error_permanent="%s"}'
)
_OWN = f'otelcol_exporter_send_failed_metric_points_total{{{GATEWAY},exporter="prometheus/self"}}'
_FOREIGN = f'otelcol_processor_filter_spans_filtered_total{{{GATEWAY},filter="filter/refused-signal"}}'
_LOGIN = f'http_server_request_duration_seconds_count{{{GATEWAY},http_response_status_code="401"}}'
_FINE = f'http_server_request_duration_seconds_count{{{GATEWAY},http_response_status_code="200"}}'
_LOSS = {"job": "gateway", "instance": "gateway-0", "exporter": "kafka/metrics"}

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        alert="TelemetryInflowDown",
        bad={_UP % 0: "1x9 0x40", _UP % 1: "1x8 0x41"},
        good={_UP % 0: "1x9 0x40", _UP % 1: "1x50"},
        silent_at="5m",
        firing_at="5m15s",
        labels={"job": "gateway"},
    ),
    # Pods whose names are gone.
    Scenario(
        alert="TelemetryInflowDown",
        bad={_UP % 0: "1x9 stale", 'up{job="kafka",instance="kafka-0"}': "1x50"},
        good={_UP % 0: "1x9 stale", _UP % 1: "1x50"},
        silent_at="5m",
        firing_at="5m15s",
        labels={"job": "gateway"},
    ),
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
        alert="GatewayQueueFull",
        bad={_SIZE: "49x9 91x40", _CAPACITY: "100x50"},
        good={_SIZE: "49x9 89x40", _CAPACITY: "100x50"},
        silent_at="5m",
        firing_at="5m30s",
        labels={"instance": "gateway-0", "exporter": "kafka/metrics"},
    ),
    Scenario(
        alert="GatewayLostTelemetry",
        bad={_LOST % ("_OTHER", "true"): "0x9 3x40"},
        good={_LOST % ("_OTHER", "true"): "3x50", _OWN: "0+1x50"},
        silent_at="4m45s",
        firing_at="5m",
        labels=_LOSS,
    ),
    # The counter does not exist before the first loss.
    Scenario(
        alert="GatewayLostTelemetry",
        bad={_LOST % ("_OTHER", "true"): "_x10 3x40", _UP % 0: "1x50"},
        good={_LOST % ("Shutdown", "false"): "_x10 3x40", _UP % 0: "1x50"},
        silent_at="4m45s",
        firing_at="5m",
        labels=_LOSS,
    ),
    # A loss for another reason than the last one.
    Scenario(
        alert="GatewayLostTelemetry",
        bad={_LOST % ("_OTHER", "true"): "7x50", _LOST % ("Unknown", "true"): "_x20 3x40", _UP % 0: "1x60"},
        # Known again after Prometheus was away: the loss may be old.
        good={_LOST % ("_OTHER", "true"): "7x5 _x20 7x40", _UP % 0: "1x5 _x20 1x40"},
        silent_at="9m45s",
        firing_at="13m",
        labels=_LOSS,
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
