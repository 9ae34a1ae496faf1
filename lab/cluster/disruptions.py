"""Pods cut off from the network as if their region were gone, by firewall rules that are data, or stopped where they
stand through their control groups; and brought back.

What a region's own cluster would still do for its pods stays: they reach each other, cluster DNS and the API server,
and the kubelet's probes reach them. Everything else is dropped without an answer, in both directions, open connections
too.

The rules are a table of their own, which neither kube-proxy nor kube-router touches, and which is changed whole or
not at all.

The controllers of the lab follow a partition: pods and Services that are made meanwhile are partitioned too, a second
later. Until it ends, the file of a partition says what to undo.
"""

from __future__ import annotations

import fcntl
import hashlib
import ipaddress
import json
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import requests

from lab import LabError
from lab.cluster import network
from lab.cluster.network import API_PORT, cluster_of, wait_until
from lab.cluster.node import on_path
from lab.paths import LabPaths
from ops.core.files import write_private
from ops.drills.tools.faults import Group

_ENDED = ("Succeeded", "Failed")
_DNS_PORT = 53
DNS_NAMESPACE, _DNS_LABEL = "kube-system", ("k8s-app", "kube-dns")

Object = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class PartitionMembers:
    """What is to be partitioned.

    Attributes:
        pods: Addresses of the namespace's pods.
        service_addresses: Addresses of its Services: cluster and load balancer.
        dns: Addresses of the pods of cluster DNS.
        uids: UIDs of the namespace's pods.
        on_node: Names of its pods that have the node's own address: these cannot be partitioned.
    """

    pods: tuple[str, ...]
    service_addresses: tuple[str, ...]
    dns: tuple[str, ...]
    uids: tuple[str, ...]
    on_node: tuple[str, ...]


def partition_members(namespace: str, pods: Sequence[Object], services: Sequence[Object]) -> PartitionMembers:
    """Find the members of a partition.

    Args:
        namespace: The namespace.
        pods: Its pods and those of cluster DNS, or more. The address of one that has ended may be another's by now.
        services: Its Services, or more.
    """
    alive = [pod for pod in pods if pod.get("status", {}).get("phase") not in _ENDED]
    own = [pod for pod in alive if pod["metadata"]["namespace"] == namespace]
    inside = [pod for pod in own if not pod["spec"].get("hostNetwork")]
    key, value = _DNS_LABEL
    dns = [
        pod
        for pod in alive
        if pod["metadata"]["namespace"] == DNS_NAMESPACE and pod["metadata"].get("labels", {}).get(key) == value
    ]
    service_addresses = (service for service in services if service["metadata"]["namespace"] == namespace)
    return PartitionMembers(
        pods=_sorted(_address(pod) for pod in inside),
        service_addresses=_sorted(address for service in service_addresses for address in _service_addresses(service)),
        dns=_sorted(_address(pod) for pod in dns),
        uids=tuple(sorted(pod["metadata"]["uid"] for pod in inside)),
        on_node=tuple(sorted(pod["metadata"]["name"] for pod in own if pod["spec"].get("hostNetwork"))),
    )


def _address(pod: Object) -> str:
    return str(pod.get("status", {}).get("podIP", ""))


def _service_addresses(service: Object) -> list[str]:
    spec = service["spec"]
    given = service.get("status", {}).get("loadBalancer", {}).get("ingress") or []
    addresses = [spec.get("clusterIP", ""), *spec.get("externalIPs", []), *(ingress.get("ip", "") for ingress in given)]
    return [address for address in addresses if address != "None"]


def _sorted(addresses: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(filter(None, set(addresses)), key=ipaddress.IPv4Address))


def table(namespace: str) -> str:
    """Name of a namespace's table; any name of a namespace gives a good one."""
    return f"lab_partition_{hashlib.sha256(namespace.encode()).hexdigest()[:12]}"


def removal(namespace: str) -> str:
    """Program of nft that lets everything through again, also where nothing was held up."""
    name = table(namespace)
    return f"table ip {name} {{ }}\ndelete table ip {name}\n"


