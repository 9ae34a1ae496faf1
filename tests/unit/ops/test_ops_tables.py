"""Tables of commands at the width of a small terminal, or of a pipe: names can be told apart."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from ops.core.terminal import Table

PROJECT = Path(__file__).parents[3]
RUNS_OF_EVIDENCE = {"ops/backups/command.py", "ops/regions/command.py"}
"""What runs of drills were measured with: changed when these are measured anew."""


def column(table: Table, number: int, width: int) -> str:
    """A column's words as somebody reads them, put together again."""
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(table)
    rows = [line.split("│") for line in capture.get().splitlines() if line.startswith("│")]
    return "".join(row[number + 1].strip() for row in rows)


def test_a_long_name_is_whole_in_a_narrow_terminal() -> None:
    table = Table("receiver", "alerts", "a column with much to say about itself")
    table.add_row("operators-critical-phone", "1", "x" * 60)
    assert column(table, 0, 40) == "operators-critical-phone"


def test_every_command_has_such_tables() -> None:
    own = {"ops/core/terminal.py", *RUNS_OF_EVIDENCE}
    sources = {str(path.relative_to(PROJECT)): path.read_text() for path in (PROJECT / "ops").rglob("*.py")}
    assert {name for name, text in sources.items() if "rich.table import Table" in text} <= own
