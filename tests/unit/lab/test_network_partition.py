"""What `lab partition` cuts off: found in what the API server has, and seen with real packets."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import LabError
from lab.cluster import controllers, disruptions
from lab.cluster.disruptions import Object, PartitionMembers, partition_members, removal, rules, table
from lab.cluster.network import API_PORT, FIRST, RECEIVERS, SECOND
from lab.paths import LabPaths
from tests.unit.lab import network_partition_harness
from tests.unit.lab.network_partition_harness import (
    API_SERVICE_ADDRESS,
    CLUSTER_SERVICE_ADDRESS,
    DNS_PORT,
    DNS_SERVICE_ADDRESS,
    EMPTY_SERVICE_ADDRESS,
    OTHER_SERVICE_ADDRESS,
    PODS,
    SERVICE_ADDRESS,
    STORAGE_PORT,
    Harness,
    inside,
    said,
)

REGION = "obs-local"


def pod(name: str, address: str = "", namespace: str = REGION, phase: str = "Running", **spec: Any) -> Object:
    labels = {"k8s-app": "kube-dns"} if name == "dns" else {}
    metadata = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "labels": labels}
    return {"metadata": metadata, "spec": spec, "status": {"phase": phase, "podIP": address}}


def service(address: str, balancer: str = "", namespace: str = REGION) -> Object:
    ingress = {"ingress": [{"ip": balancer}]} if balancer else {}
    metadata = {"name": "x", "namespace": namespace}
    return {"metadata": metadata, "spec": {"clusterIP": address}, "status": {"loadBalancer": ingress}}


ALL_PODS = [
    pod("one", PODS["one"]),
    pod("two", PODS["two"]),
    pod("other", PODS["other"], "obs-local-dr"),
    pod("dns", PODS["dns"], "kube-system"),
]
ALL_SERVICES = [
    service(CLUSTER_SERVICE_ADDRESS, SERVICE_ADDRESS),
    service("None"),
    service("", EMPTY_SERVICE_ADDRESS),
    service("10.96.8.8", OTHER_SERVICE_ADDRESS, "obs-local-dr"),
    service(DNS_SERVICE_ADDRESS, namespace="kube-system"),
]


class Api:
    """A fake of the API server: pods and Services, by namespace."""

    def __init__(self) -> None:
        self.pods = list(ALL_PODS)

    def items(self, path: str) -> list[Object]:
        _, _, _, _, namespace, kind = path.split("/")
        entries = {"pods": self.pods, "services": ALL_SERVICES}[kind]
        return [entry for entry in entries if entry["metadata"]["namespace"] == namespace]


def test_only_what_lives_in_the_namespace_is_cut_off() -> None:
    ended = pod("job", PODS["other"], phase="Succeeded")
    waiting = pod("new")
    on_node = pod("agent", FIRST.node, hostNetwork=True)
    cut_members = partition_members(REGION, [*ALL_PODS, ended, waiting, on_node], ALL_SERVICES)
    assert cut_members == PartitionMembers(
        pods=(PODS["one"], PODS["two"]),
        service_addresses=(CLUSTER_SERVICE_ADDRESS, SERVICE_ADDRESS, EMPTY_SERVICE_ADDRESS),
        dns=(PODS["dns"],),
        uids=("uid-new", "uid-one", "uid-two"),
        on_node=("agent",),
    ), "the address of a pod that ended may be another's now, and that of the node is everybody's"


def test_two_namespaces_have_tables_of_their_own() -> None:
    assert table("obs-local") != table("obs-local-dr")
    assert table("obs-local").isidentifier()
    assert len(table("x" * 63)) < 32


@pytest.fixture(scope="module")
def node() -> Iterator[Harness]:
    with network_partition_harness.harness() as harness:
        yield harness


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabPaths:
    monkeypatch.setenv("OBS_STATE", str(tmp_path))
    return LabPaths("nothing-frozen")


@pytest.fixture
def region(node: Harness, paths: LabPaths) -> Iterator[Harness]:
    """The node, reconnected afterwards."""
    yield node
    inside(node.node, lambda: disruptions.reconnect(paths, REGION))


def partition(harness: Harness, paths: LabPaths, api: Api | None = None) -> PartitionMembers:
    return inside(harness.node, lambda: disruptions.partition(paths, api or Api(), REGION, freeze=False))


def inner(harness: Harness) -> dict[str, str | None]:
    """What works inside a region, and with what is its cluster's own."""
    return {
        "pod to pod": harness.reaches("one", PODS["two"]),
        "pod to pod, other way": harness.reaches("two", PODS["one"]),
        "pod to its load balancer": harness.reaches("two", SERVICE_ADDRESS),
        "pod to its Service": harness.reaches("two", CLUSTER_SERVICE_ADDRESS),
        "probe": harness.reaches("node", PODS["one"]),
        "cluster DNS": harness.reaches("one", DNS_SERVICE_ADDRESS, DNS_PORT),
        "API server": harness.reaches("one", API_SERVICE_ADDRESS, 443),
    }


