"""``ops backup run pulumi-state`` and its restore: secrets stay encrypted, what is stored is what Pulumi gave."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ops.__main__ import app
from ops.backups import pulumi_state
from ops.backups.runs import runs
from ops.core.errors import OpsError
from services.backup import restore, signature
from services.backup.manifest import manifest_key
from services.backup.store import Store
from tests.unit.ops.backup_harness import STATE, access_file, ago, identity_file, state_run
from tests.unit.services.backup.harness import IDENTITY, RECIPIENT, Harness


def fake_pulumi(folder: Path, monkeypatch: pytest.MonkeyPatch, state: Mapping[str, Any] | str, code: int = 0) -> Path:
    """A program that answers as `pulumi` does, and writes down how it was called."""
    programs = folder / "bin"
    programs.mkdir()
    answer = folder / "state.json"
    answer.write_text(state if isinstance(state, str) else json.dumps(state))
    program = programs / "pulumi"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {folder}/calls\n[ {code} = 0 ] || {{ echo "error: no stack" >&2; exit {code}; }}\n'
        f'case "$1" in version) echo v3.1.2;; *) cat {answer};; esac\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    return folder / "calls"


def test_the_state_is_exported_encrypted_and_stored(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = fake_pulumi(tmp_path, monkeypatch, STATE)
    manifest = pulumi_state.run(
        store, (RECIPIENT,), platform="obs", region="here", seal_key="key-of-the-operators", cwd=tmp_path
    )
    sealed = store.head(manifest_key("pulumi-state", manifest.run)).metadata[signature.SEAL]
    assert signature.sealed("key-of-the-operators", manifest.content(), sealed)
    assert calls.read_text().splitlines() == ["stack export --non-interactive"], "never with --show-secrets"
    assert (manifest.program, dict(manifest.counts)) == ("pulumi v3.259.0", {"resources": 2, "secrets": 1})
    manifest_read = restore.fetch(store, "pulumi-state", manifest.run, [IDENTITY], tmp_path / "run")
    assert json.loads((tmp_path / "run/state.json").read_text()) == STATE
    assert pulumi_state.check(tmp_path / "run", manifest_read) == []


def test_a_state_that_shows_a_secret_is_not_stored(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = {pulumi_state.SECRET: "1b47", "plaintext": '"the password"'}
    state = {"version": 3, "deployment": {"resources": [{"outputs": {"deep": [shown]}}]}}
    fake_pulumi(tmp_path, monkeypatch, state)
    with pytest.raises(OpsError, match="has secrets in clear text: it is not stored") as error:
        pulumi_state.run(store, (RECIPIENT,), platform="obs", region="here", cwd=tmp_path)
    assert "the password" not in str(error.value)
    assert store.objects() == []


@pytest.mark.parametrize("answer", ["", "[]", "{}", '{"deployment": 1}', '{"deployment": {"resources": {"a": 1}}}'])
def test_what_is_no_state_is_refused(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    fake_pulumi(tmp_path, monkeypatch, answer)
    with pytest.raises(OpsError, match="did not print a state"):
        pulumi_state.run(store, (RECIPIENT,), platform="obs", region="here", cwd=tmp_path)


def test_pulumis_own_reason_is_told(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_pulumi(tmp_path, monkeypatch, STATE, code=255)
    with pytest.raises(OpsError, match="`pulumi stack export` failed: error: no stack"):
        pulumi_state.run(store, (RECIPIENT,), platform="obs", region="here", cwd=tmp_path)


def test_a_state_without_its_version_asks_the_program(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_pulumi(tmp_path, monkeypatch, {"version": 3, "deployment": {"resources": []}})
    manifest = pulumi_state.run(store, (RECIPIENT,), platform="obs", region="here", cwd=tmp_path)
    assert manifest.program == "pulumi v3.1.2"


def test_no_older_run_is_removed_which_is_the_exporters_task(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for days in (200, 100, 1):
        state_run(store, ago(days=days))
    fake_pulumi(tmp_path, monkeypatch, STATE)
    pulumi_state.run(store, (RECIPIENT,), platform="obs", region="here", cwd=tmp_path)
    assert runs(store, "pulumi-state").total == 4


def restored(place: Harness, *words: str) -> Any:
    more = ["--access", str(access_file(place)), "--identity", str(identity_file(place))]
    return CliRunner().invoke(app, ["backup", "restore", "pulumi-state", *words, *more])


def test_a_state_is_restored_to_a_new_file_of_its_owner_alone(place: Harness, store: Store, tmp_path: Path) -> None:
    state_run(store, ago(days=1))
    target = tmp_path / "restored.json"
    result = restored(place, "--to", str(target))
    assert result.exit_code == 0, result.output
    assert json.loads(target.read_text()) == STATE
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert "2 resources, 1 secrets" in result.stdout
    assert f"pulumi stack import --file {target}" in result.stderr
    again = restored(place, "--to", str(target))
    assert isinstance(again.exception, OpsError)
    assert "is there already: name a new file" in str(again.exception)


def test_a_state_that_does_not_fit_its_manifest_is_not_restored(place: Harness, store: Store, tmp_path: Path) -> None:
    state_run(store, ago(days=1), resources=5, secrets=1)
    target = tmp_path / "restored.json"
    result = restored(place, "--to", str(target))
    assert isinstance(result.exception, OpsError)
    assert "resources: 2, the manifest says 5" in str(result.exception)
    assert not target.exists()
