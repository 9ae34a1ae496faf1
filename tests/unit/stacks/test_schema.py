"""The schema of a stack file is current, takes the stack files, and refuses what an editor can see."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
import yaml

from stacks import schema
from stacks.settings import Settings
from tests.support import engine

FILES = ("local", "local-dr", "prod", "dr")
CONTENT: dict[str, Any] = json.loads(schema.text())
VALIDATOR = jsonschema.Draft202012Validator(CONTENT)


def _file(stack: str) -> str:
    return (engine.CHECKOUT / f"Pulumi.{stack}.yaml").read_text()


def test_the_committed_schema_is_current() -> None:
    assert schema.FILE.read_text() == schema.text(), "run `python -m ops config schema > docs/schemas/stack-file.json`"


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(CONTENT)


@pytest.mark.parametrize("stack", FILES)
def test_it_takes_a_stack_file_that_leads_to_it(stack: str) -> None:
    text = _file(stack)
    assert [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(text))] == []
    named = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", text.splitlines()[0])
    assert named is not None
    assert engine.CHECKOUT / named[1] == schema.FILE


def test_a_topic_may_leave_out_what_the_catalogue_says() -> None:
    content = yaml.safe_load(_file("local"))
    content["config"]["observability:settings"]["topics"] = {"telemetry-logs": {"partitions": 9}}
    assert [error.message for error in VALIDATOR.iter_errors(content)] == []


MISTAKES: dict[str, tuple[tuple[str, ...], object]] = {
    "a key that there is not": (("cluster", "contxt"), "kind"),
    "a text instead of a number": (("load", "points"), "many"),
    "a wrong choice": (("profile",), "tiny"),
    "a size without a unit": (("storage", "kafka"), "20"),
    "a registry with a scheme": (("images", "registry"), "https://registry.example.com"),
    "an empty list": (("gateway", "client_cidrs"), []),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_it_refuses_at_the_key(mistake: str) -> None:
    path, value = MISTAKES[mistake]
    content = yaml.safe_load(_file("local"))
    target = content["config"]["observability:settings"]
    for part in path[:-1]:
        target = target[part]
    target[path[-1]] = value
    places = [[*error.absolute_path][2:] for error in VALIDATOR.iter_errors(content)]
    assert places == [list(path[:-1]) if mistake == "a key that there is not" else list(path)]


def test_keys_are_described_as_in_the_code() -> None:
    definitions, settings = CONTENT["$defs"], CONTENT["properties"]["config"]["properties"]["observability:settings"]
    assert set(settings["properties"]) == set(Settings.model_fields)
    assert settings["properties"]["protect"]["description"] == "Refuse to delete the namespace."
    assert definitions["Pods"]["properties"]["service_account_annotations"]["description"] == (
        "Annotations of their ServiceAccounts, for example the role that they have in a cloud."
    )
    assert definitions["Toleration"]["description"].endswith("seconds is tolerationSeconds there.")
    assert "title" not in definitions["Pods"]
