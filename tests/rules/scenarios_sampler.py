"""Scenarios of the alerts of the samplers, of the span metrics and of the service graph."""

from __future__ import annotations

from tests.rules.scenario import Scenario

SAMPLER = 'job="sampler",instance="sampler-0"'
_READ = f'otelcol_receiver_accepted_spans_total{{{SAMPLER},receiver="kafkarecords"}}'
_REFUSED = f'otelcol_exporter_send_failed_spans_total{{{SAMPLER},exporter="otlp/jaeger"}}'
_QUEUE = f'otelcol_exporter_queue_%s{{{SAMPLER},exporter="otlp/jaeger",data_type="traces"}}'
_UP = f"up{{{SAMPLER}}}"
_EVICTED = f"otelcol_processor_tail_sampling_sampling_trace_dropped_too_early_total{{{SAMPLER}}}"
_TOO_LARGE = f"otelcol_processor_tail_sampling_traces_dropped_too_large_total{{{SAMPLER}}}"
_LAG = 'kafka_consumergroup_lag{job="kafka-lag",consumergroup="sampler",topic="telemetry-traces",partition="0"}'
_END = 'kafka_topic_partition_current_offset{job="kafka-lag",topic="telemetry-traces",partition="0"}'
_GRAPHED = 'service_graph_spans_total{job="service-graph",instance="10-88-0-9"}'
_WRITTEN = 'service_graph_last_document_timestamp_seconds{job="service-graph",instance="10-88-0-9"}'


def _calls(service: str, status: str, kind: str = "SPAN_KIND_SERVER") -> str:
    return (
        f'traces_span_metrics_calls_total{{{SAMPLER},service_name="{service}",layer="streaming",span_name="a",'
        f'span_kind="{kind}",status_code="STATUS_CODE_{status}"}}'
    )


def _bucket(service: str, le: str) -> str:
    return (
        f'traces_span_metrics_duration_seconds_bucket{{{SAMPLER},service_name="{service}",layer="streaming",'
        f'span_name="a",span_kind="SPAN_KIND_SERVER",status_code="STATUS_CODE_UNSET",le="{le}"}}'
    )


def _latency(service: str, below: str, above: str) -> dict[str, str]:
    """Nine tenths of the calls end within ``below`` seconds, the rest between that and ``above``."""
    return {
        _bucket(service, below): "0+90x40",
        _bucket(service, above): "0+100x40",
        _bucket(service, "+Inf"): "0+100x40",
    }


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        alert="SamplerDown",
        bad={_READ: "0+10x9 90x60", _END: "0+10x70"},
        good={_READ: "0+10x9 90x60", _END: "0+10x9 90x60"},
        silent_at="5m45s",
        firing_at="7m",
        labels={"job": "sampler"},
    ),
    # None has ever read a span.
    Scenario(
        alert="SamplerDown",
        bad={_UP: "0x70", _END: "0+10x70"},
        # Scaled to none, as in the lab's second region.
        good={_UP: "0x2 stale", _END: "0x9 0+10x70"},
        silent_at="1m15s",
        firing_at="1m45s",
        labels={"job": "sampler"},
    ),
    Scenario(
        alert="SamplerLag",
        bad={_LAG: "0x9 4000x40", _END: "0+3000x50"},
        good={_LAG: "0x9 2000x40", _END: "0+3000x50"},
        silent_at="6m",
        firing_at="7m",
        labels={"consumergroup": "sampler"},
    ),
    Scenario(
        alert="SamplerDropsTraces",
        bad={_EVICTED: "0x9 4x40", _TOO_LARGE: "0x50"},
        good={_EVICTED: "4x50", _TOO_LARGE: "0x50"},
        silent_at="4m45s",
        firing_at="5m",
        labels={"job": "sampler", "instance": "sampler-0"},
    ),
    Scenario(
        alert="SamplerExportFails",
        bad={_REFUSED: "0x9 4x40"},
        good={_REFUSED: "4x50"},
        silent_at="5m45s",
        firing_at="6m15s",
        labels={"job": "sampler", "instance": "sampler-0"},
    ),
    # The counter does not exist before the first refusal.
    Scenario(
        alert="SamplerExportFails",
        bad={_REFUSED: "_x10 4x40", _UP: "1x50"},
        good={_REFUSED.replace("}", ',error_type="Shutdown"}'): "_x10 4x40", _UP: "1x50"},
        silent_at="5m45s",
        firing_at="6m15s",
        labels={"job": "sampler", "instance": "sampler-0"},
    ),
    Scenario(
        alert="SamplerExportFails",
        bad={_QUEUE % "size": "79x9 81x40", _QUEUE % "capacity": "100x50"},
        good={_QUEUE % "size": "79x50", _QUEUE % "capacity": "100x50"},
        silent_at="5m45s",
        firing_at="6m15s",
        labels={"job": "sampler", "instance": "sampler-0"},
    ),
    Scenario(
        alert="SpanErrorRateHigh",
        bad={_calls("streaming", "UNSET"): "0+90x40", _calls("streaming", "ERROR"): "0+10x40"},
        good={
            _calls("streaming", "UNSET"): "0+96x40",
            _calls("streaming", "ERROR"): "0+4x40",
            # Failed calls to others are theirs.
            _calls("streaming", "ERROR", "SPAN_KIND_CLIENT"): "0+50x40",
        },
        silent_at="2m",
        firing_at="4m",
        labels={"service_name": "streaming", "layer": "streaming"},
    ),
    Scenario(
        alert="SpanLatencyHigh",
        bad=_latency("streaming", "0.5", "1"),
        good=_latency("recording", "0.5", "1"),
        silent_at="2m",
        firing_at="4m",
        labels={"service_name": "streaming", "layer": "streaming"},
    ),
    Scenario(
        alert="ServiceGraphStalled",
        bad={_WRITTEN: "0+30x10 300x40"},
        good={_WRITTEN: "0+30x50"},
        silent_at="10m30s",
        firing_at="12m",
        labels={"job": "service-graph"},
    ),
    # It reads nothing and has written nothing since it began.
    Scenario(
        alert="ServiceGraphStalled",
        bad={_GRAPHED: "0+10x9 90x60", _END: "0+10x70"},
        good={_GRAPHED: "0+10x9 90x60", _END: "0+10x9 90x60"},
        silent_at="9m45s",
        firing_at="10m15s",
        labels={"job": "service-graph"},
    ),
)
