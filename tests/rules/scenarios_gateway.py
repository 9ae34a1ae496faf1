"""Scenarios of the gateway's alerts."""

from __future__ import annotations

from tests.rules.scenario import Scenario

GATEWAY = 'job="gateway",instance="gateway-0"'
_UP = 'up{job="gateway",instance="gateway-%d"}'
_QUEUE = 'exporter="kafkabuckets/metrics",data_type="metrics"'
_LEFT = 'otelcol_exporter_queue_size{job="gateway",instance="gateway-%d",exporter="kafkabuckets/logs-disk"}'
_DISK = 'exporter="kafkabuckets/metrics-disk",data_type="metrics"'
_REFUSED = f'otelcol_exporter_enqueue_failed_metric_points_total{{{GATEWAY},exporter="kafkabuckets/metrics"}}'
_SHORT = f'otelcol_processor_refused_spans_total{{{GATEWAY},processor="memory_limiter"}}'
_SIZE = f"otelcol_exporter_queue_size{{{GATEWAY},%s}}"
_CAPACITY = f"otelcol_exporter_queue_capacity{{{GATEWAY},%s}}"
_LOST = f'otelcol_kafkabuckets_lost_items_total{{{GATEWAY},topic="telemetry-%s"}}'
_SPILLED = f'otelcol_kafkabuckets_spilled_items_total{{{GATEWAY},topic="telemetry-logs"}}'
_GATE = f'otelcol_gate_refused_items_total{{{GATEWAY},layer="device",signal="metrics",reason="%s"}}'
_SERIES = f'otelcol_gate_series{{{GATEWAY},layer="device",signal="metrics",kind="%s"}}'
_RELOAD = f'otelcol_gate_catalogue_reloads_total{{{GATEWAY},signal="logs",result="%s"}}'
_LOGIN = f'otelcol_login_refused_requests_total{{{GATEWAY},reason="%s"}}'
_THROTTLED = f'otelcol_login_throttled_requests_total{{{GATEWAY},layer="data",signal="logs",reason="items"}}'
_TAKEN = f'otelcol_login_taken_items_total{{{GATEWAY},layer="data",signal="logs"}}'
_RECEIVED = f'otelcol_receiver_refused_metric_points_total{{{GATEWAY},receiver="otlp",transport="grpc"}}'
_LOSS = {"job": "gateway", "instance": "gateway-0", "topic": "telemetry-metrics"}
_ON_DISK = {"instance": "gateway-0", "exporter": "kafkabuckets/metrics-disk"}

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
        bad={_REFUSED: "0x9 0+5x40", _SHORT: "0x9 0+5x40"},
        # What the gate refuses is the client's fault: nobody waits for room.
        good={_REFUSED: "7x50", _RECEIVED: "0+5x50", _GATE % "layer_foreign": "0+5x50"},
        silent_at="5m30s",
        firing_at="7m",
        labels={"job": "gateway", "instance": "gateway-0"},
    ),
    Scenario(
        alert="GatewayQueueFilling",
        bad={_SIZE % _DISK: "49x9 51x40", _CAPACITY % _DISK: "100x50"},
        # In memory waits what Kafka is about to acknowledge.
        good={
            _SIZE % _DISK: "49x50",
            _CAPACITY % _DISK: "100x50",
            _SIZE % _QUEUE: "95x50",
            _CAPACITY % _QUEUE: "100x50",
        },
        silent_at="5m30s",
        firing_at="6m30s",
        labels=_ON_DISK,
    ),
    Scenario(
        alert="GatewayQueueFull",
        bad={_SIZE % _DISK: "49x9 91x40", _CAPACITY % _DISK: "100x50"},
        good={_SIZE % _DISK: "49x9 89x40", _CAPACITY % _DISK: "100x50"},
        silent_at="5m",
        firing_at="5m30s",
        labels=_ON_DISK,
    ),
    Scenario(
        alert="GatewaySpills",
        bad={_SPILLED: "0x9 0+50x60"},
        good={_SPILLED: "50x60"},
        silent_at="5m",
        firing_at="6m",
        labels={"job": "gateway", "instance": "gateway-0", "topic": "telemetry-logs"},
    ),
    # Prometheus itself was away, for longer than what it saw before is remembered.
    Scenario(
        alert="TelemetryInflowDown",
        bad={_UP % 0: "1x9 stale", 'up{job="kafka",instance="kafka-0"}': "1x60"},
        good={_UP % 0: "1x9 _x11 1x40", 'up{job="kafka",instance="kafka-0"}': "1x9 _x11 1x40"},
        silent_at="4m45s",
        firing_at="10m15s",
        labels={"job": "gateway"},
    ),
    Scenario(
        alert="GatewayQueueLeftBehind",
        bad={
            _UP % 2: "1x9 stale",
            _LEFT % 2: "4096x9 stale",
        },
        # One that restarts still has its queue, one that went had none.
        good={
            _UP % 1: "1x9 0x60",
            _LEFT % 1: "4096x9 stale",
            _UP % 2: "1x9 stale",
            _LEFT % 2: "4096x8 0 stale",
        },
        silent_at="14m45s",
        firing_at="15m15s",
        labels={"job": "gateway", "instance": "gateway-2"},
    ),
    # Nobody may forget it: it is told for as long as the pod is not back, also after Prometheus itself was away.
    Scenario(
        alert="GatewayQueueLeftBehind",
        bad={
            _UP % 2: "1x4 stale",
            _LEFT % 2: "4096x4 stale",
        },
        good={
            _UP % 2: "1x4 stale _x120 1x600",
            _LEFT % 2: "4096x4 stale _x120 0x600",
        },
        silent_at="14m",
        firing_at="9h",
        labels={"job": "gateway", "instance": "gateway-2"},
        interval="1m",
        evaluated="1m",
    ),
    # Back and gone again: with what it had, since it never answered; or with an empty queue.
    Scenario(
        alert="GatewayQueueLeftBehind",
        bad={
            _UP % 2: "1x4 stale _x29 0x30 stale",
            _LEFT % 2: "4096x4 stale",
        },
        good={
            _UP % 2: "1x4 stale _x29 0x5 1x25 stale",
            _LEFT % 2: "4096x4 stale _x35 4096x5 0x19 stale",
        },
        silent_at="75m",
        firing_at="9h",
        labels={"job": "gateway", "instance": "gateway-2"},
        interval="1m",
        evaluated="1m",
    ),
    Scenario(
        alert="GatewayLostTelemetry",
        bad={_LOST % "metrics": "0x9 3x40"},
        good={_LOST % "metrics": "3x50", _SPILLED: "0+1x50"},
        silent_at="4m45s",
        firing_at="5m",
        labels=_LOSS,
    ),
    # The counter does not exist before the first loss.
    Scenario(
        alert="GatewayLostTelemetry",
        bad={_LOST % "metrics": "_x10 3x40", _UP % 0: "1x50"},
        # Known again after Prometheus was away: the loss may be old.
        good={_LOST % "metrics": "7x5 _x20 7x40", _UP % 0: "1x5 _x20 1x40"},
        silent_at="4m45s",
        firing_at="5m",
        labels=_LOSS,
    ),
    # A loss of another topic than the last one.
    Scenario(
        alert="GatewayLostTelemetry",
        bad={_LOST % "logs": "7x50", _LOST % "metrics": "_x20 3x40", _UP % 0: "1x60"},
        good={_LOST % "logs": "7x60", _UP % 0: "1x60"},
        silent_at="9m45s",
        firing_at="13m",
        labels=_LOSS,
    ),
    Scenario(
        alert="GateRefuses",
        bad={_GATE % "layer_foreign": "0x9 0+5x60"},
        good={_GATE % "layer_foreign": "0x9 5x60"},
        silent_at="9m30s",
        firing_at="11m",
        labels={"job": "gateway", "layer": "device", "signal": "metrics", "reason": "layer_foreign"},
    ),
    Scenario(
        alert="GateBudgetNearlyUsed",
        bad={_SERIES % "used": "79x9 81x60", _SERIES % "budget": "100x70"},
        good={_SERIES % "used": "79x70", _SERIES % "budget": "100x70", _GATE % "layer_foreign": "0+5x70"},
        silent_at="9m30s",
        firing_at="11m",
        labels={"layer": "device", "signal": "metrics"},
    ),
    # Of traces nothing is planned: nothing is divided by it.
    Scenario(
        alert="GateBudgetNearlyUsed",
        bad={_SERIES % "used": "5x9 99x60", _SERIES % "budget": "100x70"},
        good={_SERIES % "used": "5x70", _SERIES % "budget": "0x70"},
        silent_at="9m30s",
        firing_at="11m",
        labels={"layer": "device", "signal": "metrics"},
    ),
    Scenario(
        alert="LayerThrottled",
        bad={_THROTTLED: "0x9 0+5x60"},
        # A burst that is over, and a layer within its share.
        good={_THROTTLED: "0x9 5x60", _TAKEN: "0+500x70"},
        silent_at="9m30s",
        firing_at="11m",
        labels={"job": "gateway", "layer": "data", "signal": "logs", "reason": "items"},
    ),
    Scenario(
        alert="GateCatalogueRefused",
        bad={_RELOAD % "mistake": "_x10 1x40", _UP % 0: "1x50"},
        good={_RELOAD % "taken": "_x10 1x40", _UP % 0: "1x50"},
        silent_at="4m45s",
        firing_at="5m",
        labels={"job": "gateway", "instance": "gateway-0", "signal": "logs"},
    ),
    Scenario(
        alert="GatewayLoginsFail",
        bad={_LOGIN % "wrong": "0x9 0+30x60"},
        good={_LOGIN % "wrong": "0x9 0+3x60", _LOGIN % "busy": "0+300x70"},
        silent_at="9m30s",
        firing_at="13m",
        labels={"job": "gateway"},
    ),
    Scenario(
        alert="GatewayLoginsFlooded",
        bad={_LOGIN % "flooded": "0x9 0+30x60"},
        good={_LOGIN % "flooded": "30x60", _LOGIN % "wrong": "0+30x60"},
        silent_at="5m30s",
        firing_at="7m",
        labels={"job": "gateway", "reason": "flooded"},
    ),
    Scenario(
        alert="GatewayRefusesMessages",
        bad={_LOGIN % "attributes": "0x9 0+30x60"},
        good={_LOGIN % "attributes": "30x60", _LOGIN % "wrong": "0+30x60", _LOGIN % "flooded": "0+30x60"},
        silent_at="9m30s",
        firing_at="11m",
        labels={"job": "gateway", "reason": "attributes"},
    ),
)
