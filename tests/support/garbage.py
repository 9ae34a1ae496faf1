"""Python's cyclic garbage collector, which by default walks all modules and all that a run keeps again and again."""

from __future__ import annotations

import gc

_COLLECT_AFTER = (100_000, 20, 100)
"""Instead of (700, 10, 10): a program of Pulumi takes a third less processor time."""


def collect_seldom() -> None:
    """Set the thresholds."""
    gc.set_threshold(*_COLLECT_AFTER)
