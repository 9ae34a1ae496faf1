"""How long tests take: of the last run on this machine, else of the committed file ``tests/seconds.json``.

End-to-end tests are timed one by one, all others by file. ``python -m tests.run record`` takes what this machine
measured over into the committed file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from lab.paths import cache_root

COMMITTED = Path(__file__).with_suffix(".json")
_ONE_BY_ONE = "tests/e2e/"


def key(test: str) -> str:
    """Under which a test is timed: its node id or its file."""
    return test if test.startswith(_ONE_BY_ONE) else test.partition("::")[0]


def measured_file() -> Path:
    """What was measured on this machine."""
    return cache_root() / "seconds" / "tests.json"


def committed() -> dict[str, float]:
    """What the committed file has."""
    return _read(COMMITTED)


def known() -> dict[str, float]:
    """Key -> seconds; what cannot be read counts as never measured."""
    return {**committed(), **_read(measured_file())}


def remember(tests: Mapping[str, float], file: Path | None = None) -> None:
    """Keep what a run measured.

    Args:
        tests: Node id -> seconds, of tests that ran to their end.
        file: Where; default this machine's file.
    """
    target = file or measured_file()
    new: dict[str, float] = {}
    for test, seconds in tests.items():
        new[key(test)] = new.get(key(test), 0.0) + seconds
    _write({**_read(target), **new}, target)


def record(root: Path) -> int:
    """Take this machine's figures over into the committed file, without tests that are gone; how many it has then."""
    merged = {name: seconds for name, seconds in known().items() if _is_there(name, root)}
    _write(merged, COMMITTED)
    return len(merged)


def _is_there(name: str, root: Path) -> bool:
    file, _, test = name.partition("::")
    path = root / file
    return path.is_file() and (not test or f"def {test.partition('[')[0]}(" in path.read_text())


def expected(tests: Iterable[str], unknown: float, table: Mapping[str, float] | None = None) -> dict[str, float]:
    """Key -> seconds that it takes, about; ``unknown`` for what was never measured."""
    figures = known() if table is None else table
    return {name: figures.get(name, unknown) for name in dict.fromkeys(map(key, tests))}


def _read(file: Path) -> dict[str, float]:
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {name: float(seconds) for name, seconds in content.items() if isinstance(seconds, int | float)}


def _write(figures: Mapping[str, float], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.new")
    rounded = {name: round(seconds, 1) for name, seconds in sorted(figures.items())}
    draft.write_text(json.dumps(rounded, indent=1) + "\n")
    draft.replace(file)
