"""Drills of the product as end-to-end tests, each with the drill's own limit of time."""

from __future__ import annotations

import pytest

from ops.core.context import Context
from ops.drills.procedure import carry_out
from ops.drills.run import find


def limit(drill: str) -> pytest.MarkDecorator:
    """The time that a drill has."""
    return pytest.mark.timeout(find(drill).limit_s)


def problems(drill: str, context: Context) -> list[str]:
    """Carry a drill out, which writes its evidence; what did not hold."""
    return carry_out(find(drill), context)
