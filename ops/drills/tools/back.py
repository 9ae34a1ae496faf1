"""How drills put back what they took away."""

from __future__ import annotations

import time
from collections.abc import Callable

from ops.core.errors import OpsError
from ops.core.interrupts import uninterrupted
from ops.core.terminal import say

_PAUSE_S = 2.0


def put_back(what: str, action: Callable[[], object], attempts: int = 3) -> None:
    """Do what puts something back, whoever interrupts meanwhile, and again where it fails.

    Args:
        what: For messages, for example ``the object storage``.
        action: Puts it back; does no harm where nothing is away.
        attempts: How often it is tried.

    Raises:
        OpsError: It failed each time.
    """
    with uninterrupted():
        for attempt in range(1, attempts + 1):
            try:
                action()
            except OpsError as error:
                if attempt == attempts:
                    raise OpsError(f"{what} is still away, put it back by hand: {error}") from None
                say(f"once more: {error}")
                time.sleep(_PAUSE_S)
            else:
                return
