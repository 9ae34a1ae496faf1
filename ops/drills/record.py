"""The report of a drill: what each aspect of it was, from its evidence and from what was seen from outside; the
measured table of docs/dr.md has a row for each drill's newest one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ops.core.errors import OpsError
from ops.core.files import write_report
from ops.drills.procedure import Aspect, Drill
from ops.drills.run import DRILLS
from ops.drills.watch import Event, Watched, cell, mermaid, parsed, rows
from ops.evidence import files as evidence
from ops.evidence.files import Evidence
from ops.evidence.reading import NOT_MEASURED, told

FOLDER = evidence.FOLDER / "reports"
VERSION = 1
TIMELINE = "timeline"
"""Figure of an evidence file that has its own events: lists of lane, text, first and last second."""
_MOST_LISTED = 8


@dataclass(frozen=True, kw_only=True)
class Report:
    """One run of a drill.

    Attributes:
        drill: Which.
        passed: Whether everything that it promises held, and it left evidence.
        platform, region: Of what.
        started: When.
        seconds: How long it took.
        problems: Why it failed; empty when it passed.
        evidence: What it wrote in this run, or None.
        watched: What was seen from outside, or None where nobody looked.
        steady: What was found before the fault.
        notes: What could not be read.
    """

    drill: Drill
    passed: bool
    platform: str
    region: str
    started: datetime
    seconds: float
    problems: tuple[str, ...]
    evidence: Evidence | None
    watched: Watched | None
    steady: str
    notes: tuple[str, ...] = ()

    @property
    def events(self) -> list[Event]:
        """Everything that has a time."""
        own = _own(self.evidence.figures) if self.evidence else []
        whole = Event(lane="drill", what="the drill runs", start=0.0, end=round(max(self.seconds, 0.1), 1))
        return [whole, *own, *(self.watched.everything() if self.watched else [])]

    def aspects(self) -> dict[Aspect, list[str]]:
        """What is known of each aspect; empty: not measured."""
        known = aspects(self.drill, self.evidence, self.watched)
        return {**known, Aspect.STEADY: [self.steady, *known[Aspect.STEADY]]}

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "version": VERSION,
            "drill": self.drill.name,
            "passed": self.passed,
            "platform": self.platform,
            "region": self.region,
            "started": self.started.isoformat(timespec="seconds"),
            "seconds": self.seconds,
            "requirements": list(self.drill.requirements),
            "carried_out_by": self.drill.procedure,
            "problems": list(self.problems),
            "notes": list(self.notes),
            "aspects": {str(aspect): lines for aspect, lines in self.aspects().items()},
            "timeline": [event.as_json() for event in self.events],
            "watched": self.watched.as_json() if self.watched else None,
            "evidence": self.evidence.model_dump(mode="json") if self.evidence else None,
        }


def aspects(drill: Drill, run_evidence: Evidence | None, watched: Watched | None) -> dict[Aspect, list[str]]:
    """What evidence and watching tell of each aspect."""
    figures: Mapping[str, Any] = run_evidence.figures if run_evidence else {}
    result = {aspect: told(figures, drill.figures.get(aspect, ())) for aspect in Aspect}
    how = [str(figures["how"])] if "how" in figures and "how" not in drill.figures.get(Aspect.FAULT, ()) else []
    result[Aspect.FAULT] = list(dict.fromkeys([drill.fault, *how, *result[Aspect.FAULT]]))
    if watched is not None:
        _add_watched(result, watched)
    return result


def _add_watched(result: dict[Aspect, list[str]], watched: Watched) -> None:
    sign, alerts = watched.first_sign, watched.alerts
    if sign is None:
        result[Aspect.DETECTION].append("no symptom visible from outside")
    else:
        result[Aspect.DETECTION].append(f"first symptom after {sign.start:.1f} s: {sign.what}")
        first = next((alert for alert in alerts or () if alert.start >= sign.start), None)
        if first is not None:
            result[Aspect.DETECTION].append(
                f"{first.what} fired {first.start - sign.start:.1f} s after the first symptom"
            )
        again = watched.whole_again
        text = "not recovered at the end" if again is None else f"recovered {again - sign.start:.1f} s after it"
        result[Aspect.RECOVERY].append(text)
    for aspect, events in ((Aspect.ALERTS, alerts), (Aspect.NOTIFICATIONS, watched.notifications)):
        if events is not None:
            result[aspect] += [event.what for event in events[:_MOST_LISTED]] or ["none"]
            if len(events) > _MOST_LISTED:
                result[aspect].append(f"and {len(events) - _MOST_LISTED} more")
    if watched.questions:
        slowest = "" if watched.slowest_s is None else f", slowest answer {watched.slowest_s:g} s"
        result[Aspect.DASHBOARDS].append(
            f"{watched.questions} queries of the overview, {watched.unanswered} without an answer{slowest}"
        )


def markdown(report: Report) -> str:
    """The report for people."""
    drill, result = report.drill, "passed" if report.passed else "**failed**"
    commit = report.evidence.commit if report.evidence else evidence.commit()
    lines = [
        f"# Drill `{drill.name}`, {report.platform} ({report.region})",
        "",
        f"{drill.shows[0].upper()}{drill.shows[1:]}.",
        "",
        f"{report.started:%Y-%m-%d %H:%M:%S} UTC, {report.seconds:.0f} s, commit {commit}: {result}. "
        f"Requirements: {', '.join(drill.requirements)}. Load: {drill.load}.",
        "",
    ]
    if report.problems:
        lines += ["## Problems", "", *(f"- {cell(problem)}" for problem in report.problems), ""]
    lines += ["## What was measured", "", "| | |", "|---|---|"]
    lines += [f"| {aspect} | {joined(texts)} |" for aspect, texts in report.aspects().items()]
    lines += ["", *(f"{cell(note)}." for note in report.notes)]
    if report.notes:
        lines.append("")
    length = max([report.seconds, *(event.end or event.start for event in report.events)])
    title = f"{drill.name}, seconds since the drill began"
    lines += ["## Timeline", "", "```mermaid", mermaid(title, report.events, length), "```", ""]
    lines += [*rows(report.events), "", f"Evidence: `evidence/{drill.evidence}/`, by `{drill.procedure}`."]
    return "\n".join(lines) + "\n"


def joined(texts: list[str]) -> str:
    """An aspect in a cell."""
    return cell("; ".join(texts)) if texts else NOT_MEASURED


def write(report: Report, folder: Path = FOLDER) -> tuple[Path, Path]:
    """Write both files, each whole or not at all; they replace those of the run before.

    Raises:
        OpsError: The folder cannot be made, or a file cannot be written.
    """
    return write_report(folder, report.drill.name, markdown(report), report.as_json())


def watched_of(drill: Drill, run_evidence: Evidence, folder: Path = FOLDER) -> Watched | None:
    """What was seen in the run that wrote this evidence; None where nobody looked at that run.

    Raises:
        OpsError: The report is not what ``write`` writes.
    """
    with _spoilt(drill, folder):
        report = _read_report(drill, folder)
        # A run without the command replaces the evidence and not the report: then they do not belong together.
        if report is None or _moment(report) != run_evidence.time or report["watched"] is None:
            return None
        return parsed(report["watched"])


def _read_report(drill: Drill, folder: Path) -> dict[str, Any] | None:
    file = folder / f"{drill.name}.json"
    if not file.exists():
        return None
    content: dict[str, Any] = json.loads(file.read_text())
    return content


def _moment(report: Mapping[str, Any]) -> datetime:
    """When the evidence of a report was written; when its run began, where it wrote none."""
    return datetime.fromisoformat((report["evidence"] or {}).get("time") or report["started"])


@contextmanager
def _spoilt(drill: Drill, folder: Path) -> Iterator[None]:
    """Tell a report that is not what ``write`` writes in one line."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError):
        file = folder / f"{drill.name}.json"
        raise OpsError(f"{file} is not a drill report: run `ops drill {drill.name}` again, or remove it") from None


