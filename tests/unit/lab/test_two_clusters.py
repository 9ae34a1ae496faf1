"""Two embedded clusters of one checkout: names and addresses of their own, one cable, one kubeconfig, real packets."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from components.cluster import EMBEDDED
from lab import environment
from lab.cluster import lifecycle, network, node
from lab.cluster.network import FIRST, NODE_NAME, SECOND, cluster_of, connect
from lab.paths import CHECKOUT, LabPaths
from tests.unit.lab.network_partition_harness import inside

PORT = 6443
LOAD_BALANCER = "198.19.0.50"


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabPaths:
    monkeypatch.setenv("OBS_STATE", str(tmp_path))
    return LabPaths("x")


def test_both_clusters_of_a_checkout_have_folders_and_names_of_their_own(paths: LabPaths) -> None:
    first, second = paths, paths.second
    assert (first.first, second.first, second.second, first.is_second, second.is_second) == (
        first,
        first,
        second,
        False,
        True,
    )
    assert len({first.state, first.netns, first.kubeconfig, second.state, second.netns, second.kubeconfig}) == 6
    assert (cluster_of(first), cluster_of(second)) == (FIRST, SECOND)
    assert not LabPaths.of_checkout().is_second
    assert [environment.cluster_paths(paths, stack) for stack in environment.STACKS] == [first, second]


@pytest.mark.parametrize("stack", environment.STACKS)
def test_each_stack_file_is_for_its_own_cluster(paths: LabPaths, stack: str) -> None:
    cluster, settings = cluster_of(environment.cluster_paths(paths, stack)), environment.committed(stack)
    named = settings["cluster"]
    assert isinstance(named, dict)
    assert (named["context"], settings["namespace"]) == (cluster.context, cluster.namespace)
    assert named["api"]["networks"] == named["kubelets"]["networks"] == [f"{cluster.node}/32"]
    other = (SECOND if cluster is FIRST else FIRST).load_balancers.rpartition(".")[0]
    text = (CHECKOUT / f"Pulumi.{stack}.yaml").read_text()
    own = [line for line in text.splitlines() if "address: 198." in line]
    assert own
    assert not [line for line in own if f"address: {other}." in line]


def test_the_copy_of_a_stack_file_names_the_running_cluster(paths: LabPaths) -> None:
    for number, stack in enumerate(environment.STACKS):
        cluster = environment.cluster_paths(paths, stack)
        cluster.state.mkdir(parents=True)
        cluster.uid_file.write_text(f"00000000-0000-4000-8000-00000000000{number}")
    view = environment.project(paths)
    for number, stack in enumerate(environment.STACKS):
        copied = yaml.safe_load((view / f"Pulumi.{stack}.yaml").read_text())["config"]["observability:settings"]
        assert copied["cluster"].pop("uid") == f"00000000-0000-4000-8000-00000000000{number}"
        committed = dict(environment.committed(stack))
        committed["cluster"] = {key: value for key, value in copied["cluster"].items() if key != "uid"}
        assert copied == committed


def test_one_kubeconfig_leads_to_both_while_there_are_two(paths: LabPaths) -> None:
    for cluster in (paths, paths.second):
        node.create(cluster.state / "pki", cluster_of(cluster))
        lifecycle._write_commands_kubeconfig(cluster)
    content = yaml.safe_load(paths.second.commands_kubeconfig.read_text())
    assert content["current-context"] == EMBEDDED[0]
    servers = {entry["name"]: entry["cluster"]["server"] for entry in content["clusters"]}
    leads = {entry["name"]: servers[entry["context"]["cluster"]] for entry in content["contexts"]}
    assert leads == {cluster.context: f"https://{cluster.node}:{PORT}" for cluster in (FIRST, SECOND)}
    assert {entry["context"]["user"] for entry in content["contexts"]} == {entry["name"] for entry in content["users"]}
    assert len(content["users"]) == 2
    assert paths.commands_kubeconfig.stat().st_mode & 0o077 == 0
    paths.second.kubeconfig.unlink()
    lifecycle._write_commands_kubeconfig(paths.second)
    content = yaml.safe_load(paths.commands_kubeconfig.read_text())
    assert [entry["name"] for entry in content["contexts"]] == [EMBEDDED[0]]
    assert environment.variables(paths)["KUBECONFIG"] == str(paths.commands_kubeconfig)


@pytest.fixture(scope="module")
def namespaces() -> Iterator[tuple[str, str]]:
    """Network namespaces of both clusters, connected."""
    names = (f"t-{uuid4().hex[:8]}", f"t-{uuid4().hex[:8]}")
    with ExitStack() as stack:
        for name, cluster in zip(names, (FIRST, SECOND), strict=True):
            network.create_namespace(name, cluster)
            stack.callback(network.delete_namespace, name)
        connect(*names)
        connect(*names)
        yield names


@pytest.mark.parametrize("target", [SECOND.node, LOAD_BALANCER])
def test_each_cluster_sees_the_other_ones_node_where_it_comes_from(namespaces: tuple[str, str], target: str) -> None:
    """A load balancer's address is no interface's: it is translated where it arrives, as kube-proxy does it."""
    first, second = namespaces
    if target == LOAD_BALANCER:
        rule = [
            "-t",
            "nat",
            "-A",
            "PREROUTING",
            "-d",
            target,
            "-p",
            "tcp",
            "-j",
            "DNAT",
            "--to-destination",
            SECOND.node,
        ]
        subprocess.run([*network.enter(second), "iptables", "-w", "10", *rule], check=True, timeout=30)
    with inside(second, lambda: socket.create_server((SECOND.node, PORT))) as server:
        server.settimeout(5)
        with inside(first, lambda: socket.create_connection((target, PORT), timeout=5)):
            accepted, (source, _) = server.accept()
            accepted.close()
    assert source == FIRST.node


def test_what_is_outside_is_reached_from_the_second_cluster(namespaces: tuple[str, str]) -> None:
    first, second = namespaces
    with inside(first, lambda: socket.create_server((FIRST.outside[0], PORT))) as server:
        server.settimeout(5)
        with inside(second, lambda: socket.create_connection((FIRST.outside[0], PORT), timeout=5)):
            accepted, (source, _) = server.accept()
            accepted.close()
    assert source == SECOND.node


def test_the_second_node_has_addresses_and_a_place_of_its_own(paths: LabPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.tools, "path", lambda program: Path("/bin") / program)
    monkeypatch.setattr(node, "on_path", lambda program, package: f"/bin/{program}")
    words = {
        cluster: [word for part in node.daemons(cluster, "/none") for word in part.command]
        for cluster in (paths, paths.second)
    }
    for cluster, own in words.items():
        settings = cluster_of(cluster)
        assert f"--bind-address={settings.node}" in own
        assert f"--service-external-ip-range={settings.load_balancers}" in own
        assert f"--hostname-override={NODE_NAME}" in own
        assert any(f"region={settings.region}" in word for word in own)
    assert not [word for word in words[paths.second] if word.endswith(f"={FIRST.node}")]
