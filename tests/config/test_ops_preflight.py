"""``obs preflight`` against a real API server: what is missing is a line with its remedy, and nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client
from pulumi.runtime import set_all_config
from typer.testing import CliRunner

from ops import rights
from ops.__main__ import app
from ops.config import of_file
from ops.core.kube import Kube
from ops.preflight import checks
from ops.preflight.checks import of_cluster
from ops.preflight.demand import Cluster, Demand, Need, render, rendered
from ops.preflight.lines import Line, State
from stacks.settings import Settings, parse
from tests.config.kube_api import ADMIN, INSTALLER, READER, KubeApi, kube_api
from tests.config.servers import eventually
from tests.support import engine

NAMESPACE = "obs-local"
KUBECONFIG = "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION"
"""The client reads the variable when it is imported."""
SECRETS = (*engine.OUTSIDE_SECRETS, "objectStorageRoles", "alertingSecrets", "clusterAuditSecrets", "backupRecipients")
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
SYSTEM = "/apis/apps/v1/namespaces/kube-system"
ROLES = "/apis/rbac.authorization.k8s.io/v1"


@dataclass(frozen=True)
class Fixture:
    """A server that has what the platform needs, what was said before it had, and what the platform asks for."""

    api: KubeApi
    before: list[Line]
    settings: Settings
    demand: Demand

    def lines(self, user: str = ADMIN, demand: Demand | None = None, **cluster: object) -> dict[str, Line]:
        """Check -> line, for a user."""
        settings = self.settings.model_copy(update={"cluster": self.settings.cluster.model_copy(update=cluster)})
        return {line.check: line for line in _lines(self.api, settings, demand or self.demand, user)}


def _lines(api: KubeApi, settings: Settings, demand: Demand, user: str = ADMIN) -> list[Line]:
    kube = Kube.connect(NAMESPACE, api.kubeconfig, user)
    try:
        return of_cluster(Cluster(kube), settings, demand)
    finally:
        kube.close()


def _stack_file(folder: Path, **cluster: object) -> Path:
    """The local stack file with secrets that cannot be read."""
    settings = engine.stack_settings("local")
    settings["cluster"] |= cluster
    config: dict[str, Any] = {f"observability:{key}": {"secure": "v1:abc:def"} for key in SECRETS}
    config |= {"observability:role": "primary", "observability:settings": settings}
    path = folder / "Pulumi.mine.yaml"
    path.write_text(yaml.safe_dump({"config": config}))
    return path


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fixture]:
    folder = tmp_path_factory.mktemp("preflight")
    demand = render(of_file(_stack_file(folder)), NAMESPACE)
    settings = parse(engine.stack_settings("local"), "Pulumi.local.yaml")
    with kube_api(folder) as api:
        resolver = _object("v1", "Pod", "coredns", spec={"containers": [{"name": "a", "image": "a"}]})
        resolver["metadata"]["labels"] = {"k8s-app": "kube-dns"}
        api.create("/api/v1/namespaces/kube-system/pods", resolver)
        before = _lines(api, settings, demand)
        for kind in ("Certificate", "Issuer"):
            api.create(CRDS, _crd("cert-manager.io", "v1", kind))
        api.create(CRDS, _crd("metrics.k8s.io", "v1beta1", "PodMetric"))
        api.create(CRDS, _crd("autoscaling.k8s.io", "v1", "VerticalPodAutoscaler"))
        api.create(CLASSES, _object("storage.k8s.io/v1", "StorageClass", "lab-local", provisioner="example.com/none"))
        _workload(api, "DaemonSet", "calico-node", "docker.io/calico/node:v3.30.0", desiredNumberScheduled=3)
        for component in ("controller", "webhook"):
            image = f"quay.io/jetstack/cert-manager-{component}:v1.15.3"
            _workload(api, "Deployment", component, image, availableReplicas=1, readyReplicas=1, replicas=1)
        for name, pool in (("a", "brokers"), ("b", "others"), ("c", "others")):
            api.create("/api/v1/nodes", _node(name, pool))
        rules = [{"apiGroups": [""], "resources": ["namespaces", "nodes"], "verbs": ["get", "list"]}]
        rules.append({"apiGroups": ["storage.k8s.io"], "resources": ["storageclasses"], "verbs": ["list"]})
        api.create(f"{ROLES}/clusterroles", _object("rbac.authorization.k8s.io/v1", "ClusterRole", "look", rules=rules))
        binding = _object("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "look")
        group = {"apiGroup": "rbac.authorization.k8s.io"}
        binding |= {
            "roleRef": {**group, "kind": "ClusterRole", "name": "look"},
            "subjects": [{**group, "kind": "User", "name": READER}],
        }
        api.create(f"{ROLES}/clusterrolebindings", binding)
        fixture = Fixture(api, before, settings, demand)
        # The server needs a moment to serve a kind that it was just told of.
        _eventually_served(fixture)
        yield fixture


def _eventually_served(fixture: Fixture) -> None:
    served = ("cert-manager", "metrics API", "vertical autoscaler")
    eventually(lambda: {fixture.lines()[name].state for name in served} == {State.OK}, 60, "the kinds are served")


def _object(api_version: str, kind: str, name: str, **content: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **content}


def _workload(api: KubeApi, kind: str, name: str, image: str, **status: int) -> None:
    """Make a workload in ``kube-system`` and say how it is, as its controller would."""
    labels = {"app.kubernetes.io/component": name}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": name, "image": image}]}}
    workload = _object("apps/v1", kind, name, spec={"selector": {"matchLabels": labels}, "template": pod})
    workload["metadata"]["labels"] = labels
    path = f"{SYSTEM}/{kind.lower()}s"
    api.create(path, workload)
    counts = {"currentNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0} if kind == "DaemonSet" else {}
    api.patch(f"{path}/{name}/status", {"status": {**counts, **status}})


def _crd(group: str, version: str, kind: str) -> dict[str, Any]:
    plural = f"{kind.lower()}s"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    content = _object(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        f"{plural}.{group}",
        spec={
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural},
            "versions": [{"name": version, "served": True, "storage": True, "schema": schema}],
        },
    )
    # The API server asks this of groups of Kubernetes' own.
    content["metadata"]["annotations"] = {"api-approved.kubernetes.io": "unapproved, for a test"}
    return content


def _node(name: str, pool: str, cpu: str = "4", memory: str = "16Gi") -> dict[str, Any]:
    node = _object("v1", "Node", name, spec={"providerID": f"aws:///zone/{name}"})
    node["metadata"]["labels"] = {"pool": pool}
    node["status"] = {
        "allocatable": {"cpu": cpu, "memory": memory},
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    return node


def test_an_empty_cluster_lacks_what_the_lines_say(furnished: Fixture) -> None:
    lines = {line.check: line for line in furnished.before}
    failed = {line.check: (line.detail, line.remedy) for line in furnished.before if line.state is State.FAIL}
    assert set(failed) == {
        "cert-manager",
        "metrics API",
        "vertical autoscaler",
        "storage class",
        "largest pods",
        "room",
    }
    assert failed["metrics API"] == (
        "metrics.k8s.io/v1beta1 not served, autoscalers need it",
        "install metrics-server",
    )
    assert failed["vertical autoscaler"][0] == "VerticalPodAutoscaler of autoscaling.k8s.io/v1 not served"
    assert failed["cert-manager"] == (
        "Certificate, Issuer of cert-manager.io/v1 not served",
        "install cert-manager with its custom resource definitions",
    )
    assert failed["storage class"] == ("there is no lab-local", "make one")
    assert failed["largest pods"][0].startswith("no node takes ")
    assert failed["room"][0].endswith("0.0 cores and 0.0 GiB free on 0 nodes")
    assert lines["rights"].state is State.WARN
    assert "Certificate of cert-manager.io/v1" in lines["rights"].detail
    assert (lines["network policies"].state, lines["network policies"].detail) == (
        State.WARN,
        "no plug-in is seen that is known here: whether they are enforced is unknown",
    )
    assert lines["network policies"].remedy.startswith("try it in an empty namespace: `kubectl run web ")
    assert lines["load balancers"].detail == "12 load balancers, and no node says its cloud"


def test_a_cluster_that_has_everything_fails_in_nothing(furnished: Fixture) -> None:
    lines = furnished.lines()
    assert [line for line in lines.values() if line.state is State.FAIL] == []
    uid = furnished.api.get("/api/v1/namespaces/kube-system").json()["metadata"]["uid"]
    assert lines["cluster"] == Line(check="cluster", state=State.OK, detail=f"obs-lab leads to {uid}")
    assert lines["version"] == Line(check="version", state=State.OK, detail="Kubernetes 1.34")
    assert lines["rights"].state is State.OK
    assert lines["room"].detail.endswith("12.0 cores and 48.0 GiB free on 3 nodes")
    assert lines["load balancers"].state is State.WARN
    assert "would be classic ones, which hide clients' addresses, on aws" in lines["load balancers"].detail
    address = furnished.api.get("/api/v1/namespaces/default/services/kubernetes").json()["spec"]["clusterIP"]
    assert lines["API server"].state is State.WARN
    assert lines["API server"].remedy.startswith(f"add {address}/32 to cluster.api.networks")
    networks = furnished.settings.cluster.api.model_copy(update={"networks": (f"{address}/32",)})
    assert furnished.lines(api=networks)["API server"].state is State.OK
    assert furnished.lines(uid=uid)["cluster"].state is State.OK
    assert lines["DNS"] == Line(check="DNS", state=State.OK, detail="pods that answer, and may be asked: 1")
    assert lines["volumes"].detail == "those of lab-local stay as large as they are: no allowVolumeExpansion"
    assert lines["clients"].state is State.OK
    assert lines["cert-manager"].detail == "Certificate, Issuer of cert-manager.io/v1 served, by 1.15"
    assert lines["network policies"].detail == "enforced by Calico"


def test_an_old_cert_manager_or_one_whose_webhook_has_ended_is_refused(furnished: Fixture) -> None:
    def told(name: str, image: str, available: int) -> tuple[State, str]:
        spec = {"template": {"spec": {"containers": [{"name": name, "image": image}]}}}
        furnished.api.patch(f"{SYSTEM}/deployments/{name}", {"spec": spec})
        furnished.api.patch(
            f"{SYSTEM}/deployments/{name}/status",
            {"status": {"availableReplicas": available, "readyReplicas": available}},
        )
        line = furnished.lines()["cert-manager"]
        return line.state, line.detail

    controller, webhook = (f"quay.io/jetstack/cert-manager-{part}" for part in ("controller", "webhook"))
    state, detail = told("controller", f"{controller}:v1.14.7", 1)
    assert (state, detail[:19]) == (State.FAIL, "1.14 is too old: it")
    assert told("controller", f"{controller}:v1.15.3", 1)[0] is State.OK
    assert told("webhook", f"{webhook}:v1.15.3", 0) == (
        State.FAIL,
        "no pod of kube-system/webhook is available: certificates are refused, or never issued",
    )
    assert told("webhook", f"{webhook}:v1.15.3", 1)[0] is State.OK


def test_a_class_of_a_cloud_needs_its_driver(furnished: Fixture) -> None:
    more = {"allowVolumeExpansion": True, "volumeBindingMode": "WaitForFirstConsumer"}
    ebs = _object("storage.k8s.io/v1", "StorageClass", "gp2", provisioner="kubernetes.io/aws-ebs", **more)
    furnished.api.create(CLASSES, ebs)
    demand = replace(furnished.demand, storage_classes=frozenset({"gp2"}))
    line = furnished.lines(demand=demand)["volumes"]
    assert (line.state, line.detail) == (State.FAIL, "gp2 makes none: there is no driver ebs.csi.aws.com")
    line = furnished.lines(READER, demand)["volumes"]
    assert (line.state, line.detail[:20]) == (State.WARN, "may not list CSIDriv")
    driver = _object("storage.k8s.io/v1", "CSIDriver", "ebs.csi.aws.com", spec={})
    furnished.api.create("/apis/storage.k8s.io/v1/csidrivers", driver)
    assert furnished.lines(demand=demand)["volumes"].state is State.OK


def test_a_run_lists_nodes_and_pods_once(furnished: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, get = list[str](), Cluster._get

    def counted(cluster: Cluster, path: str) -> Any:
        paths.append(path)
        return get(cluster, path)

    monkeypatch.setattr(Cluster, "_get", counted)
    lines = furnished.lines()
    assert {lines[name].state for name in ("largest pods", "load balancers", "API server")} == {State.OK, State.WARN}
    assert (paths.count("/api/v1/nodes"), paths.count("/api/v1/pods")) == (1, 1)


def test_another_cluster_is_told_and_nothing_more_is_asked(furnished: Fixture) -> None:
    lines = furnished.lines(uid="00000000-0000-0000-0000-000000000000")
    assert set(lines) == {"cluster"}
    assert lines["cluster"].state is State.FAIL
    assert lines["cluster"].remedy == (
        "select the other stack or kubeconfig, or, where this is the right cluster, `python -m ops config set-cluster "
        "--replace`"
    )


def test_what_the_user_may_not_is_named(furnished: Fixture) -> None:
    lines = furnished.lines(READER)
    assert lines["rights"].state is State.FAIL
    assert lines["DNS"].detail == "may not list pods: who answers could not be seen"
    assert lines["API server"].detail == "may not read the Service kubernetes of namespace default"
    may_not = "may not list DaemonSets: whether they are enforced could not be seen"
    assert (lines["network policies"].state, lines["network policies"].detail) == (State.WARN, may_not)
    assert lines["cert-manager"].detail.endswith("served, may not list Deployments")
    assert "get/create/patch/delete cronjobs.batch" in lines["rights"].detail
    assert "kube-system" not in lines["rights"].detail
    assert lines["room"].detail.endswith("free on 3 nodes (what runs there already could not be seen)")
    refused = furnished.lines(READER, replace(furnished.demand, priority_classes=frozenset({"high"})))
    assert refused["priority classes"].state is State.FAIL
    assert refused["priority classes"].detail.startswith("the API server answers 403")


def test_pods_that_no_node_takes_are_named(furnished: Fixture) -> None:
    kafka, *others = sorted(furnished.demand.pods, key=lambda pods: pods.name != "StatefulSet kafka")

    def line(**spec: object) -> Line:
        pods = [replace(kafka, spec={**kafka.spec, **spec}), *others]
        return furnished.lines(demand=replace(furnished.demand, pods=pods))["largest pods"]

    assert kafka.name == "StatefulSet kafka"
    assert line(nodeSelector={"pool": "brokers"}).state is State.OK
    assert line(nodeSelector={"pool": "brokers", "disk": "nvme"}).detail == "no node takes StatefulSet kafka"
    huge = {"name": "a", "resources": {"requests": {"cpu": "5", "memory": "1Gi"}}}
    assert line(containers=[huge]).detail == "no node takes StatefulSet kafka"


def test_room_is_what_running_pods_leave(furnished: Fixture) -> None:
    container = {"name": "a", "image": "a", "resources": {"requests": {"cpu": "3500m", "memory": "15Gi"}}}
    path = "/api/v1/namespaces/default/pods"
    for node in ("a", "b", "c"):
        furnished.api.create(path, _object("v1", "Pod", node, spec={"nodeName": node, "containers": [container]}))
    try:
        line = furnished.lines()["room"]
    finally:
        for node in ("a", "b", "c"):
            furnished.api.delete(f"{path}/{node}?gracePeriodSeconds=0")
    assert line.state is State.FAIL
    assert line.detail.endswith("1.5 cores and 3.0 GiB free on 3 nodes")
    assert furnished.lines()["room"].state is State.OK


def test_names_of_classes_and_secrets_are_looked_up(furnished: Fixture) -> None:
    demand = replace(furnished.demand, priority_classes=frozenset({"high"}), pull_secrets=frozenset({"registry"}))
    lines = furnished.lines(demand=demand)
    assert lines["priority classes"].detail == "there is no high"
    assert (lines["pull secrets"].state, lines["pull secrets"].detail) == (
        State.WARN,
        f"the namespace {NAMESPACE} is not there yet",
    )
    high = _object("scheduling.k8s.io/v1", "PriorityClass", "high", value=1)
    furnished.api.create("/apis/scheduling.k8s.io/v1/priorityclasses", high)
    furnished.api.create("/api/v1/namespaces", _object("v1", "Namespace", "images"))
    there = replace(demand, namespace="images")
    assert furnished.lines(demand=there)["priority classes"].state is State.OK
    missing = furnished.lines(demand=there)["pull secrets"]
    assert (missing.state, missing.detail) == (State.FAIL, "there is no registry in images")
    path = "/api/v1/namespaces/images/secrets"
    furnished.api.create(path, _object("v1", "Secret", "registry"))
    line = furnished.lines(demand=there)["pull secrets"]
    kind = "kubernetes.io/dockerconfigjson"
    assert (line.state, line.detail) == (State.FAIL, f"registry is of type Opaque: nodes take {kind}")
    furnished.api.delete(f"{path}/registry")
    for host, state in (("elsewhere.example.com", State.FAIL), ("registry.lab.internal", State.OK)):
        furnished.api.create(path, _login(kind, host))
        line = furnished.lines(demand=there)["pull secrets"]
        assert line.state is state
        assert "not-to-be-seen" not in str(line)
        furnished.api.delete(f"{path}/registry")


def _login(kind: str, host: str) -> dict[str, Any]:
    content = json.dumps({"auths": {host: {"username": "nodes", "password": "not-to-be-seen"}}})
    return _object("v1", "Secret", "registry", type=kind, stringData={".dockerconfigjson": content})


def test_the_command_prints_every_line_and_changes_nothing(
    furnished: Fixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KUBECONFIG, str(furnished.api.kubeconfig))
    # Rendered once for all of these tests, by the same function.
    monkeypatch.setattr("ops.preflight.command.render", lambda configuration, namespace: furnished.demand)
    uid = furnished.api.get("/api/v1/namespaces/kube-system").json()["metadata"]["uid"]
    arguments = ["preflight", "--file", str(_stack_file(tmp_path, context=ADMIN, uid=uid))]
    result = CliRunner().invoke(app, [*arguments, "--json"])
    set_all_config({})
    lines = json.loads(result.stdout)["checks"]
    shown = {line["check"]: line["state"] for line in lines}
    assert [line for line in lines if line["state"] == "fail"] == []
    assert (result.exit_code, shown["configuration"], shown["names outside"]) == (0, "ok", "ok")
    assert {"cluster", "cert-manager", "storage class", "room", "rights", "load balancers"} <= set(shown)
    assert shown["images"] == "warn", "the registry is the embedded cluster's, which is not reached from here"
    assert furnished.api.get(f"/api/v1/namespaces/{NAMESPACE}").status_code == 404


def test_a_cluster_that_does_not_answer_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KUBECONFIG, str(tmp_path / "none"))
    result = CliRunner().invoke(app, ["preflight", "--file", str(_stack_file(tmp_path))])
    set_all_config({})
    assert result.exit_code == 1
    last = result.stdout.splitlines()[-1]
    assert last.startswith("fail  cluster           no cluster: ")
    assert last.endswith(
        ": set KUBECONFIG: `python -m ops config set-cluster --context CONTEXT` names the cluster in the stack file"
    )


def test_a_cluster_that_is_not_named_is_a_line_with_the_command_that_names_it(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["preflight", "--file", str(_stack_file(tmp_path, context="kind-kind"))])
    set_all_config({})
    assert result.exit_code == 1
    [line] = result.stdout.splitlines()
    assert line.startswith("fail  configuration     Pulumi.mine.yaml: settings.cluster: ")
    assert "(here is no uid): `python -m ops config set-cluster` writes both" in line


def test_a_need_is_shown_in_cores_and_gibibytes() -> None:
    assert str(Need(cpu=1.5, memory=3 * 2.0**30)) == "1.5 cores and 3.0 GiB"
    assert checks.MINIMUM == (1, 34)


def test_the_roles_of_ops_rights_are_enough(furnished: Fixture, tmp_path: Path) -> None:
    user = "user:installer"
    resources = rendered(of_file(_stack_file(tmp_path)))
    kube = Kube.connect(NAMESPACE, furnished.api.kubeconfig, ADMIN)
    try:
        roles = rights.manifests(
            NAMESPACE, resources, rights.served_kinds(Cluster(kube), resources), rights.subject_of(user)
        )
    finally:
        kube.close()
    assert furnished.lines(INSTALLER)["cluster"].state is State.FAIL
    for manifest in roles:
        inside = f"/namespaces/{NAMESPACE}" if "namespace" in manifest["metadata"] else ""
        group = "/api/v1" if manifest["kind"] == "Namespace" else f"{ROLES}{inside}"
        furnished.api.create(f"{group}/{manifest['kind'].lower()}s", manifest)
    lines = furnished.lines(INSTALLER)
    assert {name: line.detail for name, line in lines.items() if "may not" in line.detail} == {}
    assert lines["rights"].state is State.OK
    bindings = [resource for resource in resources if resource.kind in ("RoleBinding", "ClusterRoleBinding")]
    assert len(bindings) > 2
    kube = Kube.connect(NAMESPACE, furnished.api.kubeconfig, INSTALLER)
    try:
        access: Any = client.RbacAuthorizationV1Api(kube._api)
        for binding in bindings:  # as a preview does, before their roles are there
            if binding.kind == "RoleBinding":
                access.create_namespaced_role_binding(NAMESPACE, dict(binding.props), dry_run="All")
            else:
                access.create_cluster_role_binding(dict(binding.props), dry_run="All")
    finally:
        kube.close()
