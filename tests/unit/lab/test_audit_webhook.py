"""The API server of the embedded cluster posts to the stack's audit log, with what that is given as a secret."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lab import LabError, environment
from lab.cluster import network, node
from lab.paths import LabPaths


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabPaths:
    monkeypatch.setenv("OBS_STATE", str(tmp_path))
    monkeypatch.setattr(node.tools, "path", lambda program: Path("/bin") / program)
    monkeypatch.setattr(node, "on_path", lambda program, package: f"/bin/{program}")
    return LabPaths("none")


@pytest.mark.parametrize("stack", environment.STACKS)
def test_it_posts_to_the_address_of_the_stack_about_its_namespace_with_the_stacks_token(
    paths: LabPaths, stack: str
) -> None:
    paths = environment.cluster_paths(paths, stack)
    node.create(paths.state / "pki", network.cluster_of(paths))
    node.prepare_audit_webhook(paths, started=False)
    [server] = [part for part in node.daemons(paths, "/none") if part.name == "kube-apiserver"]
    flags = dict(word.split("=", 1) for word in server.command if word.startswith("--"))
    webhook, policy = (
        yaml.safe_load(Path(flags[f"--audit-{name}"]).read_text()) for name in ("webhook-config-file", "policy-file")
    )
    settings = environment.committed(stack)
    address = settings["audit"]["cluster"]["address"]  # type: ignore[index]
    assert address == network.AUDIT_SERVICE
    assert f"//{address}:" in webhook["clusters"][0]["cluster"]["server"]
    assert webhook["users"][0]["user"]["token"] == node.audit_webhook_secrets(paths)["token"]
    assert {name for rule in policy["rules"] for name in rule.get("namespaces", ())} == {settings["namespace"], ""}


def test_an_api_server_that_runs_without_is_told_with_its_remedy(paths: LabPaths) -> None:
    with pytest.raises(LabError, match="run `make down` first"):
        node.prepare_audit_webhook(paths, started=True)
    with pytest.raises(LabError, match="run `make up`"):
        node.audit_webhook_secrets(paths)
    node.prepare_audit_webhook(paths, started=False)
    node.prepare_audit_webhook(paths, started=True)
