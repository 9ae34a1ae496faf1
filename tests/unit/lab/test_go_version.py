"""Tools are built with a Go that our own module allows, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import LabError
from lab.toolchain.tools import check_go


def test_the_go_of_this_machine_is_new_enough() -> None:
    check_go()


@pytest.mark.parametrize("told", ["go1.25.9", "devel"])
def test_an_older_or_unknown_go_is_refused_in_one_line(
    told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "go"
    program.write_text(f"#!/bin/sh\necho {told}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match=rf"^Go is {told}: install Go 1\.\d+ or newer$"):
        check_go()


def test_without_go_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match=r"^Go is not there: install Go 1\.\d+ or newer$"):
        check_go()
