"""Scenarios of the alerts about the metrics store, its readers, its environment, and freshness."""

from __future__ import annotations

from components.telemetry.layers import LAYER_NAMES
from tests.rules.scenario import Scenario

JOBS = ("gateway", "kafka")
VOLUME_BYTES = 1000
MEMORY_BYTES = 600 * 2**10
"""Holds 105 series."""

_STORE = 'job="prometheus-primary",instance="prometheus-primary-0"'
_OTHER = _STORE.replace("primary", "secondary")
_LABELS = {"job": "prometheus-primary", "instance": "prometheus-primary-0"}
_BUSINESS = 'target_info{layer="business",job="api",instance="api-1"}'
_RECEIVER = f'{{{_STORE},alertmanager="https://alertmanager-0:9093/api/v2/alerts"}}'
_SECOND = _RECEIVER.replace("alertmanager-0", "alertmanager-1")
_EVENTS = f'{{{_STORE},alertmanager="https://alert-events:8443/raw/api/v2/alerts"}}'
_RESULTS = 'prometheus_rule_group_last_evaluation_samples{%s,rule_group="/etc/prometheus/rules.yml;pair-%s"}'
_LAG = 'kafka_consumergroup_lag{job="kafka-lag",consumergroup="metrics-consumer-%s",topic="telemetry-metrics"}'
_MISSED = f'prometheus_rule_group_iterations_missed_total{{{_STORE},rule_group="r;kafka"}}'
_ROUNDS = f'prometheus_rule_group_iterations_total{{{_STORE},rule_group="r;kafka"}}'
_LOOKUPS = f"prometheus_sd_dns_lookup%s_total{{{_STORE}}}"
_EVALUATED = f'prometheus_rule_group_last_evaluation_timestamp_seconds{{{_STORE},rule_group="r;kafka"}}'
_QUERY = 'job="thanos-query",instance="10-88-0-8"'
_CONNECTIONS = (
    f'thanos_store_nodes_grpc_connections{{{_QUERY},external_labels="{{replica=\\"%s\\"}}",store_type="sidecar"}}'
)
_CALLS = f'grpc_client_handled_total{{{_QUERY},grpc_service="thanos.Store",grpc_method="Series",grpc_code="%s"}}'
_REQUESTS = f'http_requests_total{{{_QUERY},handler="query_range",code="%d"}}'
_SECONDS = f'http_request_duration_seconds_bucket{{{_QUERY},handler="query",code="200",le="%s"}}'
_BOTH_UP = {f"up{{{_STORE}}}": "1x70", f"up{{{_OTHER}}}": "1x70"}

_NO_STORE = {_CONNECTIONS % "primary": "1x9 stale", _CONNECTIONS % "secondary": "1x9 stale"}


def _seen(primary: str, secondary: str, *, lag: str = "0x140") -> dict[str, str]:
    return {
        _RESULTS % (_STORE, "senders"): primary,
        _RESULTS % (_OTHER, "senders"): secondary,
        _LAG % "secondary": lag,
        _LAG % "primary": "0x140",
    }


TARGETS: tuple[Scenario, ...] = (
    Scenario(
        alert="TargetDown",
        bad={'up{job="kafka",instance="kafka-1"}': "1x9 0x20"},
        good={
            'up{job="kafka",instance="kafka-1"}': "1x9 0 1x20",
            f"up{{{_STORE}}}": "1x9 0x20",
            'up{job="probe-pods",instance="kafka-1"}': "1x9 0x20",
            # Scraped for the last time before the replica started again.
            'up{job="log-indexer",instance="10-88-0-9"}': "1x9 0 _x20",
        },
        silent_at="5m45s",
        firing_at="6m15s",
        labels={"job": "kafka", "instance": "kafka-1"},
    ),
    Scenario(
        alert="TargetMissing",
        bad={'up{job="kafka",instance="kafka-1"}': "1x50", 'up{job="gateway",instance="gateway-0"}': "1x9 stale"},
        good={'up{job="kafka",instance="kafka-1"}': "1x50", 'up{job="gateway",instance="gateway-0"}': "1x9 0x40"},
        silent_at="6m45s",
        firing_at="7m15s",
        labels={"job": "gateway"},
    ),
)

