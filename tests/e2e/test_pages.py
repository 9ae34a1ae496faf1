"""Every page that people open is whole in a real browser, on a phone and on a desk (G2 to G4, R1).

A browser that is missing makes the test fail; nothing is left out.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from components.dashboards.registry import DASHBOARDS
from components.reports import Kind
from ops.core.access import report_access
from ops.core.context import Context
from ops.core.platform import PROJECT
from services.reports import LANGUAGES
from tests.support.browser import Browser
from tests.support.pages import WIDTHS, Page, inspect_page
from tests.support.results import recorded

_PAGE_S = 120


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """A browser with an empty profile."""
    with Browser(tmp_path) as started:
        yield started


def written(path: Path, *command: str) -> Path:
    """A page that the command line writes."""
    done = subprocess.run(
        [sys.executable, "-m", "ops", *command, "--html", str(path)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=_PAGE_S,
    )
    assert done.returncode == 0, f"ops {' '.join(command)}: {done.stderr[-500:]}"
    return path


def pages(context: Context, folder: Path) -> Iterator[Page]:
    """Every dashboard, and every report in every language."""
    for dashboard in DASHBOARDS:
        path = written(folder / f"{dashboard.name}.html", "dashboard", dashboard.name, "--range", "15m")
        yield Page(name=dashboard.name, path=path, panels=len(list(dashboard.panels)))
    # The periods that go on: they have live data also on a platform of today.
    today = datetime.now(report_access(context.platform).zone).date().isoformat()
    for kind in Kind:
        for language in LANGUAGES:
            name = f"report-{kind}-{language}"
            path = written(folder / f"{name}.html", "report", str(kind), "--lang", language, "--at", today)
            yield Page(name=name, path=path)


@pytest.mark.timeout(1500)
def test_every_page_is_whole_in_a_browser(context: Context, browser: Browser, tmp_path: Path) -> None:
    pictures = Path(tempfile.mkdtemp(prefix="obs-pages-"))
    print(f"pictures of the pages: {pictures}")
    with recorded("pages", context.kube) as figures:
        seen = {page.name: inspect_page(browser, page, pictures) for page in pages(context, tmp_path)}
        problems = [f"{name}, {problem}" for name, looked in seen.items() for problem in looked.problems]
        figures["pages"], figures["widths px"] = len(seen), list(WIDTHS)
        figures["drawings"] = sum(looked.pictures for looked in seen.values())
        figures["slowest ms"] = max(looked.load_ms for looked in seen.values())
        figures["panels without data"] = {name: looked.empty for name, looked in seen.items() if looked.empty}
        figures["problems"] = problems
        assert len(seen) == len(DASHBOARDS) + len(Kind) * len(LANGUAGES)
        assert len(list(pictures.glob("*.png"))) == len(seen) * len(WIDTHS)
        assert problems == []
