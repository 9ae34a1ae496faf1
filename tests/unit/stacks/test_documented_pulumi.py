"""Whoever types what a page says deploys nothing unsafe: each documented `pulumi up` has the policy pack."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
_COMMAND = re.compile(r"`pulumi up(?P<options>[^`\n]*)`|^\s*pulumi up(?P<line>.*)$", re.MULTILINE)


def pages() -> Iterator[Path]:
    """Pages with instructions; without measurements, decisions, and what the pack says of itself."""
    yield CHECKOUT / "README.md"
    for page in sorted((CHECKOUT / "docs").rglob("*.md")):
        parts = page.relative_to(CHECKOUT / "docs").parts
        if parts[0] not in ("adr", "evidence", "figures.md", "measured.md", "policies.md"):
            yield page


def without_pack(text: str) -> list[str]:
    """Commands of a page that would deploy without the policies."""
    matches = _COMMAND.finditer(text)
    return [match[0] for match in matches if "--policy-pack" not in (match["options"] or "") + (match["line"] or "")]


@pytest.mark.parametrize("page", list(pages()), ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_every_documented_update_has_the_policy_pack(page: Path) -> None:
    # What `make up` does is described there, not told to be typed; it has the pack (lab/environment.py).
    text = page.read_text().replace("`pulumi up` of the local stack", "")
    assert without_pack(text) == []


def test_the_search_finds_commands_in_text_and_in_blocks() -> None:
    text = "run `pulumi up`, then\n```sh\npulumi up --stack prod\npulumi up --policy-pack policy\n```\n"
    assert without_pack(text) == ["`pulumi up`", "pulumi up --stack prod"]
