"""Where pods run and who they are: nothing unless the stack file says so, and what it says of a stage for its pods."""

from __future__ import annotations

from typing import Any

import pytest

from stacks.scheduling import STAGES
from stacks.settings import SettingsError, parse
from tests.support import engine

FILE = "Pulumi.test.yaml"
POD_KEYS = ("imagePullSecrets", "nodeSelector", "tolerations", "priorityClassName")
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "CronJob")


def _settings(scheduling: object, stack: str = "local") -> dict[str, Any]:
    return {**engine.stack_settings(stack), "scheduling": scheduling}


def _pods(recording: engine.Recording) -> dict[str, dict[str, Any]]:
    """Workload -> pod specification."""
    pods = {}
    for manifest in recording.kinds(*WORKLOADS):
        spec = manifest["spec"]
        template = spec["jobTemplate"]["spec"]["template"] if manifest["kind"] == "CronJob" else spec["template"]
        pods[manifest["metadata"]["name"]] = template["spec"]
    return pods


def _annotations(recording: engine.Recording) -> dict[str, dict[str, str]]:
    """ServiceAccount -> annotations."""
    accounts = recording.kinds("ServiceAccount")
    return {account["metadata"]["name"]: account["metadata"].get("annotations", {}) for account in accounts}


@pytest.mark.parametrize("stack", engine.STACKS)
def test_nothing_is_said_about_nodes_and_identities_unless_the_stack_file_does(stack: str) -> None:
    recording, images = engine.recorded(stack), engine.stack_settings(stack)["images"]
    assert len(_pods(recording)) > len(STAGES)
    said = ["imagePullSecrets"] if images["pull_secrets"] else []
    for workload, pod in _pods(recording).items():
        assert [key for key in POD_KEYS if key in pod] == said, workload
    assert not any(_annotations(recording).values())
    assert all("annotations" not in account["metadata"] for account in recording.kinds("ServiceAccount"))


@pytest.fixture(scope="module")
def placed() -> engine.Recording:
    """The standby's platform, which has every stage, with something for everybody and something for each stage."""
    taint = {"key": "dedicated", "operator": "Equal", "value": "obs", "effect": "NoSchedule"}
    default = {
        "node_selector": {"pool": "observability"},
        "tolerations": [taint],
        "service_account_annotations": {"iam.gke.io/gcp-service-account": "obs@example.iam.gserviceaccount.com"},
    }
    stages: dict[str, dict[str, Any]] = {stage: {"priority_class": f"obs-{stage}"} for stage in STAGES}
    stages["kafka"] |= {"node_selector": {"disk": "nvme", "pool": "brokers"}, "storage_class": "local-nvme"}
    stages["search"] |= {"tolerations": [{"operator": "Exists"}, {**taint, "effect": "NoExecute", "seconds": 60}]}
    stages["backups"] |= {"service_account_annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/backups"}}
    settings = _settings({"default": default, "stages": stages}, "dr")
    settings["images"]["pull_secrets"] = ["registry", "registry.second"]
    return engine.record("dr", settings)


def test_every_pod_belongs_to_a_stage_and_every_stage_has_pods(placed: engine.Recording) -> None:
    classes = {workload: pod["priorityClassName"] for workload, pod in _pods(placed).items()}
    assert set(classes.values()) == {f"obs-{stage}" for stage in STAGES}
    assert (classes["kafka"], classes["gateway"]) == ("obs-kafka", "obs-gateway")


def test_what_a_stage_has_replaces_what_everybody_has(placed: engine.Recording) -> None:
    dedicated = {"key": "dedicated", "operator": "Equal", "value": "obs"}
    for workload, pod in _pods(placed).items():
        stage = pod["priorityClassName"].removeprefix("obs-")
        selector = {"kafka": {"disk": "nvme", "pool": "brokers"}, "agent": None}
        assert pod.get("nodeSelector") == selector.get(stage, {"pool": "observability"}), workload
        tolerations = (
            [{"operator": "Exists"}, {**dedicated, "effect": "NoExecute", "tolerationSeconds": 60}]
            if stage == "search"
            else [{**dedicated, "effect": "NoSchedule"}]
        )
        assert pod["tolerations"] == tolerations, workload


def test_a_stage_has_volumes_of_its_own_class_and_the_others_of_the_platforms(placed: engine.Recording) -> None:
    classes = {
        manifest["metadata"]["name"]: claim["spec"]["storageClassName"]
        for manifest in placed.kinds("StatefulSet")
        for claim in manifest["spec"].get("volumeClaimTemplates") or []
    }
    assert {name for name, own in classes.items() if own == "local-nvme"} == {"kafka", "kafka-controller"}
    assert set(classes.values()) == {"local-nvme", "fast-ssd"}


def test_every_pod_pulls_with_the_secrets(placed: engine.Recording) -> None:
    for workload, pod in _pods(placed).items():
        assert pod["imagePullSecrets"] == [{"name": "registry"}, {"name": "registry.second"}], workload


