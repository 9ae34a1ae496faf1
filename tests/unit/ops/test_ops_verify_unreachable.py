"""A row whose server is away names the server and its address in one line; every port here is really closed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes import client

from ops.checks import prometheus, traces, visualization
from ops.checks.command import CHECKS
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.core.platform import parse
from ops.core.rows import State, run_checks
from ops.telemetry.traces import fetch_token
from tests.config.pki import write_certificates
from tests.config.servers import free_port

LOGIN = {"username": "somebody", "password": "a-long-password"}


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Server -> a port at which nothing listens."""
    monkeypatch.setattr("ops.core.kafka.TIMEOUT_SECONDS", 2.0)
    names = (
        "kafka",
        "thanos",
        "alertmanager",
        "grafana",
        "jaeger",
        "issuer",
        "gateway",
        "storage",
        "kubernetes",
        "pod",
    )
    return {name: free_port() for name in names}


@pytest.fixture
def context(tmp_path: Path, outputs: dict[str, Any], ports: dict[str, int]) -> Iterator[Context]:
    """Real clients of a platform that is gone."""
    write_certificates(tmp_path)
    gone = {
        **outputs,
        "ca_certificate": (tmp_path / "ca.crt").read_text(),
        "kafka_bootstrap": f"127.0.0.1:{ports['kafka']}",
        "query_url": f"https://localhost:{ports['thanos']}",
        "alertmanager_url": f"https://localhost:{ports['alertmanager']}",
        "alertmanager_operator": LOGIN,
        "grafana_url": f"https://localhost:{ports['grafana']}",
        "grafana_admin": LOGIN,
        "trace_query_urls": {"internal": f"https://localhost:{ports['jaeger']}"},
        "trace_login": {
            "issuer": f"https://localhost:{ports['issuer']}",
            "client_id": "ops",
            "client_secret": "a-long-password",
        },
        "otlp_http": f"https://localhost:{ports['gateway']}",
        "otlp_credentials": dict.fromkeys(
            ("device", "streaming", "business", "data-management", "data", "analytics"), LOGIN
        ),
        "backups": {
            "endpoint": f"https://localhost:{ports['storage']}",
            "region": "here",
            "bucket": "backups",
            "prefix": "backups/",
            "metrics_prefix": "metrics/",
            "access_key_id": "key",
            "secret_access_key": "a-long-password",
            "recipients": ["age1somebody"],
            "time_zone": "Asia/Tokyo",
            "schedules": {"database": "20 */4 * * *"},
        },
    }
    settings = client.Configuration()
    settings.host, settings.retries = f"https://localhost:{ports['kubernetes']}", False
    with Context(parse(gone), Kube(client.ApiClient(settings), "obs")) as unreachable_context:
        yield unreachable_context


@pytest.mark.parametrize(
    ("row", "name", "server"),
    [
        ("K1", "Kafka", "kafka"),
        ("K4", "Kafka", "kafka"),
        ("K5", "Kafka", "kafka"),
        ("L1", "Thanos Query", "thanos"),
        ("D3", "Thanos Query", "thanos"),
        ("O2", "Thanos Query", "thanos"),
        ("A3", "Kafka", "kafka"),
        ("J2", "the identity provider", "issuer"),
        ("D1", "object storage", "storage"),
        ("O1", "cannot list the pods of gateway", "kubernetes"),
        ("M3", "cannot list the pods of alertmanager", "kubernetes"),
    ],
)
def test_a_row_names_the_server_that_is_away(
    context: Context, ports: dict[str, int], row: str, name: str, server: str
) -> None:
    [outcome] = run_checks([row], CHECKS, context)
    assert outcome.state is State.FAIL
    [problem] = outcome.problems
    assert name in problem
    assert str(ports[server]) in problem
    assert "\n" not in problem
    assert "a-long-password" not in problem


@pytest.mark.parametrize(
    ("ask", "name", "server"),
    [
        (lambda context: context.alertmanager().alerts(), "Alertmanager", "alertmanager"),
        (lambda context: visualization.visitor(context).get("/api/health"), "Grafana", "grafana"),
        (lambda context: traces.calls_in_jaeger(context, "token", "internal"), "the Jaeger query internal", "jaeger"),
        (lambda context: fetch_token(context.web, context.platform), "the identity provider", "issuer"),
        (prometheus.freshness, "the gateway", "gateway"),
        (lambda context: context.thanos.instant("up"), "Thanos Query", "thanos"),
    ],
)
def test_a_client_names_the_server_that_is_away(
    context: Context, ports: dict[str, int], ask: Callable[[Context], object], name: str, server: str
) -> None:
    with pytest.raises(OpsError) as raised:
        ask(context)
    assert str(raised.value).startswith(f"no answer from {name} (https://localhost:{ports[server]}): ")
    assert "refused" in str(raised.value)


def test_a_tunnel_names_the_pod_at_its_end(context: Context, ports: dict[str, int]) -> None:
    tunnel: Any = SimpleNamespace(what="prometheus-primary-0:9090", port=ports["pod"], alive=True, close=lambda: None)
    context.tunnels._open["prometheus-primary-0", 9090] = tunnel
    with pytest.raises(
        OpsError, match=rf"no answer from prometheus-primary-0:9090 \(https://localhost:{tunnel.port}\)"
    ):
        context.web.status(f"{context.tunnels.url('prometheus-primary-0', 9090)}/-/ready")


def test_a_platform_that_is_gone_is_told_in_a_limited_time(context: Context) -> None:
    began = time.monotonic()
    rows = run_checks(["K2", "L2", "O3", "P3"], CHECKS, context)
    assert all(row.state is State.FAIL and len(row.problems) == 1 for row in rows)
    assert time.monotonic() - began < 60
