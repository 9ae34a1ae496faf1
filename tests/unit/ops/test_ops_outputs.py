"""What each command reads of the stack's outputs: as few secrets as its code uses, and never the key of hashed ids."""

from __future__ import annotations

import ast
import functools
import json
import stat
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from ops import __main__ as cli
from ops.core import platform
from ops.core.errors import OpsError
from ops.core.platform import PROJECT, READS, SECRETS, Platform
from ops.incidents.collect import Clients

USES = {
    **{name: name for name in SECRETS},
    "KafkaAdmin": "kafka_admin",
    "backup_access": "backups",
    "report_access": "reports",
}
"""Attribute, class or function in the code -> the output behind it."""
NAMES = {"KafkaAdmin", "backup_access", "report_access"}
PASSED_ON = {"ops/core/access.py", "ops/core/kafka.py", "ops/core/platform.py"}
"""Modules that name every output, whoever asks."""


def module_file(name: str) -> Path | None:
    path = PROJECT.joinpath(*name.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


@functools.cache
def parsed(file: Path) -> tuple[frozenset[Path], frozenset[str]]:
    """Modules of ours that a module imports, wherever in it, and outputs that it uses."""
    imported: set[Path] = set()
    used: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) != "settings":  # those of a stack file
            used |= {USES[node.attr]} if node.attr in SECRETS else set()
        elif isinstance(node, ast.Name):
            used |= {USES[node.id]} if node.id in NAMES else set()
        imported |= {loaded for name in names if name.split(".")[0] == "ops" and (loaded := module_file(name))}
    passed_on = str(file.relative_to(PROJECT)) in PASSED_ON
    return frozenset(imported), frozenset() if passed_on else frozenset(used)


def uses(command: str) -> set[str]:
    """Secret outputs that the code behind a command uses, with all that it imports."""
    first = module_file(cli.COMMANDS[command].partition(":")[0])
    assert first is not None
    # Drills name their procedures as text.
    waiting = [first, *(sorted((PROJECT / "ops" / "drills").rglob("*.py")) if command == "drill" else [])]
    seen: set[Path] = set()
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            waiting += parsed(file)[0]
    return {name for file in seen for name in parsed(file)[1]}


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_a_command_reads_the_secrets_that_its_code_uses_and_no_other(command: str) -> None:
    assert READS[command] == uses(command), f"write into READS what `{command}` uses"


def test_every_command_is_in_the_table() -> None:
    assert set(READS) == set(cli.COMMANDS)


def test_the_key_of_hashed_ids_is_read_by_no_command() -> None:
    assert "id_hash_key" not in {*SECRETS, *Platform.model_fields}
    assert set(Platform.model_fields) >= SECRETS


STORED = {"id_hash_key": "the key of hashed ids", "grafana_admin": {"username": "a", "password": "of grafana"}}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, outputs: dict[str, Any]) -> Path:
    """A stack behind a program ``pulumi`` that writes down what it is asked for."""
    stored = {**outputs, **STORED}
    secret = {*SECRETS, "id_hash_key", "ca_certificate"}
    masked = {name: "[secret]" if name in secret else value for name, value in stored.items()}
    for name, value in [("all", stored), ("masked", masked), *stored.items()]:
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
    program = tmp_path / "pulumi"
    program.write_text(
        "#!/bin/sh\n"
        f'echo "$*" >> {tmp_path}/calls\n'
        'case "$*" in *--show-secrets*) shown=all;; *) shown=masked;; esac\n'
        'case "$3" in --*) ;; *) shown=$3;; esac\n'
        f"cat {tmp_path}/$shown.json\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path / "calls"


def requested(calls: Path) -> list[str]:
    return sorted(line.split("--")[0].split()[-1] for line in calls.read_text().splitlines())


def test_only_what_is_named_is_read(calls: Path, tmp_path: Path) -> None:
    with platform.limited({"query_reader", "grafana_admin"}):
        loaded = platform.load(tmp_path)
    assert loaded.query_reader.pair == ("someone", "a-long-password")
    assert loaded.grafana_admin is not None
    assert loaded.grafana_admin.pair == ("a", "of grafana")
    assert loaded.ca_certificate == "-----BEGIN CERTIFICATE-----"
    assert requested(calls) == ["output"], "a call costs a second of a processor's time"
    assert "the key of hashed ids" not in repr(vars(loaded))
    with pytest.raises(OpsError, match="this command does not read the output `kafka_admin`: READS in ops/core"):
        print(loaded.kafka_admin)
    assert "kafka_admin" not in repr(loaded)
    clients = Clients(load=lambda: loaded)
    assert clients.platform is loaded
    assert {"a-long-password", "of grafana"} <= clients.secrets()
    clients.close()


def test_where_no_secret_is_named_none_is_opened(calls: Path, tmp_path: Path) -> None:
    with platform.limited(frozenset()):
        loaded = platform.load(tmp_path)
    # The certificate is no secret, but comes from a Secret.
    assert loaded.ca_certificate == "-----BEGIN CERTIFICATE-----"
    assert requested(calls) == ["ca_certificate", "output"]
    assert set(vars(loaded)) & SECRETS == set()


def test_a_name_that_is_no_output_is_still_an_error_of_the_program(outputs: dict[str, Any]) -> None:
    with pytest.raises(AttributeError, match="no_such_thing"):
        print(platform.parse(outputs).no_such_thing)  # type: ignore[attr-defined]


def test_an_output_that_a_command_reads_must_be_there(outputs: dict[str, Any]) -> None:
    del outputs["kafka_admin"]
    with pytest.raises(OpsError, match="stack output `kafka_admin`: Field required"):
        platform.parse(outputs, SECRETS - {"kafka_admin"})
    assert platform.parse(outputs, SECRETS).namespace == "obs-local"


def test_the_command_line_limits_a_command_to_its_own_outputs(
    monkeypatch: pytest.MonkeyPatch, calls: Path, tmp_path: Path, outputs: dict[str, Any]
) -> None:
    read: list[Platform] = []
    monkeypatch.setitem(cli.COMMANDS, "health", f"{__name__}:tell")
    monkeypatch.setattr(f"{__name__}.told", lambda: read.append(platform.load(tmp_path)))
    cli.loaded.cache_clear()
    try:
        done = CliRunner().invoke(cli.app, ["health"])
    finally:
        cli.loaded.cache_clear()
    assert done.exit_code == 0, done.output
    assert set(vars(read[0])) & SECRETS == READS["health"]
    assert platform.withheld() == frozenset(), "the limit ends with the command"


def told() -> None:
    """Replaced by the test."""


def tell() -> None:
    told()
    raise typer.Exit(0)
