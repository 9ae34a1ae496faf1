"""The one exception that a user of the simulator sees: a single clear line."""

from __future__ import annotations


class SimulatorError(Exception):
    """Something the user can act on; printed without a traceback."""
