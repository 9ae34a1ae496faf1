"""Which segment is stored next, and when again after a failure: without end, with longer and longer pauses."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from services.kafka_archive.failure_recorder import FailureRecorder
from services.kafka_archive.metrics import Metrics
from services.kafka_archive.partition_buffer import PartitionBuffer
from services.kafka_archive.upload_pool import WORKERS, Result, UploadPool

_PAUSES_S = (0.5, 1.0, 2.0, 5.0, 10.0)


class UploadScheduler:
    """Asks the threads of `UploadPool`; of a buffer one segment at a time, so that they are stored in order."""

    def __init__(self, pool: UploadPool, metrics: Metrics, problems: FailureRecorder) -> None:
        self._pool, self._metrics, self._problems = pool, metrics, problems
        self._busy = self._failed_in_row = 0
        self._retry_at = 0.0

    def submit(self, buffers: Iterable[PartitionBuffer]) -> None:
        """Let the first segments of buffers be stored, the oldest first; one at a time while the storage fails."""
        if time.monotonic() < self._retry_at:
            return
        free = (1 if self._failed_in_row else WORKERS) - self._busy
        due = [buffer for buffer in buffers if buffer.closed and not buffer.uploading] if free > 0 else []
        for buffer in sorted(due, key=lambda partition_buffer: partition_buffer.closed[0].opened)[:free]:
            buffer.uploading = True
            self._busy += 1
            self._pool.submit(buffer.closed[0])

    def collect(self, buffers: Mapping[tuple[str, int], PartitionBuffer], wait_s: float = 0.0) -> None:
        """Take note of attempts that ended; waits for the first one so long."""
        for result in self._pool.results(wait_s):
            self._busy -= 1
            segment = result.segment
            buffer = buffers.get((segment.topic, segment.partition))
            # A buffer may have been lost, and have come back, since the segment was begun.
            mine = buffer is not None and bool(buffer.closed) and buffer.closed[0] is segment
            if buffer is not None and mine:
                buffer.uploading = False
            if result.problem:
                self._again(result.problem)
                continue
            self._failed_in_row, self._retry_at = 0, 0.0
            self._problems.recovered("storage")
            self._count(result)
            if buffer is not None and mine:
                buffer.stored = buffer.closed.popleft().last + 1

    def _again(self, problem: str) -> None:
        self._retry_at = time.monotonic() + _PAUSES_S[min(self._failed_in_row, len(_PAUSES_S) - 1)]
        self._failed_in_row += 1
        self._metrics.failed.inc()
        self._problems.failed("storage", problem)

    def _count(self, result: Result) -> None:
        segment, metrics = result.segment, self._metrics
        metrics.objects.inc()
        metrics.records.labels(segment.topic).inc(segment.records)
        metrics.plain.labels(segment.topic).inc(segment.plain)
        metrics.stored_bytes.labels(segment.topic).inc(result.size)
        metrics.last.labels(segment.topic).set_to_current_time()
