"""An object that is written piece by piece: it goes up in parts as soon as there is more than one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from services.backup.errors import BackupError

PART_BYTES = 16 * 2**20
"""Size of a part; an object that is smaller goes up at once."""
MOST_PARTS = 10_000
"""S3's limit: with parts of 16 MiB an object has at most 156 GiB."""


class Parts(Protocol):
    """What a storage offers for this; `services.backup.store.Store` does."""

    def put(self, name: str, content: bytes) -> None:
        """Store an object from memory."""
        ...

    def begin_parts(self, name: str) -> str:
        """Begin an upload in parts; returns its id."""
        ...

    def put_part(self, name: str, upload: str, number: int, content: bytes) -> str:
        """Store a part; returns its tag."""
        ...

    def end_parts(self, name: str, upload: str, tags: Sequence[str], size: int) -> None:
        """Make an object of the parts."""
        ...

    def give_up(self, name: str, upload: str) -> None:
        """End an upload; its parts are removed."""
        ...


class Upload:
    """An object on its way; see `Store.writing`."""

    def __init__(self, store: Parts, name: str, part_bytes: int) -> None:
        self._store, self._name, self._part_bytes = store, name, part_bytes
        self._waiting = bytearray()
        self._upload = ""
        self._tags: list[str] = []
        self._written = 0

    def write(self, content: bytes, /) -> int:
        """Take bytes, all of them.

        Raises:
            BackupError: The storage refuses them or does not answer, or the object gets too large.
        """
        self._waiting += content
        self._written += len(content)
        while len(self._waiting) >= self._part_bytes:
            part = bytes(self._waiting[: self._part_bytes])
            del self._waiting[: self._part_bytes]
            self._send(part)
        return len(content)

    def finish(self) -> None:
        """Store it.

        Raises:
            BackupError: The storage refuses, does not answer, or has another size than was written.
        """
        if not self._upload:
            self._store.put(self._name, bytes(self._waiting))
            return
        if self._waiting:
            self._send(bytes(self._waiting))
            self._waiting.clear()
        self._store.end_parts(self._name, self._upload, self._tags, self._written)
        self._upload = ""

    def abort(self) -> None:
        """Remove what was sent; where that fails too, retention does it later."""
        if self._upload:
            with suppress(BackupError):
                self._store.give_up(self._name, self._upload)
            self._upload = ""

    def _send(self, part: bytes) -> None:
        if len(self._tags) >= MOST_PARTS:
            most = MOST_PARTS * self._part_bytes
            raise BackupError(f"{self._name} is larger than {most} bytes, which is the most for one object")
        self._upload = self._upload or self._store.begin_parts(self._name)
        self._tags.append(self._store.put_part(self._name, self._upload, len(self._tags) + 1, part))
