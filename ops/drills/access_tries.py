"""A try to do something with a login, and what became of all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from ops.drills.tools.accounts import unmet

SHOWN: Final = 10
"""Tries of a kind that are named in the figures."""


class Answer(StrEnum):
    """What a server did with a try."""

    REFUSED = "refused"
    LET_IN = "let in"
    UNCLEAR = "unclear"


@dataclass(frozen=True, kw_only=True)
class Try:
    """One try.

    Attributes:
        part: Where, for example ``Kafka``.
        login: Who.
        what: What was tried.
        allowed: Whether the matrix allows it.
        answer: What the server did.
        said: Its words, where the answer is unclear.
    """

    part: str
    login: str
    what: str
    allowed: bool
    answer: Answer
    said: str = ""

    def __str__(self) -> str:
        said = f" ({self.said})" if self.said else ""
        return f"{self.part}: {self.login}: {self.what}: {self.answer}{said}"


def account(tries: Iterable[Try], figures: dict[str, Any], logins: Mapping[str, Iterable[str]]) -> list[str]:
    """Note what became of tries; a problem for each kind of wrong answer, and for each login without a control.

    A login none of whose allowed tries was let in may be broken: then everything outside is refused, and shows nothing.

    Args:
        tries: All of them.
        figures: Filled in.
        logins: Part -> logins that the matrix allows something there.
    """
    every = list(tries)
    outside = [attempt for attempt in every if not attempt.allowed]
    inside = [attempt for attempt in every if attempt.allowed]
    through = [attempt for attempt in outside if attempt.answer is Answer.LET_IN]
    refused = [attempt for attempt in inside if attempt.answer is Answer.REFUSED]
    unclear = [attempt for attempt in every if attempt.answer is Answer.UNCLEAR]
    proven = {(attempt.part, attempt.login) for attempt in inside if attempt.answer is Answer.LET_IN}
    unproven = sorted(
        f"{part}: {login}" for part, names in logins.items() for login in names if (part, login) not in proven
    )
    figures["tries outside"], figures["let through"] = len(outside), len(through)
    figures["tries inside"], figures["inside refused"] = len(inside), len(refused)
    figures["unclear answers"], figures["logins without a control"] = len(unclear), len(unproven)
    figures["logins"] = sum(len(set(names)) for names in logins.values())
    figures["tries outside by part"] = {
        part: sum(attempt.part == part for attempt in outside) for part in sorted({attempt.part for attempt in every})
    }
    for name, some in (
        ("let through, which", through),
        ("inside refused, which", refused),
        ("unclear, which", unclear),
    ):
        if some:
            figures[name] = list(map(str, some[:SHOWN]))
    if unproven:
        figures["without a control, which"] = unproven[:SHOWN]
    return unmet(
        (bool(outside), "nothing outside of the matrix was tried"),
        (not through, f"{len(through)} tries outside of the matrix were let through: {_some(through)}"),
        (not refused, f"{len(refused)} tries inside of the matrix were refused: {_some(refused)}"),
        (not unclear, f"{len(unclear)} tries were answered neither way: {_some(unclear)}"),
        (not unproven, f"nothing that is allowed was tried with {', '.join(unproven[:SHOWN])}"),
    )


def _some(tries: list[Try]) -> str:
    return "; ".join(map(str, tries[:3]))
