"""Rules about the metrics store itself, and about the freshness of what it is fed."""

from __future__ import annotations

from collections.abc import Sequence

from components.rules import Alert, Recording, RuleGroup, Severity, any_of
from components.telemetry.layers import LAYER_NAMES


def prometheus_rules(jobs: Sequence[str]) -> tuple[RuleGroup, ...]:
    """Rules for a Prometheus that scrapes ``jobs``.

    Args:
        jobs: Names of all scrape jobs; the alert about a missing job cannot be written without knowing them.
    """
    return (_store(jobs), _freshness())


def _store(jobs: Sequence[str]) -> RuleGroup:
    return RuleGroup(
        name="prometheus",
        rules=(
            Alert(
                name="TargetDown",
                expr="up == 0",
                hold="2m",
                severity=Severity.HIGH,
                summary="{{ $labels.job }} {{ $labels.instance }} does not answer",
                description="Its metrics endpoint cannot be scraped: the pod is down, not reachable, or its password "
                "or certificate is wrong.",
            ),
            Alert(
                name="TargetMissing",
                expr=any_of(f'absent(up{{job="{job}"}})' for job in sorted(jobs)),
                hold="5m",
                severity=Severity.HIGH,
                summary="No pod of {{ $labels.job }} is found",
                description="The name of its Service gives no addresses: the workload is gone, or DNS fails.",
            ),
            Alert(
                name="PrometheusRefusesOldSamples",
                expr="sum by (job, instance) (increase(prometheus_tsdb_too_old_samples_total[10m])) > 0",
                hold="0s",
                severity=Severity.MEDIUM,
                summary="{{ $labels.instance }} refuses samples that are older than its out-of-order window",
                description="It was down for longer than the window, or a sender's clock is wrong: a gap stays.",
            ),
            Alert(
                name="PrometheusRuleFailures",
                expr="sum by (job, instance) (increase(prometheus_rule_evaluation_failures_total[5m])) > 0",
                hold="5m",
                severity=Severity.HIGH,
                summary="Rules of {{ $labels.instance }} fail",
                description="Alerts that depend on them may not fire.",
            ),
        ),
    )


def _freshness() -> RuleGroup:
    newest = "obs:layer_newest_sample:timestamp_seconds"
    return RuleGroup(
        name="freshness",
        rules=(
            # target_info: one series per sender, written with each of its requests.
            Recording(record=newest, expr='max by (layer) (timestamp(target_info{layer!=""}))'),
            Recording(record="obs:layer_age:seconds", expr=f"time() - max by (layer) (max_over_time({newest}[6h]))"),
            Alert(
                name="TelemetryStale",
                expr="obs:layer_age:seconds > 120",
                hold="1m",
                severity=Severity.HIGH,
                summary="Nothing from layer {{ $labels.layer }} for {{ $value | humanizeDuration }}",
                description="Its senders are silent, or their telemetry is stuck in the gateway, Kafka or a consumer.",
            ),
            Alert(
                name="TelemetryAbsent",
                expr=any_of(f'absent(obs:layer_age:seconds{{layer="{name}"}})' for name in LAYER_NAMES),
                hold="15m",
                severity=Severity.MEDIUM,
                summary="Layer {{ $labels.layer }} sent nothing in the last hours",
                description="No sender of this layer is known: not connected yet, or silent for more than six hours.",
            ),
        ),
    )
