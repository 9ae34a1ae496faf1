"""Tables of settings, and the table of rights."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from policy.model import Node, Resource
from policy.rules._agreed import FOLDER, RIGHTS_FILE, Table, table
from tests.support import agreed_rights

RESOURCE = Resource("kubernetes:core/v1:ConfigMap", "one", {})
TABLE = Table(
    "one",
    {
        "a.b": ["x", "y*"],
        "a.c": {"least": "1s", "most": "1m", "needed": True},
        "a.d": {"is": "off", "least": 5},
        "parts.*.on": True,
        "list.-.name": "*",
        "free.**": "*",
        "all": {"holds": ["one", "two"]},
        "all.-": "*",
        "dotted": {"holds": ["a.b"]},
        "dotted.*": "*",
        "dotted.a.b": "*",
    },
)


@pytest.mark.parametrize(
    ("content", "problems"),
    [
        ({"a": {"b": "yes", "c": "30s", "d": "off"}, "list": [{"name": 1}], "free": {"x": {"y": [1]}}}, []),
        ({"a": {"c": 60, "d": 5}, "parts": {}, "list": []}, []),
        ({"a": {"b": "z", "c": "1s"}}, ["a.b is z, and x, y* was agreed on"]),
        ({"a": {"c": "2m"}}, ["a.c is 2m, and at least 1 and at most 60 was agreed on"]),
        ({"a": {"c": "soon"}}, ["a.c is soon, and at least 1 and at most 60 was agreed on"]),
        ({"a": {"c": "1s", "d": "4"}}, ["a.d is 4, and off or at least 5 was agreed on"]),
        ({"a": {"b": "x"}}, ["c is not set"]),
        ({"a": {}}, ["c is not set"]),
        ({"parts": {"one": {"on": False}}}, ["parts.one.on is false, and true was agreed on"]),
        ({"parts": {"one": {"two": {"on": True}}}}, ["parts.one.two.on is not agreed on"]),
        ({"list": [{"name": "n", "more": 1}]}, ["list.-.more is not agreed on"]),
        ({"other": {}}, ["other is not agreed on"]),
        ({"other": None}, []),
        ({"all": ["two", "one", "three"], "dotted": {"a.b": 1}}, []),
        ({"all": ["two"]}, ["all has no one"]),
        ({"dotted": {"c": 1}}, ["dotted has no a.b"]),
    ],
)
def test_a_setting_is_agreed_on_or_a_finding(content: dict[str, Any], problems: list[str]) -> None:
    assert [finding.problem for finding in TABLE.findings(RESOURCE, Node(content))] == problems


def test_what_says_nothing_about_a_setting_is_a_mistake() -> None:
    with pytest.raises(ValueError, match=r"\['mots'\] says nothing"):
        Table("one", {"a": {"mots": 1}})


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_table_can_be_read(file: Any) -> None:
    open_to_others = "**" in yaml.safe_load(file.read_text(encoding="utf-8"))
    assert bool(list(table(file.stem).findings(RESOURCE, Node({"zz": 1})))) is not open_to_others


def test_the_table_of_rights_is_what_the_committed_stack_files_render() -> None:
    assert RIGHTS_FILE.read_text(encoding="utf-8") == agreed_rights.text(), "run python -m tests.support.agreed_rights"
