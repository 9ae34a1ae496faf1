"""Pages for readers: links lead somewhere, indices are complete, the README stays short."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
README_LINES = 120
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def links(page: Path) -> list[str]:
    """Relative targets of a page, without anchors."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    targets = [unquote(target.partition("#")[0]) for target in _LINK.findall(text) if "://" not in target]
    return [target for target in targets if target and not target.startswith(("mailto:", "{"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    assert [target for target in links(page) if not (page.parent / target).exists()] == []


def test_the_readme_is_read_in_five_minutes() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES


def test_decisions_are_numbered_without_gaps_and_listed_with_their_titles() -> None:
    files = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
    titles = {file.name: file.read_text().splitlines()[0] for file in files}
    assert [int(name[:4]) for name in titles] == list(range(1, len(titles) + 1))
    rows = re.findall(r"^\| (\d+) \| \[(.+)\]\((.+)\) \|$", (ROOT / "docs" / "adr" / "README.md").read_text(), re.M)
    assert {name: f"# {number}. {title}" for number, title, name in rows} == titles


@pytest.mark.parametrize("folder", ["docs", "docs/operations"])
def test_the_index_leads_to_every_page(folder: str) -> None:
    listed = {(ROOT / "docs" / target).resolve() for target in links(ROOT / "docs" / "index.md")}
    there = {file.resolve() for file in (ROOT / folder).glob("*.md")} - {ROOT / "docs" / "index.md"}
    assert there - listed == set()
