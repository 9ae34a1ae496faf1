"""Brings an embedded cluster of one node up and down, and with the first one what is outside the clusters: receivers
of notifications, directory, identity provider, object storage, registry of images. Both are safe to repeat and to
interrupt.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import requests

from lab import LabError, directory, environment, registry, storage
from lab.cluster import autoscaling, controllers, disruptions, network, node
from lab.cluster.network import NODE_NAME, Daemon, cluster_of, start_time, wait_until
from lab.fakes.identity import setup as identity
from lab.fakes.receivers import client as receivers
from lab.paths import CHECKOUT, LabPaths
from lab.timing import Steps
from lab.toolchain import images, tools
from lab.toolchain.tools import run_logged

_FREE_DISK_BYTES = 6 * 1024**3
_AFTER_ADDONS = ("kube-router", "cert-manager")
"""Parts that end at once where the node is not registered, or their resource definitions are not there yet."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def check_machine(paths: LabPaths) -> None:
    """Refuse early, with one line, what cannot work.

    Raises:
        LabError: No root, another processor, or too little disk.
    """
    if platform.machine() != "x86_64":
        raise LabError(
            f"this machine is {platform.machine()}, and the images of the embedded cluster are for x86_64: use such a "
            "machine, or a cluster of your own (docs/install.md)"
        )
    if os.geteuid() != 0:
        raise LabError(
            "the embedded cluster needs root (network namespace, mounts, control groups): run with sudo, "
            "or use a cluster of your own (docs/install.md)"
        )
    paths.state.mkdir(parents=True, exist_ok=True, mode=0o755)
    free = shutil.disk_usage(paths.state).free
    if free < _FREE_DISK_BYTES:
        raise LabError(
            f"{paths.state} has {free / 1024**3:.1f} GiB free, {_FREE_DISK_BYTES / 1024**3:.0f} are needed: "
            "free some, or set OBS_STATE to a folder on another disk"
        )


def up(paths: LabPaths, steps: Steps) -> None:
    """Start what is not running and wait until pods can run.

    With the first cluster goes what is outside the clusters; the second one is connected with the first.

    Raises:
        LabError: A part did not come up in time; the message carries the end of its log.
    """
    check_machine(paths)
    _discard_dead_run(paths)
    with steps.step("node: processes"):
        (paths.state / "boot").write_text(_BOOT_ID.read_text())
        cluster = cluster_of(paths)
        node.create(paths.state / "pki", cluster)
        network.create_namespace(paths.netns, cluster)
        _write_commands_kubeconfig(paths)
        if paths.is_second:
            network.connect(paths.first.netns, paths.netns)
        else:
            prepare_services(paths)
        parts = {part.name: part for part in _daemons(paths)}
        node.prepare_audit_webhook(paths, started=parts["kube-apiserver"].pid() is not None)
        apiserver, kubelet = parts["kube-apiserver"], parts["kubelet"]
        parts["etcd"].start()
        apiserver.start()
        _wait(apiserver, "the API server to be ready", lambda: _api_ready(paths), 60)
        # The kubelet ends where its runtime does not answer yet.
        containerd = parts["containerd"]
        containerd.start()
        _wait(containerd, "containerd to answer", lambda: _ctr_answers(_ctr(paths)), 60)
        for name, part in parts.items():
            if name not in _AFTER_ADDONS:
                part.start()
    with steps.step("node: images of add-ons"):
        _import_images(paths)
    with steps.step("node: add-ons"):
        controllers.apply(paths.kubeconfig, network.enter(paths.netns))
        autoscaling.apply_metrics_api(paths)
        autoscaling.apply_recommender(paths)
        _wait(kubelet, "the node to be Ready", lambda: _condition(paths, "node", NODE_NAME, "Ready"), 60)
        for name in _AFTER_ADDONS:
            parts[name].start()
        for name in autoscaling.RECOMMENDER_DEFINITIONS:
            _wait(kubelet, f"{name} to be served", partial(_condition, paths, "crd", name, "Established"), 60)
        dns = "deployment/coredns"
        _wait(kubelet, "cluster DNS to answer", lambda: _condition(paths, dns, "", "Available", "kube-system"), 90)
    _note_uid(paths)


def _note_uid(paths: LabPaths) -> None:
    process = kubectl(paths, "get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}")
    if process.returncode or not process.stdout:
        raise LabError(f"the cluster does not say who it is: {' '.join(process.stderr.split())[-300:]}")
    paths.uid_file.write_text(process.stdout)


def wait_for_metrics(paths: LabPaths, steps: Steps) -> None:
    """Wait until the metrics API has two readings: while an API is registered and not served, no namespace ends.

    Raises:
        LabError: It did not in time; the message carries the end of the kubelet's log.
    """
    kubelet = next(part for part in _daemons(paths) if part.name == "kubelet")
    api = f"apiservice/{autoscaling.METRICS_API}"
    with steps.step("metrics API"):
        _wait(kubelet, "the metrics API to answer", lambda: _condition(paths, api, "", "Available"), 120)


