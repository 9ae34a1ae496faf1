"""Series that the platform's own parts have, for `harness`."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo

TOKYO = ZoneInfo("Asia/Tokyo")
DAY, HOUR, MINUTE = 86400.0, 3600.0, 60.0


def at(text: str) -> float:
    """Seconds since 1970 of a time in Tokyo, such as ``2026-11-25 07:00``."""
    return datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=TOKYO).timestamp()


def daytime(time: float) -> float:
    """0 by night, 1 at noon, as work goes."""
    hour = (time - at("2026-11-01 00:00")) / HOUR % 24
    return max(0.0, math.sin((hour - 6) / 12 * math.pi)) if 6 <= hour <= 18 else 0.0


def wobble(time: float, size: float = 1.0) -> float:
    """Something that looks like noise, and is the same in every run."""
    return size * (math.sin(time / 977) + math.sin(time / 3371 + 1) + math.sin(time / 86400 * 2.399 + 2)) / 3


def _growing(rate: float, end: float, time: float) -> float:
    return rate * (0.6 + 0.4 * daytime(time)) * (1 + 0.01 * (time - end) / DAY)


def _begun(last: float, time: float) -> float:
    """When the newest daily run before a time began; ``last`` is when one of them did."""
    return last + (time - last) // DAY * DAY


def telemetry(counter: Callable[..., None], gauge: Callable[..., None], end: float) -> None:
    """What the layers send through the gateways and Kafka."""
    rates = {"device": 900.0, "streaming": 400.0, "business": 300.0, "data": 40.0, "analytics": 120.0}
    counter("otelcol_gate_accepted_items_total", 7.0, job="gateway", layer="none", signal="logs")
    for layer, rate in rates.items():
        growth = partial(_growing, rate, end)
        way = {"job": "gateway", "layer": layer}
        counter("otelcol_gate_accepted_items_total", growth, signal="metrics", **way)
        counter("otelcol_gate_accepted_items_total", lambda t, g=growth: g(t) / 20, signal="logs", **way)
        if layer in ("streaming", "business", "analytics"):
            counter("otelcol_gate_accepted_items_total", lambda t, g=growth: g(t) / 5, signal="traces", **way)
        gauge("obs:layer_age:seconds", lambda t: 6 + wobble(t, 3), layer=layer)
    counter(
        "otelcol_receiver_accepted_spans_total",
        lambda t: 120 * (0.6 + 0.4 * daytime(t)),
        job="gateway",
        receiver="otlp",
    )
    for topic, rate in (("telemetry-metrics", 40.0), ("telemetry-traces", 9.0), ("telemetry-logs", 5.0)):
        name = "kafka_server_brokertopicmetrics"
        counter(f"{name}_messagesin_total", rate, topic=topic, job="kafka")
        counter(f"{name}_bytesin_total", rate * 30_000, topic=topic, job="kafka")
        gauge("kafka_log_size_bytes", lambda t, r=rate: r * 2e8, topic=topic, job="kafka")
    gauge(
        "obs:consumer_lag:sum", lambda t: 40 + wobble(t, 30), consumergroup="metrics-primary", topic="telemetry-metrics"
    )
    gauge("obs:consumer_lag:sum", lambda t: 90 + wobble(t, 60), consumergroup="jaeger", topic="telemetry-traces")


def parts(
    counter: Callable[..., None],
    gauge: Callable[..., None],
    histogram: Callable[..., None],
    end: float,
    bad: Callable[[float], bool],
) -> None:
    """The platform's own processes."""
    jobs = ("alertmanager", "gateway", "kafka", "prometheus-primary", "prometheus-secondary", "sampler", "thanos-query")
    for index, job in enumerate(jobs):
        for pod in range(3 if job == "kafka" else 1):
            one = {"job": job, "instance": f"{job}-{pod}"}
            down = (lambda t: 0.0 if bad(t) else 1.0) if one["instance"] == "kafka-1" else (lambda _: 1.0)
            gauge("up", down, **one)
            prefix = "otelcol_process" if job in ("gateway", "sampler") else "process"
            memory = "memory_rss_bytes" if prefix == "otelcol_process" else "resident_memory_bytes"
            counter(f"{prefix}_cpu_seconds_total", lambda t, i=index: 0.05 + 0.1 * i * (0.3 + daytime(t)), **one)
            gauge(f"{prefix}_{memory}", lambda t, i=index: (1 + i) * 1.5e8 + wobble(t, 1e7), **one)
            if prefix == "process":
                gauge("process_start_time_seconds", end - 20 * DAY, **one)
                gauge("process_open_fds", 300, **one)
                gauge("process_max_fds", 65536, **one)
            if job == "kafka":
                gauge("obs:kafka_disk_used:ratio", lambda t: 0.62 + 0.006 * (t - end) / DAY + wobble(t, 0.002), **one)
                gauge("jvm_memory_used_bytes", lambda t: 4e8 + wobble(t, 5e7), area="heap", **one)
                gauge("jvm_memory_max_bytes", 1e9, area="heap", **one)
                gauge(
                    "kafka_server_requesthandlerpool_brokerrequesthandleravgidlepercent",
                    lambda t: 0.8 - 0.1 * daytime(t),
                    **one,
                )
            if job.startswith("prometheus"):
                gauge("obs:prometheus_disk_used:ratio", lambda t: 0.4 + 0.001 * (t - end) / DAY, **one)
                gauge("prometheus_tsdb_head_series", lambda t: 21_000 + 30 * (t - end) / DAY + wobble(t, 100), **one)
                gauge("prometheus_build_info", 1, version="3.16.0", **one)
                gauge("prometheus_rule_group_last_duration_seconds", 0.02, rule_group="slo", **one)
                gauge("prometheus_rule_group_interval_seconds", 30, rule_group="slo", **one)
            if job == "thanos-query":
                gauge("thanos_build_info", 1, version="0.42.0", **one)
                histogram(
                    "http_request_duration_seconds",
                    {"0.1": 0.7, "0.5": 0.97, "2": 1.0, "+Inf": 1.0},
                    lambda _: 2.0,
                    lambda _: 0.0,
                    **one,
                )
            if job == "alertmanager":
                gauge("alertmanager_build_info", 1, version="0.31.1", **one)
    for endpoint, left in (("kafka/client", 40.0), ("gateway/otlp", 5.0), ("thanos-query/http", 60.0)):
        gauge("probe_ssl_earliest_cert_expiry", end + left * DAY, endpoint=endpoint, instance=endpoint.split("/")[0])
    for node in ("search-0", "search-1"):
        gauge("search_node_disk_used_ratio", lambda t: 0.35 + 0.002 * (t - end) / DAY, node=node)
        gauge("search_node_heap_used_ratio", lambda t: 0.55 + wobble(t, 0.1), node=node)
    for family, keep in (("spans", 7.0), ("logs", 14.0)):
        gauge("search_family_bytes", 4e9, family=family)
        gauge("search_family_oldest_age_seconds", keep * DAY - HOUR, family=family)
        gauge("search_family_keep_seconds", keep * DAY, family=family)
    for kind, age in (("database", HOUR), ("search", 5 * HOUR)):
        backups = {"job": "backup-exporter", "kind": kind}
        begun = partial(_begun, end - age)
        gauge("backup_last_success_timestamp_seconds", begun, **backups)
        gauge("backup_due_timestamp_seconds", lambda t, b=begun: b(t) + 26 * HOUR, **backups)
        gauge("backup_last_bytes", 3e8, **backups)
    labels = {"alertname": "DeviceBatteryLow", "alertstate": "firing", "severity": "medium", "escalation": ""}
    gauge("ALERTS", lambda t: 1.0 if daytime(t) > 0.9 else None, **labels)


def objectives(gauge: Callable[..., None], bad: Callable[[float], bool]) -> None:
    """Recorded series of the objectives."""
    rows = {
        "api-availability": ("business", 0.995, lambda t: 0.5 if bad(t) else 0.0004),
        "recording-success": ("streaming", 0.99, lambda t: 0.004),
        "stream-delivery": ("device", 0.99, lambda _: 0.001),
        "screen-display": ("analytics", 0.99, lambda _: 0.0),
        "telemetry-path": ("platform", 0.999, lambda _: 0.0001),
    }
    for slo, (layer, objective, share) in rows.items():
        one = {"slo": slo, "layer": layer, "owner": layer}
        gauge("slo:objective:ratio", objective, **one)
        gauge("slo:events:rate5m", lambda t: 5 + 40 * daytime(t), **one)
        gauge("slo:errors:rate5m", lambda t, s=share: (5 + 40 * daytime(t)) * s(t), **one)
        gauge(
            "slo:error_budget_remaining:ratio",
            lambda t, s=share, o=objective: 1 - min(s(t), 1 - o) / (1 - o) * 0.8,
            **one,
        )
