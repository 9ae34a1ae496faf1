"""Parts of a region are scaled down for another region, and come back as they were."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lab import LabError
from lab.cluster import scaling
from lab.paths import LabPaths
from tests.config.servers import eventually
from tests.support.engine import recorded

NAMESPACE = "obs-local"


@dataclass
class Workloads:
    """What ``kubectl`` sees: replicas by ``kind/name``; pods follow at once.

    Attributes:
        replicas: What there is.
        scaled: Every change, in order.
        refused: What the API server says to all of it, if it refuses.
        suspended: Whether its jobs wait.
        silent: Whether the API server does not answer.
    """

    replicas: dict[str, int]
    scaled: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)
    refused: str = ""
    suspended: bool = False
    silent: bool = False

    def __call__(self, paths: LabPaths, *arguments: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
        if self.silent:
            raise subprocess.TimeoutExpired("kubectl", timeout_s)
        assert arguments[:2] == ("--namespace", NAMESPACE)
        if self.refused:
            return subprocess.CompletedProcess(arguments, 1, "", self.refused)
        if arguments[2:4] == ("get", "cronjobs"):
            return subprocess.CompletedProcess(arguments, 0, "" if self.suspended else "report-daily\n", "")
        if arguments[2] == "patch":
            self.suspended = json.loads(arguments[-1])["spec"]["suspend"]
            return subprocess.CompletedProcess(arguments, 0, "", "")
        if arguments[2] == "scale":
            count, names = int(arguments[3].partition("=")[2]), arguments[4:]
            assert set(names) <= self.replicas.keys()
            self.replicas.update(dict.fromkeys(names, count))
            self.scaled.append((count, names))
            return subprocess.CompletedProcess(arguments, 0, "", "")
        assert arguments[2:5] == ("get", "deployments,statefulsets", "-o")
        empty = "" if "ready" in arguments[5] else "0"
        lines = [f"{_kind(name)} {count or empty}" for name, count in self.replicas.items()]
        return subprocess.CompletedProcess(arguments, 0, "\n".join(lines) + "\n", "")


def _kind(name: str) -> str:
    return name.replace("deployment/", "Deployment/").replace("statefulset/", "StatefulSet/")


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabPaths:
    monkeypatch.setenv("OBS_STATE", str(tmp_path))
    return LabPaths.of_checkout(tmp_path)


def workloads() -> Workloads:
    return Workloads(
        {
            "statefulset/kafka": 3,
            "statefulset/search": 3,
            "statefulset/sampler": 2,
            "deployment/service-graph": 1,
            "deployment/failover-agent": 1,
        }
    )


def test_what_alerts_need_stays_and_the_rest_comes_back_as_it_was(paths: LabPaths) -> None:
    cluster = workloads()
    before = dict(cluster.replicas)
    gone = {"statefulset/search": 3, "statefulset/sampler": 2, "deployment/service-graph": 1}
    gone["cronjob/report-daily"] = 1
    assert scaling.scale_down(paths, NAMESPACE, cluster) == gone
    assert cluster.suspended
    assert scaling.namespaces(paths) == {NAMESPACE: len(gone)}
    assert {name for name, count in cluster.replicas.items() if count} == {
        "statefulset/kafka",
        "deployment/failover-agent",
    }
    assert scaling.scale_up(paths, NAMESPACE, cluster) == gone
    assert scaling.namespaces(paths) == {}
    assert cluster.replicas == before
    assert not cluster.suspended
    back = cluster.scaled[1:]
    assert back[0] == (3, ("statefulset/search",)), "what others ask begins first"
    assert scaling.scale_up(paths, NAMESPACE, cluster) == {}
    assert cluster.scaled[1:] == back


def test_what_pulumi_empties_is_there_for_it_and_nothing_else(paths: LabPaths) -> None:
    cluster = workloads()
    cluster.replicas |= {"statefulset/grafana": 2, "statefulset/postgres": 2}
    scaling.scale_up_filled(paths, NAMESPACE, cluster)
    assert cluster.scaled == [], "nothing was scaled down"
    before = scaling.scale_down(paths, NAMESPACE, cluster)
    scaling.scale_up_filled(paths, NAMESPACE, cluster)
    assert cluster.scaled[1:] == [(2, ("statefulset/postgres",)), (2, ("statefulset/grafana",))]
    assert scaling.scale_up(paths, NAMESPACE, cluster) == before


def test_setting_aside_again_does_not_forget_how_many_there_were(paths: LabPaths) -> None:
    cluster = workloads()
    first = scaling.scale_down(paths, NAMESPACE, cluster)
    assert scaling.scale_down(paths, NAMESPACE, cluster) == first
    assert scaling.scale_up(paths, NAMESPACE, cluster) == first


def test_a_destroyed_region_has_nothing_to_put_back(paths: LabPaths) -> None:
    cluster = workloads()
    scaling.scale_down(paths, NAMESPACE, cluster)
    scaling.forget(paths, NAMESPACE)
    assert scaling.scale_up(paths, NAMESPACE, cluster) == {}
    assert cluster.replicas["statefulset/search"] == 0


def test_a_refusal_is_one_line(paths: LabPaths) -> None:
    cluster = workloads()
    cluster.refused = "Error from server\n(Forbidden)"
    with pytest.raises(LabError, match=r"^kubectl get failed: Error from server \(Forbidden\)$"):
        scaling.scale_down(paths, NAMESPACE, cluster)


def test_an_api_server_that_does_not_answer_is_one_line(paths: LabPaths) -> None:
    cluster = workloads()
    cluster.silent = True
    with pytest.raises(LabError, match=r"^kubectl get got no answer within 120 s; repeat$"):
        scaling.scale_down(paths, NAMESPACE, cluster)


def test_every_part_that_can_be_scaled_down_is_a_workload_of_the_platform() -> None:
    """A part that was renamed would stay, and take the second region's place."""
    resources = recorded("local").resources
    kinds = {"kubernetes:apps/v1:Deployment": "deployment", "kubernetes:apps/v1:StatefulSet": "statefulset"}
    known = {
        f"{kinds[resource.token]}/{resource.inputs['metadata']['name']}"
        for resource in resources
        if resource.token in kinds
    }
    assert known >= scaling.SCALED_DOWN
    assert known - scaling.SCALED_DOWN > {"statefulset/kafka", "statefulset/gateway", "deployment/failover-agent"}


