"""How the tests are spread over workers: by file; those that wait for servers take turns with those that compute."""

from __future__ import annotations

from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

_TESTS = Path(__file__).parent
_WAITING = "tests/config/"
"""Folder of the files that start servers, and mostly wait for them."""
_LIMIT_S = 300
"""Of a test there that has no limit of its own: its first one waits for all servers of the file."""
_SHARED = ("tests/config/search", "tests/config/grafana_double")
"""Folders whose files share servers, and so a worker; they take longest."""


class ByFile(LoadScopeScheduling):
    """A file's tests go to one worker, and so do those of a folder that shares servers.

    Marks of `xdist_group` would say the same, but xdist 3.8 writes them where pytest 9 does not look.
    """

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid.partition("::")[0])


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    """Spread by `ByFile`, whatever ``--dist`` says."""
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files into an order in which the cores are never idle and never overrun; give servers time to start."""
    for item in items:
        if _file(item).startswith(_WAITING) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_LIMIT_S))
    turns = _turns(list(dict.fromkeys(_group(_file(item)) for item in items)))
    items.sort(key=lambda item: turns[_group(_file(item))])


def _file(item: pytest.Item) -> str:
    return item.path.relative_to(_TESTS.parent).as_posix()


def _group(file: str) -> str:
    return next((folder for folder in _SHARED if file.startswith(f"{folder}/")), file)


def _turns(groups: list[str]) -> dict[str, float]:
    """Group -> its turn, from 0 to 1: both kinds begin together, and servers are done well before the end."""
    waiting = sorted((each for each in groups if each.startswith(_WAITING)), key=lambda each: each not in _SHARED)
    others = [each for each in groups if not each.startswith(_WAITING)]
    return {
        **{each: 0.7 * index / len(waiting) for index, each in enumerate(waiting)},
        **{each: index / len(others) for index, each in enumerate(others)},
    }
