"""Pages: every command on them exists; tests/config/test_documents_by_hand.py runs the checks of an emergency."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ops import __main__ as cli

ROOT = Path(__file__).parents[3]
OPERATIONS = ROOT / "docs" / "operations"
AT_NIGHT = [OPERATIONS / "emergency.md", OPERATIONS / "on-call.md"]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
PAGES += [page for page in (ROOT / "docs").rglob("*.md") if page.parent.name != "adr"]
TARGETS = frozenset(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
_CODE = re.compile(r"```sh\n(.*?)```|`([^`\n]+)`", re.DOTALL)
_TARGET = re.compile(r"^make (?:--silent )?([a-z][a-z0-9-]*)")
_WORD = re.compile(r"(?:^|python -m )ops ([a-z][a-z-]*)(.*)")


def lines(page: Path) -> Iterator[str]:
    """Each line of shell on a page, without its comment."""
    for block, inline in _CODE.findall(page.read_text()):
        yield from (line.partition(" # ")[0].strip() for line in (block or inline).splitlines())


def commands(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Name and words of each ``ops`` command on a page."""
    for line in lines(page):
        if match := _WORD.search(line):
            yield match[1], shlex.split(match[2].replace("...", "").removesuffix(')"'))


def options(command: Any) -> set[str]:
    """Every option of a command and of all below it."""
    own = {option for parameter in command.params for option in parameter.opts}
    return own.union(*map(options, getattr(command, "commands", {}).values()))


@pytest.mark.parametrize("page", sorted(PAGES), ids=lambda page: page.stem)
def test_every_command_on_the_page_exists_with_its_options(page: Path) -> None:
    known = set(cli.COMMANDS)
    for name, words in commands(page):
        assert name in known, f"{page.name}: there is no `ops {name}`"
        wrong = (
            {word.partition("=")[0] for word in words if word.startswith("--")} - options(cli.loaded(name)) - {"--help"}
        )
        assert not wrong, f"{page.name}: `ops {name}` has no {', '.join(wrong)}"


@pytest.mark.parametrize("page", sorted(PAGES), ids=lambda page: page.stem)
def test_every_target_on_the_page_exists(page: Path) -> None:
    named = {match[1] for line in lines(page) if (match := _TARGET.match(line))}
    assert named <= TARGETS


def test_the_pages_show_the_commands_that_they_are_about() -> None:
    shown = {page.stem: {name for name, _ in commands(page)} for page in AT_NIGHT}
    assert {"notify", "alerts", "health", "verify"} <= shown["emergency"]
    assert {"alerts", "ack", "silence", "notify", "alert-events"} <= shown["on-call"]


@pytest.mark.parametrize("page", AT_NIGHT, ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text())
    assert links
    assert [link for link in links if not (page.parent / link).resolve().exists()] == []
