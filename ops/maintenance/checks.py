"""All checks by period."""

from __future__ import annotations

from collections.abc import Iterable

from ops.core.errors import OpsError
from ops.maintenance.daily import DAILY
from ops.maintenance.model import Check, Period
from ops.maintenance.monthly import MONTHLY
from ops.maintenance.weekly import WEEKLY

OWN: dict[Period, tuple[Check, ...]] = {Period.DAILY: DAILY, Period.WEEKLY: WEEKLY, Period.MONTHLY: MONTHLY}
"""Checks that a period adds to those of the shorter ones."""


def checks(period: Period) -> tuple[Check, ...]:
    """Checks of a period, those of the shorter ones first."""
    order = list(Period)
    return tuple(check for included in order[: order.index(period) + 1] for check in OWN[included])


def chosen(all_checks: Iterable[Check], only: str | None) -> tuple[Check, ...]:
    """All, or those that a comma-separated list names.

    Raises:
        OpsError: A name is not known.
    """
    known = {check.id: check for check in all_checks}
    if not only:
        return tuple(known.values())
    names = [part.strip() for part in only.split(",") if part.strip()]
    if unknown := [wanted_name for wanted_name in names if wanted_name not in known]:
        raise OpsError(f"--only: no check {', '.join(unknown)}: use some of {', '.join(known)}")
    return tuple(check for name, check in known.items() if name in names)
