"""Results that take seconds to compute, computed once for all workers of a test run.

Whoever begins a run names a folder in `FOLDER`, which ends with the run; so nothing outlives the code that made it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

FOLDER = "OBS_TEST_SHARED"
"""Variable of the environment with the folder of the run."""
_CHECKOUT = Path(__file__).resolve().parents[2]
_T = TypeVar("_T")


@contextmanager
def folder() -> Iterator[None]:
    """A folder for everything that this process starts, unless it was itself started by such a run."""
    if FOLDER in os.environ:
        yield
        return
    with TemporaryDirectory(prefix="obs-test-shared-") as path:
        os.environ[FOLDER] = path
        try:
            yield
        finally:
            del os.environ[FOLDER]


def once(name: str, compute: Callable[[], _T]) -> _T:
    """The value of a computation, from whichever worker comes first.

    Args:
        name: Of the computation, with all that its value depends on apart from the checkout.
        compute: Computes the value, which can be pickled.
    """
    path = os.environ.get(FOLDER)
    if path is None:
        return compute()
    key = hashlib.sha256(f"{_CHECKOUT}\0{name}".encode()).hexdigest()[:20]
    file = Path(path) / key
    with (Path(path) / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if file.exists():
            value: _T = pickle.loads(file.read_bytes())  # noqa: S301  (a file of this run)
            return value
        value = compute()
        part = file.with_suffix(".part")
        part.write_bytes(pickle.dumps(value))
        part.rename(file)
        return value
