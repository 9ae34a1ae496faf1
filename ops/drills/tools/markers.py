"""Markers sent and asked for each second, so that a gap and a question without an answer are seen to the second."""

from __future__ import annotations

import threading
import time

from ops.core import otlp
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.web import Query
from ops.drills.tools.load import LAYER

MARKER = "obs_e2e_marker"


class Ticker:
    """Sends a marker once a second with its own second as the value, and queries it once a second."""

    def __init__(self, context: Context, run_id: str, query: Query) -> None:
        self._context, self._run, self._query = context, run_id, query
        self.sent: set[int] = set()
        self.queries = 0
        self.failed: list[str] = []
        self.longest_s = 0.0
        """The longest time in which no question was answered."""
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._send), threading.Thread(target=self._ask)]

    @property
    def selector(self) -> str:
        """Selector of this ticker's series."""
        return f'{MARKER}{{run="{self._run}"}}'

    def __enter__(self) -> Ticker:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)

    def _send(self) -> None:
        resource = otlp.resource_of(LAYER, "e2e-marker", "e2e-marker", device="e2e-marker")
        while not self._stopping.is_set():
            second = int(time.time())
            request = otlp.gauge(resource, MARKER, [(second * 10**9, float(second), {"run": self._run})])
            for _ in range(20):
                try:
                    if self._context.otlp.metrics(request, LAYER) == (200, 0):
                        self.sent.add(second)
                        break
                except OpsError:
                    pass
                time.sleep(0.5)
            self._stopping.wait(max(second + 1 - time.time(), 0.0))

    def _ask(self) -> None:
        seen, answered_at = False, time.monotonic()
        while not self._stopping.is_set():
            try:
                answered = bool(self._query.instant(self.selector))
                problem = "" if answered or not seen else "empty answer"
            except OpsError as error:
                answered, problem = False, str(error)
            # Before the first marker arrives an empty answer is right.
            seen = seen or answered
            self.queries += seen
            if seen and problem:
                self.failed.append(problem)
                self.longest_s = max(self.longest_s, time.monotonic() - answered_at)
            else:
                answered_at = time.monotonic()
            self._stopping.wait(1.0)
