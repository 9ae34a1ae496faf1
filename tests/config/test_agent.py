"""A node agent and a gateway as they are configured, in the real collector."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import grpc
import pytest

from components.agent import NODE_VARIABLE, AgentConfig, agent_config
from components.collector.config import rendered
from components.collector.pods import htpasswd
from lab.toolchain import tools
from tests.config.gateway_process import (
    MIB,
    PASSWORDS,
    PEAK,
    SCRAPE,
    GatewayProcess,
    gateway_data,
    gateway_process,
    metrics_request,
    trace_request,
)
from tests.config.pki import write_certificates
from tests.config.servers import eventually, free_port

AGENT_PASSWORD = "agent-password-of-the-test"
REQUEST_LIMIT = 2 * MIB
ACCEPTED = "otelcol_gate_accepted_items_total"
FOREIGN = "otelcol_attribution_refused_items_total"
NODE = "node-7"


def agent_data(
    folder: Path, gateway_port: int, *, password: str = AGENT_PASSWORD, queue: int = 8 * MIB
) -> dict[str, Any]:
    """Files and configuration of an agent whose folder also has the gateway's authority."""
    (folder / "agent-clients").write_text(htpasswd(PASSWORDS))
    (folder / "agent-scrape").write_text(htpasswd(dict([SCRAPE])))
    (folder / "gateway-password").write_text(password)
    return agent_config(
        AgentConfig(
            gateway=f"localhost:{gateway_port}",
            user="agent",
            queue_bytes=queue,
            request_limit=REQUEST_LIMIT,
            peak=PEAK,
            tls_directory=str(folder),
            client_htpasswd=str(folder / "agent-clients"),
            gateway_password=str(folder / "gateway-password"),
            scrape_htpasswd=str(folder / "agent-scrape"),
        )
    )


@contextmanager
def gateway(folder: Path) -> Iterator[GatewayProcess]:
    """A gateway that knows the agents' user, and lets it send for every layer as the platform's does."""
    config = gateway_data(folder)
    (folder / "clients").write_text(htpasswd({**PASSWORDS, "agent": AGENT_PASSWORD}))
    with gateway_process(folder, config) as process:
        yield process


@contextmanager
def agent(folder: Path, config: dict[str, Any]) -> Iterator[GatewayProcess]:
    """A running agent; it has the gateway's ports and passwords, so the gateway's client fits it."""
    own = folder / "agent"
    own.mkdir(exist_ok=True)
    with (
        mock.patch.dict(os.environ, {NODE_VARIABLE: NODE}),
        gateway_process(own, config, certificates=folder) as process,
    ):
        yield process


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[GatewayProcess, GatewayProcess]]:
    folder = tmp_path_factory.mktemp("agent")
    with gateway(folder) as server, agent(folder, agent_data(folder, server.grpc_port)) as agent_process:
        yield server, agent_process


