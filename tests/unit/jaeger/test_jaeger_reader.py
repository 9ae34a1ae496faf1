"""The query for Grafana as objects: who reaches it, with what, and what the policies say."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import pulumi
import yaml

from components.contracts import SearchEndpoint
from components.jaeger.reader import WORKLOAD, JaegerReader, JaegerReaderArgs, trace_reader_endpoint
from components.k8s import credential
from policy.model import Resource
from policy.rules import RULES
from policy.runner import Runner
from tests.support import engine
from tests.support.deployment_context import OF_WHOLE_STACKS, metrics
from tests.unit.jaeger.stubs import CONTEXT, SIZE

PREREQUISITES = {"certificate-authority", "image-registry", "network-default-deny", "namespace-made"}


@dataclass
class Made:
    """The component, and what it registered."""

    recording: engine.Recording
    component: JaegerReader


@functools.cache
def default_build() -> Made:
    recording = engine.Recording()
    components: list[JaegerReader] = []

    def program() -> None:
        stack = pulumi.ComponentResource("obs:test:Stack", "test")
        search = SearchEndpoint(
            url="https://search.ns.svc.cluster.local:9200",
            port=9200,
            workload="search",
            server_name="search.ns.svc.cluster.local",
            access_label="obs.access/search",
            users={WORKLOAD: credential(stack, name="search-jaeger-reader", username=WORKLOAD)},
            ready=pulumi.Output.from_input(True),
            after=(),
        )
        args = JaegerReaderArgs(
            context=CONTEXT,
            endpoint=trace_reader_endpoint(stack, CONTEXT),
            scrape=metrics(CONTEXT, WORKLOAD, 8888),
            clearance="public",
            search=search,
            replicas=2,
            resources=SIZE,
        )
        components.append(JaegerReader(WORKLOAD, args))

    engine.run(recording, "local", program)
    return Made(recording, components[0])


def test_it_has_no_way_in_from_outside_the_cluster() -> None:
    assert {manifest["spec"]["type"] for manifest in default_build().recording.kinds("Service")} == {"ClusterIP"}
    https, metrics = default_build().recording.one("NetworkPolicy", WORKLOAD)["spec"]["ingress"]
    assert [port["port"] for port in https["ports"]] == [16686]
    assert https["from"] == [{"podSelector": {"matchLabels": {"obs.access/jaeger-reader": "true"}}}]
    assert [port["port"] for port in metrics["ports"]] == [8888]


def test_it_reads_one_clearance_behind_tls_and_a_password() -> None:
    config = yaml.safe_load(default_build().recording.one("ConfigMap", WORKLOAD)["data"]["config.yaml"])
    query = config["extensions"]["jaeger_query"]
    assert query["storage"] == {"traces": "public"}
    assert query["http"]["tls"]["cert_file"] == "/etc/tls/tls.crt"
    assert query["http"]["auth"] == {"authenticator": "basicauth/reader"}
    assert query["grpc"]["endpoint"].startswith("127.0.0.1:")
    assert "basicauth/reader" in config["service"]["extensions"]
    files = default_build().recording.one("Secret", f"{WORKLOAD}-auth")["stringData"]
    assert files["reader.htpasswd"].startswith("grafana:")


def test_the_policies_have_nothing_to_say_about_it() -> None:
    resources = [
        Resource(resource.token, resource.name, resource.inputs) for resource in default_build().recording.resources
    ]
    rules = [rule for rule in RULES if rule.id not in PREREQUISITES | OF_WHOLE_STACKS]
    assert [verdict.message for verdict in Runner(rules=rules, agreed=[]).all(resources)] == []
