"""What people read at night: every command in it exists; tests/config/test_documents_by_hand.py runs the checks."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops import cli

ROOT = Path(__file__).parents[3]
OPERATIONS = ROOT / "docs" / "operations"
PAGES = [OPERATIONS / "emergency.md", OPERATIONS / "on-call.md", ROOT / "docs" / "escalation.md"]
PAGES += sorted((ROOT / "docs" / "runbooks").glob("*.md"))
_CODE = re.compile(r"```sh\n(.*?)```|`([^`\n]+)`", re.DOTALL)
_WORD = re.compile(r"(?:^|python -m )ops ([a-z][a-z-]*)(.*)")


def commands(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Name and words of each ``ops`` command on a page."""
    for block, inline in _CODE.findall(page.read_text()):
        for line in (block or inline).splitlines():
            if match := _WORD.search(line.partition(" # ")[0].strip()):
                yield match[1], shlex.split(match[2].replace("...", ""))


def options(name: str) -> set[str]:
    """Every option of a command and of the commands below it."""
    parsed_command = cli.loaded(name)
    below = getattr(parsed_command, "commands", {}).values()
    return {
        option
        for subcommand in (parsed_command, *below)
        for parameter in subcommand.params
        for option in parameter.opts
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_on_the_page_exists_with_its_options(page: Path) -> None:
    known = set(cli.COMMANDS)
    for name, words in commands(page):
        assert name in known, f"{page.name}: there is no `ops {name}`"
        wrong = {word.partition("=")[0] for word in words if word.startswith("--")} - options(name) - {"--help"}
        assert not wrong, f"{page.name}: `ops {name}` has no {', '.join(wrong)}"


def test_the_pages_show_the_commands_that_they_are_about() -> None:
    shown = {page.stem: {name for name, _ in commands(page)} for page in PAGES[:2]}
    assert {"notify", "alerts", "health", "verify"} <= shown["emergency"]
    assert {"alerts", "ack", "silence", "notify", "alert-events"} <= shown["on-call"]


@pytest.mark.parametrize("page", PAGES[:2], ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text())
    assert links
    assert [link for link in links if not (page.parent / link).resolve().exists()] == []