def rules(namespace: str, partition_members: PartitionMembers, node: str) -> str:
    """Program of nft that partitions a namespace, whatever was partitioned before.

    Addresses of Services are looked at before they are translated into those of pods: one without pods that are ready
    would be refused by kube-proxy, and what is gone does not refuse. Everything else is looked at afterwards.
    """
    lines = [
        f"table ip {table(namespace)} {{",
        *_set("pods", partition_members.pods),
        *_set("service_addresses", partition_members.service_addresses),
        *_set("dns", partition_members.dns),
        *_chain("arriving", "prerouting", "mangle", "ip daddr @service_addresses ip saddr != @pods drop"),
        *_chain("sent", "output", "mangle", "ip daddr @service_addresses ip saddr != @pods drop"),
        *_chain("passing", "forward", "filter - 10", "jump region_policy"),
        *_chain(
            "to_node",
            "input",
            "filter - 10",
            "ip saddr @pods ct direction reply ct status & dnat != dnat accept",
            "jump region_policy",
        ),
        *_chain(
            "of_node",
            "output",
            "filter - 10",
            "ip daddr @pods ct direction original ct status & dnat != dnat accept",
            "jump region_policy",
        ),
        "  chain region_policy {",
        "    ip saddr @pods ip daddr @pods accept",
        f"    ip saddr @pods ip daddr @dns meta l4proto {{ tcp, udp }} th dport {_DNS_PORT} accept",
        f"    ip saddr @dns ip daddr @pods meta l4proto {{ tcp, udp }} th sport {_DNS_PORT} accept",
        f"    ip saddr @pods ip daddr {node} tcp dport {API_PORT} accept",
        f"    ip saddr {node} ip daddr @pods tcp sport {API_PORT} accept",
        "    ip saddr @pods drop",
        "    ip daddr @pods drop",
        "  }",
        "}",
    ]
    return removal(namespace) + "\n".join(lines) + "\n"


def _set(name: str, addresses: Sequence[str]) -> list[str]:
    elements = [f"    elements = {{ {', '.join(addresses)} }}"] if addresses else []
    return [f"  set {name} {{", "    type ipv4_addr", *elements, "  }"]


def _chain(name: str, hook: str, priority: str, *statements: str) -> list[str]:
    first = f"    type filter hook {hook} priority {priority}; policy accept;"
    return [f"  chain {name} {{", first, *(f"    {statement}" for statement in statements), "  }"]


_LIMIT_S = 20.0
_EVERY_S = 0.1


def pods(instance: str) -> Mapping[str, Group]:
    """UID of each pod of the lab that has processes -> its control group."""
    version = network.cgroup_version()
    root = network.cgroup_root("freezer") / f"obs-{instance}"
    paths = (path for pattern in ("kubepods/pod*", "kubepods/*/pod*") for path in root.glob(pattern) if path.is_dir())
    return {path.name.removeprefix("pod"): Group(path, version) for path in paths}


def freeze(instance: str, uids: Collection[str]) -> int:
    """Freeze pods, and wait until they stand still; safe to repeat.

    Args:
        instance: The lab's.
        uids: UIDs of the pods; those without processes are left out.

    Returns:
        How many there were to freeze.

    Raises:
        LabError: The kernel refuses, or some did not stand still in time.
    """
    chosen = [group for group in _of(instance, uids) if not group.is_frozen()]
    _ask(chosen, frozen=True)

    def still() -> bool:
        moving = [group for group in chosen if group.folder.exists() and not group.is_frozen()]
        # Version 1 gives up where a process could not be stopped at once; asking again goes on.
        _ask(moving, frozen=True)
        return not moving

    wait_until(f"{len(chosen)} pods to stand still", still, timeout_s=_LIMIT_S, every_s=_EVERY_S)
    return len(chosen)


def thaw(instance: str, uids: Collection[str]) -> None:
    """Let pods go on; safe to repeat.

    Raises:
        LabError: The kernel refuses.
    """
    _ask(_of(instance, uids), frozen=False)


def thaw_all(instance: str) -> None:
    """Let every pod of the lab go on: frozen processes of version 1 cannot even be killed.

    Raises:
        LabError: The kernel refuses.
    """
    _ask(pods(instance).values(), frozen=False)


def _of(instance: str, uids: Collection[str]) -> Iterator[Group]:
    return (group for uid, group in pods(instance).items() if uid in uids)


def _ask(groups: Iterable[Group], *, frozen: bool) -> None:
    for group in groups:
        try:
            group.ask(frozen=frozen)
        except OSError as error:
            what = "freeze" if frozen else "thaw"
            raise LabError(f"cannot {what} {group.folder}: {error.strerror} (root is needed)") from None


_KEPT = ("kube-system", "cert-manager", "kube-public", "kube-node-lease")
"""Namespaces of the cluster itself."""
_NFT_LIMIT_S = 20
_LOCK, _LOCK_LIMIT_S = "lock", 60


class Cluster(Protocol):
    """The one call to the API server that is needed."""

    def items(self, path: str) -> list[Object]:
        """List the objects at an API path."""


@dataclass(frozen=True, kw_only=True)
class Partition:
    """A partition in effect.

    Attributes:
        namespace: What is partitioned.
        frozen: Whether its pods stand still too.
        uids: Pods that may have been frozen.
    """

    namespace: str
    frozen: bool
    uids: tuple[str, ...] = ()


def partitions(paths: LabPaths) -> list[Partition]:
    """Partitions in effect."""
    documents = (json.loads(file.read_text()) for file in sorted(_folder(paths).glob("*.json")))
    return [Partition(**{**document, "uids": tuple(document["uids"])}) for document in documents]


