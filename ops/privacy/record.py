"""Who a request is about, and the record of it: what was found, what was removed, what is left and until when.

The operator has an id; a pseudonym stands for it in telemetry. A record holds only the pseudonym, never the id of a
person.
"""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from components.gateway.component import WORKLOAD
from components.gateway.config import HASH_KEY_FILE
from components.masking import pseudonym
from ops.core.errors import OpsError
from ops.core.kube import Kube

ASK = "-"
"""Given in place of the id: it is read from standard input, and stands in no list of processes and no history."""
AUTH_SECRET = f"{WORKLOAD}-auth"
HASH_KEY_ENTRY = PurePosixPath(HASH_KEY_FILE).name
"""Its file in the gateways' pods is the Secret's entry of that name."""


def subject_id(given: str) -> str:
    """The id of the subject.

    Raises:
        OpsError: It is empty.
    """
    if given == ASK:
        given = getpass.getpass("id of the subject: ") if sys.stdin.isatty() else sys.stdin.readline()
    plain = given.strip("\r\n")
    if not plain:
        raise OpsError("--subject is empty: give the id as clients send it, or - to be asked for it")
    return plain


def masking_key(kube: Kube) -> str:
    """The key with which the gateways hash ids.

    It is in the Secret ``gateway-auth`` of the platform's namespace. Who may read that Secret can tell whose data a
    pseudonym stands for.

    Raises:
        OpsError: The Secret is not there, or may not be read.
    """
    return kube.secret_entry(AUTH_SECRET, HASH_KEY_ENTRY)


def pseudonym_of(plain: str, key: str) -> str:
    """What stands for the id in telemetry.

    Raises:
        OpsError: The key is none of the gateway's.
    """
    try:
        return pseudonym(plain, key)
    except ValueError as error:
        raise OpsError(str(error)) from None


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
