"""The audit log's objects in the cluster, its settings as the program reads them, and every policy."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pulumi
import pulumi_kubernetes as k8s
import pytest
import yaml

from components.audit import (
    CLUSTER_PORT,
    CLUSTER_SERVICE,
    PORT,
    ApiServer,
    Audit,
    AuditArgs,
    ClusterWebhook,
)
from components.k8s import DeploymentContext, Resources, default_deny
from components.tls import Authority
from components.versions import ImageCatalogue
from policy.model import Resource
from policy.rules import RULES
from policy.runner import Runner
from services.audit import AuditSettings, FollowedContainer, Source
from services.audit import __main__ as program_module
from services.audit.sources import PARSERS
from stacks import platform
from tests.support import engine
from tests.support.deployment_context import OF_WHOLE_STACKS, metrics
from tests.support.engine import Recording
from tests.unit.sampler.stubs import deployment_context, kafka, record

DEPLOYMENTS = (Source.TRACES, Source.METRICS, Source.ALERTS)
FOLLOWED = (FollowedContainer(source=Source.KAFKA, workload="kafka", container="kafka"),)


def webhook() -> ClusterWebhook:
    token, certificate, key = (
        pulumi.Output.secret(f"{name} of the webhook") for name in ("token", "certificate", "key")
    )
    return ClusterWebhook(address="10.96.0.30", token=token, certificate=certificate, key=key)


def program(where: DeploymentContext, *, posted: bool = False, after: Sequence[pulumi.Resource] = ()) -> None:
    Audit(
        "audit",
        AuditArgs(
            context=where,
            scrape=metrics(where, "audit", PORT),
            kafka=kafka("audit"),
            region="one",
            api_server=ApiServer(networks=["10.0.0.1/32"], port=6443),
            followed=FOLLOWED,
            resources=Resources(cpu="5m", memory="64Mi", memory_limit="192Mi"),
            webhook=webhook() if posted else None,
            after=after,
        ),
    )


@pytest.fixture(scope="module")
def recording() -> Recording:
    return record(lambda: program(deployment_context()))


def test_the_program_accepts_its_settings_file(recording: Recording) -> None:
    settings = AuditSettings.parse(yaml.safe_load(recording.one("ConfigMap", "audit")["data"]["config.yaml"]))
    assert (settings.topic, settings.region, settings.followed) == ("audit", "one", FOLLOWED)
    assert settings.kafka.user == "audit"
    assert settings.kubernetes.namespace == "obs"


def test_it_may_read_pods_their_logs_and_events_of_its_namespace_and_nothing_else(recording: Recording) -> None:
    assert recording.one("Role", "audit")["rules"] == [
        {"apiGroups": [""], "resources": ["pods", "events"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    ]
    binding = recording.one("RoleBinding", "audit")
    assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "audit"}
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "audit", "namespace": "obs"}]


def test_its_token_is_short_lived_and_where_its_settings_say(recording: Recording) -> None:
    pod = recording.one("Deployment", "audit")["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    [volume] = [volume for volume in pod["volumes"] if "projected" in volume]
    [token] = [
        source["serviceAccountToken"]
        for source in volume["projected"]["sources"]
        if "serviceAccountToken" in source
    ]  # fmt: skip
    assert token["expirationSeconds"] == 3600
    settings = AuditSettings.parse(yaml.safe_load(recording.one("ConfigMap", "audit")["data"]["config.yaml"]))
    [mount] = [mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == volume["name"]]
    assert str(settings.kubernetes.token_file) == f"{mount['mountPath']}/{token['path']}"
    assert mount.get("readOnly")


def test_it_reaches_kafka_and_the_api_server_only_and_only_scrapers_reach_it(recording: Recording) -> None:
    policy = recording.one("NetworkPolicy", "audit")["spec"]
    assert {port["port"] for rule in policy["egress"] for port in rule["ports"]} == {53, 6443, 9092}
    assert [
        peer["ipBlock"]["cidr"] for rule in policy["egress"] for peer in rule["to"] if "ipBlock" in peer
    ] == ["10.0.0.1/32"]  # fmt: skip
    [ingress] = policy["ingress"]
    assert [peer["podSelector"]["matchLabels"] for peer in ingress["from"]] == [{"obs.access/metrics": "true"}]


def test_where_the_api_server_posts_it_alone_reaches_a_port_of_its_own_at_a_known_address() -> None:
    posted = record(lambda: program(deployment_context(), posted=True))
    settings = AuditSettings.parse(yaml.safe_load(posted.one("ConfigMap", "audit")["data"]["config.yaml"])).cluster
    assert settings is not None
    service = posted.one("Service", CLUSTER_SERVICE)["spec"]
    assert (service["clusterIP"], [port["port"] for port in service["ports"]]) == ("10.96.0.30", [CLUSTER_PORT])
    assert settings.listen == f"0.0.0.0:{CLUSTER_PORT}"
    scrape, posts = posted.one("NetworkPolicy", "audit")["spec"]["ingress"]
    assert [port["port"] for port in scrape["ports"]] == [PORT]
    assert ([peer["ipBlock"]["cidr"] for peer in posts["from"]], [port["port"] for port in posts["ports"]]) == (
        ["10.0.0.1/32"],
        [CLUSTER_PORT],
    )
    secret = posted.one("Secret", "audit-auth")
    held = {**secret.get("stringData", {}), **secret.get("data", {})}
    for file in (settings.token_file, settings.tls.cert_file, settings.tls.key_file):
        assert file.name in held


def test_where_it_does_not_there_is_neither_port_nor_service(recording: Recording) -> None:
    assert CLUSTER_SERVICE not in {service["metadata"]["name"] for service in recording.kinds("Service")}


def test_there_is_one_and_the_next_starts_when_it_is_gone(recording: Recording) -> None:
    deployment = recording.one("Deployment", "audit")["spec"]
    assert (deployment["replicas"], deployment["strategy"]["type"]) == (1, "Recreate")


def test_it_is_given_the_time_that_it_takes_to_end(recording: Recording) -> None:
    pod = recording.one("Deployment", "audit")["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > program_module.ENDING_PODS_S + program_module.END_S


@pytest.mark.parametrize("stack", engine.STACKS)
def test_each_followed_container_is_one_of_the_stack_and_somebody_reads_its_lines(stack: str) -> None:
    recorded = engine.recorded(stack)
    settings = AuditSettings.parse(yaml.safe_load(recorded.one("ConfigMap", "audit")["data"]["config.yaml"]))
    for followed in settings.followed:
        kind = "Deployment" if followed.source in DEPLOYMENTS else "StatefulSet"
        pod = recorded.one(kind, followed.workload)["spec"]["template"]["spec"]
        assert followed.container in {container["name"] for container in pod["containers"]}
        assert followed.source in PARSERS
    pod = recorded.one("StatefulSet", "search")["spec"]["template"]["spec"]
    unread = set() if "opensearch" in pod["containers"][0]["image"] else {Source.SEARCH}
    assert {followed.source for followed in settings.followed} == set(PARSERS) - unread


@pytest.mark.parametrize("stack", ["local", "prod", "dr"])
def test_it_is_replaced_after_everything_whose_log_it_follows(stack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[AuditArgs] = []

    def audit(name: str, args: AuditArgs, opts: pulumi.ResourceOptions) -> None:
        given.append(args)

    monkeypatch.setattr(platform, "Audit", audit)
    engine.record(stack, engine.stack_settings(stack))
    [args] = given
    before = {resource._name for parent in args.after for resource in descendants(parent)}
    followed = {followed.workload for followed in args.followed}
    assert followed
    assert followed <= before


def descendants(resource: pulumi.Resource) -> list[pulumi.Resource]:
    return [resource, *(below for child in resource._childResources for below in descendants(child))]


def test_the_pod_waits_for_what_it_is_told_to() -> None:
    def body() -> None:
        followed = pulumi.ComponentResource("obs:test:Followed", "followed")
        opts = pulumi.ResourceOptions(parent=followed)
        k8s.core.v1.ConfigMap("late", data={"answer": pulumi.Output.from_input(late())}, opts=opts)
        program(deployment_context(), after=[followed])

    async def late() -> str:
        await asyncio.sleep(0.5)
        return "late"

    resources = record(body).resources
    [pods] = [at for at, resource in enumerate(resources) if resource.token == "kubernetes:apps/v1:Deployment"]
    assert [resource.name for resource in resources].index("late") < pods


def test_in_its_namespace_it_passes_every_policy() -> None:
    def namespace() -> None:
        lab = replace(deployment_context(), images=ImageCatalogue(registry="registry.lab.internal"))
        levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
        parent = k8s.core.v1.Namespace("obs", metadata=k8s.meta.v1.ObjectMetaArgs(name="obs", labels=levels))
        default_deny(parent, lab)
        Authority("authority", lab, duration="43800h", renew_before="8760h")
        program(lab, posted=True)

    resources = [Resource(resource.token, resource.name, resource.inputs) for resource in record(namespace).resources]
    # Which workloads may be one pod is judged on the whole platform.
    verdicts = Runner(
        rules=[rule for rule in RULES if rule.id not in {"replicas-least", *OF_WHOLE_STACKS}], agreed=[]
    ).all(resources)
    assert [verdict.message for verdict in verdicts] == []
