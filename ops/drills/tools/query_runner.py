"""Somebody who keeps asking while something is taken away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ops.core.errors import OpsError

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
