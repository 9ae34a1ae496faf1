"""Scenarios of the metrics consumers' alerts."""

from __future__ import annotations

from tests.rules.scenario import Scenario

CONSUMER = 'job="metrics-consumer-primary",instance="10-88-0-7"'
_REFUSED = f'otelcol_exporter_send_failed_metric_points_total{{{CONSUMER},exporter="otlphttp/prometheus"}}'
_OWN = f'otelcol_exporter_send_failed_metric_points_total{{{CONSUMER},exporter="prometheus/self"}}'
_WRITTEN = f'otelcol_exporter_sent_metric_points_total{{{CONSUMER},exporter="otlphttp/prometheus"}}'
_OWN_WRITTEN = f'otelcol_exporter_sent_metric_points_total{{{CONSUMER},exporter="prometheus/self"}}'
_PRODUCED = 'otelcol_exporter_sent_metric_points_total{job="gateway",instance="gateway-0",exporter="kafka/metrics"}'

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        alert="ConsumerDropsRefusedMetrics",
        bad={_REFUSED: "0x9 4x40"},
        good={_REFUSED: "4x50", _OWN: "0+1x50"},
        silent_at="4m30s",
        firing_at="5m30s",
        labels={"job": "metrics-consumer-primary"},
    ),
    Scenario(
        alert="ConsumerStalled",
        bad={_WRITTEN: "0+10x9 90x60", _OWN_WRITTEN: "0+10x70", _PRODUCED: "0+10x70"},
        good={_WRITTEN: "0+10x9 90x60", _PRODUCED: "0+10x9 90x60"},
        silent_at="8m",
        firing_at="10m30s",
        labels={"job": "metrics-consumer-primary"},
    ),
)
