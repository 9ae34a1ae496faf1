"""Source "changes": updates of the stack, from Pulumi's own history."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ops.core.errors import OpsError, one_line
from ops.core.platform import PROJECT
from ops.incidents.evidence import Change
from ops.incidents.time_window import TimeWindow

MOST = 20
_PAGE = 50
_TIMEOUT_SECONDS = 40


def changes(window: TimeWindow, cwd: Path = PROJECT) -> tuple[Change, ...]:
    """Updates that ran in the window, oldest first; previews change nothing and are left out.

    Raises:
        OpsError: No ``pulumi``, no stack, or no answer in time.
    """
    program = shutil.which("pulumi")
    if program is None:
        raise OpsError("`pulumi` is not on PATH")
    command = [program, "stack", "history", "--json", "--page-size", str(_PAGE), "--non-interactive"]
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise OpsError(f"`pulumi stack history` gave no answer in {_TIMEOUT_SECONDS} s") from None
    if done.returncode != 0:
        raise OpsError(f"`pulumi stack history`: {one_line(done.stderr, 160)}")
    return parse(done.stdout, window)


def parse(text: str, window: TimeWindow) -> tuple[Change, ...]:
    """Updates of the window from the command's output.

    Raises:
        OpsError: It is no such output.
    """
    try:
        changes = [_change(load) for load in json.loads(text) if load.get("kind") != "preview"]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise OpsError("`pulumi stack history --json` did not print a history") from None
    inside = [change for change in changes if change.at <= window.end and (change.end or window.end) >= window.start]
    return tuple(sorted(inside, key=lambda change: change.at)[-MOST:])


def _change(update: Mapping[str, Any]) -> Change:
    environment = update.get("environment") or {}
    return Change(
        at=_time(update["startTime"]),
        end=_time(update["endTime"]) if update.get("endTime") else None,
        kind=str(update["kind"]),
        version=int(update.get("version") or 0),
        result=str(update.get("result") or "?"),
        message=one_line(update.get("message") or "-", 160),
        commit=str(environment.get("git.head") or "")[:12],
        author=str(environment.get("git.author") or environment.get("git.committer") or ""),
        changes={str(name): int(count) for name, count in (update.get("resourceChanges") or {}).items()},
    )


def _time(text: str) -> datetime:
    timestamp = datetime.fromisoformat(text)
    return timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)
