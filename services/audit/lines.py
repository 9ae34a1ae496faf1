"""What the functions that read lines of servers share.

There is one function for each source, which knows what the real program writes. A line that is about no access gives
nothing. Texts that a client chose itself (paths, names) are taken only in the form that they have when they are what
they seem to be.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.audit.records import Access

LONGEST: Final = 200
"""Characters of a text that a client chose, at most."""
UNREADABLE: Final = "unreadable"
"""Stands for a name that has not the form of one."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:/ -]{0,62}")


class UnreadableLineError(Exception):
    """A line that must be an access is none; the message does not quote it."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a container.

    Attributes:
        time: When the container wrote it.
        workload: Workload of the pod.
        text: The line.
    """

    time: datetime
    workload: str
    text: str


Parser = Callable[[Line], Access | None]


def plain(name: str, form: re.Pattern[str] = _PLAIN) -> str:
    """A name that a client chose, where it has the form of one."""
    return name if form.fullmatch(name) else UNREADABLE
