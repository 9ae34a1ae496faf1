"""Markers sent and asked for each second, so that a gap and a question without an answer are seen to the second; and
somebody who keeps asking while something is taken away.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

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


_ENDS_S = 120.0


class QueryRunner:
    """Asks something about once a second, as a person or a dashboard would, who tries again when there is no answer.

    Args:
        question: Raises `OpsError` when there is no good answer.
        tries: How often one question is tried before it counts as not answered.
    """

    def __init__(self, question: Callable[[], object], tries: int = 3) -> None:
        self._question, self._tries = question, tries
        self.requested = self.repeated = 0
        self.failed: list[str] = []
        self.slowest = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> QueryRunner:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(_ENDS_S)
        if self._thread.is_alive():
            raise OpsError(f"a question got no answer within {_ENDS_S:.0f} s")

    def _ask(self) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            for left in reversed(range(self._tries)):
                try:
                    self._question()
                    break
                except OpsError as error:
                    self.repeated += 1
                    if not left:
                        self.failed.append(str(error))
                    time.sleep(1.0)
            self.requested += 1
            self.slowest = max(self.slowest, time.monotonic() - began)
            self._stopping.wait(1.0)
