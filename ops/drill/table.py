"""The measured table of docs/dr.md, made from the evidence that is committed beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ops import evidence
from ops.drill.model import NOT_MEASURED, Aspect, Drill
from ops.drill.record import FOLDER, aspects, joined, newest
from ops.drill.timeline import cell
from ops.drill.watch import Watched
from ops.errors import OpsError
from ops.evidence import Evidence
from ops.platform import PROJECT

PAGE = PROJECT / "docs" / "dr.md"
BEGIN = "<!-- measured: made by `ops drill report`, do not edit -->"
END = "<!-- /measured -->"
_SHOWN = (Aspect.RTO, Aspect.RPO, Aspect.DETECTION, Aspect.RECOVERY, Aspect.NOTICES, Aspect.DASHBOARDS)


def measured(folder: Path = evidence.FOLDER) -> str:
    """The table, with a line for each drill."""
    head = ["drill", "what it shows", "newest run", *map(str, _SHOWN)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += [_row(*each, folder) for each in newest(folder)]
    return "\n".join(lines)


def with_table(page: str, table: str) -> str:
    """The page with this table in the place of the one that it has.

    Raises:
        OpsError: The page does not have the two marks, once each and in order.
    """
    before, found, rest = page.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended or BEGIN in rest or END in after:
        raise OpsError(f"{PAGE.name} must have the lines {BEGIN!r} and {END!r} once each, in this order")
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


def update(page: Path = PAGE, folder: Path = evidence.FOLDER) -> bool:
    """Bring the page's table up to date, whole or not at all; whether it changed.

    Raises:
        OpsError: The page cannot be read or written, or has not the marks.
    """
    try:
        before = page.read_text(encoding="utf-8")
        after = with_table(before, measured(folder))
        if after == before:
            return False
        draft = page.with_name(f".{page.name}.new")
        draft.write_text(after, encoding="utf-8")
        draft.replace(page)
    except OSError as error:
        raise OpsError(f"{page}: {error.strerror or error}") from None
    return True


def _row(drill: Drill, found: Evidence | None, watched: Watched | None, folder: Path) -> str:
    report = folder / FOLDER.name / f"{drill.name}.md"
    name = f"[`{drill.name}`](../evidence/{FOLDER.name}/{report.name})" if report.exists() else f"`{drill.name}`"
    if found is None:
        return "| " + " | ".join([name, cell(drill.shows), "never", *[NOT_MEASURED] * len(_SHOWN)]) + " |"
    told = aspects(drill, found, watched)
    run = f"[{found.time:%Y-%m-%d}](../evidence/{drill.evidence}/), {found.commit}"
    run += "" if found.passed else ", **failed**"
    if stale := evidence.staleness(found):
        run += f", {stale}"
    return "| " + " | ".join([name, cell(drill.shows), run, *_cells([told[each] for each in _SHOWN])]) + " |"


def _cells(found: Sequence[list[str]]) -> list[str]:
    return [joined(each) for each in found]
