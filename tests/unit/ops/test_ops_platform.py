"""Stack outputs: complete, typed, and one clear line when they are not; nothing shows a password."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from ops import __main__ as cli
from ops.core import platform
from ops.core.errors import OpsError, one_line
from ops.core.kube import Kube, kubectl_target
from tests.support.clusters import kubeconfig


def test_complete_outputs_are_read_and_unknown_ones_ignored(outputs: dict[str, Any]) -> None:
    parsed_platform = platform.parse(outputs)
    assert parsed_platform.namespace == "obs-local"
    assert parsed_platform.otlp_credentials["device"].pair == ("someone", "a-long-password")
    assert parsed_platform.kafka_users["gateway"].pair == ("gateway", "another-password")


def test_no_representation_shows_a_password(outputs: dict[str, Any]) -> None:
    shown = repr(platform.parse(outputs))
    assert "password" in shown
    assert "a-long-password" not in shown
    assert "another-password" not in shown


def test_topics_may_be_described_by_a_mapping(outputs: dict[str, Any]) -> None:
    assert list(platform.parse({**outputs, "topics": {"telemetry-metrics": 12}}).topics) == ["telemetry-metrics"]


@pytest.mark.parametrize("name", ["namespace", "kafka_admin", "query_url", "otlp_credentials", "consumer_groups"])
def test_a_missing_output_is_named(outputs: dict[str, Any], name: str) -> None:
    del outputs[name]
    with pytest.raises(OpsError, match=f"stack output `{name}`: Field required"):
        platform.parse(outputs)


def test_an_output_of_another_shape_is_named_without_its_value(outputs: dict[str, Any]) -> None:
    outputs["kafka_admin"] = {"username": "admin", "password": ["hidden-value"]}
    with pytest.raises(OpsError, match=r"stack output `kafka_admin\.password`") as caught:
        platform.parse(outputs)
    assert "hidden-value" not in str(caught.value)


def test_a_stack_that_was_never_brought_up_is_told_so() -> None:
    with pytest.raises(OpsError, match="no outputs: run `pulumi up --policy-pack policy`"):
        platform.parse({})


def fake_pulumi(folder: Path, script: str) -> None:
    program = folder / "pulumi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def test_without_pulumi_there_is_one_line_and_exit_code_two(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["ops", "verify"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    said = capsys.readouterr()
    assert caught.value.code == 2
    assert said.out == ""
    assert said.err.startswith("error: `pulumi` is not on PATH")
    assert said.err.count("\n") == 1


def test_pulumis_own_reason_is_passed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_pulumi(tmp_path, "echo 'warning: old' >&2; echo 'error: no stack selected; pick one' >&2; exit 255")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(OpsError, match="cannot read the stack's outputs: no stack selected; pick one"):
        platform.load(tmp_path)


def test_what_is_no_json_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_pulumi(tmp_path, "echo nonsense")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(OpsError, match="did not print JSON"):
        platform.load(tmp_path)


def test_without_a_kubeconfig_there_is_one_line_and_exit_code_two(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], outputs: dict[str, Any]
) -> None:
    monkeypatch.setattr(platform, "load", lambda: in_cluster(outputs, None, "uid-of-a"))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    monkeypatch.setattr("sys.argv", ["ops", "health"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    said = capsys.readouterr()
    assert caught.value.code == 2
    assert said.err.startswith("error: no cluster: ")
    assert said.err.count("\n") == 1


def test_a_cluster_that_does_not_answer_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, outputs: dict[str, Any]
) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(
        "{apiVersion: v1, kind: Config, current-context: c, users: [],"
        " clusters: [{name: k, cluster: {server: 'http://127.0.0.1:9'}}],"
        " contexts: [{name: c, context: {cluster: k, user: ''}}]}"
    )
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(file))
    with pytest.raises(OpsError, match="the cluster does not answer: "):
        Kube.connect(outputs["namespace"])


def test_a_long_error_becomes_one_short_line() -> None:
    assert one_line("a\n b\t c") == "a b c"
    assert len(one_line("x" * 1000)) == 240
    assert one_line(ValueError()) == "ValueError"


UIDS = {"region-a": "uid-of-a", "region-b": "uid-of-b"}


def in_cluster(outputs: dict[str, Any], context: str | None, uid: str) -> platform.Platform:
    return platform.parse({**outputs, "cluster": {"context": context, "uid": uid}})


@pytest.mark.parametrize("context", UIDS)
def test_a_command_uses_the_context_of_the_stack_and_not_the_current_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, outputs: dict[str, Any], context: str
) -> None:
    with kubeconfig(tmp_path / "kubeconfig", UIDS) as file:
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(file))
        kube = Kube.of(in_cluster(outputs, context, UIDS[context]))
        assert (kube.cluster_id(), kube.context, kube.namespace) == (UIDS[context], context, "obs-local")
        kube.close()


@pytest.mark.parametrize(
    ("context", "uid", "message"),
    [
        (
            "region-a",
            "uid-of-b",
            "the context region-a leads to the cluster uid-of-a, but the platform obs is in uid-of-b",
        ),
        (
            "region-b",
            "uid-of-a",
            "the context region-b leads to the cluster uid-of-b, but the platform obs is in uid-of-a",
        ),
        (None, "uid-of-b", "the current context leads to the cluster uid-of-a, but the platform obs is in uid-of-b"),
    ],
)
def test_a_command_refuses_another_cluster_than_the_stack_s(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    outputs: dict[str, Any],
    context: str | None,
    uid: str,
    message: str,
) -> None:
    with kubeconfig(tmp_path / "kubeconfig", UIDS) as file:
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(file))
        with pytest.raises(OpsError) as caught:
            Kube.of(in_cluster(outputs, context, uid))
    assert str(caught.value) == f"{message}: nothing was done; select the other stack, or set KUBECONFIG"


def test_a_context_that_there_is_not_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, outputs: dict[str, Any]
) -> None:
    with kubeconfig(tmp_path / "kubeconfig", UIDS) as file:
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(file))
        with pytest.raises(OpsError, match=r"^no cluster: .*region-c.*: set KUBECONFIG$"):
            Kube.of(in_cluster(outputs, "region-c", "uid-of-a"))


def test_outputs_that_name_no_cluster_are_refused(outputs: dict[str, Any]) -> None:
    with pytest.raises(
        OpsError, match="outputs name no cluster: run `pulumi up --policy-pack policy` with this version"
    ):
        Kube.of(platform.parse(outputs))


def test_kubectl_is_given_the_context() -> None:
    assert kubectl_target("obs", "region-a") == ["--context=region-a", "-n", "obs"]
    assert kubectl_target("obs", None) == ["-n", "obs"]


def test_every_command_connects_with_the_stack_s_cluster() -> None:
    package = Path(platform.__file__).parents[1]
    elsewhere = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if path.name != "kube.py" and ("Kube.connect" in path.read_text() or "load_kube_config" in path.read_text())
    ]
    # Before a platform is there, its stack file names the cluster.
    assert sorted(elsewhere) == ["preflight/command.py", "rights.py", "up.py"]
