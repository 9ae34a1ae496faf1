"""The hardened building blocks: what they refuse and what they always add."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pulumi
import pytest

from components import naming
from components.contracts import ScrapeTarget
from components.k8s import (
    Container,
    DeploymentContext,
    DnsPods,
    DnsServers,
    Placement,
    Probe,
    Resources,
    network_policy,
)
from components.k8s.credentials import dns_names
from components.k8s.deployment_context import CertificatePolicy
from components.k8s.pods import pod_spec
from components.versions import IMAGES, OURS, UPSTREAM, ImageCatalogue
from tests.support import engine
from tests.support.deployment_context import metrics

CONTEXT = DeploymentContext(
    platform="p",
    region="r",
    namespace="ns",
    namespace_ref="ns",
    cluster_domain="cluster.local",
    issuer="platform",
    images=ImageCatalogue(registry="registry.example", digests={"kafka": "sha256:" + "a" * 64}),
    certificates=CertificatePolicy(duration="2160h", renew_before="720h"),
    storage_class="fast",
)
SIZE = Resources(cpu="10m", memory="16Mi", memory_limit="32Mi")


def _pod(**changes: Any) -> Any:
    container: dict[str, Any] = {"name": "c", "image": "kafka", "command": ["run"], "resources": SIZE, **changes}
    return pod_spec(
        workload="w",
        image=CONTEXT.image,
        containers=[Container(**container)],
        init_containers=[],
        volumes=[],
        tls=None,
        grace_s=30,
        host_aliases={},
        placement=Placement(),
        pull_secrets=(),
    )


def test_a_container_without_probes_is_refused() -> None:
    with pytest.raises(ValueError, match="w/c: a container needs a liveness and a readiness probe"):
        _pod(liveness=Probe(tcp=1))


@pytest.mark.parametrize("probe", [Probe(), Probe(tcp=1, http="/")])
def test_a_probe_that_is_not_of_one_kind_is_refused(probe: Probe) -> None:
    with pytest.raises(ValueError, match="exactly one of command, tcp and http"):
        _pod(liveness=probe, readiness=probe)


def test_an_http_probe_without_a_port_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a port"):
        _pod(liveness=Probe(http="/healthy"), readiness=Probe(tcp=1))


def test_an_image_is_pinned_by_version_and_by_digest_when_there_is_one() -> None:
    assert CONTEXT.image("kafka") == f"registry.example/{IMAGES['kafka']}@sha256:{'a' * 64}"
    assert CONTEXT.image("thanos") == f"registry.example/{IMAGES['thanos']}"


def test_a_group_of_images_may_have_a_registry_of_its_own() -> None:
    catalogue = ImageCatalogue(registry="registry.example", registries={OURS: "team.example:5000/obs"})
    assert catalogue.full_name("kafka") == f"team.example:5000/obs/{IMAGES['kafka']}"
    assert catalogue.full_name("thanos") == f"registry.example/{IMAGES['thanos']}"
    both = ImageCatalogue(registry="registry.example", registries={OURS: "a.example", UPSTREAM: "b.example"})
    assert {both.full_name(name).partition("/")[0] for name in IMAGES} == {"a.example", "b.example"}


def test_certificates_name_the_service_and_every_pod() -> None:
    names = dns_names(CONTEXT, "kafka", services=["kafka-bootstrap"], hosts=["kafka.example.com"])
    assert len(names) == len(set(names))
    assert {
        "kafka.ns.svc.cluster.local",
        "kafka-bootstrap.ns.svc.cluster.local",
        "*.kafka-headless.ns.svc.cluster.local",
        "kafka",
        "localhost",
        "kafka.example.com",
    } <= set(names)


def test_names_and_labels() -> None:
    assert CONTEXT.pod_host("kafka", 2) == "kafka-2.kafka-headless.ns.svc.cluster.local"
    assert naming.selector("kafka").items() < naming.labels("kafka").items()
    assert naming.access_label("kafka") == "obs.access/kafka"


def test_scrape_targets_are_found_by_the_srv_name_of_the_metrics_port() -> None:
    targets: list[ScrapeTarget] = []
    engine.run(
        engine.Recording(),
        "unit",
        lambda: targets.extend(
            [
                metrics(CONTEXT, "kafka", 9404),
                metrics(CONTEXT, "prometheus-a", 10902, job="sidecar-a", port_name="sidecar"),
            ]
        ),
    )
    own, second = targets
    assert own.srv == "_metrics._tcp.kafka-headless.ns.svc.cluster.local"
    assert (own.job, own.server_name) == ("kafka", "kafka.ns.svc.cluster.local")
    assert own.credential.username == "scrape-kafka"
    assert second.srv == "_sidecar._tcp.prometheus-a-headless.ns.svc.cluster.local"
    assert (second.job, second.server_name) == ("sidecar-a", "prometheus-a.ns.svc.cluster.local")
    assert second.credential.username == "scrape-sidecar-a"


def test_dns_is_allowed_at_its_port_only() -> None:
    rule = engine.recorded("local").one("NetworkPolicy", "gateway")["spec"]["egress"][-1]
    assert {port["port"] for port in rule["ports"]} == {53}
    assert {port["protocol"] for port in rule["ports"]} == {"UDP", "TCP"}


def test_dns_questions_may_go_to_further_servers() -> None:
    node_local = DnsPods(namespace="dns", labels={"k8s-app": "node-local-dns"})
    told = replace(CONTEXT, dns=DnsServers(networks=["169.254.20.10/32"], pods=[node_local]))
    recording = engine.Recording()

    def program() -> None:
        parent = pulumi.ComponentResource("obs:test:Parent", "parent")
        network_policy(parent, told, workload="w")
        network_policy(parent, CONTEXT, workload="plain")
        network_policy(parent, told, workload="deaf", dns=False)

    engine.run(recording, "local", program)
    cluster_dns = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    further = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "dns"}},
        "podSelector": {"matchLabels": {"k8s-app": "node-local-dns"}},
    }
    ports = [{"port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")]
    egress = {name: recording.one("NetworkPolicy", name)["spec"]["egress"] for name in ("w", "plain", "deaf")}
    assert egress == {
        "w": [{"to": [cluster_dns, further, {"ipBlock": {"cidr": "169.254.20.10/32"}}], "ports": ports}],
        "plain": [{"to": [cluster_dns], "ports": ports}],
        "deaf": [],
    }
