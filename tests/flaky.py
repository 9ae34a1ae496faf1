"""Tests that may be run a second time: those in ``tests/flaky.yaml``, few, each with a date and a reason.

Every other test that fails fails the run. A test that carries the mark ``promise`` (of loss, duplication or latency)
is never listed: one that fails now and then has found something.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).with_name("flaky.yaml")
MOST = 5
"""Tests that may be listed at the same time."""
LONGEST = timedelta(days=60)
"""Until then an entry is mended, or the test goes."""
_KEYS = {"test", "since", "reason"}


class ListError(Exception):
    """The list is not what it must be; the message says why, on one line."""


@dataclass(frozen=True)
class Entry:
    """One test that may be run a second time.

    Attributes:
        test: Its node id.
        since: When it was listed.
        reason: What is known about why it fails.
    """

    test: str
    since: date
    reason: str


def read(file: Path = FILE) -> tuple[Entry, ...]:
    """Entries of a list.

    Raises:
        ListError: It cannot be read, or an entry lacks something or has something unknown.
    """
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ListError(f"{file.name} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict) or set(content) != {"tests"} or not isinstance(content["tests"], list):
        raise ListError(f"{file.name}: expected one key, tests, with a list")
    return tuple(_entry(test, file.name) for test in content["tests"])


def _entry(given: Any, file: str) -> Entry:
    if not isinstance(given, dict) or set(given) != _KEYS:
        raise ListError(f"{file}: an entry has exactly test, since, reason; this one does not: {given!r}")
    if not isinstance(given["since"], date):
        raise ListError(f"{file}: since of {given['test']!r} is no date: use YYYY-MM-DD")
    for key in ("test", "reason"):
        if not isinstance(given[key], str) or not given[key].strip():
            raise ListError(f"{file}: {key} of {given['test']!r} is empty or no text")
    return Entry(given["test"], given["since"], given["reason"])


def problems(entries: Iterable[Entry], today: date, root: Path) -> list[str]:
    """What is wrong with a list: too long, too old, twice, or about a test that is not there; empty when all is well.

    Args:
        entries: The list.
        today: Entries may be ``LONGEST`` older than that.
        root: Checkout in which the tests are.
    """
    messages, listed = [], list(entries)
    if len(listed) > MOST:
        messages.append(f"{len(listed)} tests are listed, at most {MOST} may be: mend some")
    for entry in listed:
        if today - entry.since > LONGEST:
            messages.append(f"{entry.test} is listed since {entry.since}, over {LONGEST.days} days: mend it")
        if entry.since > today:
            messages.append(f"{entry.test} is listed since {entry.since}, which is still to come")
        if not _exists(entry.test, root):
            messages.append(f"{entry.test} is listed, and there is no such test")
    names = [entry.test for entry in listed]
    messages += [
        f"{name} is listed {names.count(name)} times" for name in dict.fromkeys(names) if names.count(name) > 1
    ]
    return messages


def _exists(test: str, root: Path) -> bool:
    file, _, name = test.partition("::")
    function = name.rpartition("::")[2].partition("[")[0]
    path = root / file
    return bool(function) and path.is_file() and f"def {function}(" in path.read_text()
