"""The agents' objects and configuration."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from components.agent import NODE_RECEIVER, AgentConfig, agent_config
from components.agent.rules import RULES
from components.dashboards.registry import DASHBOARDS
from components.k8s import Autoscale, Container, Probe, Workload, daemon_set
from components.telemetry.layers import LAYER_NAMES, Signal
from components.telemetry.naming import prometheus_name
from components.telemetry.registry import REGISTRY
from tests.unit.jaeger.stubs import CONTEXT, SIZE, default_build

MIB = 2**20
PEAK = dict.fromkeys(Signal, 1000.0)


def daemon() -> dict[str, Any]:
    spec: dict[str, Any] = default_build().recording.one("DaemonSet", "otel-agent")["spec"]
    return spec


def config() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(
        default_build().recording.one("ConfigMap", "otel-agent")["data"]["config.yaml"]
    )
    return document


def test_the_agent_takes_nothing_from_its_node() -> None:
    spec = daemon()["template"]["spec"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    assert not [volume for volume in spec["volumes"] if "hostPath" in volume]
    assert not [port for container in spec["containers"] for port in container["ports"] if "hostPort" in port]
    assert spec["automountServiceAccountToken"] is False


def test_a_node_is_never_without_an_agent_while_it_is_rolled() -> None:
    assert daemon()["updateStrategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_programs_reach_the_agent_of_their_own_node() -> None:
    service = default_build().recording.one("Service", "otel-agent")["spec"]
    assert service["internalTrafficPolicy"] == "Local"
    assert sorted(port["port"] for port in service["ports"]) == [4317, 4318]
    assert default_build().agent.endpoint.grpc == "otel-agent.ns.svc.cluster.local:4317"


def test_agents_reach_the_gateway_and_dns_and_nothing_else() -> None:
    policy = default_build().recording.one("NetworkPolicy", "otel-agent")["spec"]
    ports = sorted(port["port"] for rule in policy["egress"] for port in rule["ports"])
    assert ports == [53, 53, 4317]
    labels = daemon()["template"]["metadata"]["labels"]
    assert labels["obs.access/gateway"] == "true"


def test_layers_sign_in_at_the_agent_as_they_do_at_the_gateway() -> None:
    secret = default_build().recording.one("Secret", "otel-agent-auth")["stringData"]
    users = [line.partition(":")[0] for line in secret["clients.htpasswd"].splitlines()]
    assert users == sorted(LAYER_NAMES)


def test_nothing_is_acknowledged_before_the_gateway_has_it() -> None:
    queue = config()["exporters"]["otlp/gateway"]["sending_queue"]
    assert queue["wait_for_result"] is True
    assert "storage" not in queue
    assert queue["block_on_overflow"] is False
    processors = {name.partition("/")[0] for name in config()["processors"]}
    assert "batch" not in processors


def test_a_queue_that_holds_less_than_two_requests_is_refused() -> None:
    with pytest.raises(ValueError, match="must hold two requests"):
        AgentConfig(gateway="g:1", user="agent", queue_bytes=3 * MIB, request_limit=2 * MIB, peak=PEAK)


def test_a_call_is_looked_at_before_its_message_is_read() -> None:
    grpc, http = (config()["receivers"]["otlp"]["protocols"][name] for name in ("grpc", "http"))
    assert grpc["middlewares"] == [{"id": "login"}]
    assert grpc["max_concurrent_streams"] == 16
    assert grpc["auth"] == http["auth"] == {"authenticator": "login"}


def test_every_signal_is_attributed_to_who_signed_in_before_anything_else_sees_it() -> None:
    rendered_config = agent_config(
        AgentConfig(gateway="g:1", user="agent", queue_bytes=8 * MIB, request_limit=2 * MIB, peak=PEAK)
    )
    assert rendered_config["processors"]["attribution"] == {}
    for signal in ("metrics", "traces", "logs"):
        assert rendered_config["service"]["pipelines"][signal]["processors"] == ["memory_limiter", "attribution"]


def test_node_metrics_are_the_kernels_counters_that_rules_and_dashboards_read_and_no_others() -> None:
    scrapers = config()["receivers"][NODE_RECEIVER]["scrapers"]
    # Networks and file systems of a container are its own.
    assert set(scrapers) == {"cpu", "load", "memory", "paging", "disk"}
    told = {name for source in scrapers.values() for name, metric in source["metrics"].items() if metric["enabled"]}
    known = {metric.name: metric for metric in REGISTRY.conventions.metrics}
    series = {prometheus_name(name, known[name].unit or "", known[name].kind) for name in told}
    rules_read = [rule.expr for group in RULES for rule in group.rules]
    dashboards_read = [query.expr for board in DASHBOARDS for panel in board.panels for query in panel.queries]
    of_agents = r'(system_\w+)\{job="otel-agent"'
    assert set(re.findall(of_agents, " ".join([*rules_read, *dashboards_read]))) == series


def test_node_metrics_go_out_as_the_agents_own_do_and_not_through_the_gateway() -> None:
    pipelines = config()["service"]["pipelines"]
    assert [name for name, pipeline in pipelines.items() if NODE_RECEIVER in pipeline["receivers"]] == ["metrics/self"]
    assert pipelines["metrics/self"]["exporters"] == ["prometheus/self"]


def test_processors_are_told_together_however_many_a_node_has() -> None:
    time = config()["receivers"][NODE_RECEIVER]["scrapers"]["cpu"]["metrics"]["system.cpu.time"]
    assert time == {"enabled": True, "attributes": ["state"], "aggregation_strategy": "sum"}


@pytest.mark.parametrize(
    ("device", "told"),
    {
        **dict.fromkeys(("sda", "vdb", "xvdba", "nvme0n1", "nvme10n2", "mmcblk0", "rbd3", "nbd0"), True),
        **dict.fromkeys(
            ("sda1", "vdb14", "xvda1", "nvme0n1p2", "mmcblk0p1", "rbd3p1", "loop7", "dm-0", "md127"), False
        ),
    }.items(),
)
def test_disks_are_told_and_what_lies_on_them_is_not(device: str, told: bool) -> None:
    exclude = config()["receivers"][NODE_RECEIVER]["scrapers"]["disk"]["exclude"]
    assert exclude["match_type"] == "regexp"
    assert any(re.search(pattern, device) for pattern in exclude["devices"]) is not told


def test_metrics_of_an_agent_carry_the_name_of_its_node() -> None:
    assert config()["exporters"]["prometheus/self"]["const_labels"] == {"node": "${env:NODE_NAME}"}
    [container] = daemon()["template"]["spec"]["containers"]
    [variable] = [variable for variable in container["env"] if variable["name"] == "NODE_NAME"]
    assert variable["valueFrom"]["fieldRef"]["fieldPath"] == "spec.nodeName"


def test_a_daemon_set_with_an_autoscaler_is_refused() -> None:
    probe = Probe(tcp=1)
    container = Container(name="c", image="otelcol", command=["x"], resources=SIZE, liveness=probe, readiness=probe)
    workload = Workload(
        name="w",
        replicas=1,
        containers=[container],
        autoscale=Autoscale(minimum=1, maximum=2, cpu_percent=50),
    )
    with pytest.raises(ValueError, match="no autoscaler"):
        daemon_set(None, CONTEXT, workload)  # type: ignore[arg-type]
