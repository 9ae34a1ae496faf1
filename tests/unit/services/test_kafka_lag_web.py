"""The exporter's HTTPS side: real TLS on loopback, a password for the metrics, renewal without a restart."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Gauge

from lab.paths import CHECKOUT
from services.kafka_lag.web import HttpsServer, allowed, application
from tests.config.servers import eventually
from tests.support.kafka_broker import free_port, write_certificates
from tests.unit.services.test_kafka_lag_settings import content

USER = "scrape-kafka-lag"
GOOD = "Basic c2NyYXBlLWthZmthLWxhZzpodW50ZXIy"  # scrape-kafka-lag:hunter2


@dataclass
class Exporter:
    """A running server, and how to ask it."""

    folder: Path
    port: int = 0
    alive: threading.Event = field(default_factory=threading.Event)

    def get(self, path: str, authorization: str = "", method: str = "GET") -> tuple[int, str]:
        context = ssl.create_default_context(cafile=self.folder / "ca.pem")
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=5)
        try:
            connection.request(method, path, headers={"Authorization": authorization} if authorization else {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


@pytest.fixture
def exporter(tmp_path: Path) -> Iterator[Exporter]:
    write_certificates(tmp_path)
    (tmp_path / "password").write_text("hunter2\n")
    registry = CollectorRegistry()
    Gauge("something", "A metric", registry=registry).set(42)
    running_exporter = Exporter(tmp_path)
    running_exporter.alive.set()
    app = application(registry, USER, tmp_path / "password", running_exporter.alive.is_set)
    server = HttpsServer("127.0.0.1", 0, tmp_path / "cert.pem", tmp_path / "key.pem", app)
    running_exporter.port = server.server_port
    server.start()
    yield running_exporter
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic !!!",
        "Bearer c2NyYXBlLWthZmthLWxhZzpodW50ZXIy",
        "Basic c2NyYXBlLWthZmthLWxhZzp4",
        "Basic eDpodW50ZXIy",
    ],
)
def test_any_other_header_is_refused(header: str) -> None:
    assert not allowed(header, USER, "hunter2")


def test_the_right_user_and_password_are_let_in() -> None:
    assert allowed(GOOD, USER, "hunter2")


def test_an_empty_password_lets_nobody_in() -> None:
    assert not allowed("Basic c2NyYXBlLWthZmthLWxhZzo=", USER, "")


def test_metrics_need_the_password(exporter: Exporter) -> None:
    assert exporter.get("/metrics")[0] == 401
    status, text = exporter.get("/metrics", GOOD)
    assert status == 200
    assert "something 42.0" in text


def test_health_needs_none_and_tells_when_the_loop_hangs(exporter: Exporter) -> None:
    assert exporter.get("/healthz") == (200, "ok\n")
    exporter.alive.clear()
    assert exporter.get("/healthz")[0] == 503


def test_other_paths_and_methods_are_refused(exporter: Exporter) -> None:
    assert exporter.get("/", GOOD)[0] == 404
    assert exporter.get("/metrics", GOOD, "POST")[0] == 405


def test_a_renewed_password_counts_at_once(exporter: Exporter) -> None:
    (exporter.folder / "password").write_text("renewed")
    assert exporter.get("/metrics", GOOD)[0] == 401


def test_a_renewed_certificate_is_served_without_a_restart(exporter: Exporter) -> None:
    write_certificates(exporter.folder)
    assert exporter.get("/healthz")[0] == 200


def test_a_half_renewed_certificate_keeps_the_old_one_in_use(
    exporter: Exporter, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    write_certificates(other)
    shutil.copy(other / "cert.pem", exporter.folder / "cert.pem")
    assert exporter.get("/healthz")[0] == 200
    shutil.copy(other / "key.pem", exporter.folder / "key.pem")
    shutil.copy(other / "ca.pem", exporter.folder / "ca.pem")
    assert exporter.get("/healthz")[0] == 200


def test_a_silent_peer_holds_nobody_up(exporter: Exporter) -> None:
    with socket.create_connection(("127.0.0.1", exporter.port)):
        assert exporter.get("/healthz")[0] == 200


def test_plain_http_gets_no_answer(exporter: Exporter) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", exporter.port, timeout=5)
    connection.request("GET", "/healthz")
    with pytest.raises((http.client.HTTPException, OSError)):
        connection.getresponse()
    connection.close()


def test_a_modern_tls_is_spoken(exporter: Exporter) -> None:
    context = ssl.create_default_context(cafile=exporter.folder / "ca.pem")
    with (
        socket.create_connection(("127.0.0.1", exporter.port)) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        assert connection.version() == "TLSv1.3"


@contextmanager
def program(folder: Path) -> Iterator[tuple[subprocess.Popen[str], Exporter]]:
    """The exporter as in its pod, with brokers that nobody reaches."""
    write_certificates(folder)
    (folder / "password").write_text("hunter2")
    port = free_port()
    settings = content(
        bootstrap=f"127.0.0.1:{free_port()}",
        ca_file=str(folder / "ca.pem"),
        password_file=str(folder / "password"),
        listen=f"127.0.0.1:{port}",
        tls={"cert_file": str(folder / "cert.pem"), "key_file": str(folder / "key.pem")},
        metrics={"user": USER, "password_file": str(folder / "password")},
        interval_s=1,
    )
    (folder / "c.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "services.kafka_lag", "--config", str(folder / "c.json")]
    process = subprocess.Popen(command, cwd=CHECKOUT, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    assert process.stderr is not None
    try:
        assert process.stderr.readline() == f"kafka-lag: serving https://127.0.0.1:{port}/metrics\n"
        yield process, Exporter(folder, port)
    finally:
        process.terminate()
        process.communicate(timeout=20)


def children(process: subprocess.Popen[str]) -> list[int]:
    """Processes that the program has started and that are not over."""
    process_ids = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            _, _, rest = (entry / "stat").read_text().rpartition(") ")
            state, parent = rest.split()[:2]
            if int(parent) == process.pid and state != "Z":
                process_ids.append(int(entry.name))
    return process_ids


def test_the_program_serves_without_brokers_and_ends_gracefully_on_sigterm(tmp_path: Path) -> None:
    with program(tmp_path) as (process, exporter):
        assert exporter.get("/healthz")[0] == 200
        assert "kafka_lag_last_success_timestamp_seconds 0.0" in exporter.get("/metrics", GOOD)[1]
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=10)
        assert process.returncode == 0
        assert "kafka-lag: stopped\n" in rest


def test_a_crash_of_the_kafka_client_ends_one_poll_and_not_the_program(tmp_path: Path) -> None:
    counted = 'kafka_lag_collection_errors_total{stage="process"} 1.0'
    with program(tmp_path) as (process, exporter):
        eventually(lambda: children(process) != [], 20, "the process that asks the brokers")
        (crashed,) = children(process)
        os.kill(crashed, signal.SIGABRT)
        eventually(lambda: counted in exporter.get("/metrics", GOOD)[1], 20, "the crash is counted")
        eventually(lambda: children(process) not in ([], [crashed]), 20, "another one asks")
        assert exporter.get("/healthz") == (200, "ok\n")
        assert process.poll() is None
