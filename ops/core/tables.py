"""Tables for a terminal, whatever its width: what is longer than its column goes on in the next line, nothing is cut.

Names differ at their ends (``operators-critical-phone``, ``telemetry-traces``): cut off, several look like one.
"""

from __future__ import annotations

from typing import Any

from rich import table
from rich.console import OverflowMethod


class Table(table.Table):
    """Rich's table, of columns that fold where nothing else is said."""

    def add_column(self, *words: Any, overflow: OverflowMethod = "fold", **options: Any) -> None:
        """Add a column, as ``rich.table.Table.add_column``."""
        super().add_column(*words, overflow=overflow, **options)
