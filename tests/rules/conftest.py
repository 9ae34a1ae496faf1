"""Which tests of a file run: promtool is given what they need."""

from __future__ import annotations

import pytest

CHOSEN = pytest.StashKey[set[str]]()
"""Ids of the parameters of a file's tests that run, kept at the file."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Note them once it is known which ones are left out."""
    for item in items:
        file = item.getparent(pytest.Module)
        if isinstance(item, pytest.Function) and file is not None and hasattr(item, "callspec"):
            file.stash.setdefault(CHOSEN, set()).add(item.callspec.id)
