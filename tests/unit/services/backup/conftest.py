"""One bucket for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.services.backup.harness import Harness, harness


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Harness]:
    folder = tmp_path / "harness"
    folder.mkdir()
    with harness(folder) as opened_world:
        yield opened_world
