"""A platform of the past: its series as a real Prometheus would have stored them, and that Prometheus."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import bcrypt
import yaml

from lab.toolchain import tools
from services.reports.metrics import ThanosMetrics
from tests.config.pki import write_certificates
from tests.config.servers import free_port, running

TOKYO = ZoneInfo("Asia/Tokyo")
DAY, HOUR, MINUTE = 86400.0, 3600.0, 60.0
STEP = 120
USER, PASSWORD = "reader", "sesame-for-the-reader"
Value = Callable[[float], float | None]


def at(text: str) -> float:
    """Seconds since 1970 of a time in Tokyo, such as ``2026-11-25 07:00``."""
    return datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=TOKYO).timestamp()


@dataclass(frozen=True, kw_only=True)
class Gauge:
    """One series whose value is a function of time; None is a gap."""

    name: str
    labels: Mapping[str, str]
    value: Value


@dataclass(frozen=True, kw_only=True)
class Counter:
    """One series that grows; ``rate`` is its growth per second."""

    name: str
    labels: Mapping[str, str]
    rate: Value


Series = Gauge | Counter


def daytime(time: float) -> float:
    """0 by night, 1 at noon, as work goes."""
    hour = (time - at("2026-11-01 00:00")) / HOUR % 24
    return max(0.0, math.sin((hour - 6) / 12 * math.pi)) if 6 <= hour <= 18 else 0.0


def wobble(time: float, size: float = 1.0) -> float:
    """Something that looks like noise, and is the same in every run."""
    return size * (math.sin(time / 977) + math.sin(time / 3371 + 1) + math.sin(time / 86400 * 2.399 + 2)) / 3


def platform(end: float, *, failing: tuple[float, float] | None = None) -> list[Series]:
    """All series of a platform.

    Args:
        end: When it is looked at, for what ends or grows.
        failing: From when to when the business API fails and one Kafka broker is down.
    """

    def bad(time: float) -> bool:
        return failing is not None and failing[0] <= time < failing[1]

    found: list[Series] = []

    def gauge(name: str, value: Value | float, **labels: str) -> None:
        found.append(Gauge(name=name, labels=labels, value=value if callable(value) else lambda _, v=value: v))

    def counter(name: str, rate: Value | float, **labels: str) -> None:
        found.append(Counter(name=name, labels=labels, rate=rate if callable(rate) else lambda _, r=rate: r))

    def histogram(name: str, bounds: Mapping[str, float], rate: Value, slow: Value, **labels: str) -> None:
        """Shares of a histogram's buckets; ``slow`` is the share that is in none but the last."""
        for bound, share in bounds.items():
            counter(
                f"{name}_bucket", lambda t, s=share: rate(t) * (s * (1 - slow(t)) if s < 1 else 1), le=bound, **labels
            )
        counter(f"{name}_count", rate, **labels)

    for number in range(4):
        one = {"layer": "device", "job": "device-agent", "device_id": f"dev-{number:04d}"}
        gauge("device_connected", lambda t, n=number: float(n < 1 + 3 * daytime(t)), **one)
        gauge("device_network_latency_seconds", lambda t: 0.04 + wobble(t, 0.005), **one)
        gauge("device_delivery_delay_seconds", lambda t: 0.2 + wobble(t, 0.02), **one)
        gauge("device_stream_quality", lambda t: 4.2 + wobble(t, 0.05), **one)
        gauge("device_speech_recognition_accuracy_ratio", lambda t: 0.93 + wobble(t, 0.004), **one)
        gauge("hw_battery_charge_ratio", lambda t, n=number: 0.15 if n == 0 else 0.8 - 0.3 * daytime(t), **one)
    stream, recorder = {"layer": "streaming", "job": "stream-server"}, {"layer": "streaming", "job": "recorder"}
    gauge("stream_active", lambda t: round(1 + 12 * daytime(t)), **stream)
    gauge("stream_delay_seconds", lambda t: 0.3 + wobble(t, 0.03), **stream)
    gauge("stream_throughput_bytes_per_second", lambda t: 2e6 * (0.2 + daytime(t)), **stream)
    gauge("stream_packet_loss_ratio", lambda t: 0.004 + wobble(t, 0.0005), **stream)
    gauge("recording_active", lambda t: round(1 + 9 * daytime(t)), **recorder)
    counter("recording_attempts_total", lambda t: 0.2 + daytime(t), **recorder)
    counter("recording_failures_total", lambda t: 0.002, error_type="timeout", **recorder)
    counter("recording_stored_bytes_total", lambda t: 1e6 * (0.2 + daytime(t)), **recorder)
    used = 0.5
    storage = {"layer": "streaming", "job": "storage", "instance": "storage-0"}
    gauge("system_filesystem_utilization_ratio", lambda t: used + 0.004 * (t - end) / DAY + wobble(t, 0.003), **storage)
    adls = {"layer": "streaming", "job": "adls-transfer"}
    gauge("adls_transfer_backlog_bytes", lambda t: 3e8 + wobble(t, 1e7), **adls)
    counter("adls_transfer_io_bytes_total", lambda t: 9e5, **adls)
    api = {"layer": "business", "job": "work-api"}
    bounds = {"0.05": 0.5, "0.1": 0.8, "0.25": 0.96, "1": 0.99, "3": 0.999, "5": 1.0, "+Inf": 1.0}
    histogram(
        "http_server_request_duration_seconds",
        bounds,
        lambda t: (5 + 40 * daytime(t)) * (0.5 if bad(t) else 1),
        lambda t: 0.6 if bad(t) else 0.0,
        http_response_status_code="200",
        **api,
    )
    counter(
        "http_server_request_duration_seconds_count",
        lambda t: (5 + 40 * daytime(t)) * (0.5 if bad(t) else 0.0004),
        http_response_status_code="500",
        **api,
    )
    pool = {"db_client_connection_pool_name": "work", "layer": "business", "job": "work-api"}
    gauge("db_client_connection_count", lambda t: 4 + 10 * daytime(t), db_client_connection_state="used", **pool)
    gauge("db_client_connection_max", 20, **pool)
    events = {"layer": "business", "job": "event-processor"}
    counter("work_event_processed_total", lambda t: 1 + 8 * daytime(t), work_event_type="start", **events)
    gauge("work_event_processing_delay_seconds", lambda t: 2 + wobble(t, 0.5), **events)
    etl = {"layer": "data", "job": "etl", "etl_job_name": "nightly"}
    counter("etl_job_runs_total", 1 / 600, outcome="success", **etl)
    counter("etl_job_runs_total", 1 / 60000, outcome="failure", **etl)
    histogram(
        "etl_job_duration_seconds",
        {"60": 0.2, "120": 0.9, "300": 1.0, "+Inf": 1.0},
        lambda _: 1 / 600,
        lambda _: 0.0,
        **etl,
    )
    check = {"layer": "data", "job": "consistency-check", "consistency_check_name": "recordings"}
    counter("consistency_check_runs_total", 1 / 900, **check)
    gauge("consistency_check_inconsistencies", 0, **check)
    gauge("report_generation_delay_seconds", 0, layer="data", job="report-generator", report_name="shift")
    screens = {"layer": "analytics", "job": "dashboard-ui"}
    gauge("user_session_active", lambda t: round(2 + 35 * daytime(t)), **screens)
    histogram(
        "screen_display_duration_seconds",
        {"0.5": 0.4, "1": 0.8, "2": 0.97, "10": 1.0, "+Inf": 1.0},
        lambda t: 0.5 + 3 * daytime(t),
        lambda _: 0.0,
        screen_name="overview",
        **screens,
    )
    worker = {"layer": "analytics", "job": "analysis-worker", "instance": "worker-0"}
    gauge("system_cpu_utilization_ratio", lambda t: 0.3 + 0.4 * daytime(t), **worker)
    gauge("analysis_job_queue_length", lambda t: round(3 * daytime(t)), **worker)
    _telemetry(counter, gauge, end)
    _parts(counter, gauge, histogram, end, bad)
    _objectives(gauge, bad)
    return found


