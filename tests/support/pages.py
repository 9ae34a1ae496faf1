"""Pages in a real browser: what is wrong with how they look (requirements G2 to G4, R1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.browser import Browser, Sight

WIDTHS = (390, 1280)
"""A phone and a desk, in pixels."""
_BROAD = 1
"""Pixels that rounding may add."""
LOOK = """(() => {
  const wide = document.documentElement.clientWidth;
  const box = e => e.getBoundingClientRect();
  const drawn = e => box(e).width > 0 && box(e).height > 0;
  const held = e => {
    for (let p = e.parentElement; p && p !== document.body; p = p.parentElement)
      if (getComputedStyle(p).overflowX !== 'visible') return true;
    return false;
  };
  const name = e => e.tagName.toLowerCase() + (e.getAttribute('class') ? '.' + e.getAttribute('class') : '')
    + ' ' + (e.textContent || '').trim().slice(0, 40);
  const all = [...document.body.querySelectorAll('*')];
  return {
    wide,
    content: document.documentElement.scrollWidth,
    broad: all.filter(e => drawn(e) && box(e).right > wide + 1 && !held(e)).slice(0, 3).map(name),
    cut: [...document.querySelectorAll('.stat b, .stat span, .bar b')]
      .filter(e => drawn(e) && e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0).slice(0, 3).map(name),
    headings: [...document.querySelectorAll('h1, h2')].filter(drawn).length,
    pictures: document.querySelectorAll('svg').length,
    flat: [...document.querySelectorAll('svg')].filter(e => !drawn(e)).length,
    panels: [...document.querySelectorAll('article.card')].map(card => ({
      title: card.querySelector('h3').firstChild.textContent.trim(),
      problem: (card.querySelector('.problem') || {textContent: ''}).textContent.trim(),
      drawn: drawn(card)
        && [...card.querySelectorAll('.body svg, .body tbody tr, .body .bar, .body .stat, .body .problem')].some(drawn),
    })),
  };
})()"""


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page.

    Attributes:
        name: Of it, and of its pictures.
        path: HTML file.
        panels: Panels that it has; 0 for a page without any.
    """

    name: str
    path: Path
    panels: int = 0


@dataclass
class Looked:
    """What was seen of a page at all widths.

    Attributes:
        problems: What is wrong, each with its width.
        empty: Panels that have no data.
        pictures: Drawings in it.
        load_ms: Milliseconds until the page was loaded, the slowest of all widths.
    """

    problems: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    pictures: int = 0
    load_ms: float = 0.0


def inspect_page(browser: Browser, page: Page, pictures: Path) -> Looked:
    """Open a page at every width; its pictures are written to ``pictures``."""
    seen = Looked()
    for width in WIDTHS:
        sight = browser.inspect(page.path, width, LOOK)
        (pictures / f"{page.name}-{width}.png").write_bytes(sight.picture)
        seen.problems += [f"{width} px: {problem}" for problem in layout_problems(page, sight)]
        seen.empty = [panel["title"] for panel in sight.measured["panels"] if panel["problem"]]
        seen.pictures = sight.measured["pictures"]
        seen.load_ms = max(seen.load_ms, round(1000 * sight.load_s, 1))
    return seen


def layout_problems(page: Page, sight: Sight) -> Iterator[str]:
    """What is wrong with a page at one width; nothing when all is well."""
    measured: dict[str, Any] = sight.measured
    yield from (f"the console says {error[:200]!r}" for error in sight.errors)
    yield from (f"it asks for {url[:200]}" for url in sight.requests)
    if measured["content"] > measured["wide"] + _BROAD:
        yield f"it is {measured['content']} px wide, because of {'; '.join(measured['broad']) or 'something hidden'}"
    yield from (f"{text!r} does not fit into its box" for text in measured["cut"])
    if not measured["headings"]:
        yield "it has no heading"
    if measured["flat"]:
        yield f"{measured['flat']} of {measured['pictures']} drawings have no size"
    if len(measured["panels"]) != page.panels:
        yield f"it has {len(measured['panels'])} panels, and {page.panels} were asked for"
    yield from (f"panel {panel['title']!r} is not drawn" for panel in measured["panels"] if not panel["drawn"])
    yield from (
        f"panel {panel['title']!r} {panel['problem'][:160]}"
        for panel in measured["panels"]
        if panel["problem"].startswith("cannot be drawn")
    )