def outer(harness: Harness) -> dict[str, str | None]:
    """What works between a region and everything else."""
    return {
        "pod to other region": harness.reaches("one", PODS["other"]),
        "pod to other region's load balancer": harness.reaches("one", OTHER_SERVICE_ADDRESS),
        "pod to storage, pagers": harness.reaches("one", RECEIVERS, STORAGE_PORT),
        "other region to pod": harness.reaches("other", PODS["one"]),
        "other region to load balancer": harness.reaches("other", SERVICE_ADDRESS),
        "other region to Service": harness.reaches("other", CLUSTER_SERVICE_ADDRESS),
        "outside to load balancer": harness.reaches("node", SERVICE_ADDRESS),
        "DNS to pod": harness.reaches("dns", PODS["one"]),
        "pod to another port of DNS": harness.reaches("one", PODS["dns"]),
        "outside to a Service without pods": harness.reaches("node", EMPTY_SERVICE_ADDRESS),
    }


INNER = {
    "pod to pod": "two",
    "pod to pod, other way": "one",
    "pod to its load balancer": "one",
    "pod to its Service": "one",
    "probe": "one",
    "cluster DNS": "dns",
    "API server": "api",
}
OUTER = {
    "pod to other region": "other",
    "pod to other region's load balancer": "other",
    "pod to storage, pagers": "storage",
    "other region to pod": "one",
    "other region to load balancer": "one",
    "other region to Service": "one",
    "outside to load balancer": "one",
    "DNS to pod": "one",
    "pod to another port of DNS": "dns",
    "outside to a Service without pods": "refused",
}


def test_a_cut_lets_nothing_pass_and_leaves_the_inside_as_it_is(region: Harness, paths: LabPaths) -> None:
    assert (inner(region), outer(region)) == (INNER, OUTER), "the harness itself must work"
    assert partition(region, paths).pods == (PODS["one"], PODS["two"])
    assert inner(region) == INNER
    assert outer(region) == dict.fromkeys(OUTER), "silence, not refusal: what is gone does not answer"
    assert region.reaches("node", OTHER_SERVICE_ADDRESS) == "other", "the other region must not notice"
    assert region.reaches("other", RECEIVERS, STORAGE_PORT) == "storage"
    assert inside(region.node, lambda: disruptions.reconnect(paths, REGION)) is True
    assert (inner(region), outer(region)) == (INNER, OUTER)


