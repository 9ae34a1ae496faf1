"""One partition that is read: the segment that grows, those that wait for the storage, and how far it is stored."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from services.kafka_archive.segments import Segment


class PartitionBuffer:
    """One partition.

    Attributes:
        topic: Its topic.
        partition: Its number.
        committed_known: Whether the brokers were asked where the group was before.
        expected: Offset of the next record; None where nothing was committed or read yet.
        open: The segment that grows.
        closed: Those that wait for the storage, in order.
        uploading: Whether the first of them is in a thread of `UploadPool`.
        stored: Offset behind everything that is stored; -1 for nothing yet.
        committed: Offset of the last commit that was sent, and not refused.
    """

    def __init__(self, topic: str, partition: int) -> None:
        self.topic, self.partition = topic, partition
        self.committed_known = False
        self.expected: int | None = None
        self.open: Segment | None = None
        self.closed: deque[Segment] = deque()
        self.uploading = False
        self.stored = self.committed = -1

    @property
    def key(self) -> tuple[str, int]:
        """Topic and number."""
        return self.topic, self.partition

    def segments(self) -> Iterable[Segment]:
        """All that are in memory, the oldest first."""
        yield from self.closed
        if self.open is not None:
            yield self.open

    def close(self) -> None:
        """Let no more come into the segment that grows."""
        if self.open is not None:
            self.closed.append(self.open)
            self.open = None