def partition(paths: LabPaths, cluster: Cluster, namespace: str, *, freeze: bool) -> PartitionMembers:
    """Partition a namespace from the network; works inside its cluster's network namespace, and is safe to repeat.

    Without ``freeze`` where it was frozen its pods go on, still partitioned.

    Args:
        paths: The cluster that the namespace is in.
        cluster: Its API server.
        namespace: What is partitioned.
        freeze: Whether its pods' processes are stopped where they stand, too.

    Returns:
        What was partitioned.

    Raises:
        LabError: There is nothing to partition, or the kernel refuses; the message says which part was not done.
    """
    if namespace in _KEPT:
        raise LabError(f"namespace {namespace} is the cluster's own: only that of a stack can be partitioned")
    with _locked(paths):
        cut_members = _members(cluster, namespace)
        if not cut_members.pods:
            raise LabError(f"namespace {namespace} has no pods that could be partitioned: see `kubectl get pods -A`")
        before = next((partition for partition in partitions(paths) if partition.namespace == namespace), None)
        if before is not None and before.frozen and not freeze:
            thaw(paths.instance, before.uids)
        _apply(paths, Partition(namespace=namespace, frozen=freeze, uids=before.uids if before else ()), cut_members)
    return cut_members


def reconnect(paths: LabPaths, namespace: str) -> bool:
    """End a partition; works inside the cluster's network namespace, and is safe to repeat.

    Returns:
        Whether there was one.

    Raises:
        LabError: The kernel refuses.
    """
    with _locked(paths):
        others = {uid for partition in partitions(paths) if partition.namespace != namespace for uid in partition.uids}
        thaw(paths.instance, pods(paths.instance).keys() - others)
        _nft(removal(namespace))
        known = _file(paths, namespace).exists()
        _file(paths, namespace).unlink(missing_ok=True)
    return known


def follow(paths: LabPaths, cluster: Cluster, applied: dict[str, PartitionMembers]) -> None:
    """Partition what has been made since; works inside the cluster's network namespace.

    Args:
        paths: The cluster that the namespace is in.
        cluster: Its API server.
        applied: Namespace -> what is partitioned already, kept by the caller from call to call.

    Raises:
        LabError: The kernel refuses.
    """
    if not partitions(paths):
        applied.clear()
        return
    with _locked(paths):
        for partition in partitions(paths):
            current_members = _members(cluster, partition.namespace)
            if applied.get(partition.namespace) != current_members:
                _apply(paths, partition, current_members)
                applied[partition.namespace] = current_members


def refuse_while_partitioned(paths: LabPaths, namespace: str) -> None:
    """Refuse to wait for pods that nothing reaches.

    Raises:
        LabError: The namespace is partitioned.
    """
    if any(partition.namespace == namespace for partition in partitions(paths)):
        raise LabError(f"namespace {namespace} is partitioned: run `python -m lab reconnect {namespace}` first")


def _apply(paths: LabPaths, wanted: Partition, cut_members: PartitionMembers) -> None:
    """The network first: a frozen pod's kernel would still answer for it."""
    uids = tuple(sorted({*wanted.uids, *cut_members.uids})) if wanted.frozen else ()
    _remember(paths, Partition(namespace=wanted.namespace, frozen=wanted.frozen, uids=uids))
    _nft(rules(wanted.namespace, cut_members, cluster_of(paths).node))
    if wanted.frozen:
        freeze(paths.instance, cut_members.uids)


def _members(cluster: Cluster, namespace: str) -> PartitionMembers:
    try:
        own = cluster.items(f"/api/v1/namespaces/{namespace}/pods")
        dns = cluster.items(f"/api/v1/namespaces/{DNS_NAMESPACE}/pods")
        return partition_members(namespace, [*own, *dns], cluster.items(f"/api/v1/namespaces/{namespace}/services"))
    except requests.RequestException as error:
        raise LabError(f"the API server did not answer: {error}; see `python -m lab status`") from None


def _nft(text: str) -> None:
    command = [on_path("nft", "nftables"), "-f", "-"]
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=_NFT_LIMIT_S)
    except subprocess.TimeoutExpired:
        raise LabError(f"nft took over {_NFT_LIMIT_S} s and was ended") from None
    if done.returncode:
        reason = " ".join(done.stderr.split())[:300]
        raise LabError(f"nft refused the rules: {reason} (root and CAP_NET_ADMIN are needed)")


def _folder(paths: LabPaths) -> Path:
    return paths.state / "partitions"


def _file(paths: LabPaths, namespace: str) -> Path:
    return _folder(paths) / f"{namespace}.json"


def _remember(paths: LabPaths, wanted: Partition) -> None:
    write_private(_file(paths, wanted.namespace), json.dumps(wanted.__dict__, indent=1).encode() + b"\n")


@contextmanager
def _locked(paths: LabPaths) -> Iterator[None]:
    """One at a time: a command, or the controllers that follow."""
    _folder(paths).mkdir(parents=True, exist_ok=True, mode=0o700)
    with (_folder(paths) / _LOCK).open("w") as file:

        def free() -> bool:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        wait_until("another partition or reconnect to end", free, timeout_s=_LOCK_LIMIT_S, every_s=0.05)
        yield
