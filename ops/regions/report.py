"""The report of a failover or a failback, from its journal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from ops.core.files import write_report
from ops.regions.journal import Operation


def as_json(operation: Operation) -> dict[str, Any]:
    """The report for machines."""
    return {
        "operation": operation.kind,
        "id": operation.id,
        "target": operation.target,
        "source": operation.source,
        "planned": operation.planned,
        "by": operation.by,
        "began": operation.began.isoformat(timespec="seconds"),
        "ended": operation.ended.isoformat(timespec="seconds") if operation.ended else None,
        "figures": figures(operation),
        "problems": problems(operation),
        "handed_over": list(operation.figures("silence-handover").get("handed_over", ())),
        "notified_again": list(operation.figures("silence-handover").get("again", ())),
        "silences": list(operation.figures("silence-handover").get("silences", ())),
        "steps": {
            name: {"seconds": round(step.seconds, 1), "figures": step.figures, "problems": step.problems}
            for name, step in operation.steps.items()
        },
    }


def figures(operation: Operation) -> dict[str, float | int | None]:
    """What counts.

    * ``rto_s``: from the last sign of life of the old region until the new one is active and has shown a point, by the
      clock of who gave the command;
    * ``silent_s``: how long neither region told anybody, by the lease;
    * ``copied_behind_s``: how much older than that sign the newest copied record was, both by the old region's clock:
      about what is lost of each topic;
    * ``seconds``: of the whole command.
    """
    noticed, probed = _end(operation, "notify"), _end(operation, "probe")
    fence = operation.figures("fence")
    last, alive = (
        None if fence.get("confirmed") or not fence.get(name) else datetime.fromisoformat(fence[name])
        for name in ("source_last_seen", "source_last_alive")
    )
    up = max(noticed, probed) if noticed and probed else None
    newest: Mapping[str, str] = operation.figures("check").get("newest_copied", {})
    behind = [(last - datetime.fromisoformat(at)).total_seconds() for at in newest.values()] if last else []
    fenced = operation.steps["fence"].began if operation.has("fence") else None
    return {
        "rto_s": _seconds(alive, up),
        "silent_s": _seconds(fenced, noticed),
        "copied_behind_s": max(0.0, round(min(behind), 1)) if behind else None,
        "left_behind": operation.figures("mirror-offsets-back").get("left_behind"),
        "never_copied": operation.figures("both").get("alone"),
        "handed_over": len(operation.figures("silence-handover").get("handed_over", ())),
        "notified_again": len(operation.figures("silence-handover").get("again", ())),
        "seconds": _seconds(operation.began, operation.ended),
    }


def problems(operation: Operation) -> list[str]:
    """What was not as it should be, step by step."""
    return [f"{name}: {problem}" for name, step in operation.steps.items() for problem in step.problems]


def markdown(operation: Operation) -> str:
    """The report for people."""
    kind = operation.kind.capitalize()
    lines = [f"# {kind} from {operation.source} to {operation.target}", ""]
    how = "planned" if operation.planned else "without the old region"
    lines += [f"{operation.began:%Y-%m-%d %H:%M:%S} UTC, {how}, by {operation.by}, `{operation.id}`.", ""]
    lines += ["| figure | value |", "|---|---|"]
    lines += [f"| {name} | {'-' if value is None else value} |" for name, value in figures(operation).items()]
    lines += ["", "| step | seconds | seen |", "|---|---|---|"]
    for name, step in operation.steps.items():
        shown = {key: value for key, value in step.figures.items() if not isinstance(value, dict | list)}
        lines.append(f"| {name} | {step.seconds:.1f} | {_cell(', '.join(f'{k} {v}' for k, v in shown.items()))} |")
    for title, entries in (
        ("Problems", problems(operation)),
        ("Silences handed over: not notified again", operation.figures("silence-handover").get("handed_over", ())),
        ("Notified again, in doubt", operation.figures("silence-handover").get("again", ())),
        ("Silences of operators", operation.figures("silence-handover").get("silences", ())),
    ):
        if entries:
            lines += ["", f"## {title}", "", *(f"- {_cell(str(entry))}" for entry in entries)]
    ages = operation.figures("check").get("newest_copied_age_s", {})
    if ages:
        lines += ["", "## Newest copied record when it was checked", "", "| topic | seconds old |", "|---|---|"]
        lines += [f"| {topic} | {age} |" for topic, age in ages.items()]
    return "\n".join(lines) + "\n"


def write(operation: Operation, folder: Path) -> tuple[Path, Path]:
    """Write both files, each whole or not at all.

    Raises:
        OpsError: The folder cannot be made, or a file cannot be written.
    """
    return write_report(folder, operation.id, markdown(operation), as_json(operation))


def _end(operation: Operation, step: str) -> datetime | None:
    step_state = operation.steps.get(step)
    return step_state.ended if step_state else None


def _seconds(begin: datetime | None, end: datetime | None) -> float | None:
    return round((end - begin).total_seconds(), 1) if begin and end else None


def _cell(text: str) -> str:
    return text.replace("<", "&lt;").replace("|", "\\|")