def _growing(rate: float, end: float, time: float) -> float:
    return rate * (0.6 + 0.4 * daytime(time)) * (1 + 0.01 * (time - end) / DAY)


def _telemetry(counter: Callable[..., None], gauge: Callable[..., None], end: float) -> None:
    rates = {"device": 900.0, "streaming": 400.0, "business": 300.0, "data": 40.0, "analytics": 120.0}
    for layer, rate in rates.items():
        growth = partial(_growing, rate, end)
        way = {"job": "gateway", "processor": f"transform/{layer}"}
        counter("otelcol_processor_incoming_items_total", growth, otel_signal="metrics", **way)
        counter("otelcol_processor_incoming_items_total", lambda t, g=growth: g(t) / 20, otel_signal="logs", **way)
        if layer in ("streaming", "business", "analytics"):
            counter("otelcol_processor_incoming_items_total", lambda t, g=growth: g(t) / 5, otel_signal="traces", **way)
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


def _parts(
    counter: Callable[..., None],
    gauge: Callable[..., None],
    histogram: Callable[..., None],
    end: float,
    bad: Callable[[float], bool],
) -> None:
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
    gauge("search_keeper_last_snapshot_timestamp_seconds", end - 5 * HOUR, job="search-keeper")
    labels = {"alertname": "DeviceBatteryLow", "alertstate": "firing", "severity": "medium", "escalation": ""}
    gauge("ALERTS", lambda t: 1.0 if daytime(t) > 0.9 else None, **labels)