def test_every_account_has_the_identity_of_its_stage(placed: engine.Recording) -> None:
    pods, annotations = _pods(placed), _annotations(placed)
    assert set(pods) == set(annotations)
    for workload, annotation in annotations.items():
        expected = "eks.amazonaws.com/role-arn" if pods[workload]["priorityClassName"] == "obs-backups" else None
        assert set(annotation) == {expected or "iam.gke.io/gcp-service-account"}, workload


def test_an_agent_runs_where_its_own_selector_says() -> None:
    settings = parse(_settings({"default": {}, "stages": {"agent": {"node_selector": {"os": "linux"}}}}), FILE)
    placements = settings.scheduling.placements()
    assert placements["agent"].node_selector == {"os": "linux"}
    assert placements["kafka"].node_selector == {}


MISTAKES: dict[str, tuple[object, str]] = {
    "a class of all volumes": (
        {"default": {"storage_class": "fast"}, "stages": {}},
        "settings.scheduling.default: allowed is a storage_class of single stages only; that of all is "
        "storage.storage_class; correct it",
    ),
    "a stage that there is not": (
        {"default": {}, "stages": {"kafak": {}}},
        f"settings.scheduling.stages: allowed is only the stages {', '.join(STAGES)}; remove kafak; correct it",
    ),
    "a key that there is not": (
        {"default": {"nodeSelector": {}}, "stages": {}},
        "settings.scheduling.default.nodeSelector is not a known key: did you mean node_selector? Known here: "
        "node_selector, priority_class, service_account_annotations, storage_class, tolerations",
    ),
    "a label's value that Kubernetes refuses": (
        {"default": {"node_selector": {"pool": "for us"}}, "stages": {}},
        "settings.scheduling.default.node_selector.pool is 'for us': allowed is the value of a label: up to 63 "
        "characters; correct it",
    ),
    "a label's name that Kubernetes refuses": (
        {"default": {}, "stages": {"kafka": {"node_selector": {"the pool": "a"}}}},
        "settings.scheduling.stages.kafka.node_selector: allowed is names such as example.com/name; correct or remove "
        "'the pool'; correct it",
    ),
    "an operator that there is not": (
        {"default": {"tolerations": [{"key": "a", "operator": "In"}]}, "stages": {}},
        "settings.scheduling.default.tolerations[0].operator is 'In': allowed is one of 'Exists' or 'Equal'; "
        "correct it",
    ),
    "an effect that there is not": (
        {"default": {"tolerations": [{"key": "a", "effect": "NoRun"}]}, "stages": {}},
        "settings.scheduling.default.tolerations[0].effect is 'NoRun': allowed is one of 'NoSchedule', "
        "'PreferNoSchedule' or 'NoExecute'; correct it",
    ),
    "a value that nothing is compared with": (
        {"default": {"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}, "stages": {}},
        "settings.scheduling.default.tolerations[0]: allowed is no value with operator Exists; correct it",
    ),
    "a taint without a key": (
        {"default": {"tolerations": [{"value": "b"}]}, "stages": {}},
        "settings.scheduling.default.tolerations[0]: allowed is a key with operator Equal, or operator Exists for "
        "every taint; correct it",
    ),
    "seconds that nothing waits for": (
        {"default": {"tolerations": [{"key": "a", "effect": "NoSchedule", "seconds": 5}]}, "stages": {}},
        "settings.scheduling.default.tolerations[0]: allowed is seconds only with effect NoExecute; correct it",
    ),
    "a priority class that Kubernetes refuses": (
        {"default": {"priority_class": "Very High"}, "stages": {}},
        "settings.scheduling.default.priority_class is 'Very High': allowed is the name of an object in Kubernetes: "
        "lower-case letters, digits, dashes and dots; correct it",
    ),
    "an annotation that Kubernetes refuses": (
        {"default": {"service_account_annotations": {"role arn": "x"}}, "stages": {}},
        "settings.scheduling.default.service_account_annotations: allowed is names such as example.com/name; correct "
        "or remove 'role arn'; correct it",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_that_says_what_to_do(mistake: str) -> None:
    scheduling, message = MISTAKES[mistake]
    with pytest.raises(SettingsError) as caught:
        parse(_settings(scheduling), FILE)
    assert str(caught.value) == f"{FILE}: {message}"


def test_a_pull_secret_that_kubernetes_refuses_is_one_line() -> None:
    settings = engine.stack_settings("local")
    settings["images"]["pull_secrets"] = ["Registry"]
    with pytest.raises(SettingsError) as caught:
        parse(settings, FILE)
    assert str(caught.value) == (
        f"{FILE}: settings.images.pull_secrets[0] is 'Registry': allowed is the name of an object in Kubernetes: "
        "lower-case letters, digits, dashes and dots; correct it"
    )
