"""Passwords of the directory: made once for a lab, kept in one file that its owner alone can read."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

MEMBERS = {
    "monitoring-viewers": ("viewer",),
    "monitoring-editors": ("editor",),
    "monitoring-admins": ("admin-person",),
}
"""Group -> people in it. ``outsider`` is in none."""
PEOPLE = (*(name for members in MEMBERS.values() for name in members), "outsider")


def _password() -> str:
    return secrets.token_urlsafe(24)


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """Everything that opens the directory.

    Attributes:
        people: Person -> password.
        bind_password: Of the service account.
    """

    people: dict[str, str] = field(default_factory=lambda: {name: _password() for name in PEOPLE})
    bind_password: str = field(default_factory=_password)

    def all(self) -> list[str]:
        """Every secret text, for those who must not show any."""
        return [*self.people.values(), self.bind_password]
