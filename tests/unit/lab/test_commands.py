"""The lab's command line for two regions: what it refuses, in one line, before it does anything."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab import LabError, registry
from lab import __main__ as command_line
from lab.cluster import disruptions, lifecycle, network, node
from lab.cluster.network import MAX_PODS, NODE_POD_CIDR, NODE_POD_PREFIX, Daemon
from lab.paths import LabPaths
from lab.stack import Stack
from lab.toolchain import containers, tools


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabPaths:
    monkeypatch.setenv("OBS_STATE", str(tmp_path))
    lab_paths = LabPaths("x")
    monkeypatch.setattr(command_line, "_PATHS", lab_paths)
    monkeypatch.setattr(command_line.packages, "install", lambda: None)
    monkeypatch.setattr(command_line, "build_tools", lambda *_: None)
    monkeypatch.setattr(network, "namespace_exists", lambda _: False)
    return lab_paths


def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and the one line of the error."""
    monkeypatch.setattr(sys, "argv", ["lab", *arguments])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    shown = capsys.readouterr()
    lines = [line for line in shown.err.splitlines() if not line.startswith(("..", "ok "))]
    assert "Traceback" not in shown.err
    return int(ended.value.code or 0), shown.out, " ".join(lines)


class Kubectl:
    """A fake of kubectl: answers by the first word of what is asked for."""

    def __init__(self, **answers: str | None) -> None:
        self.answers = answers

    def __call__(self, _: LabPaths, *arguments: str, **__: Any) -> subprocess.CompletedProcess[str]:
        answer = self.answers[arguments[1]]
        return subprocess.CompletedProcess([], answer is None, answer or "", "" if answer else "no\nanswer")


@pytest.mark.parametrize("command", ["up", "destroy"])
def test_only_the_labs_stacks_are_brought_up_and_destroyed(
    paths: LabPaths, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    code, _, error = said(capsys, monkeypatch, command, "--stack", "prod")
    assert (code, error) == (1, "error: stack prod is none of the lab: allowed are local, local-dr")


def test_a_release_of_kafka_that_the_lab_does_not_offer_is_refused_before_anything_is_built(
    paths: LabPaths, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containers, "build_all", lambda: pytest.fail("nothing may be built"))
    code, _, error = said(capsys, monkeypatch, "up", "--kafka", "4.2.0")
    assert (code, error) == (1, "error: --kafka 4.2.0: allowed are pinned, previous")


@pytest.mark.parametrize(
    "arguments",
    [
        ("up", "--stack", "local-dr"),
        ("partition", "obs-local"),
        ("reconnect", "obs-local"),
        ("scale-down", "obs-local"),
    ],
)
def test_without_a_cluster_it_says_what_to_do(
    paths: LabPaths, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    assert said(capsys, monkeypatch, *arguments) == (1, "", "error: no cluster: run `make up`")
    second = [word.replace("obs-local", "obs-local-dr") for word in arguments if "--" not in word]
    if second != ["up", "local-dr"]:
        assert said(capsys, monkeypatch, *second) == (1, "", "error: no cluster: run `make up-dr`")
    assert disruptions.partitions(paths) == []


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({}, r"the first region is not up: run `make up` first"),
        (LabError("no stack"), r"the first region is not up: run `make up` first \(no stack\)"),
    ],
)
def test_a_second_region_needs_the_first(
    paths: LabPaths,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    outputs: Any,
    message: str,
) -> None:
    def of_first(_: Stack) -> Any:
        if isinstance(outputs, LabError):
            raise outputs
        return outputs

    monkeypatch.setattr(network, "namespace_exists", lambda _: True)
    monkeypatch.setattr(Stack, "__init__", lambda *_: None)
    monkeypatch.setattr(Stack, "outputs", of_first)
    monkeypatch.setattr(lifecycle, "up", lambda *_: pytest.fail("nothing may be started"))
    code, _, error = said(capsys, monkeypatch, "up", "--stack", "local-dr")
    assert code == 1
    assert re.fullmatch(f"error: {message}", error), error


