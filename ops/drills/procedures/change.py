"""A change by editing data (M4): a threshold changed in a scratch checkout, reviewed and previewed, not deployed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from components.telemetry.thresholds import THRESHOLDS, Threshold
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.platform import PROJECT
from ops.core.terminal import say
from ops.drills.tools.accounts import unmet
from ops.review.review import Repository

FILE: Final = Path("components/telemetry/thresholds.yaml")
NAME: Final = "battery"
CHANGED: Final = ("prometheus-", "grafana-content-", "failover-agent")
"""What a threshold is part of: rules, its layer's dashboard, the fingerprint that regions compare."""
LIMIT_S: Final = 420.0
_SECTION = "### What changes, in plain words\n"
_SENTENCE = re.compile(r"^- (.+)$", re.MULTILINE)
_MOST_SHOWN = 2000


def change_threshold(context: Context, figures: dict[str, Any]) -> list[str]:
    """Change a threshold in a scratch checkout; what is reviewed and previewed must be that, and nothing else."""
    threshold = next(threshold for threshold in THRESHOLDS if threshold.name == NAME)
    tracked = status()
    with TemporaryDirectory(prefix="obs-drill-change-") as folder, scratch() as checkout:
        view = project(checkout, Path(folder) / "project")
        say("previewing the checkout as it is")
        before = previewed(checkout, view)
        limit = edited(checkout / FILE, threshold)
        figures["change"] = f"limit of {threshold.name}: {limit:g} instead of {threshold.limit:g}"

        say("reviewing the change")
        start = time.monotonic()
        text = reviewed(checkout, Path(folder) / "review.md")
        figures["review s"] = round(time.monotonic() - start, 1)
        sentences = _SENTENCE.findall(text.partition(_SECTION)[2].partition("\n### ")[0])
        figures["in plain words"] = sentences

        say("previewing the change")
        start = time.monotonic()
        after = previewed(checkout, view)
        figures["preview s"] = round(time.monotonic() - start, 1)
    changed = sorted(urn for urn in {**before, **after} if before.get(urn) != after.get(urn))
    figures["changed resources"] = [urn.rpartition("::")[2] for urn in changed]
    return [
        *in_words(limit, sentences),
        *in_preview({urn: after.get(urn) for urn in changed}),
        *unmet((status() == tracked, "the checkout itself changed")),
    ]


def in_words(limit: float, sentences: list[str]) -> list[str]:
    """What is wrong with what a review says of a new limit of the threshold `NAME`."""
    shown = f"{limit:.0%}".replace("%", " %")
    others = [sentence for sentence in sentences if NAME not in sentence.lower()]
    return unmet(
        (any(shown in sentence for sentence in sentences), f"the review does not say {shown!r}: {sentences}"),
        (not others, f"the review says of something else: {others}"),
    )


def in_preview(steps: Mapping[str, str | None]) -> list[str]:
    """What is wrong with a preview, of resources that a change touches and what would be done with each."""
    names = [urn.rpartition("::")[2] for urn in steps]
    others = [name for name in names if not name.startswith(CHANGED)]
    return unmet(
        (bool(names), "the preview shows no change"),
        (set(steps.values()) <= {"update"}, f"the preview does more than update: {sorted(map(str, steps.values()))}"),
        (not others, f"something else changes: {', '.join(others)}"),
    )


@contextmanager
def scratch() -> Iterator[Path]:
    """A worktree of the checked out commit, gone afterwards."""
    repository = Repository(PROJECT)
    with repository.checked_out(repository.base("HEAD")) as place:
        yield place


def project(checkout: Path, folder: Path) -> Path:
    """A view of a checkout for Pulumi: links to everything, and the live stack's own settings with its secrets."""
    live = Path(os.environ.get("PULUMI_OPTION_CWD", PROJECT))
    folder.mkdir(mode=0o700)
    for entry in checkout.iterdir():
        if entry.name.startswith("Pulumi.") and entry.name != "Pulumi.yaml":
            shutil.copy(live / entry.name, folder / entry.name)
        elif not entry.name.startswith("."):
            (folder / entry.name).symlink_to(entry)
    return folder


def edited(file: Path, threshold: Threshold) -> float:
    """Raise the limit of a threshold by half, as an operator would: one number in one file; the new limit.

    Raises:
        OpsError: The file does not have the threshold as it is.
    """
    limit = round(threshold.limit * 1.5, 6)
    text = file.read_text(encoding="utf-8")
    pattern = re.compile(rf"(- name: {threshold.name}\n(?:.*\n)*?    limit: ){threshold.limit:g}\n")
    changed, count = pattern.subn(rf"\g<1>{limit:g}\n", text, count=1)
    if count != 1:
        raise OpsError(f"{file.name} has no threshold {threshold.name} with the limit {threshold.limit:g}")
    file.write_text(changed, encoding="utf-8")
    return limit


def reviewed(checkout: Path, output: Path) -> str:
    """What ``ops review`` says about a checkout."""
    run(checkout, sys.executable, "-m", "ops", "review", "HEAD", "--output", str(output))
    return output.read_text(encoding="utf-8")


def previewed(checkout: Path, view: Path) -> dict[str, str]:
    """Resource -> what an update of the live stack would do with it; the policies have to agree."""
    options = ("--json", "--cwd", str(view), "--non-interactive", "--color=never")
    done = run(checkout, "pulumi", "preview", *options, "--policy-pack", str(view / "policy"))
    steps = json.loads(done)["steps"]
    return {step["urn"]: step["op"] for step in steps if step["op"] != "same"}


def run(checkout: Path, *command: str) -> str:
    """Run something in a checkout, with the checkout's own program; what it prints to standard output.

    Raises:
        OpsError: It failed, or takes too long.
    """
    environment: Mapping[str, str] = {**os.environ, "PYTHONPATH": str(checkout)}
    try:
        done = subprocess.run(
            command,
            cwd=checkout,
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise OpsError(f"{' '.join(command[:4])} took over {LIMIT_S:.0f} s") from None
    if done.returncode:
        raise OpsError(f"{' '.join(command[:4])}: {done.stderr[-_MOST_SHOWN:]}")
    return done.stdout


def status() -> str:
    """Changes of the checkout under test."""
    return run(PROJECT, "git", "status", "--porcelain", "--", str(FILE), "Pulumi.*.yaml")
