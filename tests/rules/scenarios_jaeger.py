"""Scenarios of the alerts about Jaeger and the node agents."""

from __future__ import annotations

from tests.rules.scenario import Scenario

COLLECTOR = 'job="jaeger-collector",instance="10-88-0-7"'
_UP = f"up{{{COLLECTOR}}}"
_REFUSED = f'otelcol_receiver_refused_spans_total{{{COLLECTOR},receiver="otlp",transport="grpc"}}'
_FAILED = f'otelcol_receiver_failed_spans_total{{{COLLECTOR},receiver="otlp",transport="grpc"}}'
_OWN = f'otelcol_receiver_refused_metric_points_total{{{COLLECTOR},receiver="otlp/self",transport="http"}}'
_ITEMS = f'jaeger_storage_bulk_index_errors_total{{{COLLECTOR},name="internal",kind="opensearch"}}'
_BULKS = f'jaeger_storage_bulk_index_latency_err_seconds_count{{{COLLECTOR},name="internal",kind="opensearch"}}'
_FINE = f'jaeger_storage_bulk_index_latency_ok_seconds_count{{{COLLECTOR},name="internal",kind="opensearch"}}'
_QUERY_UP = 'up{job="jaeger-query-public",instance="%s"}'
_READ = 'jaeger_storage_requests_total{job="jaeger-query-public",instance="a",operation="find_traces",result="%s"}'
AGENT = 'job="otel-agent",instance="10-88-0-9"'
_QUEUE = f'{{{AGENT},exporter="otlp/gateway",data_type="traces"}}'
_AGENT_REFUSED = f'otelcol_processor_refused_log_records_total{{{AGENT},processor="memory_limiter"}}'
_TOLD = f'otelcol_receiver_refused_log_records_total{{{AGENT},receiver="otlp",transport="grpc"}}'
_AGENT_FOREIGN = f'otelcol_attribution_refused_items_total{{{AGENT},layer="device",signal="logs"}}'
_AGENT_FAILED = f'otelcol_exporter_send_failed_spans_total{{{AGENT},exporter="otlp/gateway"%s}}'
_AGENT_UP = f"up{{{AGENT}}}"
_STORE = {"job": "jaeger-collector", "instance": "10-88-0-7", "name": "internal"}

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        alert="JaegerCollectorDown",
        bad={_UP: "1x9 0x40"},
        good={_UP: "1x9 0x40", 'up{job="jaeger-collector",instance="other"}': "1x50"},
        silent_at="5m45s",
        firing_at="6m30s",
        labels={"job": "jaeger-collector"},
    ),
    Scenario(
        alert="JaegerCollectorRefusesSpans",
        bad={_REFUSED: "0x9 0+5x40", _FAILED: "0x9 0+5x40"},
        good={_REFUSED: "7x50", _FAILED: "7x50", _OWN: "0+1x50"},
        silent_at="5m30s",
        firing_at="7m",
        labels={"job": "jaeger-collector", "instance": "10-88-0-7"},
    ),
    Scenario(
        alert="JaegerWritesFail",
        bad={_ITEMS: "0x9 4x40"},
        good={_ITEMS: "4x50", _FINE: "0+1x50"},
        silent_at="4m45s",
        firing_at="5m",
        labels=_STORE,
    ),
    Scenario(
        alert="JaegerQueryDown",
        bad={_QUERY_UP % "a": "1x9 0x40", _QUERY_UP % "b": "0x50"},
        good={_QUERY_UP % "a": "1x9 0x40", _QUERY_UP % "b": "1x50"},
        silent_at="5m45s",
        firing_at="6m30s",
        labels={"job": "jaeger-query-public"},
    ),
    Scenario(
        alert="JaegerQueryErrors",
        bad={_READ % "err": "0x9 0+1x60", _READ % "ok": "0+4x70"},
        good={_READ % "err": "0x9 0+1x60", _READ % "ok": "0+19x70"},
        silent_at="6m",
        firing_at="12m",
        labels={"job": "jaeger-query-public"},
    ),
    Scenario(
        alert="AgentRefusesForeignTelemetry",
        bad={_AGENT_FOREIGN: "0x9 0+5x60"},
        good={_AGENT_FOREIGN: "0x9 5x60"},
        silent_at="9m30s",
        firing_at="11m",
        labels={"job": "otel-agent"},
    ),
    Scenario(
        alert="AgentCannotSend",
        bad={_AGENT_FAILED % "": "_x10 4x40", _AGENT_UP: "1x50"},
        good={
            _AGENT_FAILED % ',error_type="Shutdown"': "_x10 4x40",
            _AGENT_FAILED % ',error_type="InvalidArgument"': "_x10 4x40",
            _AGENT_UP: "1x50",
        },
        silent_at="4m45s",
        firing_at="5m",
        labels={"job": "otel-agent", "instance": "10-88-0-9"},
    ),
    Scenario(
        alert="AgentQueueFull",
        bad={
            f"otelcol_exporter_queue_size{_QUEUE}": "79x9 81x40",
            f"otelcol_exporter_queue_capacity{_QUEUE}": "100x50",
        },
        good={f"otelcol_exporter_queue_size{_QUEUE}": "79x50", f"otelcol_exporter_queue_capacity{_QUEUE}": "100x50"},
        silent_at="5m30s",
        firing_at="6m30s",
        labels={"job": "otel-agent", "instance": "10-88-0-9"},
    ),
)

FURTHER: tuple[Scenario, ...] = (
    Scenario(
        alert="JaegerCollectorDown",
        bad={_UP: "1x9 stale"},
        good={_UP: "1x9 0 1x40"},
        silent_at="5m45s",
        firing_at="6m30s",
        labels={"job": "jaeger-collector"},
    ),
    Scenario(
        alert="JaegerWritesFail",
        bad={_BULKS: "_x10 1x40", _UP: "1x50"},
        good={_ITEMS: "0x50", _FINE: "_x10 1x40", _UP: "1x50"},
        silent_at="4m45s",
        firing_at="5m",
        labels=_STORE,
    ),
    Scenario(
        alert="AgentQueueFull",
        bad={_AGENT_REFUSED: "0x9 0+5x40"},
        # The gate's refusals are passed on to the program that has earned them.
        good={_AGENT_REFUSED: "7x50", _TOLD: "0+5x50"},
        silent_at="5m30s",
        firing_at="7m",
        labels={"job": "otel-agent", "instance": "10-88-0-9"},
    ),
)
"""Other causes of the same alerts."""
