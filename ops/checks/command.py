"""``ops verify``: one line a row, details of single rows, or JSON. Exit code 1 only when a row fails."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from ops.checks import alerting, ingest, prometheus, recovery, security, traces, visualization
from ops.core import platform as platform_module
from ops.core.context import Context
from ops.core.errors import one_line
from ops.core.kube import Kube
from ops.core.rows import TEXTS, TITLES, Check, DrillResult, Row, State, choose, run_checks
from ops.evidence.reading import Drills

CHECKS: dict[str, Check] = {
    **ingest.CHECKS,
    **security.CHECKS,
    **prometheus.CHECKS,
    **traces.CHECKS,
    **alerting.CHECKS,
    **recovery.CHECKS,
    **visualization.CHECKS,
}
ALONE = frozenset({"S2"})
"""Rows that measure how long people wait: checked last, while no other check asks the same servers."""


WIDTH = 100
_TITLE, _STATE = 42, 10
_STYLES = {
    State.PASS: "green",
    State.FAIL: "bold red",
    State.STALE: "yellow",
    State.WAITING: "cyan",
    State.NOT_SET_UP: "magenta",
    State.ABSENT: "dim",
}


def verify(
    rows: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ROW]...", help="Rows to show in detail, for example K1; default: all."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
) -> None:
    """Check every requirement on the live platform: one line per row, or the details of the named rows."""
    ids = choose(rows or ())
    platform = platform_module.load()
    with Context(platform, Kube.of(platform)) as context:
        drills = Drills.of(context.kube)
        steps = _Steps(sum(identifier in CHECKS for identifier in ids))
        checked: dict[str, Row] = {}
        for some in (set(ids) - ALONE, ALONE & set(ids)):
            wanted = [identifier for identifier in ids if identifier in some]
            checked |= {row.id: row for row in run_checks(wanted, CHECKS, context, steps.done, judge=drills.judge)}
        ordered = [checked[identifier] for identifier in ids]
    for file in drills.ignored:
        typer.echo(f"ignored: {file}", err=True)
    if as_json:
        typer.echo(as_text(ordered))
    elif rows:
        _print("\n\n".join(details(row) for row in ordered))
    else:
        overview(ordered, Console(width=WIDTH, highlight=False))
    raise typer.Exit(exit_code(ordered))


def exit_code(rows: Iterable[Row]) -> int:
    """0 when no row fails, else 1."""
    return int(any(row.state is State.FAIL for row in rows))


def as_text(rows: Iterable[Row]) -> str:
    """JSON."""
    listed = [{**row.as_json(), "title": TITLES[row.id]} for row in rows]
    return json.dumps({"rows": listed}, indent=2, ensure_ascii=False)


def line(row: Row, width: int = WIDTH) -> str:
    """Id, state, title and the most telling figure on one line of at most ``width`` characters."""
    head = f"{row.id:<3}{row.state:<{_STATE}} {_cut(TITLES[row.id], _TITLE):<{_TITLE}} "
    return (head + _cut(row.line, width - len(head))).rstrip()


def totals(rows: Sequence[Row]) -> str:
    """How many rows are in which state."""
    counts = Counter(row.state for row in rows)
    return ", ".join(f"{counts[state]} {state}" for state in State)


def overview(rows: Sequence[Row], console: Console) -> None:
    """Print one line a row and the totals."""
    for row in rows:
        # `Text`, because figures may hold brackets, which Rich would take for markup.
        text = Text(line(row), no_wrap=True, overflow="ellipsis")
        text.stylize(_STYLES[row.state], 3, 3 + _STATE)
        console.print(text)
    console.print()
    console.print(Text(totals(rows), style="bold"))
    console.print("details of a row: `ops verify ROW`")


def details(row: Row) -> str:
    """Everything that is known of a row."""
    text = [f"{row.id} {row.state}: {TEXTS[row.id]}"]
    for title, lines in (
        ("figures", row.figures),
        ("problems", row.problems),
        ("not set up", row.setups),
        ("waiting", row.waits),
        ("observed", row.seen),
        ("drills", [part for drill in row.drills for part in _drill(drill)]),
        ("commands", row.commands),
    ):
        if lines:
            text += [f"  {title}", *(f"    {line}" for line in lines)]
    if row.state is State.ABSENT:
        text.append("  not implemented")
    return "\n".join(text)


def _drill(drill: DrillResult) -> list[str]:
    lines = [f"{drill.state:<{_STATE}} {drill.summary}"]
    if drill.runs:
        lines.append(f"{'':<{_STATE}} {drill.runs} {'run' if drill.runs == 1 else 'runs'} here, {drill.failed} failed")
    shown = {name: value for name, value in drill.figures.items() if isinstance(value, int | float | str)}
    if shown:
        told = "; ".join(f"{name} {value}" for name, value in shown.items())
        lines.append(f"{'':<{_STATE}} {one_line(told, 600)}")
    lines += [f"{'':<{_STATE}} ignored: {file}" for file in drill.ignored]
    return [*lines, f"{'':<{_STATE}} run it: `{drill.command}`"]


def _cut(text: str, width: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _print(text: str) -> None:
    typer.echo(text)


class _Steps:
    """Progress on standard error: one line that changes on a terminal, a line a row elsewhere."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._terminal = sys.stderr.isatty()

    def done(self, row: Row) -> None:
        """Report a finished row."""
        self._done += 1
        told = f"[{self._done}/{self._total}] {row.id} {row.state} after {row.seconds:.1f} s"
        if not self._terminal:
            typer.echo(told, err=True)
            return
        end = "\n" if self._done == self._total else ""
        typer.echo(f"\r\033[K{told}{end}", err=True, nl=False)
