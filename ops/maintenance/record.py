"""The record of a maintenance: Markdown for people, JSON for machines, both in one folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ops.core.files import write_report
from ops.maintenance.model import Maintenance, Result


def as_json(done: Maintenance) -> dict[str, Any]:
    """The record for machines."""
    return {
        "maintenance": str(done.period),
        "platform": done.platform,
        "region": done.region,
        "started": done.started.isoformat(timespec="seconds"),
        "seconds": round(done.seconds, 1),
        "commit": done.commit,
        "passed": not done.failed,
        "checks": [result.as_json() for result in done.results],
    }


def markdown(done: Maintenance) -> str:
    """The record for people: what needs somebody first, then every check."""
    total, failed = len(done.results), done.failed
    lines = [
        f"# {done.period.value.capitalize()} maintenance, {done.platform} ({done.region})",
        "",
        f"{done.started:%Y-%m-%d %H:%M} UTC, {done.seconds:.0f} s, commit {done.commit}: "
        f"{total - len(failed)} of {total} checks good.",
        "",
    ]
    if failed:
        lines += ["## To do", ""]
        lines += [_task(result) for result in failed] + [""]
    lines += ["## All checks", "", "| check | result | figure | limit | what must hold |", "|---|---|---|---|---|"]
    lines += [_line(result) for result in done.results]
    details = [result for result in done.results if result.good and result.row.evidence]
    if details:
        lines += ["", "## Seen", ""] + [f"- **{detail.check.id}**: {_plain(detail.row.evidence)}" for detail in details]
    return "\n".join(lines) + "\n"


def _task(result: Result) -> str:
    check, seen = result.check, _plain(result.row.evidence or result.row.figure)
    return f"- [ ] **{check.id}**, {check.what}: {seen}. Limit: {check.limit}. What to do: {check.remediation}."


def _line(result: Result) -> str:
    check = result.check
    cells = (check.id, "ok" if result.good else "**failed**", result.row.figure or "-", check.limit, check.what)
    return "| " + " | ".join(map(_cell, cells)) + " |"


def _plain(text: str) -> str:
    """Text that Markdown leaves alone as far as it matters: angle brackets would be tags."""
    return text.replace("<", "&lt;")


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|")


def write(done: Maintenance, folder: Path) -> tuple[Path, Path]:
    """Write both files, each whole or not at all.

    Raises:
        OpsError: The folder cannot be made, or a file cannot be written.
    """
    return write_report(folder, done.name, markdown(done), as_json(done))
