"""What was found, what was removed, what is left and until when: the record of a request about one subject.

A record never holds the id of a person, only the pseudonym that stands for it in telemetry.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ops.core.errors import OpsError

VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What one store has of a subject.

    Attributes:
        store: Which store.
        where: Indices, series, topic or segments in it.
        matches: How many documents, series or records; None where nobody looked.
        oldest, newest: Times of what was found; None where they are not known.
        removable: Whether the store can remove it.
        removed: How many were removed.
        left: How many are left; None where nobody looked.
        expires: When the last of what is left, or may be left, is gone by retention; None where nothing is left.
        why: Why it cannot be removed, or why nobody looked.
    """

    store: str
    where: str
    matches: int | None
    oldest: datetime | None = None
    newest: datetime | None = None
    removable: bool = False
    removed: int = 0
    left: int | None = None
    expires: datetime | None = None
    why: str = ""

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "store": self.store,
            "where": self.where,
            "matches": self.matches,
            "oldest": _time(self.oldest),
            "newest": _time(self.newest),
            "removable": self.removable,
            "removed": self.removed,
            "left": self.left,
            "expires": _time(self.expires),
            "why": self.why,
        }

    def after(self, removed: int, left: int) -> Holding:
        """The same once something was removed."""
        return replace(self, removed=removed, left=left, expires=self.expires if left else None)


@dataclass(frozen=True, kw_only=True)
class PrivacyRecord:
    """One request.

    Attributes:
        action: ``find`` or ``erase``.
        dry_run: Whether nothing was to be removed.
        operator: Who asked, as the machine knows him.
        reference: The case, as the operator names it.
        platform, region: Where.
        pseudonym: What stands for the subject in telemetry.
        time: When.
        holdings: By store.
    """

    action: str
    dry_run: bool
    operator: str
    reference: str
    platform: str
    region: str
    pseudonym: str
    time: datetime
    holdings: Sequence[Holding]

    @property
    def remaining(self) -> list[Holding]:
        """What is left, or may be left where nobody could look."""
        return [holding for holding in self.holdings if holding.left is None or holding.left > 0]

    @property
    def incomplete(self) -> list[Holding]:
        """What could be removed and still is there."""
        return [holding for holding in self.holdings if holding.removable and holding.left]

    @property
    def gone_by(self) -> datetime | None:
        """When the last of it is gone by itself; None where nothing is left."""
        return max((holding.expires for holding in self.remaining if holding.expires), default=None)

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "version": VERSION,
            "action": self.action,
            "dry_run": self.dry_run,
            "operator": self.operator,
            "reference": self.reference,
            "platform": self.platform,
            "region": self.region,
            "pseudonym": self.pseudonym,
            "time": _time(self.time),
            "holdings": [holding.as_json() for holding in self.holdings],
            "gone_by": _time(self.gone_by),
        }

    def write(self, file: Path) -> None:
        """Write it, readable by its owner alone; a file that is there is not replaced.

        Raises:
            OpsError: It cannot be written.
        """
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with open(file, "x", encoding="utf-8", opener=_private) as out:
                json.dump(self.as_json(), out, indent=2, ensure_ascii=False)
                out.write("\n")
        except OSError as error:
            raise OpsError(f"--record {file}: cannot be written: {error.strerror}") from None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat(timespec="seconds")
