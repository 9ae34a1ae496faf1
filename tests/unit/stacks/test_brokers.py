"""A fourth broker and dedicated controllers by settings: all that they have, and no policy against them."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import yaml

from policy.model import Resource
from policy.runner import Runner
from tests.support import engine
from tests.support.engine import PASSWORD, Recording, password_of

STACKS = ("local", "prod")
CONTROLLERS = "kafka-controller"
CERTIFICATE_NAMES = ("dnsNames", "ipAddresses")


@functools.cache
def grown(stack: str) -> Recording:
    """The stack with a broker more."""
    settings = engine.stack_settings(stack)
    last = settings["kafka"]["brokers"][-1]
    host = last["host"].replace("kafka-2", "kafka-3").replace("198.18.0.12", "198.18.0.13")
    assert host != last["host"]
    settings["kafka"]["brokers"].append({"host": host, "address": last["address"] and host})
    return engine.record(stack, settings)


def properties(recording: Recording, number: int) -> dict[str, str]:
    text: str = recording.one("ConfigMap", "kafka")["data"][f"server-{number}.properties"]
    return dict(line.split("=", 1) for line in text.splitlines())


@pytest.mark.parametrize("stack", STACKS)
def test_it_has_a_pod_an_address_a_name_in_the_certificate_and_a_file(stack: str) -> None:
    recording = grown(stack)
    host = recording.outputs["kafka_bootstrap"].split(",")[3].rpartition(":")[0]
    assert recording.one("StatefulSet", "kafka")["spec"]["replicas"] == 4
    service = recording.one("Service", "kafka-external-3")["spec"]
    assert service["selector"]["apps.kubernetes.io/pod-index"] == "3"
    certificate = recording.one("Certificate", "kafka")["spec"]
    assert host in [name for key in CERTIFICATE_NAMES for name in certificate.get(key, [])]
    assert properties(recording, 3)["node.id"] == "3"
    assert f"EXTERNAL://{host}:9094" in properties(recording, 3)["advertised.listeners"]


@pytest.mark.parametrize("stack", STACKS)
def test_the_quorum_is_the_one_that_was_made(stack: str) -> None:
    before, after = engine.recorded(stack), grown(stack)
    for number in range(3):
        assert properties(before, number) == properties(after, number)
    assert properties(after, 3)["process.roles"] == "broker"
    workload = "kafka" if stack == "local" else "kafka-controller"
    files: dict[str, Any] = after.one("Secret", f"{workload}-format")["stringData"]
    told = {name: "--initial-controllers" in text for name, text in files.items()}
    assert told == {f"format-{number}.args": number < 3 for number in range(4 if stack == "local" else 3)}
    assert {name: files[name] for name in files if name != "format-3.args"} == before.one(
        "Secret", f"{workload}-format"
    )["stringData"]


def stopped(recording: Recording) -> list[str]:
    """What policies have against it."""
    resources = []
    for resource in recording.resources:
        known = {"result": password_of(resource.name)} if resource.token == PASSWORD else {}
        resources.append(Resource(resource.token, resource.name, {**resource.inputs, **known}))
    return [verdict.message for verdict in Runner(agreed=[]).all(resources) if verdict.stops]


@pytest.mark.parametrize("stack", STACKS)
def test_no_policy_is_against_it(stack: str) -> None:
    assert stopped(grown(stack)) == []


@functools.cache
def other_voters(stack: str, controllers: int) -> Recording:
    """The stack with another quorum than its profile's."""
    settings = engine.stack_settings(stack)
    settings["kafka"]["controllers"] = controllers
    return engine.record(stack, settings)


def test_a_small_platform_can_have_controllers_with_all_that_those_of_production_have() -> None:
    small, production = other_voters("local", 3), engine.recorded("prod")
    for recording in (small, production):
        assert recording.one("StatefulSet", CONTROLLERS)["spec"]["replicas"] == 3
        assert recording.one("PodDisruptionBudget", CONTROLLERS)["spec"]["maxUnavailable"] == 1
        policy = recording.one("NetworkPolicy", CONTROLLERS)["spec"]
        [quorum, scrape] = policy["ingress"]
        assert [port["port"] for rule in (quorum, scrape) for port in rule["ports"]] == [9093, 9404]
        assert [workload(peer) for peer in quorum["from"]] == ["kafka", CONTROLLERS]
        [server] = recording.one("StatefulSet", CONTROLLERS)["spec"]["template"]["spec"]["containers"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert "tcpSocket" in server[probe]
    assert names(small) == names(production)
    assert properties(small, 0)["process.roles"] == "broker"
    assert properties(small, 0)["controller.quorum.bootstrap.servers"].count("kafka-controller-") == 6
    assert stopped(small) == []


def test_production_can_let_its_brokers_vote() -> None:
    assert names(other_voters("prod", 0)) == []
    assert properties(other_voters("prod", 0), 0)["process.roles"] == "broker,controller"


def test_the_audit_log_follows_those_who_decide_on_changes() -> None:
    def followed(recording: Recording) -> list[str]:
        listed = yaml.safe_load(recording.one("ConfigMap", "audit")["data"]["config.yaml"])["followed"]
        return [one["workload"] for one in listed if one["source"] == "kafka" and one["container"] == "kafka"]

    for recording in (other_voters("local", 3), engine.recorded("prod")):
        assert followed(recording) == ["kafka", CONTROLLERS]
        logging = [recording.one("ConfigMap", name)["data"]["log4j2.yaml"] for name in ("kafka", CONTROLLERS)]
        assert logging[0] == logging[1]
    assert followed(other_voters("prod", 0)) == ["kafka"]


def workload(peer: dict[str, Any]) -> str:
    name: str = peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"]
    return name


def names(recording: Recording) -> list[tuple[str, str]]:
    """Kind and name of all that belongs to the controllers."""
    return sorted(
        (manifest["kind"], manifest["metadata"]["name"])
        for manifest in recording.manifests()
        if manifest["metadata"]["name"].startswith(CONTROLLERS)
    )


def test_brokers_and_search_nodes_start_by_their_port_and_are_ready_by_their_copies() -> None:
    for name, server in (("kafka", 0), ("search", 0), ("kafka-controller", 0)):
        pod = engine.recorded("prod").one("StatefulSet", name)["spec"]["template"]["spec"]
        container = pod["containers"][server]
        assert "tcpSocket" in container["startupProbe"], name
        asks = "exec" if name != "kafka-controller" else "tcpSocket"
        assert asks in container["readinessProbe"], name