def test_parts_are_scaled_down_on_creation_and_what_is_to_be_filled_stays(paths: LabPaths) -> None:
    seen = Workloads({"statefulset/kafka": 3})
    with scaling.scale_down_on_creation(paths, NAMESPACE, seen, every_s=0.01):
        seen.replicas["statefulset/grafana"] = 2
        seen.replicas["statefulset/search"] = 3
        eventually(lambda: seen.replicas["statefulset/search"] == 0, 5, "search is scaled down")
        seen.replicas["deployment/log-indexer"] = 2
        eventually(lambda: seen.replicas["deployment/log-indexer"] == 0, 5, "the log indexer is scaled down")
    assert seen.replicas["statefulset/kafka"] == 3
    assert seen.replicas["statefulset/grafana"] == 2
    counts = scaling.scale_down(paths, NAMESPACE, seen)
    assert {"statefulset/search": 3, "deployment/log-indexer": 2, "statefulset/grafana": 2}.items() <= counts.items()
    assert seen.replicas["statefulset/grafana"] == 0


def test_an_api_server_that_refuses_meanwhile_is_asked_again(paths: LabPaths) -> None:
    seen = Workloads({"statefulset/search": 3}, refused="not now")
    with scaling.scale_down_on_creation(paths, NAMESPACE, seen, every_s=0.01):
        time.sleep(0.05)
        assert seen.replicas["statefulset/search"] == 3
        seen.refused = ""
        eventually(lambda: seen.replicas["statefulset/search"] == 0, 5, "search is scaled down")


def test_after_the_block_nothing_is_scaled_down_any_more(paths: LabPaths) -> None:
    seen = Workloads({})
    with scaling.scale_down_on_creation(paths, NAMESPACE, seen, every_s=0.01):
        pass
    seen.replicas["statefulset/search"] = 3
    time.sleep(0.05)
    assert seen.replicas["statefulset/search"] == 3
