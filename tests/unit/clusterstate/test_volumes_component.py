"""The objects of what tells how full volumes are, what it may read, its settings, and every policy."""

from __future__ import annotations

from dataclasses import replace

import pulumi_kubernetes as k8s
import pytest
import yaml

from components.clusterstate import VOLUMES, VOLUMES_PORT, Server, Volumes, VolumesArgs
from components.k8s import DeploymentContext, Resources, default_deny
from components.tls import Authority
from components.versions import ImageCatalogue
from policy.model import Resource
from policy.rules import RULES
from policy.runner import Runner
from services.volumes import VolumesSettings
from stacks import rules
from stacks.check import not_promised
from stacks.settings import parse
from stacks.sizing import PROFILES
from tests.support import engine
from tests.support.deployment_context import metrics
from tests.support.engine import Recording
from tests.unit.sampler.stubs import deployment_context, record


def program(where: DeploymentContext) -> None:
    Volumes(
        VOLUMES,
        VolumesArgs(
            context=where,
            scrape=metrics(where, VOLUMES, VOLUMES_PORT),
            api=Server(networks=["10.0.0.1/32"], port=6443),
            kubelets=Server(networks=["10.1.0.0/24"], port=10250),
            resources=Resources(cpu="5m", memory="48Mi", memory_limit="128Mi"),
        ),
    )


@pytest.fixture(scope="module")
def recording() -> Recording:
    return record(lambda: program(deployment_context()))


def test_it_may_list_pods_and_read_what_kubelets_measure_and_nothing_else(recording: Recording) -> None:
    assert recording.one("Role", VOLUMES)["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    assert recording.one("ClusterRole", f"obs-{VOLUMES}")["rules"] == [
        {"apiGroups": [""], "resources": ["nodes/stats"], "verbs": ["get"]}
    ]


def test_the_program_accepts_its_settings_and_finds_its_token(recording: Recording) -> None:
    settings = VolumesSettings.parse(yaml.safe_load(recording.one("ConfigMap", VOLUMES)["data"]["config.yaml"]))
    assert (settings.kubernetes.namespace, settings.kubernetes.kubelet_port) == ("obs", 10250)
    pod = recording.one("Deployment", VOLUMES)["spec"]["template"]["spec"]
    [volume] = [volume["name"] for volume in pod["volumes"] if "projected" in volume]
    [mount] = [mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == volume]
    assert str(settings.kubernetes.token_file) == f"{mount['mountPath']}/token"


def test_it_reaches_the_api_server_and_kubelets_only(recording: Recording) -> None:
    policy = recording.one("NetworkPolicy", VOLUMES)["spec"]
    reached = {
        peer["ipBlock"]["cidr"]: [port["port"] for port in rule["ports"]]
        for rule in policy["egress"]
        for peer in rule["to"]
        if "ipBlock" in peer
    }
    assert reached == {"10.0.0.1/32": [6443], "10.1.0.0/24": [10250]}


@pytest.mark.parametrize("volumes", [True, False])
def test_where_kubelets_are_not_asked_there_are_no_rules_and_it_is_said(*, volumes: bool) -> None:
    content = engine.stack_settings("local")
    content["cluster"]["kubelets"] = content["cluster"]["kubelets"] if volumes else None
    settings = parse(content, "Pulumi.local.yaml")
    groups = rules.groups([], settings, PROFILES[settings.profile])
    assert ("volumes" in {group.name for group in groups}) is volumes
    inhibitions = rules.inhibit_rules(groups, volumes=volumes)
    assert ("VolumeFilling" in {name for inhibition in inhibitions for name in inhibition.targets}) is volumes
    told = [line for line in not_promised(settings) if line.startswith("settings.cluster.kubelets: ")]
    assert len(told) == (0 if volumes else 1)


def test_in_its_namespace_it_passes_every_policy() -> None:
    def namespace() -> None:
        lab = replace(deployment_context(), images=ImageCatalogue(registry="registry.lab.internal"))
        levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
        parent = k8s.core.v1.Namespace("obs", metadata=k8s.meta.v1.ObjectMetaArgs(name="obs", labels=levels))
        default_deny(parent, lab)
        Authority("authority", lab, duration="43800h", renew_before="8760h")
        program(lab)

    resources = [Resource(resource.token, resource.name, resource.inputs) for resource in record(namespace).resources]
    # Which workloads may be one pod is judged on the whole platform.
    verdicts = Runner(rules=[rule for rule in RULES if rule.id != "replicas-least"], agreed=[]).all(resources)
    assert [verdict.message for verdict in verdicts] == []
