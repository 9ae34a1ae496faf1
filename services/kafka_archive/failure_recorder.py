"""Counts every failure, and logs it once while it lasts."""

from __future__ import annotations

import time
from collections.abc import Callable

from services.kafka_archive.metrics import Metrics

_MOST_LOGGED = 20


class FailureRecorder:
    """Problems by stage (`metrics.STAGES`)."""

    def __init__(self, metrics: Metrics, log: Callable[[str], None]) -> None:
        self._failures, self.log = metrics.failures, log
        self._logged: dict[str, set[str]] = {}
        self._failed_at: dict[str, float] = {}

    def failed(self, stage: str, problem: str) -> None:
        """Count a failure; log it unless it was logged since the last recovery."""
        self._failures.labels(stage).inc()
        self._failed_at[stage] = time.monotonic()
        logged = self._logged.setdefault(stage, set())
        if problem not in logged and len(logged) < _MOST_LOGGED:
            logged.add(problem)
            self.log(f"{stage}: {problem}")

    def recovered(self, stage: str, quiet_s: float = 0.0) -> None:
        """Log the recovery, if there was a failure: nothing failed for ``quiet_s`` seconds, and now it works."""
        if self._logged.get(stage) and time.monotonic() - self._failed_at[stage] >= quiet_s:
            self._logged[stage].clear()
            self.log(f"{stage}: all is well again")
