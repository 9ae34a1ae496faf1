"""Servers that keep copies: the time that a start may take, and what readiness means."""

from __future__ import annotations

from typing import Any

import pytest

from components.k8s import pods
from policy.model import Resource
from policy.rules import RULES
from tests.policy.fixtures_kubernetes import GONE, changed, container, said, stateful_set

STARTUP, READY = "startup-holds-volume", "readiness-waits-for-copies"
CONTAINER = "spec/template/spec/containers/0"
TCP = {"tcpSocket": {"port": 9092}}


def broker(volume: str, startup: Any, image: str = "registry.lab.internal/obs/kafka:4.3.1") -> Resource:
    """A broker with a volume."""
    server = container(
        name="kafka",
        image=image,
        startupProbe=startup,
        readinessProbe={"exec": {"command": ["bash", "/etc/kafka/catching-up.sh"]}},
        volumeMounts=[{"name": "data", "mountPath": "/var/lib/kafka"}],
    )
    claim = {"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": volume}}}}
    resource = changed(stateful_set(), CONTAINER, server)
    return changed(resource, "spec/volumeClaimTemplates", [claim])


@pytest.mark.parametrize("volume", ["2Gi", "60Gi", "2Ti", "9Ti", "64Ti"])
def test_what_components_compute_passes_for_every_volume(volume: str) -> None:
    probe = pods.startup_probe(9092, volume)
    limit = {**TCP, "periodSeconds": probe.period_s, "failureThreshold": probe.failures}
    assert said(STARTUP, broker(volume, limit)) == []


@pytest.mark.parametrize(
    ("volume", "period", "failures", "needed"),
    [("2Gi", 10, 59, 600), ("100Gi", 10, 102, 1024), ("64Ti", 10, 7679, 76800)],
)
def test_a_limit_that_does_not_hold_the_volume_is_told(volume: str, period: int, failures: int, needed: int) -> None:
    short = {**TCP, "periodSeconds": period, "failureThreshold": failures}
    assert said(STARTUP, broker(volume, short)) == [
        "StatefulSet obs/store, spec.template.spec.containers[0].startupProbe: container kafka has "
        f"{period * failures} s to read its volume -> give startupProbe at least {needed} s"
    ]
    assert said(STARTUP, broker(volume, {**short, "failureThreshold": failures + 1})) == []


@pytest.mark.parametrize("image", ["obs/opensearch:2.19.4", "registry/elasticsearch/elasticsearch@sha256:0"])
def test_no_startup_probe_is_no_time(image: str) -> None:
    alone = changed(broker("2Gi", TCP, image), f"{CONTAINER}/startupProbe", GONE)
    assert said(STARTUP, alone) == [
        "StatefulSet obs/store, spec.template.spec.containers[0].startupProbe: container kafka has 0 s to read its "
        "volume -> give startupProbe at least 600 s"
    ]


def test_a_startup_probe_that_waits_for_copies_is_told() -> None:
    waiting = {"exec": {"command": ["bash", "in-sync.sh"]}, "periodSeconds": 10, "failureThreshold": 100_000}
    assert said(STARTUP, broker("2Gi", waiting)) == [
        "StatefulSet obs/store, spec.template.spec.containers[0].startupProbe.exec: container kafka is killed when it "
        "takes long to answer more than an open port -> let startupProbe open the port, and readinessProbe ask for "
        "copies"
    ]


def test_a_broker_that_is_ready_with_its_port_is_told() -> None:
    broken = changed(broker("2Gi", TCP), f"{CONTAINER}/readinessProbe", TCP)
    assert said(READY, broken) == [
        "StatefulSet obs/store, spec.template.spec.containers[0].readinessProbe.exec.command: container kafka is ready "
        "before it has its copies: command is missing -> let readinessProbe run a command that asks for them"
    ]
    assert said(READY, broker("2Gi", TCP)) == []
    assert said(READY, changed(broken, "metadata/name", "kafka-controller")) == []


ZONE = "broker-knows-zone"
LABEL = {"fieldRef": {"fieldPath": "metadata.labels['topology.kubernetes.io/zone']"}}


def zoned(name: str = "ZONE", source: Any = LABEL) -> Resource:
    """A broker that is told its zone."""
    return changed(broker("2Gi", TCP), f"{CONTAINER}/env", [{"name": name, "valueFrom": source}])


def test_a_broker_that_is_told_its_zone_passes() -> None:
    assert said(ZONE, zoned()) == []


@pytest.mark.parametrize(
    "resource",
    [
        broker("2Gi", TCP),
        zoned(name="OTHER"),
        zoned(source={"fieldRef": {"fieldPath": "metadata.labels['zone']"}}),
    ],
)
def test_a_broker_that_is_not_told_its_zone_is_noticed(resource: Resource) -> None:
    assert said(ZONE, resource) == [
        "StatefulSet obs/store, spec.template.spec.containers[0].env: container kafka is not told in which zone it is "
        "-> set variable ZONE from the pod's label topology.kubernetes.io/zone"
    ]
    assert said(ZONE, changed(resource, "metadata/name", "kafka-controller")) == []


@pytest.mark.parametrize("rack", [None, "zone-a"])
def test_a_broker_that_says_no_zone_or_a_fixed_one_is_noticed(rack: str | None) -> None:
    lines = {"process.roles": "broker", "node.id": "0", **({"broker.rack": rack} if rack else {})}
    assert len(said(ZONE, properties(lines))) == 1
    assert said(ZONE, properties({**lines, "broker.rack": "${env:ZONE}"})) == []
    assert said(ZONE, properties({**lines, "process.roles": "controller"})) == []


def properties(lines: dict[str, str]) -> Resource:
    """A ConfigMap with one node's file."""
    text = "".join(f"{key}={value}\n" for key, value in lines.items())
    props = {"metadata": {"name": "kafka", "namespace": "obs"}, "data": {"server-0.properties": text}}
    return Resource("kubernetes:core/v1:ConfigMap", "kafka", props)


def test_other_servers_are_not_meant() -> None:
    other = changed(broker("2Gi", GONE, "prom/prometheus:v3"), f"{CONTAINER}/readinessProbe", TCP)
    assert said(STARTUP, other) == said(READY, other) == said(ZONE, other) == []


def test_the_rule_and_the_components_have_the_same_bounds() -> None:
    options = next(rule for rule in RULES if rule.id == STARTUP).options
    assert {name: options[name].default for name in ("bytes_per_s", "least_s", "most_s")} == {
        "bytes_per_s": pods.RECOVERY_BYTES_PER_S,
        "least_s": pods.LEAST_S,
        "most_s": pods.MOST_S,
    }
