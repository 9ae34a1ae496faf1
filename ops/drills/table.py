"""The measured table of docs/dr.md: a row for each drill, made from its newest evidence and report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ops.drills.model import Aspect, Drill
from ops.drills.record import FOLDER, aspects, joined, newest
from ops.drills.timeline import cell
from ops.drills.watch import Watched
from ops.evidence import files as evidence
from ops.evidence.figures import NOT_MEASURED
from ops.evidence.files import Evidence

_SHOWN = (Aspect.RTO, Aspect.RPO, Aspect.DETECTION, Aspect.RECOVERY, Aspect.NOTIFICATIONS, Aspect.DASHBOARDS)


Stale = Callable[[Evidence], str | None]


def measured(folder: Path = evidence.FOLDER, stale: Stale = evidence.staleness) -> str:
    """The table, with a line for each drill.

    Args:
        folder: Where evidence is kept.
        stale: What makes a run stale, or None.
    """
    head = ["drill", "what it shows", "newest run", *map(str, _SHOWN)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += [_row(drill, run_evidence, watched, folder, stale) for drill, run_evidence, watched in newest(folder)]
    return "\n".join(lines)


def _row(drill: Drill, run_evidence: Evidence | None, watched: Watched | None, folder: Path, stale: Stale) -> str:
    report = folder / FOLDER.name / f"{drill.name}.md"
    name = f"[`{drill.name}`](../evidence/{FOLDER.name}/{report.name})" if report.exists() else f"`{drill.name}`"
    if run_evidence is None:
        return "| " + " | ".join([name, cell(drill.shows), "never", *[NOT_MEASURED] * len(_SHOWN)]) + " |"
    told = aspects(drill, run_evidence, watched)
    run = f"[{run_evidence.time:%Y-%m-%d}](../evidence/{drill.evidence}/), {run_evidence.commit}"
    run += "" if run_evidence.passed else f", **failed**: {cell('; '.join(run_evidence.problems))}"
    if reason := stale(run_evidence):
        run += f", **{reason}**"
    runs = evidence.read(drill.evidence, folder).runs
    if failed := sum(not recorded.passed for recorded in runs):
        run += f", {failed} of {len(runs)} runs failed"
    return "| " + " | ".join([name, cell(drill.shows), run, *[joined(told[aspect]) for aspect in _SHOWN]]) + " |"
