"""kube-state-metrics with the pod's command line and the pod's rights, against a real API server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import requests
import yaml

from components.clusterstate import METRICS, WORKLOAD
from components.web_access import web_config
from lab.toolchain import tools
from lab.toolchain.recipes import VERTICAL_AUTOSCALER, VERTICAL_AUTOSCALER_MODULE
from lab.toolchain.tools import module_folder
from tests.config.kube_api import LITTLE_GARBAGE, READER, KubeApi, kube_api
from tests.config.servers import eventually, free_port, running
from tests.support import engine

NAMESPACE, OTHER = "obs-local", "somebody-elses"
RECOMMENDED = "kube_verticalpodautoscaler_status_recommendation_containerrecommendations_target"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
USER, PASSWORD = f"scrape-{WORKLOAD}", "of the scraper"
NODE = {
    "conditions": [{"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": "no runtime"}],
}
CRON_JOB, RUN = "report-daily", "report-daily-1"
SUCCEEDED, BEGAN = "2026-11-28T03:00:00Z", "2026-11-28T04:00:00Z"
POD = {
    "containers": [{"name": "main", "image": "example.org/one:1", "resources": {"requests": {"memory": "64Mi"}}}],
    "automountServiceAccountToken": False,
}


@dataclass(frozen=True)
class Exporter:
    """A running exporter.

    Attributes:
        port: Where it answers.
        folder: Where its files and its log are.
    """

    port: int
    folder: Path

    def get(self, path: str = "/metrics", auth: tuple[str, str] | None = (USER, PASSWORD)) -> requests.Response:
        """Ask it, as Prometheus does or as somebody else."""
        return requests.get(
            f"https://localhost:{self.port}{path}", auth=auth, verify=str(self.folder / "ca.crt"), timeout=60
        )

    def value(self, metric: str, **labels: str) -> float | None:
        """The value of the one series with these labels."""
        values = [
            float(value)
            for has, value in re.findall(rf"^{metric}\{{(.*)\}} (\S+)$", self.get().text, re.MULTILINE)
            if all(f'{name}="{wanted}"' in has for name, wanted in labels.items())
        ]
        return values[0] if values else None


def _named(name: str, namespace: str = NAMESPACE) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}}


def _objects(api: KubeApi) -> None:
    """What a cluster would have in it, and the rights of the pod for the user ``reader``."""
    recorded = engine.recorded("local")
    for namespace in (NAMESPACE, OTHER):
        api.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
        api.create(f"/api/v1/namespaces/{namespace}/pods", {**_named(f"of-{namespace}", namespace), "spec": POD})
    api.create("/api/v1/nodes", {"metadata": {"name": "node-1"}, "status": NODE})
    scalers = f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers"
    api.create(scalers, {**recorded.applicable("HorizontalPodAutoscaler", "gateway"), **_named("gateway")})
    batch = f"/apis/batch/v1/namespaces/{NAMESPACE}"
    cron_job = recorded.kinds("CronJob")[0]["metadata"]["name"]
    api.create(f"{batch}/cronjobs", {**recorded.applicable("CronJob", cron_job), **_named(CRON_JOB)})
    api.patch(f"{batch}/cronjobs/{CRON_JOB}/status", {"status": {"lastSuccessfulTime": SUCCEEDED}})
    template = {"spec": {**POD, "restartPolicy": "Never"}}
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": CRON_JOB, "uid": "u", "controller": True}
    job = {"metadata": {"name": RUN, "namespace": NAMESPACE, "ownerReferences": [owner]}}
    api.create(f"{batch}/jobs", {**job, "spec": {"template": template}})
    ended = [{"type": what, "status": "True", "reason": "BackoffLimitExceeded"} for what in ("FailureTarget", "Failed")]
    api.patch(f"{batch}/jobs/{RUN}/status", {"status": {"startTime": BEGAN, "failed": 1, "conditions": ended}})
    _recommendation(api, recorded.applicable("VerticalPodAutoscaler", "gateway"))
    subjects = [{"kind": "User", "name": READER, "apiGroup": "rbac.authorization.k8s.io"}]
    rights = {
        "Role": (WORKLOAD, f"{RBAC}/namespaces/{NAMESPACE}/roles"),
        "RoleBinding": (WORKLOAD, f"{RBAC}/namespaces/{NAMESPACE}/rolebindings"),
        "ClusterRole": (f"{NAMESPACE}-{WORKLOAD}", f"{RBAC}/clusterroles"),
        "ClusterRoleBinding": (f"{NAMESPACE}-{WORKLOAD}", f"{RBAC}/clusterrolebindings"),
    }
    for kind, (name, path) in rights.items():
        content = recorded.applicable(kind, name)
        api.create(path, {**content, "subjects": subjects} if kind.endswith("Binding") else content)


def _recommendation(api: KubeApi, autoscaler: dict[str, Any]) -> None:
    """A vertical autoscaler of this namespace and of another, with what the recommender would write."""
    upstream = module_folder(VERTICAL_AUTOSCALER_MODULE, f"v{VERTICAL_AUTOSCALER}") / "deploy/vpa-v1-crd-gen.yaml"
    for definition in yaml.safe_load_all(upstream.read_text()):
        if definition:
            api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
    group = "/apis/autoscaling.k8s.io/v1"
    eventually(lambda: api.get(f"{group}/verticalpodautoscalers").ok, 60, "the kind is served")
    containers = [{"containerName": "collector", "target": {"cpu": "250m", "memory": "262144k"}}]
    for namespace in (NAMESPACE, OTHER):
        path = f"{group}/namespaces/{namespace}/verticalpodautoscalers"
        api.create(path, {**autoscaler, **_named("gateway", namespace)})
        status = {"recommendation": {"containerRecommendations": containers}}
        api.patch(f"{path}/gateway/status", {"status": status})


def _command(api: KubeApi, port: int) -> list[str]:
    """The pod's own, with other places; the address of the API server is what a pod has from its kubelet."""
    kubeconfig = api.folder / "kubeconfig-of-reader"
    kubeconfig.write_text(yaml.safe_dump({**yaml.safe_load(api.kubeconfig.read_text()), "current-context": READER}))
    (api.folder / "web.yml").write_text(
        yaml.safe_dump(
            web_config({USER: bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}, str(api.folder))
        )
    )
    pod = engine.recorded("local").one("Deployment", WORKLOAD)["spec"]["template"]["spec"]
    replaced = {
        "host": "127.0.0.1",
        "port": str(port),
        "telemetry-port": str(free_port()),
        "tls-config": str(api.folder / "web.yml"),
    }
    command = [str(tools.path("kube-state-metrics")), f"--kubeconfig={kubeconfig}"]
    for option in pod["containers"][0]["command"][1:]:
        name, _, value = option.removeprefix("--").partition("=")
        command.append(f"--{name}={replaced.get(name, value)}" if value else option)
    return command


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    with kube_api(tmp_path_factory.mktemp("cluster-state")) as api:
        _objects(api)
        port = free_port()
        with running(_command(api, port), api.folder / "exporter.log", port, variables=LITTLE_GARBAGE):
            started = Exporter(port, api.folder)
            for metric in ("kube_pod_status_phase", "kube_node_status_condition", "kube_job_owner", RECOMMENDED):
                eventually(lambda metric=metric: started.value(metric) is not None, 60, metric)  # type: ignore[misc]
            yield started


