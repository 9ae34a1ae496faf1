"""What goes wrong, told once while it lasts, and counted every time."""

from __future__ import annotations

import time
from collections.abc import Callable

from services.kafka_archive.metrics import Metrics

_MOST_TOLD = 20


class News:
    """Problems by stage (`metrics.STAGES`)."""

    def __init__(self, metrics: Metrics, log: Callable[[str], None]) -> None:
        self._failures, self.log = metrics.failures, log
        self._told: dict[str, set[str]] = {}
        self._failed_at: dict[str, float] = {}

    def failed(self, stage: str, problem: str) -> None:
        """Count a failure; tell it if it was not told since all was well."""
        self._failures.labels(stage).inc()
        self._failed_at[stage] = time.monotonic()
        told = self._told.setdefault(stage, set())
        if problem not in told and len(told) < _MOST_TOLD:
            told.add(problem)
            self.log(f"{stage}: {problem}")

    def well(self, stage: str, quiet_s: float = 0.0) -> None:
        """Tell, if there was something, that it is over: nothing failed for so long, and now it works."""
        if self._told.get(stage) and time.monotonic() - self._failed_at[stage] >= quiet_s:
            self._told[stage].clear()
            self.log(f"{stage}: all is well again")