STORE: tuple[Scenario, ...] = (
    Scenario(
        alert="PrometheusDown",
        bad={f"up{{{_STORE}}}": "1x9 0x40"},
        good={
            f"up{{{_STORE}}}": "1x9 0 1x40",
            'up{job="gateway",instance="gateway-0"}': "0x50",
            # A shard that was taken away: scraped in vain once, and then no more.
            'up{job="prometheus-primary-shard-1",instance="prometheus-primary-shard-1-0"}': "1x9 0 _x40",
        },
        silent_at="5m45s",
        firing_at="6m15s",
        labels=_LABELS,
    ),
    Scenario(
        alert="PrometheusNotReady",
        bad={f"prometheus_ready{{{_STORE}}}": "1x9 0x60"},
        good={f"prometheus_ready{{{_STORE}}}": "1x9 0x25 1x60"},
        silent_at="19m45s",
        firing_at="20m15s",
        labels=_LABELS,
    ),
    Scenario(
        alert="PrometheusConfigRejected",
        bad={f"prometheus_config_last_reload_successful{{{_STORE}}}": "1x9 0x40"},
        good={
            f"prometheus_config_last_reload_successful{{{_STORE}}}": "1x9 0 1x40",
            'prometheus_config_last_reload_successful{job="other",instance="other-0"}': "0x50",
        },
        silent_at="5m45s",
        firing_at="6m15s",
        labels=_LABELS,
    ),
    Scenario(
        alert="PrometheusHeadFilling",
        bad={f"prometheus_tsdb_head_series{{{_STORE}}}": "84x9 86x60"},
        good={f"prometheus_tsdb_head_series{{{_OTHER}}}": "83x70"},
        silent_at="9m30s",
        firing_at="11m",
        labels=_LABELS,
    ),
    Scenario(
        alert="PrometheusDiskFilling",
        bad={
            f"prometheus_tsdb_storage_blocks_bytes{{{_STORE}}}": "600x9 651x40",
            f"prometheus_tsdb_wal_storage_size_bytes{{{_STORE}}}": "150x50",
            f"prometheus_tsdb_out_of_order_wbl_storage_size_bytes{{{_STORE}}}": "30x50",
            f"prometheus_tsdb_head_chunks_storage_size_bytes{{{_STORE}}}": "20x50",
        },
        good={
            f"prometheus_tsdb_storage_blocks_bytes{{{_STORE}}}": "600x9 649x40",
            f"prometheus_tsdb_wal_storage_size_bytes{{{_STORE}}}": "150x50",
            f"prometheus_tsdb_out_of_order_wbl_storage_size_bytes{{{_STORE}}}": "30x50",
            f"prometheus_tsdb_head_chunks_storage_size_bytes{{{_STORE}}}": "20x50",
        },
        silent_at="5m45s",
        firing_at="6m15s",
        labels=_LABELS,
    ),
    Scenario(
        alert="PrometheusStorageFails",
        bad={f"prometheus_tsdb_wal_corruptions_total{{{_STORE}}}": "0x9 1x40"},
        good={f"prometheus_tsdb_wal_corruptions_total{{{_STORE}}}": "1x50"},
        silent_at="4m45s",
        firing_at="5m15s",
        labels=_LABELS,
    ),
    Scenario(
        alert="PrometheusRefusesOldSamples",
        bad={f"prometheus_tsdb_too_old_samples_total{{{_STORE}}}": "0x9 2x40"},
        good={f"prometheus_tsdb_too_old_samples_total{{{_STORE}}}": "2x50"},
        silent_at="4m30s",
        firing_at="5m30s",
        labels=_LABELS,
    ),
    Scenario(
        alert="PrometheusPairDisagrees",
        bad=_seen("10x140", "10x9 7x130"),
        good=_seen("10x140", "10x9 8x130"),
        silent_at="19m45s",
        firing_at="20m15s",
        labels={"job": "prometheus-secondary", "what": "senders"},
    ),
    # One that reads from Kafka what it missed is not told of, one that lost its consumer is.
    Scenario(
        alert="PrometheusPairDisagrees",
        bad=_seen("10x140", "10x9 0x130", lag="0x9 0+500x130"),
        good=_seen("10x140", "10x9 0x130", lag="90000x9 90000-500x130"),
        silent_at="19m45s",
        firing_at="26m",
        labels={"job": "prometheus-secondary", "what": "senders"},
    ),
    # A short restart: its own figures are gone, then nought for a round.
    Scenario(
        alert="PrometheusPairDisagrees",
        bad={_RESULTS % (_STORE, "alerts"): "1x140", _RESULTS % (_OTHER, "alerts"): "1x9 2x130"},
        good={_RESULTS % (_STORE, "alerts"): "2x140", _RESULTS % (_OTHER, "alerts"): "2x9 stale _x5 0 1 2x130"},
        silent_at="19m45s",
        firing_at="20m15s",
        labels={"job": "prometheus-primary", "what": "alerts"},
    ),
)

