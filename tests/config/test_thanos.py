"""Thanos' configuration in the real binary: a sidecar beside a real Prometheus, and a query layer over it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import bcrypt
import pytest
import requests

from components.prometheus.config import rendered
from components.prometheus.thanos import GRPC_PORT, QUERY_PORT, endpoints_config, query_command, sidecar_command
from components.web_access import web_config
from lab.toolchain import tools
from tests.config.gateway_process import metrics_request
from tests.config.prometheus_process import USERS, PrometheusProcess, prometheus_process, write_files
from tests.config.servers import eventually, free_port, running
from tests.config.test_prometheus_server import write


def local(command: list[str], changed: dict[str, str]) -> list[str]:
    """A pod's command with the lab's binary and some options changed; each must have been there."""
    left = dict(changed)
    result = [str(tools.path("thanos")), command[1]]
    for option in command[2:]:
        name, _, value = option.removeprefix("--").partition("=")
        value = left.pop(name, value)
        result.append(f"--{name}={value}" if value else f"--{name}")
    assert not left, f"no such option: {left}"
    return result


class Query:
    """A running query layer over two replicas."""

    def __init__(self, replicas: list[PrometheusProcess], url: str, folder: Path) -> None:
        self.replicas = replicas
        self.url = url
        self.folder = folder

    def ask(self, query: str, auth: tuple[str, str] | None = ("reader", "query-password")) -> requests.Response:
        return requests.get(
            f"{self.url}/api/v1/query",
            params={"query": query},
            auth=auth,
            verify=str(self.folder / "ca.crt"),
            timeout=60,
        )

    def result(self, query: str) -> list[dict[str, dict[str, str]]]:
        answer = self.ask(query)
        assert answer.status_code == 200, answer.text
        series: list[dict[str, dict[str, str]]] = answer.json()["data"]["result"]
        return series


@pytest.fixture(scope="module")
def query(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Query]:
    top = tmp_path_factory.mktemp("thanos")
    first = top / "primary"
    with ExitStack() as stack:
        replicas, stores = [], []
        for name in ("primary", "secondary"):
            folder = top / name
            folder.mkdir()
            if name != "primary":
                for file in ("ca.crt", "tls.crt", "tls.key"):
                    (folder / file).write_bytes((first / file).read_bytes())
            write_files(folder, replica=name)
            replica = stack.enter_context(prometheus_process(folder))
            http, grpc = free_port(), free_port()
            command = local(
                sidecar_command(tls_directory=str(first)),
                {
                    "tsdb.path": str(folder / "data"),
                    "prometheus.url": replica.url,
                    "prometheus.http-client-file": str(folder / "client.yml"),
                    "http-address": f"127.0.0.1:{http}",
                    "http.config": str(folder / "web.yml"),
                    "grpc-address": f"127.0.0.1:{grpc}",
                },
            )
            stack.enter_context(running(command, folder / "sidecar.log", grpc, kill=True))
            replicas.append(replica)
            stores.append(f"localhost:{grpc}")
        port = free_port()
        (top / "web").mkdir()
        (top / "endpoints").mkdir()
        hashed = bcrypt.hashpw(b"query-password", bcrypt.gensalt(4)).decode()
        (top / "web/web.yml").write_text(rendered(web_config({"reader": hashed}, str(first))))
        # There is no DNS server here that knows localhost, so the address is given without a lookup.
        endpoints = rendered(endpoints_config(stores, "localhost", str(first))).replace("dns+", "")
        (top / "endpoints/endpoints.yml").write_text(endpoints)
        command = local(
            query_command(directory=str(top), tls_directory=str(first)),
            {"http-address": f"127.0.0.1:{port}", "grpc-address": f"127.0.0.1:{free_port()}"},
        )
        stack.enter_context(running(command, top / "query.log", port, kill=True))
        yield Query(replicas, f"https://localhost:{port}", first)


def test_the_query_layer_needs_a_password(query: Query) -> None:
    assert query.ask("up", auth=None).status_code == 401
    assert query.ask("up", auth=("reader", USERS["reader"])).status_code == 401


def test_the_same_series_of_both_replicas_is_one(query: Query) -> None:
    body = metrics_request("device").SerializeToString()
    for replica in query.replicas:
        assert write(replica, body, "writer").status_code == 200
    eventually(lambda: bool(query.result("battery")), 30, "the query layer finds the series")
    series = query.result("battery")
    assert len(series) == 1
    assert series[0]["metric"]["layer"] == "device"
    assert series[0]["metric"]["platform"] == "obs-test"
    assert "prometheus_replica" not in series[0]["metric"]


def test_the_store_api_refuses_a_client_without_a_certificate(query: Query, tmp_path: Path) -> None:
    import grpc

    address = (query.folder.parent / "endpoints/endpoints.yml").read_text().split("address: ")[1].split()[0]
    credentials = grpc.ssl_channel_credentials((query.folder / "ca.crt").read_bytes())
    with grpc.secure_channel(address, credentials) as channel, pytest.raises(grpc.RpcError) as failure:
        channel.unary_unary("/thanos.info.Info/Info")(b"", timeout=60)
    assert failure.value.code() is grpc.StatusCode.UNAVAILABLE


def test_the_pods_ports_are_what_the_commands_listen_on() -> None:
    assert f"--grpc-address=0.0.0.0:{GRPC_PORT}" in sidecar_command()
    assert f"--http-address=0.0.0.0:{QUERY_PORT}" in query_command()