def newest(folder: Path = evidence.FOLDER) -> list[tuple[Drill, Evidence | None, Watched | None]]:
    """Every drill with what is known of its newest run."""
    drill_runs = []
    for drill in DRILLS:
        written = evidence.newest(drill.evidence, folder)
        drill_runs.append((drill, written, watched_of(drill, written, folder / FOLDER.name) if written else None))
    return drill_runs


def _own(figures: Mapping[str, Any]) -> list[Event]:
    """Events that an evidence file has itself."""
    addresses = []
    for lane, what, start, end in figures.get(TIMELINE, ()):
        addresses.append(
            Event(lane=str(lane), what=str(what), start=float(start), end=None if end is None else float(end))
        )
    return addresses


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
    with _spoilt(drill, report.parent):
        written = _read_report(drill, report.parent)
        if written is not None and _moment(written) != run_evidence.time:
            name += f" (report of {_moment(written):%Y-%m-%d})"
    run = f"[{run_evidence.time:%Y-%m-%d}](../evidence/{drill.evidence}/), {run_evidence.commit}"
    if problems := evidence.problems(run_evidence):
        run += f", **failed**: {cell('; '.join(problems))}"
    if reason := stale(run_evidence):
        run += f", **{reason}**"
    runs = evidence.read(drill.evidence, folder).runs
    if failed := sum(bool(evidence.problems(recorded)) for recorded in runs):
        run += f", {failed} of {len(runs)} runs failed"
    return "| " + " | ".join([name, cell(drill.shows), run, *[joined(told[aspect]) for aspect in _SHOWN]]) + " |"
