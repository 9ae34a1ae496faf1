"""The recommender of the embedded cluster: upstream's rights of this program, and nothing that changes a pod."""

from __future__ import annotations

from pathlib import Path

import yaml

from lab.cluster import recommender
from lab.toolchain.recipes import VERTICAL_AUTOSCALER, VERTICAL_AUTOSCALER_MODULE
from lab.toolchain.tools import module_folder

_CHANGING = {"create", "update", "patch", "delete", "*"}


def _upstream() -> Path:
    return module_folder(VERTICAL_AUTOSCALER_MODULE, f"v{VERTICAL_AUTOSCALER}") / "deploy"


def test_it_may_change_its_own_objects_events_and_leases_and_no_pod() -> None:
    items = recommender.rights(_upstream() / "vpa-rbac.yaml")
    changed = {
        resource
        for item in items
        for rule in item.get("rules", ())
        if _CHANGING & set(rule["verbs"])
        for resource in rule["resources"]
    }
    assert changed == {"events", "verticalpodautoscalers/status", "verticalpodautoscalercheckpoints", "leases"}


def test_nobody_else_has_an_account_or_a_binding() -> None:
    items = recommender.rights(_upstream() / "vpa-rbac.yaml")
    accounts = [item["metadata"]["name"] for item in items if item["kind"] == "ServiceAccount"]
    assert accounts == [recommender.NAME]
    bindings = [item for item in items if item["kind"].endswith("Binding")]
    assert {subject["name"] for binding in bindings for subject in binding["subjects"]} == {recommender.NAME}
    roles = {(item["kind"], item["metadata"]["name"]) for item in items if item["kind"].endswith("Role")}
    assert roles == {(binding["roleRef"]["kind"], binding["roleRef"]["name"]) for binding in bindings}


def test_the_definitions_that_are_waited_for_are_those_of_upstreams_file() -> None:
    documents = yaml.safe_load_all((_upstream() / "vpa-v1-crd-gen.yaml").read_text())
    names = [document["metadata"]["name"] for document in documents if document]
    assert sorted(names) == sorted(recommender.DEFINITIONS)


def test_its_pod_is_hardened_and_runs_the_image_that_is_built() -> None:
    item = recommender.deployment()
    [container] = item["spec"]["template"]["spec"]["containers"]
    assert container["image"].endswith(f":{VERTICAL_AUTOSCALER}")
    context = container["securityContext"]
    assert context["readOnlyRootFilesystem"]
    assert context["runAsNonRoot"]
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert item["spec"]["template"]["spec"]["serviceAccountName"] == recommender.NAME
