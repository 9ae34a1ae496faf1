"""``obs config set-cluster``: a stack file gets the cluster that answers, and no other line of it changes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from components.cluster import EMBEDDED
from lab.toolchain import tools
from ops.__main__ import app
from ops.config import with_cluster
from ops.core.errors import OpsError
from tests.support import engine
from tests.support.clusters import kubeconfig

UIDS = {
    "region-a": "11111111-1111-4111-8111-11111111111a",
    "region-b": "11111111-1111-4111-8111-11111111111b",
    EMBEDDED[0]: "11111111-1111-4111-8111-11111111111c",
}
COMMITTED = [path.name for path in sorted(engine.CHECKOUT.glob("Pulumi.*.yaml"))]


@pytest.fixture
def clusters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A kubeconfig that knows the clusters; region-a is the current one."""
    with kubeconfig(tmp_path / "kubeconfig", UIDS) as file:
        monkeypatch.setenv("KUBECONFIG", str(file))
        monkeypatch.setenv("PATH", f"{tools.path('kubectl').parent}{os.pathsep}{os.environ['PATH']}")
        yield


def named(path: Path) -> tuple[str, str]:
    cluster = yaml.safe_load(path.read_text())["config"]["observability:settings"]["cluster"]
    return cluster["context"], cluster["uid"]


def copied(folder: Path, name: str = "Pulumi.mine.yaml", of: str = "Pulumi.prod.yaml") -> Path:
    path = folder / name
    path.write_text((engine.CHECKOUT / of).read_text())
    return path


def run(path: Path, *arguments: str) -> str:
    result = CliRunner().invoke(app, ["config", "set-cluster", "--file", str(path), *arguments])
    if isinstance(result.exception, OpsError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.usefixtures("clusters")
def test_the_current_context_or_a_named_one_is_written_and_every_other_line_stays(tmp_path: Path) -> None:
    path = copied(tmp_path)
    before = path.read_text().splitlines()
    said = run(path)
    assert said == f"Pulumi.mine.yaml: the context region-a leads to the cluster {UIDS['region-a']}\n"
    assert named(path) == ("region-a", UIDS["region-a"])
    changed = set(path.read_text().splitlines()) ^ set(before)
    assert {line.split(":")[0].strip() for line in changed} == {"context", "uid"}
    text = path.read_text()
    assert run(path, "--context", "region-a") == said
    assert path.read_text() == text


@pytest.mark.usefixtures("clusters")
def test_a_stack_moves_to_another_cluster_only_where_that_is_meant(tmp_path: Path) -> None:
    path = copied(tmp_path)
    run(path)
    with pytest.raises(OpsError) as caught:
        run(path, "--context", "region-b")
    assert str(caught.value) == (
        f"Pulumi.mine.yaml names the cluster {UIDS['region-a']}, and region-b leads to {UIDS['region-b']}: nothing was "
        "changed; name another --context, or add --replace where the stack moves"
    )
    assert named(path) == ("region-a", UIDS["region-a"])
    run(path, "--context", "region-b", "--replace")
    assert named(path) == ("region-b", UIDS["region-b"])


@pytest.mark.usefixtures("clusters")
def test_two_stacks_do_not_get_one_place(tmp_path: Path) -> None:
    run(copied(tmp_path))
    second = copied(tmp_path, "Pulumi.second.yaml", "Pulumi.dr.yaml")
    with pytest.raises(OpsError) as caught:
        run(second)
    assert str(caught.value) == (
        f"Pulumi.mine.yaml names the same namespace obs of the same cluster {UIDS['region-a']}: nothing was changed; "
        "give each stack a namespace or a cluster of its own"
    )
    second.write_text(second.read_text().replace("    namespace: obs\n", "    namespace: obs-second\n"))
    run(second)
    assert named(second) == ("region-a", UIDS["region-a"])


@pytest.mark.usefixtures("clusters")
def test_what_cannot_be_named_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = copied(tmp_path)
    for context, message in (
        (EMBEDDED[0], "obs-lab is the embedded cluster's context, whose UID is not kept: name another --context"),
        ("region-c", 'no cluster says who it is: .*"region-c" does not exist.*: name --context, set KUBECONFIG'),
    ):
        with pytest.raises(OpsError, match=message) as caught:
            run(path, "--context", context)
        assert "\n" not in str(caught.value)
    path.write_text("config: {}\n")
    with pytest.raises(OpsError, match=r"Pulumi\.mine\.yaml has no group observability:settings: copy Pulumi\.prod"):
        run(path)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(OpsError, match=r"no cluster says who it is: .*current-context is not set"):
        run(path)


@pytest.mark.parametrize("name", COMMITTED)
@pytest.mark.parametrize("context", ["kind-kind", "arn:aws:eks:ap-northeast-1:111122223333:cluster/obs", "42"])
def test_each_committed_file_takes_any_context(name: str, context: str) -> None:
    text = (engine.CHECKOUT / name).read_text()
    expected = yaml.safe_load(text)
    expected["config"]["observability:settings"]["cluster"] |= {"context": context, "uid": UIDS["region-b"]}
    assert yaml.safe_load(with_cluster(text, context, UIDS["region-b"], name)) == expected


def test_a_group_without_the_keys_gets_them() -> None:
    text = "config:\n  observability:settings:\n    cluster:\n      domain: a\n    other: 1\n"
    new = with_cluster(text, "a", UIDS["region-a"], "Pulumi.mine.yaml")
    assert new.splitlines()[2:6] == [
        "    cluster:",
        "      context: a",
        f"      uid: {UIDS['region-a']}",
        "      domain: a",
    ]


@pytest.mark.parametrize("cluster", ["    cluster: {domain: a}\n", ""])
def test_a_group_on_one_line_is_left_to_its_owner(cluster: str) -> None:
    with pytest.raises(OpsError, match=r"^Pulumi\.mine\.yaml has no group cluster with a line for each key: write "):
        with_cluster(
            f"config:\n  observability:settings:\n{cluster}    other: 1\n", "a", UIDS["region-a"], "Pulumi.mine.yaml"
        )