NOTIFICATIONS: tuple[Scenario, ...] = (
    Scenario(
        alert="PrometheusRuleFailures",
        bad={f"prometheus_rule_evaluation_failures_total{{{_STORE}}}": "0x9 0+1x40"},
        good={f"prometheus_rule_evaluation_failures_total{{{_STORE}}}": "1x50"},
        silent_at="5m45s",
        firing_at="7m",
        labels=_LABELS,
    ),
    Scenario(
        alert="PrometheusRulesLate",
        bad={_MISSED: "0x9 0+1x60", _ROUNDS: "0+3x70"},
        good={_MISSED: "0x9 0+1x60", _ROUNDS: "0+12x70"},
        silent_at="9m45s",
        firing_at="13m",
        labels=_LABELS,
    ),
    Scenario(
        alert="PrometheusCannotNotify",
        bad={
            f"prometheus_notifications_sent_total{_RECEIVER}": "0+1x9 9x40",
            f"prometheus_notifications_sent_total{_SECOND}": "0+1x9 9x40",
            f"prometheus_notifications_errors_total{_RECEIVER}": "0x9 0+1x40",
            f"prometheus_notifications_errors_total{_SECOND}": "0x9 0+1x40",
        },
        good={
            f"prometheus_notifications_sent_total{_RECEIVER}": "0+1x9 9x40",
            f"prometheus_notifications_sent_total{_SECOND}": "0+1x50",
            f"prometheus_notifications_errors_total{_RECEIVER}": "0x9 0+1x40",
        },
        silent_at="5m45s",
        firing_at="6m45s",
        labels=_LABELS,
    ),
    # The service of alert events takes alerts, but notifies nobody.
    Scenario(
        alert="PrometheusCannotNotify",
        bad={
            f"prometheus_notifications_sent_total{_RECEIVER}": "0+1x9 9x40",
            f"prometheus_notifications_sent_total{_SECOND}": "0+1x9 9x40",
            f"prometheus_notifications_sent_total{_EVENTS}": "0+1x50",
            f"prometheus_notifications_errors_total{_RECEIVER}": "0x9 0+1x40",
            f"prometheus_notifications_errors_total{_SECOND}": "0x9 0+1x40",
        },
        # Nor does it matter where it refuses them, and nothing is to be told to the others.
        good={
            f"prometheus_notifications_sent_total{_RECEIVER}": "9x50",
            f"prometheus_notifications_sent_total{_SECOND}": "9x50",
            f"prometheus_notifications_sent_total{_EVENTS}": "0+1x9 9x40",
            f"prometheus_notifications_errors_total{_RECEIVER}": "0x50",
            f"prometheus_notifications_errors_total{_SECOND}": "0x50",
            f"prometheus_notifications_errors_total{_EVENTS}": "0x9 0+1x40",
        },
        silent_at="5m45s",
        firing_at="6m45s",
        labels=_LABELS,
    ),
    # Of the receivers, only the service of alert events is left.
    Scenario(
        alert="PrometheusCannotNotify",
        bad={
            f"prometheus_notifications_alertmanagers_discovered{{{_STORE}}}": "3x9 1x40",
            f"prometheus_notifications_sent_total{_RECEIVER}": "0+1x9 stale",
            f"prometheus_notifications_sent_total{_SECOND}": "0+1x9 stale",
            f"prometheus_notifications_sent_total{_EVENTS}": "0+1x50",
        },
        good={
            f"prometheus_notifications_alertmanagers_discovered{{{_STORE}}}": "3x9 2x40",
            f"prometheus_notifications_sent_total{_RECEIVER}": "0+1x9 stale",
            f"prometheus_notifications_sent_total{_SECOND}": "0+1x50",
            f"prometheus_notifications_sent_total{_EVENTS}": "0+1x50",
        },
        silent_at="5m15s",
        firing_at="5m45s",
        labels=_LABELS,
    ),
    Scenario(
        alert="PrometheusCannotNotify",
        bad={
            f"prometheus_notifications_alertmanagers_discovered{{{_STORE}}}": "4x9 0x40",
            f"prometheus_notifications_sent_total{_RECEIVER}": "0+1x9 stale",
        },
        good={
            f"prometheus_notifications_alertmanagers_discovered{{{_STORE}}}": "4x9 1x40",
            f"prometheus_notifications_sent_total{_RECEIVER}": "0+1x50",
            'prometheus_notifications_alertmanagers_discovered{job="prometheus-primary-shard-1",instance="p"}': "0x50",
        },
        silent_at="5m15s",
        firing_at="5m45s",
        labels=_LABELS,
    ),
)

