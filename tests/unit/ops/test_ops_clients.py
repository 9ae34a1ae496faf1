"""The OTLP and query clients of ``ops``, against a real gateway and a real Prometheus."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.core import otlp, tunnel
from ops.core.errors import OpsError
from ops.core.platform import Login, parse
from ops.core.web import Query, Web, connected
from ops.drills.tools.load import METRIC, sequence_request
from tests.config.gateway_process import PASSWORDS, GatewayProcess, gateway_data, gateway_process
from tests.config.prometheus_process import USERS, PrometheusProcess, job, prometheus_process, write_files
from tests.config.servers import eventually, free_port


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway whose Kafka is out of reach."""
    folder = tmp_path_factory.mktemp("gateway")
    with gateway_process(folder, gateway_data(folder)) as process:
        yield process


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusProcess]:
    """A Prometheus that scrapes nothing."""
    folder = tmp_path_factory.mktemp("prometheus")
    write_files(folder)
    with prometheus_process(folder) as process:
        yield process


@pytest.fixture
def client(gateway: GatewayProcess, outputs: dict[str, Any]) -> Iterator[otlp.OtlpClient]:
    """The client, with the logins of all layers."""
    outputs["ca_certificate"] = (gateway.folder / "ca.crt").read_text()
    outputs["otlp_grpc"] = f"localhost:{gateway.grpc_port}"
    outputs["otlp_http"] = f"https://localhost:{gateway.http_port}"
    outputs["otlp_credentials"] = {
        layer: {"username": layer, "password": password} for layer, password in PASSWORDS.items()
    }
    web = Web(str(gateway.folder / "ca.crt"))
    yield otlp.OtlpClient(parse(outputs), web)
    web.close()


@pytest.fixture
def query(prometheus: PrometheusProcess) -> Iterator[Query]:
    """The reader's query API."""
    web = Web(str(prometheus.folder / "ca.crt"))
    yield Query(web, lambda: prometheus.url, ("reader", USERS["reader"]), "prometheus")
    web.close()


def test_the_gateway_takes_metrics_and_traces_of_the_client(client: otlp.OtlpClient) -> None:
    assert client.metrics(sequence_request("ab12", [(0, 1)]), "device") == (200, 0)
    assert client.traces(otlp.span(otlp.resource_of("business", "work-api", "i"), "x"), "business") == (200, 0)


def test_the_status_of_grpc_is_named(client: otlp.OtlpClient) -> None:
    request = sequence_request("ab12", [(0, 1)])
    assert (
        client.grpc_code(request, Login.model_validate({"username": "device", "password": "device-password"})) == "OK"
    )
    assert client.grpc_code(request, Login.model_validate({"username": "device", "password": "x"})) == "UNAUTHENTICATED"
    assert client.grpc_code(request, None) == "UNAUTHENTICATED"


def test_an_oversized_batch_has_its_own_code_over_grpc(client: otlp.OtlpClient) -> None:
    points = [(time.time_ns(), 1.0, {"padding": "x" * 1024})] * 16_000
    request = otlp.gauge(otlp.resource_of("device", "e2e", "e2e"), "big", points)
    login = Login.model_validate({"username": "device", "password": "device-password"})
    assert client.grpc_code(request, login) == "RESOURCE_EXHAUSTED"


def test_a_body_that_unpacks_to_too_much_is_refused(gateway: GatewayProcess) -> None:
    web = Web(str(gateway.folder / "ca.crt"))
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
    with web.call(
        "POST",
        f"https://localhost:{gateway.http_port}/v1/metrics",
        auth=("device", "device-password"),
        data=gzip.compress(bytes(64 * 2**20)),
        headers=headers,
    ) as response:
        assert response.status_code in (400, 413)
    web.close()


def test_a_refused_login_is_a_status_and_no_error(client: otlp.OtlpClient) -> None:
    assert client.post("metrics", b"", None)[0] == 401
    assert client.post("metrics", b"\xff\xfe nonsense", client.login("device"))[0] == 400


def test_every_sequence_number_of_a_batch_is_a_sample_of_its_own(prometheus: PrometheusProcess, query: Query) -> None:
    web = Web(str(prometheus.folder / "ca.crt"))
    request = sequence_request("cd34", [(5, number) for number in range(40)])
    with web.call(
        "POST",
        f"{prometheus.url}/api/v1/otlp/v1/metrics",
        auth=("writer", USERS["writer"]),
        data=request.SerializeToString(),
        headers={"Content-Type": "application/x-protobuf"},
    ) as response:
        assert response.status_code == 200, response.text
    web.close()
    selector = f'{METRIC}{{run="cd34"}}'
    eventually(lambda: len(query.instant(selector)) == 1, 10, "the series is there")
    [(labels, samples)] = query.raw(selector, 60).items()
    assert dict(labels)["worker"] == "5"
    assert [value for _, value in samples] == list(range(40))
    assert query.number(f"count_over_time({selector}[1m])") == 40
    assert query.number('nothing_of_this_name{run="x"}') is None


def test_a_refused_query_is_one_line(query: Query, prometheus: PrometheusProcess) -> None:
    with pytest.raises(OpsError, match="prometheus answered 400: "):
        query.instant("sum(")
    web = Web(str(prometheus.folder / "ca.crt"))
    wrong = Query(web, lambda: prometheus.url, ("reader", "x"), "prometheus")
    with pytest.raises(OpsError, match="prometheus answered 401"):
        wrong.instant("up")
    web.close()


def test_a_target_that_fails_and_a_job_without_targets_are_named(tmp_path: Path) -> None:
    write_files(tmp_path, job("kafka"), job("gateway"))
    config = yaml.safe_load((tmp_path / "prometheus.yml").read_text())
    closed = next(data for data in config["scrape_configs"] if data["job_name"] == "kafka")
    del closed["dns_sd_configs"]
    closed.update(static_configs=[{"targets": [f"localhost:{free_port()}"]}], scrape_interval="1s", scrape_timeout="1s")
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    with prometheus_process(tmp_path) as process, connected((tmp_path / "ca.crt").read_text()) as web:
        query = Query(web, lambda: process.url, ("reader", USERS["reader"]), "prometheus")
        eventually(
            lambda: [reason for reason in query.unreached().values() if "refused" in reason],
            15,
            "the first scrape of kafka has failed",
        )
        failed, empty = query.unreached().items()
    assert failed[0].startswith("kafka ")
    assert failed[1].endswith("connection refused")
    assert empty == ("gateway", "no target")


def test_a_server_of_another_authority_is_not_trusted(gateway: GatewayProcess, prometheus: PrometheusProcess) -> None:
    web = Web(str(gateway.folder / "ca.crt"))
    with pytest.raises(OpsError, match="certificate verify failed"):
        web.status(f"{prometheus.url}/-/healthy")
    web.close()


def test_who_asks_for_a_tunnel_after_the_end_leaves_none_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(tunnel, "Tunnel", lambda _, pod, *__: opened.append(pod))
    tunnels = tunnel.Tunnels("obs")
    tunnels.close()
    with pytest.raises(OpsError, match="no tunnel to grafana-0:3000: the command ends"):
        tunnels.url("grafana-0", 3000)
    assert opened == []
