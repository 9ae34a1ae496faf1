"""The one exception that a user of the lab sees: a single clear line."""

from __future__ import annotations


class LabError(Exception):
    """Something the user can act on; printed without a traceback."""
