"""Starts the object storage: ``python -m lab.storage FOLDER HOST:PORT``; the process becomes the server."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import NoReturn

from lab.errors import LabError
from lab.storage.setup import command, variables


_DESCRIPTION = "Starts the object storage: ``python -m lab.storage FOLDER HOST:PORT``; the process becomes the server."


def main() -> NoReturn:
    """Become the server; exit code 2 when it cannot be started."""
    parser = argparse.ArgumentParser(prog="lab.storage", description=_DESCRIPTION)
    parser.add_argument("folder", type=Path)
    parser.add_argument("address")
    given = parser.parse_args()
    try:
        line = command(given.folder, given.address)
        environment = {**os.environ, **variables(given.folder)}
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    os.execve(line[0], line, environment)


if __name__ == "__main__":
    main()
