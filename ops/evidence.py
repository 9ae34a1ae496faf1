"""Evidence files: figures of long drills, written by the end-to-end tests, read by ``ops verify``.

One file per drill, ``docs/evidence/<name>.json``; a repeated drill replaces it, also when it failed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ops.errors import OpsError
from ops.kube import Kube
from ops.platform import PROJECT

FOLDER = PROJECT / "docs" / "evidence"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What one drill showed.

    Attributes:
        name: Name of the drill, which is the name of the file.
        passed: Whether everything that the drill promises held.
        commit: Commit of the checkout that ran it; ``+`` at the end when the checkout had changes.
        time: When it ended, ISO 8601, UTC.
        machine: Cores and memory.
        versions: Images that ran.
        figures: What was measured.
    """

    name: str
    passed: bool
    commit: str
    time: str
    machine: Mapping[str, int | float]
    versions: Mapping[str, str]
    figures: Mapping[str, Any] = field(default_factory=dict)

    def age(self, now: datetime | None = None) -> str:
        """Time since the drill, in words."""
        seconds = ((now or datetime.now(UTC)) - datetime.fromisoformat(self.time)).total_seconds()
        for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
            if seconds >= size:
                return f"{seconds // size:.0f} {unit}"
        return f"{max(seconds, 0):.0f} s"

    def summary(self) -> str:
        """Figures with age and commit, on one line."""
        figures = ", ".join(f"{key} {value}" for key, value in self.figures.items())
        return f"{self.name}: {figures} [{self.age()} old, commit {self.commit}]"


def commit(folder: Path = PROJECT) -> str:
    """Short id of the checkout's commit."""
    head = _git(folder, "rev-parse", "--short", "HEAD")
    if not head:
        return "none"
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/evidence")
    return f"{head}+" if changed else head


def machine() -> dict[str, int | float]:
    """Cores and memory of this machine."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {"cores": len(os.sched_getaffinity(0)), "memory_gib": round(pages / 2**30, 1)}


def versions(kube: Kube) -> dict[str, str]:
    """Images that run, by repository."""
    images = {image for pod in kube.pods() for image in pod.images}
    return {name: tag for name, _, tag in (image.rpartition(":") for image in sorted(images))}


def write(
    name: str, *, passed: bool, figures: Mapping[str, Any], versions: Mapping[str, str], folder: Path = FOLDER
) -> Evidence:
    """Write a drill's file, whole or not at all."""
    if not _NAME.fullmatch(name):
        raise OpsError(f"evidence name {name!r}: use lower-case letters, digits and '-'")
    evidence = Evidence(
        name=name,
        passed=passed,
        commit=commit(),
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine(),
        versions=dict(versions),
        figures=dict(figures),
    )
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{name}.json.new"
    draft.write_text(json.dumps(asdict(evidence), indent=2) + "\n")
    draft.replace(folder / f"{name}.json")
    return evidence


def read(name: str, folder: Path = FOLDER) -> Evidence | None:
    """Read a drill's file, or nothing when the drill never ran.

    Raises:
        OpsError: The file is not what ``write`` writes.
    """
    file = folder / f"{name}.json"
    if not file.exists():
        return None
    try:
        return Evidence(**json.loads(file.read_text()))
    except (json.JSONDecodeError, TypeError):
        raise OpsError(f"{file} is not an evidence file: run `make e2e` again") from None


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=15, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