def _objectives(gauge: Callable[..., None], bad: Callable[[float], bool]) -> None:
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


def written(series: list[Series], start: float, end: float, step: int = STEP) -> str:
    """The series as OpenMetrics."""
    by_name: dict[str, list[Series]] = {}
    for each in series:
        by_name.setdefault(each.name, []).append(each)
    lines = []
    for name, those in by_name.items():
        lines.append(f"# TYPE {name} unknown")
        for each in those:
            labels = ",".join(f'{key}="{value}"' for key, value in each.labels.items() if value)
            head = f"{name}{{{labels}}}"
            total = 0.0
            for time in range(int(start), int(end) + 1, step):
                if isinstance(each, Counter):
                    total += (each.rate(time) or 0.0) * step
                    lines.append(f"{head} {total:.6g} {time}" if total < 1e5 else f"{head} {total:.12g} {time}")
                else:
                    value = each.value(time)
                    if value is not None:
                        lines.append(f"{head} {value:.6g} {time}" if value < 1e5 else f"{head} {value:.12g} {time}")
    return "\n".join([*lines, "# EOF", ""])


@dataclass(frozen=True, kw_only=True)
class Served:
    """A Prometheus with a past.

    Attributes:
        url: Its address.
        folder: Its files; ``ca.crt`` among them.
    """

    url: str
    folder: Path

    def metrics(self, user: str = USER, password: str = PASSWORD) -> ThanosMetrics:
        """Asks it."""
        return ThanosMetrics(self.url, ca_file=self.folder / "ca.crt", user=user, password=password)


@contextmanager
def prometheus(folder: Path, series: list[Series], start: float, end: float) -> Iterator[Served]:
    """A real Prometheus, TLS and password on, that holds the series from ``start`` to ``end``."""
    source = folder / "past.txt"
    source.write_text(written(series, start, end))
    data = folder / "data"
    subprocess.run(
        [
            str(tools.path("promtool")),
            "tsdb",
            "create-blocks-from",
            "openmetrics",
            "-q",
            "--max-block-duration=864h",
            str(source),
            str(data),
        ],
        check=True,
        capture_output=True,
        timeout=300,
    )
    write_certificates(folder)
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    web = {"tls_server_config": {"cert_file": "tls.crt", "key_file": "tls.key"}, "basic_auth_users": {USER: hashed}}
    (folder / "web.yaml").write_text(yaml.safe_dump(web))
    (folder / "prometheus.yaml").write_text("{}\n")
    port = free_port()
    command = [
        str(tools.path("prometheus")),
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--web.config.file={folder / 'web.yaml'}",
        f"--storage.tsdb.path={data}",
        "--storage.tsdb.retention.time=20y",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with running(command, folder / "prometheus.log", port):
        yield Served(url=f"https://localhost:{port}", folder=folder)