def test_the_collector_accepts_the_configuration(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    path = tmp_path / "config.yaml"
    path.write_text(rendered(agent_data(tmp_path, 4317)))
    done = subprocess.run(
        [str(tools.path("otelcol")), "validate", f"--config={path}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("layer", ["device", "business"])
def test_what_a_program_sends_reaches_the_gateway_as_its_layer(
    both: tuple[GatewayProcess, GatewayProcess], layer: str
) -> None:
    server, agent_process = both
    labels = {"layer": layer, "signal": "metrics"}
    agent_process.accept("metrics", metrics_request(layer, points=3).SerializeToString(), layer)
    eventually(lambda: server.value(ACCEPTED, **labels) == 3, 15, "the gateway has counted it")


def test_what_names_no_layer_is_its_senders(both: tuple[GatewayProcess, GatewayProcess]) -> None:
    server, agent_process = both
    labels = {"layer": "data", "signal": "metrics"}
    agent_process.accept("metrics", metrics_request(None, points=2).SerializeToString(), "data")
    eventually(lambda: server.value(ACCEPTED, **labels) == 2, 15, "the gateway has counted it")


def test_what_the_gateway_refuses_for_good_is_told_to_the_program(both: tuple[GatewayProcess, GatewayProcess]) -> None:
    server, agent_process = both
    request = metrics_request("business", service__name="kafka")
    answer = agent_process.post("metrics", request.SerializeToString(), "business", PASSWORDS["business"])
    assert answer.status_code == 400
    assert "service_reserved" in answer.text
    code = agent_process.call(request, "business", PASSWORDS["business"])
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    refused = {"layer": "business", "reason": "service_reserved"}
    eventually(lambda: server.value("otelcol_gate_refused_items_total", **refused) == 2, 15, "it is counted")
    failed = "otelcol_exporter_send_failed_metric_points_total"
    eventually(lambda: agent_process.value(failed, error_type="InvalidArgument") == 2, 15, "by the alert's label")


def test_traces_pass_as_well(both: tuple[GatewayProcess, GatewayProcess]) -> None:
    server, agent_process = both
    agent_process.accept("traces", trace_request("streaming").SerializeToString(), "streaming")
    labels = {"layer": "streaming", "signal": "traces"}
    eventually(lambda: server.value(ACCEPTED, **labels) == 1, 15, "it is counted")


def test_a_program_cannot_speak_for_another_layer_and_is_told(both: tuple[GatewayProcess, GatewayProcess]) -> None:
    server, agent_process = both
    request = metrics_request("analytics", points=2)
    answer = agent_process.post("metrics", request.SerializeToString(), "business", PASSWORDS["business"])
    assert answer.status_code == 400
    assert all(word in answer.text for word in ("layer_foreign", "analytics"))
    assert agent_process.call(request, "business", PASSWORDS["business"]) is grpc.StatusCode.INVALID_ARGUMENT
    labels = {"layer": "business", "signal": "metrics"}
    eventually(lambda: agent_process.value(FOREIGN, **labels) == 4, 15, "the agent has counted it")
    assert server.value(ACCEPTED, layer="analytics") == 0


def test_of_a_request_that_is_foreign_in_part_the_rest_passes(both: tuple[GatewayProcess, GatewayProcess]) -> None:
    server, agent_process = both
    accepted = server.value(ACCEPTED, layer="streaming", signal="metrics")
    request = metrics_request("streaming")
    request.MergeFrom(metrics_request("analytics", points=3))
    agent_process.accept("metrics", request.SerializeToString(), "streaming")
    eventually(
        lambda: agent_process.value(FOREIGN, layer="streaming", signal="metrics") == 3, 15, "the agent has counted it"
    )
    eventually(
        lambda: server.value(ACCEPTED, layer="streaming", signal="metrics") == accepted + 1, 15, "the rest has arrived"
    )
    assert server.value(ACCEPTED, layer="analytics") == 0


def test_traces_of_another_layer_are_refused_as_well(both: tuple[GatewayProcess, GatewayProcess]) -> None:
    _, agent_process = both
    body = trace_request("streaming").SerializeToString()
    answer = agent_process.post("traces", body, "business", PASSWORDS["business"])
    assert (answer.status_code, "layer_foreign" in answer.text) == (400, True)


@pytest.mark.parametrize(("user", "password"), [(None, ""), ("business", "wrong"), ("agent", AGENT_PASSWORD)])
def test_a_program_without_a_layers_password_is_refused(
    both: tuple[GatewayProcess, GatewayProcess], user: str | None, password: str
) -> None:
    _, agent_process = both
    assert (
        agent_process.post("metrics", metrics_request("business").SerializeToString(), user, password).status_code
        == 401
    )
    assert agent_process.call(metrics_request("business"), user, password) is grpc.StatusCode.UNAUTHENTICATED


def test_metrics_ask_for_the_password(both: tuple[GatewayProcess, GatewayProcess]) -> None:
    _, agent_process = both
    assert agent_process.scrape(None).status_code == 401
    assert agent_process.scrape().status_code == 200


def test_an_agent_tells_what_the_kernel_counts_of_its_node(both: tuple[GatewayProcess, GatewayProcess]) -> None:
    server, agent_process = both
    [total] = re.findall(r"^MemTotal: +(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    eventually(
        lambda: agent_process.value("system_memory_limit_bytes", node=NODE) == int(total) * 1024, 15, "all memory"
    )
    # All processors together: user, nice, system, idle, wait, both kinds of interrupts, steal.
    ticks = sum(map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]))
    seconds = agent_process.value("system_cpu_time_seconds_total", node=NODE)
    assert seconds == pytest.approx(ticks / os.sysconf("SC_CLK_TCK"), rel=0.02)
    # The library counts 4,096 for each fault, which the panel takes back.
    [faults] = re.findall(r"^pgmajfault (\d+)$", Path("/proc/vmstat").read_text(), re.MULTILINE)
    told = agent_process.value("system_paging_faults_total", node=NODE, type="major")
    assert told / 4096 == pytest.approx(int(faults), rel=0.2)
    text = agent_process.scrape().text
    devices = set(re.findall(r'^system_disk_weighted_io_time_seconds_total\{device="([^"]+)"', text, re.MULTILINE))
    counted = {line.split()[2] for line in Path("/proc/diskstats").read_text().splitlines()}
    assert devices <= counted
    assert not [device for device in devices if re.match(r"loop|ram|zram|dm-|.*[svh]d[a-z]+\d", device)]
    assert "otelcol_process_uptime_seconds_total" in text
    assert "system_" not in server.scrape().text


def test_nothing_is_acknowledged_while_the_gateway_is_away(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    config = agent_data(tmp_path, free_port())
    config["exporters"]["otlp/gateway"]["retry_on_failure"] |= {"max_interval": "1s", "max_elapsed_time": "2s"}
    with agent(tmp_path, config) as agent_process:
        answer = agent_process.post(
            "metrics", metrics_request("business").SerializeToString(), "business", PASSWORDS["business"]
        )
    assert answer.status_code in (500, 503)


def test_a_wrong_password_at_the_gateway_is_told_to_the_program(tmp_path: Path) -> None:
    with gateway(tmp_path) as server:
        config = agent_data(tmp_path, server.grpc_port, password="wrong")
        config["exporters"]["otlp/gateway"]["retry_on_failure"] |= {"max_interval": "1s", "max_elapsed_time": "2s"}
        with agent(tmp_path, config) as agent_process:
            answer = agent_process.post(
                "metrics", metrics_request("business").SerializeToString(), "business", PASSWORDS["business"]
            )
    assert answer.status_code >= 400
