"""Blocks of metrics that Thanos stored: up to when they reach.

A block is a folder with the ULID of its making as name, and its ``meta.json``, which is stored last, says which time
it covers. No block covers a time after its making: so only those are read that were made after what is known to be
covered.
"""

from __future__ import annotations

import json
import re

from services.runtime.s3 import Bucket, NotStoredError

META = "meta.json"
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TIME_DIGITS = 10
_MOST_META = 16 * 2**20
_MS = 1000.0


def made_ms(ulid: str) -> int:
    """When a block was made, milliseconds since 1970."""
    value = 0
    for digit in ulid[:_TIME_DIGITS]:
        value = value * len(_DIGITS) + _DIGITS.index(digit)
    return value


def first_ulid(milliseconds: int) -> str:
    """What the ULIDs of blocks that were made at a time begin with."""
    digits = ""
    for _ in range(_TIME_DIGITS):
        milliseconds, digit = divmod(milliseconds, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits


class Blocks:
    """The polls at the blocks."""

    def __init__(self, bucket: Bucket) -> None:
        """``bucket``: its prefix is that of the blocks."""
        self._bucket = bucket
        self._ends: dict[str, int | None] = {}
        self._reach_ms = 0

    def poll(self) -> float | None:
        """End of the newest block, seconds since 1970; None where there is no whole block.

        Raises:
            StorageError: The storage does not answer, or refuses.
        """
        reach = self._reach(self._bucket.folders(after=first_ulid(self._reach_ms)) if self._reach_ms else [])
        if reach < self._reach_ms or not reach:
            # What was known is gone.
            reach = self._reach(self._bucket.folders())
        self._reach_ms = reach
        return reach / _MS if reach else None

    def _reach(self, folders: list[str]) -> int:
        reach, kept = 0, dict[str, int | None]()
        for ulid in sorted((folder for folder in folders if _ULID.fullmatch(folder)), reverse=True):
            if made_ms(ulid) < reach:
                break
            end = self._ends.get(ulid) or self._end(ulid)
            kept[ulid] = end
            reach = max(reach, end or 0)
        self._ends = kept
        return reach

    def _end(self, ulid: str) -> int | None:
        """End of a block in milliseconds; None while it is not whole, or where its description is none."""
        try:
            content = self._bucket.open(f"{ulid}/{META}")
        except NotStoredError:
            return None
        if content.size > _MOST_META:
            content.chunks.close()
            return None
        try:
            end = json.loads(b"".join(content.chunks))["maxTime"]
        except (ValueError, TypeError, KeyError):
            return None
        # A sample from a clock that is ahead does not make a block reach into the future.
        return min(end, made_ms(ulid)) if isinstance(end, int) and end > 0 else None
