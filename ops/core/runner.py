"""Runs checks side by side, each within its time, and never lets one stop the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from ops.core.context import Context
from ops.core.errors import OpsError, one_line
from ops.core.requirements import REQUIREMENT_IDS
from ops.core.rows import Check, DrillResult, Row, State

CONCURRENCY = 3
SECONDS_PER_CHECK = 120.0

Judge = Callable[[str], DrillResult]


def choose(words: Sequence[str]) -> tuple[str, ...]:
    """Ids to report: all, or the named ones, in the order of the requirements.

    Args:
        asked: Ids in any case, also several in one word, separated by commas.

    Raises:
        OpsError: An id is not known.
    """
    wanted = {part.strip().upper() for word in words for part in word.split(",") if part.strip()}
    if not wanted:
        return REQUIREMENT_IDS
    if unknown := sorted(wanted - set(REQUIREMENT_IDS)):
        raise OpsError(f"no row {', '.join(unknown)}: use ids such as {', '.join(REQUIREMENT_IDS[:8])}")
    return tuple(identifier for identifier in REQUIREMENT_IDS if identifier in wanted)


def no_drills(name: str) -> DrillResult:
    """Judge for checks that rely on no evidence.

    Raises:
        OpsError: Always: the check does rely on some.
    """
    raise OpsError(f"nothing judges the evidence {name} here")


def run(
    ids: Iterable[str],
    checks: Mapping[str, Check],
    context: Context,
    progress: Callable[[Row], None] = lambda _: None,
    seconds: float = SECONDS_PER_CHECK,
    judge: Judge = no_drills,
) -> list[Row]:
    """One row per id, in the given order; ids without a check are ``absent``.

    Args:
        ids: What to check.
        checks: Check of each id.
        context: The platform.
        progress: Gets each row once it is finished.
        seconds: Time limit of one check.
        judge: Says what evidence is worth on this platform.
    """
    wanted = tuple(ids)
    rows = {identifier: Row(id=identifier, state=State.ABSENT) for identifier in wanted if identifier not in checks}
    gate = threading.BoundedSemaphore(CONCURRENCY)
    jobs = {name: _Job(name, checks[name], context, gate, judge) for name in wanted if name in checks}
    for name, job in jobs.items():
        # A check that hangs must not keep the program alive: its thread is a daemon, and its row fails.
        job.name = f"verify-{name}"
        job.start()
    for name, job in jobs.items():
        rows[name] = job.result(seconds)
        progress(rows[name])
    return [rows[identifier] for identifier in wanted]


class _Job(threading.Thread):
    def __init__(
        self, identifier: str, check: Check, context: Context, gate: threading.BoundedSemaphore, judge: Judge
    ) -> None:
        super().__init__(daemon=True)
        self._identifier, self._check, self._context, self._gate, self._judge = identifier, check, context, gate, judge
        self._row: Row | None = None
        self._begun = threading.Event()
        self._start_time = 0.0

    def run(self) -> None:
        """Wait for a free place, then check."""
        with self._gate:
            self._start_time = time.monotonic()
            self._begun.set()
            try:
                finding = self._check(self._context)
                self._row = finding.row(self._identifier, self._judge, time.monotonic() - self._start_time)
            except Exception as error:  # any failure of a check is that check's row
                self._row = self._failed(
                    one_line(error) if isinstance(error, OpsError) else f"{type(error).__name__}: {one_line(error)}"
                )

    def result(self, seconds: float) -> Row:
        """The row, at the latest ``seconds`` after the check began."""
        if not self._begun.wait(seconds * 10):
            return self._failed("had no turn: other checks hang")
        self.join(max(self._start_time + seconds - time.monotonic(), 0.1))
        return self._row or self._failed(f"gave no answer in {seconds:.0f} s")

    def _failed(self, reason: str) -> Row:
        spent = time.monotonic() - self._start_time if self._begun.is_set() else 0.0
        return Row(id=self._identifier, state=State.FAIL, problems=(reason,), seconds=spent)
