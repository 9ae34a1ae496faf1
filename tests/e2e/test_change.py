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

import pytest

from components.telemetry.thresholds import THRESHOLDS, Threshold
from ops.core.context import Context
from ops.core.platform import PROJECT
from ops.review.review import Repository
from tests.support.results import recorded

FILE = Path("components/telemetry/thresholds.yaml")
LIMIT_S = 420.0
CHANGED = ("prometheus-", "grafana-content-", "failover-agent")
"""What a threshold is part of: rules, its layer's dashboard, the fingerprint that regions compare."""
_SECTION = "### What changes, in plain words\n"
_SENTENCE = re.compile(r"^- (.+)$", re.MULTILINE)


@pytest.mark.drill
@pytest.mark.timeout(1500)
def test_a_changed_threshold_is_reviewed_in_plain_words_and_previewed(context: Context, tmp_path: Path) -> None:
    threshold = next(threshold for threshold in THRESHOLDS if threshold.name == "battery")
    tracked = status()
    with recorded("change-reviewed", context.kube) as figures, scratch() as checkout:
        view = project(checkout, tmp_path / "project")
        before = previewed(checkout, view)
        limit = edited(checkout / FILE, threshold)
        figures["change"] = f"limit of {threshold.name}: {limit:g} instead of {threshold.limit:g}"

        start = time.monotonic()
        text = reviewed(checkout, tmp_path / "review.md")
        figures["review s"] = round(time.monotonic() - start, 1)
        sentences = _SENTENCE.findall(text.partition(_SECTION)[2].partition("\n### ")[0])
        figures["in plain words"] = sentences

        start = time.monotonic()
        after = previewed(checkout, view)
        figures["preview s"] = round(time.monotonic() - start, 1)
        changed = sorted(urn for urn in {**before, **after} if before.get(urn) != after.get(urn))
        figures["changed resources"] = [urn.rpartition("::")[2] for urn in changed]

        assert any(f"{limit:.0%}".replace("%", " %") in sentence for sentence in sentences), text
        assert all("battery" in sentence.lower() for sentence in sentences), sentences
        assert figures["changed resources"], "the preview shows no change"
        assert {after.get(urn) for urn in changed} == {"update"}
        others = [name for name in figures["changed resources"] if not name.startswith(CHANGED)]
        assert others == [], "something else changes"
    assert status() == tracked, "the checkout itself changed"


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
    """Raise the limit of a threshold by half, as an operator would: one number in one file; the new limit."""
    limit = round(threshold.limit * 1.5, 6)
    text = file.read_text(encoding="utf-8")
    pattern = re.compile(rf"(- name: {threshold.name}\n(?:.*\n)*?    limit: ){threshold.limit:g}\n")
    changed, count = pattern.subn(rf"\g<1>{limit:g}\n", text, count=1)
    assert count == 1
    file.write_text(changed, encoding="utf-8")
    return limit


def reviewed(checkout: Path, output: Path) -> str:
    """What ``ops review`` says about a checkout."""
    done = run(checkout, sys.executable, "-m", "ops", "review", "HEAD", "--output", str(output))
    assert done.returncode == 0, done.stderr[-2000:]
    return output.read_text(encoding="utf-8")


def previewed(checkout: Path, view: Path) -> dict[str, str]:
    """Resource -> what an update of the live stack would do with it; the policies have to agree."""
    options = ("--json", "--cwd", str(view), "--non-interactive", "--color=never")
    done = run(checkout, "pulumi", "preview", *options, "--policy-pack", str(view / "policy"))
    assert done.returncode == 0, done.stderr[-2000:]
    steps = json.loads(done.stdout)["steps"]
    return {step["urn"]: step["op"] for step in steps if step["op"] != "same"}


def run(checkout: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run something in a checkout, with the checkout's own program."""
    environment: Mapping[str, str] = {**os.environ, "PYTHONPATH": str(checkout)}
    return subprocess.run(
        command,
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def status() -> str:
    """Changes of the checkout under test."""
    return run(PROJECT, "git", "status", "--porcelain", "--", str(FILE), "Pulumi.*.yaml").stdout
