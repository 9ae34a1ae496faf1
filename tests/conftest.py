"""How the tests are spread over workers: by file, those that start servers first, since they take longest."""

from __future__ import annotations

from pathlib import Path

import pytest

_TESTS = Path(__file__).parent
_ONE_CLUSTER = ("config/search",)
"""Folders whose files share servers, and so a worker."""


def _place(item: pytest.Item) -> str:
    return item.path.relative_to(_TESTS).as_posix()


def _group(place: str) -> str:
    return next((folder for folder in _ONE_CLUSTER if place.startswith(f"{folder}/")), place)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each file's tests to one worker, the longest files first."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(_place(item))))
    items.sort(key=lambda item: not _place(item).startswith("config/search/"))
