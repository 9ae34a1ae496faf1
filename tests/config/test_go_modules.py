"""Our Go modules: format, vet, and their own tests with the race detector.

Go itself remembers what has passed, by all that it depends on: what is the same as before is not run again.
"""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from lab.paths import CHECKOUT

MODULES = ("collector", "collector/loadgen")


def go(module: str, *command: str, limit_s: float = 280, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=CHECKOUT / module,
        capture_output=True,
        text=True,
        timeout=limit_s,
        env={**os.environ, "GOFLAGS": "-mod=readonly -buildvcs=false", **environment},
    )


@pytest.mark.parametrize("module", MODULES)
def test_the_source_is_formatted_and_vetted(module: str) -> None:
    formatted = go(module, "gofmt", "-l", ".")
    assert (formatted.returncode, formatted.stdout) == (0, "")
    vetted = go(module, "go", "vet", "./...", limit_s=580)
    assert vetted.returncode == 0, vetted.stderr


@pytest.mark.parametrize("module", MODULES)
def test_its_tests_pass_with_the_race_detector(module: str) -> None:
    assert shutil.which("gcc"), "the race detector needs a C compiler: `make tools`"
    done = go(module, "go", "test", "-race", "-p", "1", "./...", limit_s=580, CGO_ENABLED="1")
    assert done.returncode == 0, done.stdout + done.stderr
    packages = [line for line in done.stdout.splitlines() if "[no test files]" not in line]
    assert packages
    assert all(line.startswith("ok") for line in packages), done.stdout
