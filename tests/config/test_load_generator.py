"""The load generator's own tests, format and vet, with the race detector."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from lab.paths import CHECKOUT

MODULE = CHECKOUT / "collector" / "loadgen"


def go(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=MODULE, capture_output=True, text=True, timeout=280, env={**os.environ, **environment}
    )


def test_the_source_is_formatted_and_vetted() -> None:
    formatted = go("gofmt", "-l", ".")
    assert (formatted.returncode, formatted.stdout) == (0, "")
    vetted = go("go", "vet", "./...")
    assert vetted.returncode == 0, vetted.stderr


@pytest.mark.timeout(300)
def test_its_tests_pass_with_the_race_detector() -> None:
    assert shutil.which("gcc"), "the race detector needs a C compiler: `make tools`"
    done = go("go", "test", "-race", "-count=1", "./...", CGO_ENABLED="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("ok")