def test_open_connections_fall_silent_and_go_on_when_it_is_healed(region: Harness, paths: LabPaths) -> None:
    with (
        region.connection("one", RECEIVERS, STORAGE_PORT) as out,
        region.connection("node", SERVICE_ADDRESS) as into,
        region.connection("other", PODS["one"]) as across,
        region.connection("two", PODS["one"]) as within,
    ):
        everyone = (out, into, across, within)
        assert [said(connection) for connection in everyone] == ["storage", "one", "one", "one"]
        partition(region, paths)
        assert [said(connection) for connection in everyone] == [None, None, None, "one"]
        inside(region.node, lambda: disruptions.reconnect(paths, REGION))
        for connection in (out, into, across):
            connection.settimeout(10)
            assert connection.recv(64), "the packet that was lost is sent again"


def test_datagrams_are_dropped_too(region: Harness, paths: LabPaths) -> None:
    def receiver() -> socket.socket:
        receiving = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiving.bind((RECEIVERS, 9999))
        receiving.settimeout(network_partition_harness.WAIT_S)
        return receiving

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
            sending.sendto(b"x", (RECEIVERS, 9999))

    with inside(region.node, receiver) as got:
        inside(region.name("one"), send)
        assert got.recv(9) == b"x"
        partition(region, paths)
        inside(region.name("one"), send)
        with pytest.raises(TimeoutError):
            got.recv(9)


def test_cut_and_heal_may_be_repeated(region: Harness, paths: LabPaths) -> None:
    assert inside(region.node, lambda: disruptions.reconnect(paths, REGION)) is False
    first = partition(region, paths)
    assert partition(region, paths) == first
    assert [active_cut.namespace for active_cut in disruptions.partitions(paths)] == [REGION]
    assert inside(region.node, lambda: disruptions.reconnect(paths, REGION)) is True
    assert inside(region.node, lambda: disruptions.reconnect(paths, REGION)) is False
    left = inside(region.node, lambda: subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout)
    assert "lab_cut" not in left
    assert disruptions.partitions(paths) == []


def test_what_is_made_while_it_is_cut_off_is_cut_off_too(region: Harness, paths: LabPaths) -> None:
    api, applied = Api(), dict[str, PartitionMembers]()
    partition(region, paths, api)
    assert region.reaches("dns", PODS["other"]) == "other"
    api.pods = [*ALL_PODS[:2], pod("moved", PODS["other"]), ALL_PODS[3]]
    inside(region.node, lambda: disruptions.follow(paths, api, applied))
    assert applied[REGION].pods == (PODS["one"], PODS["two"], PODS["other"])
    assert region.reaches("dns", PODS["other"]) is None
    assert region.reaches("one", PODS["other"]) == "other"
    inside(region.node, lambda: disruptions.reconnect(paths, REGION))
    inside(region.node, lambda: disruptions.follow(paths, api, applied))
    assert applied == {}
    assert region.reaches("dns", PODS["other"]) == "other", "what follows must not undo the healing"


def test_a_region_without_cut_is_not_asked_about(paths: LabPaths) -> None:
    class Silent(Api):
        def items(self, path: str) -> list[Object]:
            raise AssertionError(path)

    disruptions.follow(paths, Silent(), {})


def test_the_controllers_follow_a_cut_and_outlive_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    steps: list[str] = []

    def follow(*_: object) -> None:
        steps.append("follow")
        if steps.count("follow") == 2:
            raise SystemExit
        raise LabError("nft refused the rules")

    monkeypatch.setattr(sys, "argv", ["controllers", tmp_path.name])
    monkeypatch.setattr(controllers, "_FOLLOW_S", 0.0)
    monkeypatch.setattr(controllers, "Cluster", lambda _: Api())
    monkeypatch.setattr(controllers, "provide_addresses", lambda *_: steps.append("addresses"))
    monkeypatch.setattr(controllers, "provide_volumes", lambda *_: steps.append("volumes"))
    monkeypatch.setattr(disruptions, "follow", follow)
    monkeypatch.setattr(controllers.time, "sleep", lambda _: None)
    monkeypatch.setattr(controllers.signal, "signal", lambda *_: None)
    monkeypatch.setattr(controllers.os, "umask", lambda _: None)
    with pytest.raises(SystemExit):
        controllers.main()
    assert steps == ["addresses", "volumes", "follow"] * 2


