"""What a zone is made of, that it stands still and comes back, and what the drill says of its figures."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import Kube, Pod
from ops.drills.procedure import CannotRunError
from ops.drills.procedures import zone
from ops.drills.procedures.zone import away, leader_for, members, problems
from ops.drills.tools.faults import CGROUPS, Group, group_of, groups, groups_frozen
from ops.drills.tools.load import TOPIC
from ops.drills.tools.notifications import CRITICAL
from tests.support.running import running
from tests.unit.lab.test_freezer import counting

UID = "0f1e2d3c-0000-4000-8000-000000000001"


def pod(workload: str, number: int = 0, container: str = "none") -> Pod:
    return running(f"{workload}-{number}", workload, uid=f"{workload}-{uuid4().hex}", container_ids=(container,))


def platform(pods: list[Pod]) -> Context:
    return cast(
        Context,
        SimpleNamespace(
            kube=SimpleNamespace(pods=lambda: pods),
            platform=SimpleNamespace(prometheus_replicas=("primary", "secondary")),
        ),
    )


def test_a_zone_is_the_leading_broker_the_last_of_what_runs_more_than_once_and_the_primary_prometheus() -> None:
    pods = [pod("kafka", number) for number in (2, 0, 1)] + [pod("gateway", number) for number in (1, 0)]
    pods += [pod(name) for name in ("prometheus-primary", "prometheus-secondary", "metrics-consumer-primary", "once")]
    pods.append(replace(pod("job"), workload=""))
    names = [member.name for member in members(platform(pods), 1)]
    assert names == ["kafka-1", "gateway-1", "prometheus-primary-0", "metrics-consumer-primary-0"]
    with pytest.raises(OpsError, match="broker 3 leads the partition of the alert, and has no pod kafka-3"):
        members(platform(pods), 3)


def test_the_leading_broker_is_that_of_the_partition_where_the_conditions_values_arrive() -> None:
    sent: list[ExportMetricsServiceRequest] = []

    def record(partition: int, value: bytes) -> SimpleNamespace:
        return SimpleNamespace(partition=lambda: partition, value=lambda: value)

    def read(topic: str, start: dict[int, int], seconds: float) -> list[SimpleNamespace]:
        assert (topic, start) == (TOPIC, {0: 7, 1: 9})
        return [record(0, b"of another client"), record(1, sent[0].SerializeToString())]

    kafka = SimpleNamespace(
        end_offsets=lambda _: {0: 7, 1: 9}, read=read, topics=lambda: {TOPIC: SimpleNamespace(leaders=(2, 1))}
    )
    otlp = SimpleNamespace(metrics=lambda request, layer: sent.append(request))
    assert leader_for(cast(Context, SimpleNamespace(kafka=kafka, otlp=otlp)), CRITICAL) == 1
    [point] = sent[0].resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points
    assert point.as_double == CRITICAL.good


V1 = f"12:cpu,cpuacct:/x/pod{UID}/c\n7:freezer:/obs-a/kubepods/burstable/pod{UID}/c\n0::/obs-a/kubepods/pod{UID}/c\n"
SLICE = f"0::/kubepods.slice/kubepods-pod{UID.replace('-', '_')}.slice/cri-containerd-1.scope\n"


def test_the_group_of_a_pod_is_that_of_the_hierarchy_that_can_freeze(tmp_path: Path) -> None:
    first = group_of(V1, UID, tmp_path)
    assert first == Group(tmp_path / f"freezer/obs-a/kubepods/burstable/pod{UID}", 1)
    (tmp_path / "cgroup.controllers").touch()
    assert group_of(SLICE, UID, tmp_path) == Group(
        tmp_path / f"kubepods.slice/kubepods-pod{UID.replace('-', '_')}.slice", 2
    )
    assert group_of(V1.replace(UID, UID[:-1]), UID, tmp_path) is None
    assert group_of("0::/\n", UID, tmp_path) is None


def with_group(folder: Path, drill: Callable[[Any, Pod], None]) -> None:
    """Have a real process in the group of a pod; version of the machine."""
    root = CGROUPS if (CGROUPS / "cgroup.controllers").exists() else CGROUPS / "freezer"
    member = pod("made-up", container="container")
    with counting(root / f"obs-test-{uuid4().hex[:8]}" / "kubepods" / f"pod{member.uid}", folder / "out") as counter:
        drill(counter, member)


def test_a_pod_stands_still_inside_the_block_and_goes_on_after_it(tmp_path: Path) -> None:
    def drill(counter: Any, member: Pod) -> None:
        chosen = groups([member])
        assert [group.folder for group in chosen] == [counter.group]
        with groups_frozen(chosen):
            assert not counter.goes_on()
        assert counter.goes_on()
        with pytest.raises(KeyboardInterrupt), groups_frozen(chosen):
            raise KeyboardInterrupt
        assert counter.goes_on()

    with_group(tmp_path, drill)


def test_what_was_away_is_killed_in_the_end(tmp_path: Path) -> None:
    def drill(counter: Any, member: Pod) -> None:
        context = cast(Context, SimpleNamespace(kube=cast(Kube, None)))
        with away(context, [member]) as how:
            assert how == "1 pods frozen at once, killed at the end"
            assert not counter.goes_on()
            # A frozen process cannot be killed, or not before it goes on.
            reaper = threading.Thread(target=counter.process.wait, args=(60,))
            reaper.start()
        reaper.join(60)
        assert counter.process.returncode == -9

    with_group(tmp_path, drill)


def test_pods_of_another_machine_are_not_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zone, "kill", lambda *_: pytest.fail("killed what was never away"))
    elsewhere = pod("kafka", container=uuid4().hex)
    with pytest.raises(CannotRunError, match="0 of 1 pods run on this machine"), away(platform([]), [elsewhere]):
        pass


def test_a_kernel_that_refuses_is_told(tmp_path: Path) -> None:
    (tmp_path / "cgroup.freeze").mkdir()
    with (
        pytest.raises(OpsError, match=r"cannot .* is a directory|cannot .*: Is a directory"),
        groups_frozen([Group(tmp_path, 2)]),
    ):
        pass


GOOD: dict[str, Any] = {
    "acknowledged": 900,
    "missing": 0,
    "given up": 0,
    "missing in prometheus-primary": 0,
    "missing in prometheus-secondary": 0,
    "alerts": ["KafkaBrokerDown"],
    "longest pause of clients s": 9.5,
    "Critical at once told after s": 61.0,
    "Critical once noticed told after s": 12.0,
}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, []),
        ({"missing": 3}, ["3 of 900 acknowledged points are missing in Kafka"]),
        ({"given up": 2}, ["2 points were never acknowledged"]),
        (
            {"missing in prometheus-secondary": 1},
            ["1 of 900 acknowledged points are missing in prometheus-secondary"],
        ),
        ({"alerts": []}, ["nothing fired although a zone was gone"]),
        ({"longest pause of clients s": 40.1}, ["clients paused for 40.1 s, must be at most 40 s"]),
        ({"Critical at once told after s": None}, ["a Critical that began with the fault was never notified"]),
        (
            {"Critical once noticed told after s": 30.1},
            ["a Critical that began later was notified after 30.1 s, must be within 30 s"],
        ),
        (
            {"Critical once noticed told after s": None},
            ["a Critical that began later was notified after None s, must be within 30 s"],
        ),
    ],
)
def test_each_promise_of_a_zone_is_looked_at(change: dict[str, Any], told: list[str]) -> None:
    assert problems({**GOOD, **change}, ("primary", "secondary")) == told
