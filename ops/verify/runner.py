"""Runs checks side by side, each within its time, and never lets one stop the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping

from ops.context import Context
from ops.errors import OpsError, one_line
from ops.requirements import REQUIREMENT_IDS
from ops.verify.rows import Check, Row, Status

CONCURRENCY = 3
SECONDS_PER_CHECK = 120.0


def choose(only: str | None) -> tuple[str, ...]:
    """Ids to report: all, or those of a comma-separated list, in the order of the requirements.

    Raises:
        OpsError: An id is not known.
    """
    if not only:
        return REQUIREMENT_IDS
    asked = {part.strip().upper() for part in only.split(",") if part.strip()}
    if unknown := sorted(asked - set(REQUIREMENT_IDS)):
        raise OpsError(f"--only: no requirement {', '.join(unknown)}: use ids such as {', '.join(REQUIREMENT_IDS[:8])}")
    return tuple(identifier for identifier in REQUIREMENT_IDS if identifier in asked)


def run(
    ids: Iterable[str],
    checks: Mapping[str, Check],
    context: Context,
    progress: Callable[[str], None] = lambda _: None,
    seconds: float = SECONDS_PER_CHECK,
) -> list[Row]:
    """One row per id, in the given order; ids without a check are ``absent``."""
    wanted = tuple(ids)
    rows = {identifier: Row(id=identifier, status=Status.ABSENT) for identifier in wanted if identifier not in checks}
    gate = threading.BoundedSemaphore(CONCURRENCY)
    jobs = {name: _Job(name, checks[name], context, gate) for name in wanted if name in checks}
    for name, job in jobs.items():
        job.start()
        # A check that hangs must not keep the program alive: its thread is a daemon, and its row is a failure.
        job.name = f"verify-{name}"
    for name, job in jobs.items():
        rows[name] = job.result(seconds)
        progress(name)
    return [rows[identifier] for identifier in wanted]


class _Job(threading.Thread):
    def __init__(self, identifier: str, check: Check, context: Context, gate: threading.BoundedSemaphore) -> None:
        super().__init__(daemon=True)
        self._identifier, self._check, self._context, self._gate = identifier, check, context, gate
        self._row: Row | None = None
        self._begun = threading.Event()
        self._start_time = 0.0

    def run(self) -> None:
        """Wait for a free place, then check."""
        with self._gate:
            self._start_time = time.monotonic()
            self._begun.set()
            try:
                self._row = self._check(self._context).row(self._identifier)
            except Exception as error:  # any failure of a check is that check's row
                self._row = self._failed(
                    f"{type(error).__name__}: {one_line(error)}" if not isinstance(error, OpsError) else one_line(error)
                )

    def result(self, seconds: float) -> Row:
        """The row, at the latest ``seconds`` after the check began."""
        if not self._begun.wait(seconds * 10):
            return self._failed("had no turn: other checks hang")
        self.join(max(self._start_time + seconds - time.monotonic(), 0.1))
        return self._row or self._failed(f"gave no answer in {seconds:.0f} s")

    def _failed(self, reason: str) -> Row:
        return Row(id=self._identifier, status=Status.FAIL, evidence=reason)
