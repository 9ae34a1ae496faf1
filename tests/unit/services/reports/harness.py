"""A platform of the past: its series as a real Prometheus would have stored them, and that Prometheus."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import bcrypt
import yaml

from lab.toolchain import tools
from services.reports.metrics import ThanosMetrics
from tests.config.pki import write_certificates
from tests.config.servers import START_SECONDS, answers, eventually, free_port, running
from tests.unit.services.reports.harness_series import (
    DAY,
    HOUR,
    MINUTE,
    TOKYO,
    at,
    daytime,
    objectives,
    parts,
    telemetry,
    wobble,
)

__all__ = ["DAY", "HOUR", "MINUTE", "TOKYO", "Served", "at", "daytime", "platform", "prometheus", "wobble"]

STEP = 120
USER, PASSWORD = "reader", "sesame-for-the-reader"
Value = Callable[[float], float | None]


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


def platform(end: float, *, failing: tuple[float, float] | None = None) -> list[Series]:
    """All series of a platform.

    Args:
        end: When it is looked at, for what ends or grows.
        failing: From when to when the business API fails and one Kafka broker is down.
    """

    def bad(time: float) -> bool:
        return failing is not None and failing[0] <= time < failing[1]

    gauges: list[Series] = []

    def gauge(name: str, value: Value | float, **labels: str) -> None:
        gauges.append(Gauge(name=name, labels=labels, value=value if callable(value) else lambda _, v=value: v))

    def counter(name: str, rate: Value | float, **labels: str) -> None:
        gauges.append(Counter(name=name, labels=labels, rate=rate if callable(rate) else lambda _, r=rate: r))

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
    telemetry(counter, gauge, end)
    parts(counter, gauge, histogram, end, bad)
    objectives(gauge, bad)
    return gauges


def written(series: list[Series], start: float, end: float, step: int = STEP) -> str:
    """The series as OpenMetrics."""
    by_name: dict[str, list[Series]] = {}
    for metric in series:
        by_name.setdefault(metric.name, []).append(metric)
    lines = []
    for name, those in by_name.items():
        lines.append(f"# TYPE {name} unknown")
        for counter in those:
            labels = ",".join(f'{key}="{value}"' for key, value in counter.labels.items() if value)
            head = f"{name}{{{labels}}}"
            total = 0.0
            for time in range(int(start), int(end) + 1, step):
                if isinstance(counter, Counter):
                    total += (counter.rate(time) or 0.0) * step
                    lines.append(f"{head} {total:.6g} {time}" if total < 1e5 else f"{head} {total:.12g} {time}")
                else:
                    value = counter.value(time)
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
    served = Served(url=f"https://localhost:{port}", folder=folder)
    request = {"auth": (USER, PASSWORD), "verify": str(folder / "ca.crt")}
    with running(command, folder / "prometheus.log", port):
        eventually(lambda: answers(f"{served.url}/-/ready", **request), START_SECONDS, "Prometheus has read its past")
        yield served
