"""Scenarios of the metrics consumers' alerts."""

from __future__ import annotations

from tests.rules.scenario import Scenario

CONSUMER = 'job="metrics-consumer-primary",instance="10-88-0-7"'
_REFUSED = f"otelcol_otlprecords_lost_items_total{{{CONSUMER}}}"
_FAILED = f'otelcol_otlprecords_requests_total{{{CONSUMER},outcome="failed"}}'
_OWN = f'otelcol_exporter_send_failed_metric_points_total{{{CONSUMER},exporter="prometheus/self"}}'
_WRITTEN = f"otelcol_otlprecords_sent_items_total{{{CONSUMER}}}"
_OWN_WRITTEN = f'otelcol_exporter_sent_metric_points_total{{{CONSUMER},exporter="prometheus/self"}}'
_PRODUCED = 'otelcol_kafkabuckets_items_total{job="gateway",instance="gateway-0",topic="telemetry-metrics"}'
_END = 'kafka_topic_partition_current_offset{job="kafka-lag",topic="telemetry-metrics",partition="0"}'
_UP = f"up{{{CONSUMER}}}"
_LABELS = {"job": "metrics-consumer-primary"}

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        alert="ConsumerDropsRefusedMetrics",
        bad={_REFUSED: "0x9 4x40"},
        good={_REFUSED: "4x50", _OWN: "0+1x50"},
        silent_at="4m45s",
        firing_at="5m",
        labels=_LABELS,
    ),
    # The counter does not exist before the first refusal.
    Scenario(
        alert="ConsumerDropsRefusedMetrics",
        bad={_REFUSED: "_x10 4x40", _UP: "1x50"},
        good={_FAILED: "_x10 4x40", _UP: "1x50"},
        silent_at="4m45s",
        firing_at="5m",
        labels=_LABELS,
    ),
    # A standby: what comes in is copied from the other region, and its own gateways have nothing.
    Scenario(
        alert="ConsumerStalled",
        bad={_WRITTEN: "0+10x9 90x60", _OWN_WRITTEN: "0+10x70", _END: "0+10x70", _PRODUCED: "0x70"},
        good={_WRITTEN: "0+10x9 90x60", _END: "0+10x9 90x60", _PRODUCED: "0x70"},
        silent_at="5m45s",
        firing_at="7m",
        labels=_LABELS,
    ),
    Scenario(
        alert="ConsumerFallsShort",
        # Two of three partitions.
        bad={_WRITTEN: "0+30x29 900+20x90", _PRODUCED: "0+30x120"},
        # Nothing for three minutes, then all that was missed.
        good={_WRITTEN: "0+30x29 870x5 1050+30x90", _PRODUCED: "0+30x120"},
        silent_at="24m",
        firing_at="28m",
        labels=_LABELS,
    ),
)
