"""The real collector with a gate: a login, the catalogue of the platform, and a sink in the place of Kafka."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families

from components.collector.pods import htpasswd
from components.telemetry.layers import LAYER_NAMES, Signal
from lab.toolchain import tools
from tests.config.pki import write_certificates
from tests.config.servers import eventually, free_port, port_is_open, running
from tests.support.dirty.sink import Sink, sink

PASSWORDS = {name: f"pw-{name}" for name in LAYER_NAMES}
HASH_KEY = "a key for tests, of at least thirty-two bytes"


@dataclass(frozen=True)
class Gate:
    """A collector that runs.

    Attributes:
        endpoint: Scheme, host and port of OTLP over HTTP.
        ca_file: Authority of its certificate.
        arrived: What it let through.
        metrics_url: Its own metrics.
    """

    endpoint: str
    ca_file: Path
    arrived: Sink
    metrics_url: str

    def post(self, signal: Signal, body: bytes, layer: str) -> requests.Response:
        """Send a request as a layer."""
        return requests.post(
            f"{self.endpoint}/v1/{signal}",
            data=body,
            headers={"Content-Type": "application/x-protobuf"},
            auth=(layer, PASSWORDS[layer]),
            verify=str(self.ca_file),
            timeout=60,
        )

    def counted(self, name: str) -> dict[tuple[tuple[str, str], ...], float]:
        """Samples of one of the gate's counters that are above 0, by its own labels."""
        text = requests.get(self.metrics_url, timeout=60).text
        return {
            tuple(
                sorted((key, value) for key, value in sample.labels.items() if not key.startswith("otel_"))
            ): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == f"otelcol_gate_{name}" and sample.value
        }


def gate_config(folder: Path, catalogue: Mapping[str, object], *, port: int, metrics: int, to: int) -> dict[str, Any]:
    """Files and configuration of a collector whose folders are all ``folder``."""
    if not (folder / "tls.crt").exists():
        write_certificates(folder)
    (folder / "clients").write_text(htpasswd(PASSWORDS))
    (folder / "hash-key").write_text(HASH_KEY)
    (folder / "catalogue.yaml").write_text(yaml.safe_dump(dict(catalogue), sort_keys=False))
    tls = {"cert_file": str(folder / "tls.crt"), "key_file": str(folder / "tls.key")}
    pipeline = {"receivers": ["otlp"], "processors": ["gate"], "exporters": ["otlphttp"]}
    reader = {"pull": {"exporter": {"prometheus": {"host": "127.0.0.1", "port": metrics}}}}
    return {
        "extensions": {"login": {"htpasswd": str(folder / "clients"), "max_in_flight": 64}},
        "receivers": {
            "otlp": {
                "protocols": {"http": {"endpoint": f"127.0.0.1:{port}", "auth": {"authenticator": "login"}, "tls": tls}}
            }
        },
        "processors": {
            "gate": {"catalogue": str(folder / "catalogue.yaml"), "hash_key": f"${{file:{folder / 'hash-key'}}}"}
        },
        "exporters": {
            "otlphttp": {
                "endpoint": f"http://127.0.0.1:{to}",
                "sending_queue": {"enabled": False},
                "retry_on_failure": {"enabled": False},
            }
        },
        "service": {
            "extensions": ["login"],
            "telemetry": {"metrics": {"level": "detailed", "readers": [reader]}},
            "pipelines": {signal.value: pipeline for signal in Signal},
        },
    }


@contextmanager
def running_gate(folder: Path, catalogue: Mapping[str, object]) -> Iterator[Gate]:
    """A collector with this catalogue, until the block ends."""
    port, metrics = free_port(), free_port()
    with sink() as arrived:
        config = gate_config(folder, catalogue, port=port, metrics=metrics, to=arrived.port)
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        command = [str(tools.path("otelcol")), f"--config={folder / 'config.yaml'}"]
        with running(command, folder / "otelcol.log", port):
            eventually(lambda: port_is_open(metrics), 30, "the collector offers its metrics")
            yield Gate(f"https://localhost:{port}", folder / "ca.crt", arrived, f"http://127.0.0.1:{metrics}/metrics")
