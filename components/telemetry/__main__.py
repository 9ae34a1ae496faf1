"""``python -m components.telemetry > docs/telemetry.md``; with ``thresholds`` it prints ``docs/thresholds.md``."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence

from components.telemetry.file import CatalogueError

DOCUMENTS = ("telemetry", "thresholds")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a document, or one line for each mistake that forbids it."""
    parser = argparse.ArgumentParser(prog="python -m components.telemetry", description="Prints a generated document.")
    parser.add_argument("document", nargs="?", choices=DOCUMENTS, default=DOCUMENTS[0])
    chosen = parser.parse_args(arguments).document
    try:
        text = _written(chosen)
    except CatalogueError as error:
        print(error, file=sys.stderr)
        return 1
    sys.stdout.write(text)
    return 0


def _written(chosen: str) -> str:
    """The document; its modules read the file when they are imported, so a mistake in it is told here."""
    rules = importlib.import_module("components.telemetry.rules")
    if chosen == "thresholds":
        write: Callable[..., str] = importlib.import_module("components.telemetry.document").threshold_markdown
        return write(rules.DOCUMENT)
    write = importlib.import_module("components.telemetry.document").markdown
    return write()


if __name__ == "__main__":
    raise SystemExit(main())