def test_images_are_built_before_the_lab_has_a_network_of_its_own(
    paths: LabPaths, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    class Missing:
        def ensure(self) -> None:
            done.append("layer")

    def published(_: LabPaths, built: dict[str, str]) -> None:
        assert built == {"kafka": "sha256:1"}
        raise LabError("as far as this test goes")

    def built(*, make_room: bool) -> dict[str, str]:
        assert make_room
        done.append("files")
        return {"kafka": "sha256:1"}

    monkeypatch.setattr(containers, "server_images", lambda: [SimpleNamespace(layers=[Missing()])])
    monkeypatch.setattr(containers, "build", built)
    monkeypatch.setattr(lifecycle, "up", lambda *_: done.append("cluster"))
    monkeypatch.setattr(network, "join", lambda _: done.append("network"))
    monkeypatch.setattr(lifecycle, "wait_for_services", lambda *_: None)
    monkeypatch.setattr(registry, "publish", published)
    code, _, error = said(capsys, monkeypatch, "up")
    assert (code, error) == (1, "error: as far as this test goes")
    assert done == ["layer", "files", "cluster", "network"]


@pytest.mark.parametrize(("namespaces", "profiles"), [({"default"}, ["small"]), ({"default", "obs-local"}, [])])
def test_only_a_platform_that_was_not_there_leaves_the_times_of_its_steps(
    paths: LabPaths, monkeypatch: pytest.MonkeyPatch, namespaces: set[str], profiles: list[str]
) -> None:
    left: list[str] = []
    stack = SimpleNamespace(
        ensure=lambda: None, give_secrets=lambda _: None, up=lambda: namespaces.add("obs-local"), outputs=dict
    )
    monkeypatch.setattr(lifecycle, "namespaces", lambda _: namespaces)
    monkeypatch.setattr(command_line, "Stack", lambda *_: stack)
    monkeypatch.setattr(containers, "build_all", dict)
    for module, name in (
        (lifecycle, "up"),
        (lifecycle, "wait_for_metrics"),
        (network, "join"),
        (registry, "publish"),
        (lifecycle, "wait_for_services"),
        (lifecycle, "service_secrets"),
        (command_line.home, "install"),
        (command_line.stacks, "choose_controllers"),
        (command_line.stacks, "set_release"),
        (command_line, "_give_simulator"),
        (command_line, "wait_for_layers"),
        (command_line, "show_summary"),
    ):
        monkeypatch.setattr(module, name, lambda *_, **__: None)
    monkeypatch.setattr(registry, "pull_secret_given", lambda *_: nullcontext())
    monkeypatch.setattr(command_line.timing, "leave", lambda _, __, profile, *___: left.append(profile))
    command_line.up()
    assert left == profiles


def test_each_address_and_each_next_command_can_be_copied_from_a_narrow_terminal(
    paths: LabPaths, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(command_line, "Query", lambda _: SimpleNamespace(number=lambda _: 0.0))
    brokers = [f"198.18.0.1{number}:9094" for number in range(3)]
    outputs = {
        **dict.fromkeys(("otlp_grpc", "otlp_http", "query_url"), "https://198.18.0.20:4318"),
        "kafka_bootstrap": ",".join(brokers),
        "trace_query_urls": {},
        "sign_in_urls": {},
    }
    command_line.show_summary(paths, outputs, {"device": 1})
    shown = capsys.readouterr().out
    assert [broker for broker in brokers if broker not in shown] == []
    commands = ["python -m lab exec -- python -m ops connect --layer business --write DIR", "make verify"]
    assert [command for command in commands if f"  {command}\n" not in shown] == []


def test_a_cut_is_shown_and_keeps_its_stack_from_being_waited_for(
    paths: LabPaths, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (paths.state / "partitions").mkdir(parents=True)
    disruptions._remember(paths, disruptions.Partition(namespace="obs-local", frozen=True, uids=("a",)))
    code, shown, _ = said(capsys, monkeypatch, "status")
    assert (code, shown.splitlines()[-1]) == (1, "partitioned and frozen: obs-local")
    for command in ("up", "destroy"):
        code, _, error = said(capsys, monkeypatch, command)
        assert error == "error: namespace obs-local is partitioned: run `python -m lab reconnect obs-local` first"


@pytest.mark.parametrize(
    ("namespaces", "claimed", "gone"),
    [
        ("namespace/default\nnamespace/obs-local\n", "obs-local obs-local", True),
        ("namespace/default\nnamespace/obs-local-dr\n", "", False),
        ("namespace/default\n", "obs-local obs-local-dr", False),
        (None, "", False),
        ("namespace/default\n", None, False),
        ("namespace/default\n", "", True),
    ],
)
def test_what_the_other_region_has_does_not_keep_a_destroyed_one(
    paths: LabPaths, monkeypatch: pytest.MonkeyPatch, namespaces: str | None, claimed: str | None, gone: bool
) -> None:
    seen: list[bool] = []
    monkeypatch.setattr(lifecycle, "kubectl", Kubectl(namespaces=namespaces, pv=claimed))
    monkeypatch.setattr(lifecycle, "wait_until", lambda _, check, **__: seen.append(check()))
    lifecycle.wait_for_nothing_left(paths, "obs-local-dr")
    assert seen == [gone]


def test_frozen_pods_go_on_before_they_are_killed(paths: LabPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    paths.state.mkdir(parents=True)
    monkeypatch.setattr(disruptions, "thaw_all", lambda instance: done.append(f"thaw {instance}"))
    monkeypatch.setattr(network, "remove_cgroup", lambda instance: done.append(f"kill {instance}"))
    monkeypatch.setattr(network, "delete_orphaned_pod_namespaces", lambda: None)
    lifecycle.down(paths)
    assert done == ["thaw x", "kill x"]
    paths.state.mkdir(parents=True)
    paths.second.state.mkdir()
    lifecycle.down(paths)
    assert done[2:] == ["thaw x-dr", "kill x-dr", "thaw x", "kill x"], "the second cluster goes with the first"
    assert not paths.second.state.exists()
    assert not paths.state.exists()


def test_down_ends_what_was_started_whatever_this_checkout_would_start(
    paths: LabPaths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ends = tmp_path / "ends"
    wait = f"trap 'echo $0 >> {ends}; exit' TERM; touch {tmp_path}/$0; while :; do sleep 0.05; done"
    for name in ("removed-since", "a-newer-one"):
        Daemon(name, ["sh", "-c", wait, name], paths.state).start()
        network.wait_until(f"{name} to run", (tmp_path / name).exists, timeout_s=60)
    (paths.state / "pki").mkdir()
    (paths.state / "pki" / "complete").touch()
    monkeypatch.setattr(tools, "path", lambda program: pytest.fail(f"{program} is not needed"))
    monkeypatch.setattr(network, "remove_cgroup", lambda _: None)
    monkeypatch.setattr(network, "delete_orphaned_pod_namespaces", lambda: None)
    lifecycle.down(paths)
    assert ends.read_text().split() == ["a-newer-one", "removed-since"]
    assert not paths.state.exists()


def test_the_node_has_addresses_for_all_its_pods(paths: LabPaths) -> None:
    assert 2 ** (32 - NODE_POD_PREFIX) - 3 >= MAX_PODS + MAX_PODS // 2, "pods that end keep theirs for a moment"
    paths.state.mkdir(parents=True)
    node._containerd_config(paths)
    assert f'"subnet": "{NODE_POD_CIDR}"' in (paths.state / "cni" / "10-lab.conflist").read_text()
    assert f"maxPods: {MAX_PODS}\n" in node._kubelet_config(paths, "/obs-x").read_text()
