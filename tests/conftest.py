"""How the tests are spread over workers: by file; those that wait for servers take turns with those that compute."""

from __future__ import annotations

from pathlib import Path

import pytest

_TESTS = Path(__file__).parent
_WAITING = "config/"
"""Folder of the files that start servers, and mostly wait for them."""
_ONE_CLUSTER = ("config/search",)
"""Folders whose files share servers, and so a worker; they take longest."""


def _place(item: pytest.Item) -> str:
    return item.path.relative_to(_TESTS).as_posix()


def _group(place: str) -> str:
    return next((folder for folder in _ONE_CLUSTER if place.startswith(f"{folder}/")), place)


def _turns(groups: list[str]) -> dict[str, float]:
    """Group -> its turn, from 0 to 1: both kinds begin together, and servers are done well before the end."""
    waiting = sorted((each for each in groups if each.startswith(_WAITING)), key=lambda each: each not in _ONE_CLUSTER)
    others = [each for each in groups if not each.startswith(_WAITING)]
    return {
        **{each: 0.7 * index / len(waiting) for index, each in enumerate(waiting)},
        **{each: index / len(others) for index, each in enumerate(others)},
    }


@pytest.hookimpl(tryfirst=True)  # before the one of xdist, which writes the groups into the names
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each file's tests to one worker, in an order in which the cores are never idle and never overrun."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(_place(item))))
    turns = _turns(list(dict.fromkeys(_group(_place(item)) for item in items)))
    items.sort(key=lambda item: turns[_group(_place(item))])
