"""Thanos' configuration in the real binary: a sidecar beside a real Prometheus, and a query layer over it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from components.prometheus.thanos import GRPC_PORT, QUERY_PORT, query_command, sidecar_command
from tests.config.gateway_process import metrics_request
from tests.config.prometheus_process import USERS
from tests.config.servers import eventually
from tests.config.test_prometheus_server import write
from tests.config.thanos_process import LOGIN, Query, thanos


@pytest.fixture(scope="module")
def query(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Query]:
    with thanos(tmp_path_factory.mktemp("thanos"), {"primary": ("primary", 0), "secondary": ("secondary", 0)}) as both:
        yield both


def test_the_query_layer_needs_a_password(query: Query) -> None:
    assert query.ask("up", auth=None).status_code == 401
    assert query.ask("up", auth=("reader", USERS["reader"])).status_code == 401


def test_the_same_series_of_both_replicas_is_one(query: Query) -> None:
    body = metrics_request("device").SerializeToString()
    for replica in query.servers.values():
        assert write(replica, body, "writer").status_code == 200
    eventually(lambda: bool(query.result("battery")), 30, "the query layer finds the series")
    series = query.result("battery")
    assert len(series) == 1
    assert series[0]["metric"]["layer"] == "device"
    assert series[0]["metric"]["platform"] == "obs-test"
    assert "prometheus_replica" not in series[0]["metric"]


def test_the_query_layer_runs_so_many_queries_at_once_and_no_more(query: Query) -> None:
    metrics = requests.get(f"{query.url}/metrics", auth=LOGIN, verify=str(query.folder / "ca.crt"), timeout=30).text
    assert "thanos_query_concurrent_gate_queries_max 4" in metrics


def test_the_store_api_refuses_a_client_without_a_certificate(query: Query, tmp_path: Path) -> None:
    import grpc

    address = (query.folder / "endpoints/endpoints.yml").read_text().split("address: ")[1].split()[0]
    credentials = grpc.ssl_channel_credentials((query.folder / "ca.crt").read_bytes())
    with grpc.secure_channel(address, credentials) as channel, pytest.raises(grpc.RpcError) as failure:
        channel.unary_unary("/thanos.info.Info/Info")(b"", timeout=60)
    assert failure.value.code() is grpc.StatusCode.UNAVAILABLE


def test_the_pods_ports_are_what_the_commands_listen_on() -> None:
    assert f"--grpc-address=0.0.0.0:{GRPC_PORT}" in sidecar_command()
    assert f"--http-address=0.0.0.0:{QUERY_PORT}" in query_command(queries_at_once=4)
