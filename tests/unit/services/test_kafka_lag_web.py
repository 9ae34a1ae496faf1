"""The exporter as in its pod: it serves without brokers, and ends when it is asked."""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.paths import CHECKOUT
from tests.support.kafka_broker import free_port, write_certificates
from tests.unit.services.test_kafka_lag_settings import content

USER = "scrape-kafka-lag"
GOOD = "Basic c2NyYXBlLWthZmthLWxhZzpodW50ZXIy"  # scrape-kafka-lag:hunter2


@dataclass
class Exporter:
    """A running program, and how to ask it."""

    folder: Path
    port: int

    def get(self, path: str, authorization: str = "") -> tuple[int, str]:
        context = ssl.create_default_context(cafile=self.folder / "ca.pem")
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=60)
        try:
            connection.request("GET", path, headers={"Authorization": authorization} if authorization else {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


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
        process.communicate(timeout=60)


def test_the_program_serves_without_brokers_and_ends_gracefully_on_sigterm(tmp_path: Path) -> None:
    with program(tmp_path) as (process, exporter):
        assert (exporter.get("/livez")[0], exporter.get("/readyz")[0]) == (200, 200)
        assert "kafka_lag_last_success_timestamp_seconds 0.0" in exporter.get("/metrics", GOOD)[1]
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=60)
        assert process.returncode == 0
        assert "kafka-lag: stopped\n" in rest
