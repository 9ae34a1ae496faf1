"""Scenarios of the alerts about the metrics store and about freshness."""

from __future__ import annotations

from components.telemetry.layers import LAYER_NAMES
from tests.rules.scenario import Scenario

JOBS = ("gateway", "kafka")
_STORE = 'job="prometheus-primary",instance="prometheus-primary-0"'
_BUSINESS = 'target_info{layer="business",job="api",instance="api-1"}'

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        alert="TargetDown",
        bad={'up{job="kafka",instance="kafka-1"}': "1x9 0x20"},
        good={'up{job="kafka",instance="kafka-1"}': "1x9 0x2 1x20"},
        silent_at="6m30s",
        firing_at="7m30s",
        labels={"job": "kafka", "instance": "kafka-1"},
    ),
    Scenario(
        alert="TargetMissing",
        bad={'up{job="kafka",instance="kafka-1"}': "1x50", 'up{job="gateway",instance="gateway-0"}': "1x9 stale"},
        good={'up{job="kafka",instance="kafka-1"}': "1x50", 'up{job="gateway",instance="gateway-0"}': "1x9 0x40"},
        silent_at="9m30s",
        firing_at="10m30s",
        labels={"job": "gateway"},
    ),
    Scenario(
        alert="PrometheusRefusesOldSamples",
        bad={f"prometheus_tsdb_too_old_samples_total{{{_STORE}}}": "0x9 2x40"},
        good={f"prometheus_tsdb_too_old_samples_total{{{_STORE}}}": "2x50"},
        silent_at="4m30s",
        firing_at="5m30s",
        labels={"job": "prometheus-primary", "instance": "prometheus-primary-0"},
    ),
    Scenario(
        alert="PrometheusRuleFailures",
        bad={f"prometheus_rule_evaluation_failures_total{{{_STORE}}}": "0x9 0+1x40"},
        good={f"prometheus_rule_evaluation_failures_total{{{_STORE}}}": "0x9 0+1x1 1x40"},
        silent_at="9m30s",
        firing_at="11m",
        labels={"job": "prometheus-primary", "instance": "prometheus-primary-0"},
    ),
    Scenario(
        alert="TelemetryStale",
        bad={_BUSINESS: "1x10 stale"},
        good={_BUSINESS: "1x10 _x3 1x20"},
        silent_at="7m45s",
        firing_at="8m30s",
        labels={"layer": "business"},
    ),
    Scenario(
        alert="TelemetryAbsent",
        bad={f'target_info{{layer="{name}",job="a"}}': "1x60" for name in LAYER_NAMES if name != "business"},
        good={f'target_info{{layer="{name}",job="a"}}': "1x60" for name in LAYER_NAMES},
        silent_at="14m45s",
        firing_at="15m30s",
        labels={"layer": "business"},
    ),
)
