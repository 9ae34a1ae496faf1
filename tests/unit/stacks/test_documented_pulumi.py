"""Whoever types what a page or a program says deploys nothing unsafe: each `pulumi up` there has the policy pack.

A program tells a command in backticks, or alone; what a program or a drill does itself it tells without them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

LOCAL = "`pulumi up` of the local stack"
"""What `make up` does is described, not told to be typed; it has the pack (lab/environment.py)."""
CHECKOUT = Path(__file__).resolve().parents[3]
_COMMAND = re.compile(r"`pulumi up(?P<options>[^`\n]*)`|^\s*pulumi up(?P<line>.*)$", re.MULTILINE)
_TOLD = re.compile(r"`pulumi up(?P<options>[^`]*)`|^pulumi up(?P<line> +-.*)$")


def pages() -> Iterator[Path]:
    """Pages with instructions; without measurements, decisions, and what the pack says of itself."""
    yield CHECKOUT / "README.md"
    for page in sorted((CHECKOUT / "docs").rglob("*.md")):
        parts = page.relative_to(CHECKOUT / "docs").parts
        if parts[0] not in ("adr", "evidence", "figures.md", "measured.md", "policies.md"):
            yield page


def literals(program: str) -> Iterator[str]:
    """Texts of a program, without its docstrings; what an f-string fills in is ``{}``."""
    tree = ast.parse(program)
    left_out = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            left_out |= {id(part) for part in node.values}
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in left_out:
            yield node.value


def without_pack(text: str, command: re.Pattern[str] = _COMMAND) -> list[str]:
    """Commands of a text that would deploy without the policies."""
    matches = command.finditer(text.replace(LOCAL, ""))
    return [match[0] for match in matches if "--policy-pack" not in (match["options"] or "") + (match["line"] or "")]


@pytest.mark.parametrize("page", list(pages()), ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_every_documented_update_has_the_policy_pack(page: Path) -> None:
    assert without_pack(page.read_text()) == []


def test_the_search_finds_commands_in_text_and_in_blocks() -> None:
    text = "run `pulumi up`, then\n```sh\npulumi up --stack prod\npulumi up --policy-pack policy\n```\n"
    assert without_pack(text) == ["`pulumi up`", "pulumi up --stack prod"]


@pytest.mark.parametrize("folder", ["ops", "lab", "components", "services", "stacks"])
def test_every_update_that_a_program_tells_people_to_make_has_the_policy_pack(folder: str) -> None:
    programs = sorted((CHECKOUT / folder).rglob("*.py"))
    assert any("pulumi up" in text for path in programs for text in literals(path.read_text()))
    unsafe = {
        str(path.relative_to(CHECKOUT)): commands
        for path in programs
        if (commands := [one for text in literals(path.read_text()) for one in without_pack(text, _TOLD)])
    }
    assert unsafe == {}


def test_the_search_finds_commands_that_a_program_tells() -> None:
    program = '''"""Makes `pulumi up`."""
first = f"{name}: run `pulumi up` " "there"
second = "pulumi up --stack dr"
third = ("run `pulumi up --stack "
    "prod`")
right = ["run `pulumi up --policy-pack policy`", "pulumi up of the other stack", say("pulumi up")]
'''
    told = [one for text in literals(program) for one in without_pack(text, _TOLD)]
    assert sorted(told) == ["`pulumi up --stack prod`", "`pulumi up`", "pulumi up --stack dr"]