def status(paths: LabPaths) -> list[tuple[str, int | None]]:
    """Name and pid of every part; no pid means that it is not running."""
    if not (paths.state / "pki" / "complete").exists():
        return []
    return [(part.name, part.pid()) for part in _daemons(paths)]


def down(paths: LabPaths) -> None:
    """End every process of a cluster, then remove its namespace, mounts, control group and state.

    With the first cluster go the second one and what is outside the clusters.
    """
    if not paths.is_second:
        down(paths.second)
    if not paths.state.exists() and not network.namespace_exists(paths.netns):
        return
    for part in network.started(paths.state):
        part.stop()
    disruptions.thaw_all(paths.instance)
    network.remove_cgroup(paths.instance)
    for pid in _shims(paths):
        os.kill(pid, signal.SIGKILL)
    network.delete_namespace(paths.netns)
    network.delete_orphaned_pod_namespaces()
    for result in Path("/var/lib/cni/results").glob(f"{node.network_name(paths)}-*"):
        result.unlink()
    for link in Path("/var/log/containers").glob("*.log"):
        if str(link.readlink()).startswith(f"{paths.state}/"):
            link.unlink()
    network.remove_tree(paths.state)
    if paths.is_second:
        _write_commands_kubeconfig(paths)


def _write_commands_kubeconfig(paths: LabPaths) -> None:
    files = [cluster.kubeconfig for cluster in (paths.first, paths.second) if cluster.kubeconfig.exists()]
    if files:
        node.merge_kubeconfigs(paths.commands_kubeconfig, files)


def _daemons(paths: LabPaths) -> tuple[Daemon, ...]:
    cgroup = network.create_cgroup(paths.instance)
    controllers = Daemon(
        "lab-controllers",
        [*network.enter(paths.netns), sys.executable, "-m", "lab.cluster.controllers", paths.instance],
        paths.state,
        {"PYTHONPATH": str(CHECKOUT)},
    )
    outside = () if paths.is_second else service_daemons(paths)
    return (*node.daemons(paths, cgroup), controllers, *outside)


def _discard_dead_run(paths: LabPaths) -> None:
    """After a reboot nothing of the old run is alive: its state would only mislead the new one."""
    marker = paths.state / "boot"
    if marker.exists() and marker.read_text() != _BOOT_ID.read_text():
        print("  the machine was rebooted since the last run: starting from nothing", file=sys.stderr)
        down(paths)
        paths.state.mkdir(parents=True)


def _shims(paths: LabPaths) -> Iterator[int]:
    """Runtime shims of the lab's own containerd, told apart by its socket on their command line."""
    address = os.fsencode(node.containerd_address(paths))
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"containerd-shim" in command[0] and address in command and start_time(int(folder.name)):
            yield int(folder.name)


def _wait(part: Daemon, what: str, check: Callable[[], bool], timeout_s: float) -> None:
    def alive_and_true() -> bool:
        if part.pid() is None:
            raise LabError(f"{part.name} ended while waiting for {what}; log {part.log}:\n{part.tail()}")
        return check()

    try:
        wait_until(what, alive_and_true, timeout_s=timeout_s)
    except LabError as error:
        raise LabError(f"{error} (log {part.log})") from None


def _api_ready(paths: LabPaths) -> bool:
    command = [
        *network.enter(paths.netns),
        "curl",
        "-sk",
        "-m",
        "2",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        f"{cluster_of(paths).api_url}/readyz",
    ]
    pki_folder = paths.state / "pki"
    command += ["--cert", str(pki_folder / "admin.crt"), "--key", str(pki_folder / "admin.key")]
    return subprocess.run(command, capture_output=True, text=True, timeout=10).stdout == str(requests.codes.ok)