QUERYING: tuple[Scenario, ...] = (
    Scenario(
        alert="ThanosQueryDown",
        bad={f"up{{{_QUERY}}}": "1x9 0x40"},
        good={f"up{{{_QUERY}}}": "1x9 0x40", 'up{job="thanos-query",instance="other"}': "1x50"},
        silent_at="5m15s",
        firing_at="5m45s",
        labels={"job": "thanos-query"},
    ),
    Scenario(
        alert="ThanosStoreMissing",
        bad={**_BOTH_UP, _CONNECTIONS % "primary": "1x50", _CONNECTIONS % "secondary": "1x9 stale"},
        good={**_BOTH_UP, _CONNECTIONS % "primary": "1x50", _CONNECTIONS % "secondary": "1x9 _ 1x40"},
        silent_at="5m45s",
        firing_at="6m15s",
        labels={"job": "thanos-query", "instance": "10-88-0-8"},
    ),
    Scenario(
        alert="ThanosStoreMissing",
        bad={**_BOTH_UP, **_NO_STORE, f"up{{{_QUERY}}}": "1x50"},
        # The query is down itself.
        good={**_BOTH_UP, **_NO_STORE, f"up{{{_QUERY}}}": "1x9 0x40"},
        silent_at="5m45s",
        firing_at="6m15s",
        labels={"job": "thanos-query", "instance": "10-88-0-8"},
    ),
    Scenario(
        alert="ThanosSidecarCutOff",
        bad={'thanos_sidecar_prometheus_up{job="thanos-sidecar-primary",instance="prometheus-primary-0"}': "1x9 0x40"},
        good={
            'thanos_sidecar_prometheus_up{job="thanos-sidecar-primary",instance="prometheus-primary-0"}': "1x9 0 1x40"
        },
        silent_at="5m45s",
        firing_at="6m15s",
        labels={"job": "thanos-sidecar-primary", "instance": "prometheus-primary-0"},
    ),
    Scenario(
        alert="ThanosPartialAnswers",
        bad={_CALLS % "OK": "0+9x60", _CALLS % "Unavailable": "0x9 0+1x50"},
        good={_CALLS % "OK": "0+30x60", _CALLS % "Unavailable": "0x9 0+1x50"},
        silent_at="6m45s",
        firing_at="11m",
        labels={"job": "thanos-query"},
    ),
    Scenario(
        alert="ThanosQueryErrors",
        bad={_REQUESTS % 200: "0+9x60", _REQUESTS % 500: "0x9 0+1x50"},
        good={_REQUESTS % 200: "0+30x60", _REQUESTS % 500: "0x9 0+1x50", _REQUESTS % 400: "0+9x60"},
        silent_at="5m45s",
        firing_at="10m",
        labels={"job": "thanos-query"},
    ),
    Scenario(
        alert="ThanosQuerySlow",
        bad={_SECONDS % "3": "0+90x60", _SECONDS % "9": "0+100x60", _SECONDS % "+Inf": "0+100x60"},
        good={_SECONDS % "3": "0+96x60", _SECONDS % "9": "0+100x60", _SECONDS % "+Inf": "0+100x60"},
        silent_at="5m",
        firing_at="6m",
        labels={"job": "thanos-query"},
    ),
)

ENVIRONMENT: tuple[Scenario, ...] = (
    Scenario(
        alert="DnsLookupsFail",
        bad={_LOOKUPS % "s": "0+10x60", _LOOKUPS % "_failures": "0x9 0+10x50"},
        good={_LOOKUPS % "s": "0+10x60", _LOOKUPS % "_failures": "0x9 0+1x50"},
        silent_at="5m45s",
        firing_at="7m",
        labels=_LABELS,
    ),
    Scenario(
        alert="ClockSkew",
        # At second 30 of a scrape that is second 0 for Prometheus.
        bad={_EVALUATED: "0+30x9 306+30x40"},
        good={_EVALUATED: "0+30x9 304+30x40"},
        silent_at="6m45s",
        firing_at="7m15s",
        labels=_LABELS,
    ),
    Scenario(
        alert="TelemetryStale",
        bad={_BUSINESS: "1x10 stale"},
        good={_BUSINESS: "1x10 _x3 1x20"},
        silent_at="7m30s",
        firing_at="8m",
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

SCENARIOS: tuple[Scenario, ...] = (*TARGETS, *STORE, *NOTIFICATIONS, *QUERYING, *ENVIRONMENT)
