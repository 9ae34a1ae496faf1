"""``obs config``: everything that is missing in one go, from a stack file; the schema for editors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pulumi.runtime import set_all_config
from typer.testing import CliRunner, Result

from ops.__main__ import app
from ops.config import of_file
from ops.core.errors import OpsError
from stacks import schema
from tests.support import engine

NEEDED = {
    "alertingSecrets",
    "directorySecrets",
    "identitySecrets",
    "objectStorageSecrets",
    "objectStorageRoles",
    "witnessSecrets",
    "clusterAuditSecrets",
    "backupRecipients",
}
CLOSED = {"secure": "v1:abc:def"}


@pytest.fixture(autouse=True)
def _no_configuration() -> Iterator[None]:
    """Nothing of a test is left for the next one."""
    yield
    set_all_config({})


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["config", *arguments])


def written(folder: Path, **changes: object) -> Path:
    """A stack file with the local settings and all secrets, encrypted."""
    config: dict[str, Any] = {f"observability:{key}": CLOSED for key in NEEDED}
    config |= {"observability:settings": engine.stack_settings("local"), "observability:role": "primary"}
    config |= {f"observability:{key}": value for key, value in changes.items()}
    path = folder / "Pulumi.mine.yaml"
    path.write_text(yaml.safe_dump({"config": {key: value for key, value in config.items() if value is not None}}))
    return path


def test_a_file_in_which_nothing_is_missing(tmp_path: Path) -> None:
    result = run("check", "--file", str(written(tmp_path)))
    assert (result.exit_code, result.stdout) == (0, "Pulumi.mine.yaml: nothing is missing\n")


def test_everything_that_is_missing_is_a_line_with_its_command(tmp_path: Path) -> None:
    result = run("check", "--file", str(written(tmp_path, role=None, witnessSecrets=None)))
    assert result.exit_code == 1
    role, witness = result.stdout.splitlines()
    assert role.startswith("Pulumi.mine.yaml: observability:role is missing: ")
    assert "run `pulumi config set observability:role primary`" in role
    assert witness.startswith("Pulumi.mine.yaml: observability:witnessSecrets is missing: ")
    assert witness.endswith("run `pulumi config set --secret observability:witnessSecrets < FILE`")


def test_machines_get_the_same_lines(tmp_path: Path) -> None:
    file = written(tmp_path, settings="no group")
    lines = run("check", "--file", str(file)).stdout.splitlines()
    result = run("check", "--json", "--file", str(file))
    assert (result.exit_code, json.loads(result.stdout)) == (
        1,
        {"stack": "mine", "problems": lines, "not_promised": []},
    )
    assert lines == [
        "Pulumi.mine.yaml: observability:settings is 'no group': allowed is a group of keys; compare Pulumi.prod.yaml"
    ]


@pytest.mark.parametrize("stack", ["prod", "dr"])
def test_the_committed_stack_files_lack_secrets_only(stack: str) -> None:
    result = run("check", "--json", "--file", str(engine.CHECKOUT / f"Pulumi.{stack}.yaml"))
    keys = [line.split()[1] for line in json.loads(result.stdout)["problems"]]
    assert sorted(keys) == sorted(f"observability:{key}" for key in NEEDED - {"clusterAuditSecrets"})


def test_values_are_what_a_program_gets(tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.a.yaml"
    content = {"a:text": "1", "a:number": 1, "a:truth": True, "a:none": None, "a:group": {"b": [1]}, "a:closed": CLOSED}
    path.write_text(yaml.safe_dump({"config": content}))
    configuration = of_file(path)
    assert configuration.values == {"a:text": "1", "a:number": "1", "a:truth": "true", "a:group": '{"b": [1]}'}
    assert (configuration.stack, configuration.encrypted) == ("a", {"a:closed"})


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("prod.yaml", "", "--file is .*prod.yaml: name a file Pulumi.NAME.yaml"),
        ("Pulumi.a.yaml", "{", "Pulumi.a.yaml cannot be read: "),
        ("Pulumi.a.yaml", "config: 3", "Pulumi.a.yaml: config is no group of keys"),
        ("Pulumi.a.yaml", None, "Pulumi.a.yaml cannot be read: .*No such file"),
    ],
)
def test_what_is_no_stack_file_is_one_line(tmp_path: Path, name: str, text: str | None, message: str) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(OpsError, match=message) as caught:
        of_file(path)
    assert "\n" not in str(caught.value)


def test_two_configurations_are_one_too_many(tmp_path: Path) -> None:
    result = run("check", "--file", str(written(tmp_path)), "--stack", "prod")
    assert str(result.exception) == "--file and --stack name two configurations: give one of them"


def test_the_schema_is_printed_as_it_is_committed() -> None:
    result = run("schema")
    assert (result.exit_code, result.stdout) == (0, schema.FILE.read_text())
