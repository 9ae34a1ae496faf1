"""docs/ingest.md against the real gate: its settings work, its answers are real, no reason is missing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from typer.testing import CliRunner

from components.gateway.config import request_limit
from components.telemetry.gate_catalogue import gate_catalogue
from components.telemetry.layers import Signal
from lab.paths import CHECKOUT
from ops.__main__ import app
from ops.core import otlp
from ops.core.platform import Login, Platform
from stacks.sizing import PROFILES
from tests.config.gate_process import PASSWORDS, Gate, running_gate

PAGE = (CHECKOUT / "docs" / "ingest.md").read_text()
GATE = CHECKOUT / "collector" / "gate"
PROGRAM = """
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
metrics = MeterProvider(metric_readers=[PeriodicExportingMetricReader(OTLPMetricExporter())])
traces = TracerProvider()
traces.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
metrics.get_meter("x").create_histogram("http.server.request.duration", "s").record(1, {"http.request.method": "GET"})
traces.get_tracer("x").start_span("GET /api/works").end()
metrics.shutdown()
traces.shutdown()
"""


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    with running_gate(tmp_path, gate_catalogue({"business": ["business"]})) as process:
        yield process


def settings(endpoint: str, ca_file: Path) -> dict[str, str]:
    """The page's variables, with the gate's address and the header that the page's command prints."""
    variables = dict(re.findall(r"^export (OTEL_\w+)=['\"]?([^'\"\n#]*?)['\"]?(?:\s+#.*)?$", PAGE, re.MULTILINE))
    (command,) = re.findall(r"^python3 -c '(.*)' USER PASSWORD$", PAGE, re.MULTILINE)
    printed = subprocess.run(
        [sys.executable, "-c", command, "business", PASSWORDS["business"]],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return variables | {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_CERTIFICATE": str(ca_file),
        "OTEL_EXPORTER_OTLP_HEADERS": printed.stdout.strip(),
        "OTEL_RESOURCE_ATTRIBUTES": variables["OTEL_RESOURCE_ATTRIBUTES"].replace("$(hostname)", "work-api-7f9c"),
    }


def test_an_sdk_with_the_pages_settings_is_let_in_whole(gate: Gate) -> None:
    variables = settings(gate.endpoint, gate.ca_file)
    assert set(variables) == {
        *(f"OTEL_EXPORTER_OTLP_{name}" for name in ("ENDPOINT", "PROTOCOL", "CERTIFICATE", "COMPRESSION", "HEADERS")),
        "OTEL_SERVICE_NAME",
        "OTEL_RESOURCE_ATTRIBUTES",
    }
    kept = {key: value for key, value in os.environ.items() if key not in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={**kept, **variables}, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert gate.arrived.bodies[Signal.METRICS]
    assert gate.arrived.bodies[Signal.TRACES]
    assert gate.counted("refused_items_total") == {}
    assert gate.counted("dropped_attributes_total") == {}


def test_an_sdk_with_what_the_command_writes_is_let_in_whole(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = {"username": "business", "password": PASSWORDS["business"]}
    stack = Platform.model_construct(
        ca_certificate=gate.ca_file.read_text(),
        otlp_http=gate.endpoint,
        otlp_credentials={"business": Login.model_validate(login)},
    )
    monkeypatch.setattr("ops.core.platform.load", lambda: stack)
    folder = tmp_path / "business"
    result = CliRunner().invoke(app, ["connect", "--layer", "business", "--write", str(folder)])
    assert result.exit_code == 0, result.output
    assert PASSWORDS["business"] not in result.output
    names = {"OTEL_SERVICE_NAME": "work-api", "OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=work-api-7f9c"}
    # A shell evaluates the lines, and the SDK is started by it.
    shell = ["/bin/sh", "-euc", f'{result.stdout}\nexec "$0" -c "$1"', sys.executable, PROGRAM]
    kept = {key: value for key, value in os.environ.items() if key not in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")}
    done = subprocess.run(shell, env={**kept, **names}, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert gate.arrived.bodies[Signal.METRICS]
    assert gate.arrived.bodies[Signal.TRACES]
    assert gate.counted("refused_items_total") == {}
    assert gate.counted("dropped_attributes_total") == {}


def test_a_refused_client_is_told_the_line_that_the_page_shows(gate: Gate) -> None:
    request: ExportMetricsServiceRequest = otlp.gauge(
        otlp.resource_of("business", "work-api", "work-api-1"), "my.metric", [(time.time_ns(), 1.0, {})]
    )
    answer = gate.post(Signal.METRICS, request.SerializeToString(), "business")
    assert answer.status_code == 400
    (line,) = re.findall(r"^nothing of this request .*$", PAGE, re.MULTILINE)
    assert line.encode() in answer.content


def test_every_reason_of_the_gate_has_a_row() -> None:
    (listed,) = re.findall(
        r"var reasonNames = \[reasons\]string\{(.*?)\n\}", (GATE / "tally.go").read_text(), re.DOTALL
    )
    names = re.findall(r'"(\w+)"', listed)
    rows = PAGE.partition("| reason | what to do |")[2].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in rows.splitlines()[2:]]
    assert sorted(re.findall(r"`(\w+)`", "".join(cells))) == sorted(names)


@pytest.mark.parametrize(
    ("field", "row"),
    [
        (r"Depth: (\d+)", r"nesting of a body or an attribute \| (\d+)"),
        (r"ValueBytes: (\d+) << 10", r"text \| (\d+) KiB"),
        (r"ItemBytes: (\d+) << 10", r"log record \| (\d+) KiB"),
        (r"ResourceBytes: (\d+) << 10", r"attributes of a resource together \| (\d+) KiB"),
        (r"Attributes: (\d+)", r"attributes of a resource, span, point or record \| (\d+)"),
        (r"Items: ([\d_]+)", r"items and resources of a request \| ([\d,]+)"),
        (r"Resources: ([\d_]+)", r"items and resources of a request \| [\d,]+ and ([\d,]+)"),
        (r"Buckets: (\d+)", r"buckets of a histogram \| (\d+)"),
        (r"Future: (\d+) \* time.Minute", r"at most (\d+) minutes ahead"),
        (r"Past: (\d+) \* 24 \* time.Hour", r"(\d+) days ago"),
        (r"Window: (\d+) \* time.Minute", r"budgets, within (\d+) minutes"),
    ],
)
def test_a_limit_on_the_page_is_the_gates(field: str, row: str) -> None:
    (limits,) = re.findall(r"func defaultLimits\(\).*?\n\}", (GATE / "catalogue.go").read_text(), re.DOTALL)
    (default,), (shown,) = re.findall(rf"\b{field}", limits), re.findall(row, PAGE)
    assert int(shown.replace(",", "")) == int(default.replace("_", ""))


@pytest.mark.parametrize("profile", PROFILES)
def test_the_largest_request_on_the_page_is_that_of_every_profile(profile: str) -> None:
    (shown,) = re.findall(r"^\| request, uncompressed \| (\d+) MiB;", PAGE, re.MULTILINE)
    assert int(shown) * 2**20 == request_limit(PROFILES[profile].max_message_bytes)
