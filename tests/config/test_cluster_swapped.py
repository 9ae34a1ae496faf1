"""Two real API servers whose contexts are swapped: program, commands and preflight refuse, each in one line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pulumi
import pytest
import yaml
from pulumi.runtime import set_all_config
from typer.testing import CliRunner

from components.cluster import ROLE_ANNOTATION, cluster_uid, namespace
from lab.toolchain import tools
from ops.__main__ import app
from ops.core.errors import OpsError
from ops.core.platform import refuse_another
from stacks.cluster import check_role, identified
from stacks.settings import Role, SettingsError, parse
from tests.config.kube_api import ADMIN, KubeApi, kube_api
from tests.support import engine

REGIONS = {"prod": "obs-region-a", "dr": "obs-region-b"}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, KubeApi]]:
    """Context -> the API server that it leads to before anybody swaps them."""
    first, second = (tmp_path_factory.mktemp(name) for name in REGIONS)
    with kube_api(first) as one, kube_api(second) as other:
        yield dict(zip(REGIONS.values(), (one, other), strict=True))


@pytest.fixture
def project(servers: dict[str, KubeApi], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Both stack files, each with the identity that `set-cluster` found out, and a kubeconfig with both contexts."""
    monkeypatch.setenv("PATH", f"{tools.path('kubectl').parent}{os.pathsep}/usr/bin:/bin")
    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: False)
    lead(monkeypatch, tmp_path, servers)
    for stack, context in REGIONS.items():
        path = tmp_path / f"Pulumi.{stack}.yaml"
        path.write_text((engine.CHECKOUT / path.name).read_text())
        result = CliRunner().invoke(app, ["config", "set-cluster", "--file", str(path), "--context", context])
        assert result.exit_code == 0, result.output
    return tmp_path


def lead(monkeypatch: pytest.MonkeyPatch, folder: Path, servers: dict[str, KubeApi]) -> None:
    """Let each context lead to a server."""
    parts = {context: yaml.safe_load(api.kubeconfig.read_text()) for context, api in servers.items()}
    user = {name: next(user for user in part["users"] if user["name"] == ADMIN) for name, part in parts.items()}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "obs-region-a",
        "clusters": [{**part["clusters"][0], "name": name} for name, part in parts.items()],
        "users": [{**user[name], "name": name} for name in parts],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}} for name in parts],
    }
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(content))
    monkeypatch.setenv("KUBECONFIG", str(file))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(file))


def test_each_stack_finds_its_own_cluster_and_swapped_contexts_are_refused(
    project: Path, servers: dict[str, KubeApi], monkeypatch: pytest.MonkeyPatch
) -> None:
    uids = {context: cluster_uid(context) for context in REGIONS.values()}
    assert len(set(uids.values())) == len(REGIONS)
    files = {stack: project / f"Pulumi.{stack}.yaml" for stack in REGIONS}
    settings = {
        stack: parse(yaml.safe_load(file.read_text())["config"]["observability:settings"], file.name)
        for stack, file in files.items()
    }
    for stack, context in REGIONS.items():
        assert identified(settings[stack].cluster, files[stack].name) == {"context": context, "uid": uids[context]}
        refuse_another(project, stack, lambda: "")
    lead(monkeypatch, project, dict(zip(servers, reversed(servers.values()), strict=True)))
    for stack, context in REGIONS.items():
        own, other = uids[context], next(uid for name, uid in uids.items() if name != context)
        with pytest.raises(
            SettingsError, match=f"uid is {own}, but the context {context} leads to the cluster {other}"
        ):
            identified(settings[stack].cluster, files[stack].name)
        with pytest.raises(
            OpsError, match=f"{context} leads to the cluster {other}, but Pulumi.{stack}.yaml names {own}"
        ):
            refuse_another(project, stack, lambda: "")
        monkeypatch.setattr("ops.preflight.command.render", lambda *_: None)
        result = CliRunner().invoke(app, ["preflight", "--file", str(files[stack])])
        set_all_config({})
        assert result.exit_code == 1
        assert result.stdout.splitlines()[-1].startswith(
            f"fail  cluster           {context} leads to {other}, the stack file names {own}: "
        )


def test_the_region_s_role_is_in_the_cluster_and_not_in_one_checkout(
    project: Path, servers: dict[str, KubeApi]
) -> None:
    cluster = parse(
        yaml.safe_load((project / "Pulumi.prod.yaml").read_text())["config"]["observability:settings"], "file"
    ).cluster
    assert namespace(cluster.context, "obs") is None
    check_role(cluster, "obs", Role.PRIMARY, "Pulumi.prod.yaml")
    region = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "obs"}}
    region["metadata"]["annotations"] = {ROLE_ANNOTATION: "standby"}  # type: ignore[index]
    servers["obs-region-a"].create("/api/v1/namespaces", region)
    check_role(cluster, "obs", Role.STANDBY, "Pulumi.prod.yaml")
    with pytest.raises(SettingsError, match=r"role is primary, but this region was made standby, by a failover"):
        check_role(cluster, "obs", Role.PRIMARY, "Pulumi.prod.yaml")