def test_a_pod_that_waits_a_node_that_is_not_ready_and_the_bounds_of_an_autoscaler_are_told(
    exporter: Exporter,
) -> None:
    assert exporter.value("kube_pod_status_phase", pod=f"of-{NAMESPACE}", phase="Pending") == 1
    assert exporter.value("kube_node_status_condition", node="node-1", condition="Ready", status="true") == 0
    bounds = {"horizontalpodautoscaler": "gateway"}
    assert exporter.value("kube_horizontalpodautoscaler_spec_max_replicas", **bounds) == 2
    assert exporter.value("kube_horizontalpodautoscaler_spec_min_replicas", **bounds) == 2


def test_a_failed_run_is_told_with_its_cron_job_and_the_times_that_are_compared(exporter: Exporter) -> None:
    assert exporter.value("kube_job_owner", job_name=RUN, owner_kind="CronJob", owner_name=CRON_JOB) == 1
    assert exporter.value("kube_job_failed", job_name=RUN, condition="true") == 1
    began = exporter.value("kube_job_status_start_time", job_name=RUN)
    succeeded = exporter.value("kube_cronjob_status_last_successful_time", cronjob=CRON_JOB)
    assert (began, succeeded) == tuple(datetime.fromisoformat(moment).timestamp() for moment in (BEGAN, SUCCEEDED))


def test_what_a_container_requests_and_what_is_recommended_are_told(exporter: Exporter) -> None:
    requested = exporter.value("kube_pod_container_resource_requests", pod=f"of-{NAMESPACE}", resource="memory")
    recommended = {
        resource: exporter.value(RECOMMENDED, target_name="gateway", container="collector", resource=resource)
        for resource in ("cpu", "memory")
    }
    assert (requested, recommended) == (64 * 2**20, {"cpu": 0.25, "memory": 262_144_000})


def test_nothing_is_told_of_other_namespaces_nor_by_other_metrics(exporter: Exporter) -> None:
    text = exporter.get().text
    assert OTHER not in text
    assert set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE)) == set(METRICS)


def test_its_rights_are_enough(exporter: Exporter) -> None:
    log = (exporter.folder / "exporter.log").read_text()
    assert [line for line in log.splitlines() if "forbidden" in line or "Failed to watch" in line] == []


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/", "/debug/pprof/"])
@pytest.mark.parametrize("auth", [None, (USER, "wrong")])
def test_nobody_reads_it_without_its_password(exporter: Exporter, path: str, auth: tuple[str, str] | None) -> None:
    assert exporter.get(path, auth).status_code == requests.codes.unauthorized