def test_two_regions_can_be_cut_off_and_one_healed(region: Harness, paths: LabPaths) -> None:
    partition(region, paths)
    other = "obs-local-dr"
    try:
        inside(region.node, lambda: disruptions.partition(paths, Api(), other, freeze=False))
        assert region.reaches("node", OTHER_SERVICE_ADDRESS) is None
        inside(region.node, lambda: disruptions.reconnect(paths, REGION))
        assert region.reaches("node", SERVICE_ADDRESS) == "one"
        assert region.reaches("node", OTHER_SERVICE_ADDRESS) is None
        assert [active_cut.namespace for active_cut in disruptions.partitions(paths)] == [other]
    finally:
        inside(region.node, lambda: disruptions.reconnect(paths, other))


@pytest.mark.parametrize(
    ("namespace", "message"),
    [
        ("kube-system", "namespace kube-system is the cluster's own: only that of a stack can be partitioned"),
        ("nosuch", "namespace nosuch has no pods that could be partitioned: see `kubectl get pods -A`"),
    ],
)
def test_what_cannot_be_cut_off_is_refused_and_nothing_is_remembered(
    paths: LabPaths, namespace: str, message: str
) -> None:
    with pytest.raises(LabError) as raised:
        disruptions.partition(paths, Api(), namespace, freeze=False)
    assert str(raised.value) == message
    assert disruptions.partitions(paths) == []


def test_a_stack_that_is_cut_off_is_not_waited_for(region: Harness, paths: LabPaths) -> None:
    disruptions.refuse_while_partitioned(paths, REGION)
    partition(region, paths)
    with pytest.raises(
        LabError, match=r"namespace obs-local is partitioned: run `python -m lab reconnect obs-local` first"
    ):
        disruptions.refuse_while_partitioned(paths, REGION)
    disruptions.refuse_while_partitioned(paths, "obs-local-dr")


def test_rules_that_nft_refuses_are_told_in_one_line(paths: LabPaths, node: Harness) -> None:
    wrong = PartitionMembers(pods=("nowhere.invalid",), service_addresses=(), dns=(), uids=(), on_node=())
    assert "nowhere.invalid" in rules(REGION, wrong, FIRST.node)
    with pytest.raises(LabError, match=r"^nft refused the rules: [^\n]*\(root and CAP_NET_ADMIN are needed\)$"):
        inside(node.node, lambda: disruptions._nft(rules(REGION, wrong, FIRST.node)))
    assert node.reaches("node", SERVICE_ADDRESS) == "one", "nothing may be half applied"


def test_frozen_pods_are_remembered_before_they_are_frozen(
    region: Harness, paths: LabPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def interrupted(instance: str, uids: tuple[str, ...]) -> int:
        seen.append((instance, uids, disruptions.partitions(paths)[0].uids, region.reaches("node", SERVICE_ADDRESS)))
        raise KeyboardInterrupt

    monkeypatch.setattr(disruptions, "freeze", interrupted)
    with pytest.raises(KeyboardInterrupt):
        inside(region.node, lambda: disruptions.partition(paths, Api(), REGION, freeze=True))
    uids = ("uid-one", "uid-two")
    assert seen == [(paths.instance, uids, uids, None)], "the network is cut first: a frozen pod's kernel still answers"


def test_the_rules_are_data_that_name_what_stays() -> None:
    text = rules(REGION, partition_members(REGION, ALL_PODS, ALL_SERVICES), SECOND.node)
    assert text.startswith(removal(REGION)), "one transaction: what was there goes in the same moment"
    assert f"ip daddr {SECOND.node} tcp dport {API_PORT} accept" in text
    assert f"elements = {{ {PODS['one']}, {PODS['two']} }}" in text
