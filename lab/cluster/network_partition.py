"""Partitions a namespace's pods from the network, as if their region were gone; and reconnects them.

The controllers of the lab follow a partition: pods and Services that are made meanwhile are partitioned too, a second
later. Until it ends, the file of a partition says what to undo.
"""

from __future__ import annotations

import fcntl
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import requests

from lab.cluster import freezer
from lab.cluster.node import on_path
from lab.cluster.partition_rules import DNS_NAMESPACE, Object, PartitionMembers, partition_members, removal, rules
from lab.cluster.processes import wait_until
from lab.errors import LabError
from lab.paths import LabPaths
from lab.private_file import write_private

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
    return [Partition(**{**host_address, "uids": tuple(host_address["uids"])}) for host_address in documents]


def partition(paths: LabPaths, cluster: Cluster, namespace: str, *, freeze: bool) -> PartitionMembers:
    """Partition a namespace from the network; works inside the lab's network namespace, and is safe to repeat.

    Without ``freeze`` where it was frozen its pods go on, still partitioned.

    Args:
        paths: The lab.
        cluster: Its API server.
        namespace: What is partitioned.
        freeze: Whether its pods' processes are stopped where they stand, too.

    Returns:
        What was partitioned.

    Raises:
        LabError: There is nothing to partitioned, or the kernel refuses; the message says which part was not done.
    """
    if namespace in _KEPT:
        raise LabError(f"namespace {namespace} is the cluster's own: only that of a stack can be partitioned")
    with _locked(paths):
        cut_members = _members(cluster, namespace)
        if not cut_members.pods:
            raise LabError(f"namespace {namespace} has no pods that could be partitioned: see `kubectl get pods -A`")
        before = next((partition for partition in partitions(paths) if partition.namespace == namespace), None)
        if before is not None and before.frozen and not freeze:
            freezer.thaw(paths.instance, before.uids)
        _apply(paths, Partition(namespace=namespace, frozen=freeze, uids=before.uids if before else ()), cut_members)
    return cut_members


def reconnect(paths: LabPaths, namespace: str) -> bool:
    """End a partition; works inside the lab's network namespace, and is safe to repeat.

    Returns:
        Whether there was one.

    Raises:
        LabError: The kernel refuses.
    """
    with _locked(paths):
        others = {uid for partition in partitions(paths) if partition.namespace != namespace for uid in partition.uids}
        freezer.thaw(paths.instance, freezer.pods(paths.instance).keys() - others)
        _nft(removal(namespace))
        known = _file(paths, namespace).exists()
        _file(paths, namespace).unlink(missing_ok=True)
    return known


def follow(paths: LabPaths, cluster: Cluster, applied: dict[str, PartitionMembers]) -> None:
    """Partition what has been made since; works inside the lab's network namespace.

    Args:
        paths: The lab.
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
    _nft(rules(wanted.namespace, cut_members))
    if wanted.frozen:
        freezer.freeze(paths.instance, cut_members.uids)


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