def kubectl(paths: LabPaths, *arguments: str, timeout_s: float = 30) -> subprocess.CompletedProcess[str]:
    """Run kubectl against a cluster."""
    command = [*network.enter(paths.netns), str(tools.path("kubectl")), f"--kubeconfig={paths.kubeconfig}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)


def namespaces(paths: LabPaths) -> set[str]:
    """Namespaces of the cluster.

    Raises:
        LabError: The API server does not answer.
    """
    process = kubectl(paths, "get", "namespaces", "-o", "jsonpath={.items[*].metadata.name}")
    if process.returncode:
        raise LabError(f"kubectl get namespaces failed: {' '.join(process.stderr.split())[-300:]}")
    return set(process.stdout.split())


def remove_namespace(paths: LabPaths, namespace: str) -> None:
    """Remove a namespace with all that is in it, where it is there, and wait until it is gone.

    Raises:
        LabError: It cannot be removed, or something is still there after two minutes.
    """
    process = kubectl(paths, "delete", "namespace", namespace, "--ignore-not-found", "--wait=false")
    if process.returncode:
        raise LabError(f"kubectl delete namespace {namespace} failed: {' '.join(process.stderr.split())[-300:]}")
    wait_for_nothing_left(paths, namespace)


def wait_for_nothing_left(paths: LabPaths, namespace: str) -> None:
    """Wait until a platform's namespace and every volume of it are gone.

    Raises:
        LabError: Something is still there after two minutes.
    """
    claimed = "jsonpath={.items[*].spec.claimRef.namespace}"

    def nothing() -> bool:
        names = kubectl(paths, "get", "namespaces", "-o", "name")
        volumes = kubectl(paths, "get", "pv", "-o", claimed)
        if names.returncode or volumes.returncode:
            return False
        return f"namespace/{namespace}" not in names.stdout.split() and namespace not in volumes.stdout.split()

    wait_until(f"namespace {namespace} and all volumes of it to be gone", nothing, timeout_s=120)


def _condition(paths: LabPaths, kind: str, name: str, condition: str, namespace: str = "default") -> bool:
    path = f'jsonpath={{.status.conditions[?(@.type=="{condition}")].status}}'
    return kubectl(paths, "-n", namespace, "get", kind, *([name] if name else []), "-o", path).stdout == "True"


def _import_images(paths: LabPaths) -> None:
    """Import the images whose content is new. The label keeps the kubelet from collecting them."""
    marks = paths.state / "images"
    marks.mkdir(exist_ok=True)
    ctr, log = _ctr(paths), paths.logs / "images.log"
    for image in images.addon_images():
        mark = marks / image.key
        if mark.exists():
            continue
        archive = paths.state / "image.tar"
        with archive.open("wb") as file:
            image.archive(file)
        run_logged([*ctr, "images", "import", "--no-unpack", str(archive)], cwd=paths.state, log=log)
        run_logged([*ctr, "images", "label", image.name, "io.cri-containerd.pinned=pinned"], cwd=paths.state, log=log)
        archive.unlink()
        mark.touch()


def _ctr(paths: LabPaths) -> list[str]:
    return ["ctr", "-a", str(node.containerd_address(paths)), "-n", "k8s.io"]


def _ctr_answers(ctr: list[str]) -> bool:
    return subprocess.run([*ctr, "version"], capture_output=True, timeout=10).returncode == 0


def prepare_services(paths: LabPaths) -> None:
    """Make the missing files of what is outside the clusters; the receivers' authority signs for the others.

    Raises:
        LabError: A server is not there, or refuses what it is given.
    """
    receivers.prepare(paths)
    directory.prepare(paths)
    identity.prepare(paths)
    storage.prepare(paths)
    registry.prepare(paths)


def service_daemons(paths: LabPaths) -> tuple[Daemon, ...]:
    """Processes of what is outside the clusters, inside the lab's network namespace."""
    return tuple(part.daemon(paths) for part in (receivers, directory, identity, storage, registry))


def wait_for_services(paths: LabPaths, steps: Steps) -> None:
    """Wait until each service outside the clusters can be used; works inside the lab's network namespace.

    Raises:
        LabError: One ended, or does not answer in time; the message carries the end of its log.
    """
    with steps.step("receivers outside the platform"):
        receivers.wait_ready(paths)
    with steps.step("directory, identity provider and object storage outside the platform"):
        directory.wait_ready(paths)
        identity.wait_ready(paths)
        storage.wait_ready(paths)


def service_secrets(paths: LabPaths, stack: str = environment.STACK) -> dict[str, dict[str, Any]]:
    """Configuration key -> what a stack of the lab needs to reach what is outside the clusters.

    Args:
        paths: The lab.
        stack: One of `lab.environment.STACKS`.

    Raises:
        LabError: Files are not there: no lab.
    """
    return {
        environment.ALERTING_SECRETS: receivers.alerting_secrets(paths),
        environment.DIRECTORY_SECRETS: directory.directory_secrets(paths),
        environment.IDENTITY_SECRETS: identity.identity_secrets(paths),
        environment.OBJECT_STORAGE_SECRETS: storage.storage_secrets(paths, second=stack == environment.SECOND_STACK),
        environment.OBJECT_STORAGE_ROLES: storage.role_secrets(paths, second=stack == environment.SECOND_STACK),
        environment.BACKUP_RECIPIENTS: storage.backup_recipients(paths),
        environment.WITNESS_SECRETS: storage.witness_secrets(paths),
        environment.CLUSTER_AUDIT_SECRETS: dict(node.audit_webhook_secrets(environment.cluster_paths(paths, stack))),
    }
