"""Requirements of an image as the project pins them: ``python3 pins.py packages.txt ...`` prints them for pip.

Dockerfiles run this file alone, so it imports nothing of ours.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from itertools import chain
from pathlib import Path


def names(file: Path) -> tuple[str, ...]:
    """Names in a list of packages, in its order; ``#`` begins a comment."""
    lines = (line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    return tuple(line for line in lines if line)


def pinned(packages: Iterable[str], folder: Path) -> list[str]:
    """Requirements as requirements.txt and the extras of pyproject.toml pin them.

    Args:
        packages: Names, as in the lists.
        folder: Where both files are.

    Raises:
        KeyError: A package is pinned in neither.
    """
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (folder / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = {
        re.split(r"\[|==", line)[0].lower(): line
        for line in (*lines, *chain(*project["optional-dependencies"].values()))
        if "==" in line
    }
    return [pins[package.lower()] for package in packages]


if __name__ == "__main__":
    lists = [Path(argument) for argument in sys.argv[1:]]
    print("\n".join(pinned(chain.from_iterable(map(names, lists)), Path.cwd())))
