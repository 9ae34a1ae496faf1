"""The forge's workflows, as files: what they may do, what they run, and that they run what is there."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.review.comment import MARKER

ROOT = Path(__file__).parents[3]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def _read(name: str) -> dict[str, Any]:
    # `on` is a boolean in YAML 1.1, which the forge does not follow.
    text = (ROOT / ".github" / "workflows" / name).read_text()
    content: dict[str, Any] = yaml.safe_load(re.sub(r"^on:", '"on":', text, flags=re.MULTILINE))
    return content


def _steps(workflow: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for job in workflow["jobs"].values():
        yield from job["steps"]


def test_there_are_both_workflows() -> None:
    assert [file.name for file in WORKFLOWS] == ["ci.yml", "review.yml"]


@pytest.mark.parametrize("name", ["ci.yml", "review.yml"])
def test_actions_are_pinned_and_jobs_bounded(name: str) -> None:
    workflow = _read(name)
    for step in _steps(workflow):
        assert ("uses" in step) != ("run" in step)
        if "uses" in step:
            assert re.fullmatch(r"actions/[a-z-]+@(v\d+|[0-9a-f]{40})", step["uses"])
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 180
        assert job["runs-on"] == "ubuntu-24.04"
    assert "concurrency" in workflow


def test_nothing_may_write_but_the_comment() -> None:
    assert _read("ci.yml")["permissions"] == {"contents": "read"}
    review = _read("review.yml")
    assert review["permissions"] == {}
    assert {name: job["permissions"] for name, job in review["jobs"].items()} == {
        "review": {"contents": "read"},
        "comment": {"pull-requests": "write"},
    }


def test_the_job_that_may_write_runs_no_code_of_the_pull_request() -> None:
    review = _read("review.yml")
    assert set(review["on"]) == {"pull_request"}
    used = [step.get("uses", "").partition("@")[0] for step in review["jobs"]["comment"]["steps"]]
    assert "actions/checkout" not in used


@pytest.mark.parametrize("name", ["ci.yml", "review.yml"])
def test_no_checkout_keeps_its_credentials_and_no_script_takes_text_of_others(name: str) -> None:
    for step in _steps(_read(name)):
        if step.get("uses", "").startswith("actions/checkout"):
            assert step["with"]["persist-credentials"] is False
        assert "${{" not in step.get("run", ""), "expressions go through env, or their text becomes code"


def test_ci_runs_what_everybody_runs() -> None:
    assert any(step.get("run", "").endswith(".ci/run") for step in _steps(_read("ci.yml")))
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100


def test_the_review_runs_the_make_target_with_the_base_of_the_pull_request() -> None:
    review = _read("review.yml")["jobs"]["review"]
    step = next(step for step in review["steps"] if step.get("name") == "make review")
    assert step["run"] == 'make --silent review BASE="$BASE" > review.md'
    assert step["env"] == {"BASE": "${{ github.event.pull_request.base.sha }}"}
    checkout = review["steps"][0]["with"]
    assert checkout["fetch-depth"] == 0


def test_the_make_target_reviews_against_main_unless_told_otherwise() -> None:
    for arguments, base in (([], "main"), (["BASE=v1"], "v1")):
        done = subprocess.run(
            ["make", "--dry-run", "--silent", "review", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert f'-m ops review "{base}"' in done.stdout


_DOUBLE = """#!/usr/bin/env bash
printf '%s\\n' "$*" >> "$CALLS"
case "$*" in *--paginate*) printf '%s' "$EARLIER" ;; esac
"""


@pytest.mark.parametrize(
    ("earlier", "call"),
    [
        ("", "--method POST repos/a/b/issues/7/comments --field body=@review.md"),
        ("42\n43\n", "--method PATCH repos/a/b/issues/comments/42 --field body=@review.md"),
    ],
)
def test_the_comment_is_posted_once_and_then_replaced(tmp_path: Path, earlier: str, call: str) -> None:
    done, calls = _post(tmp_path, f"{MARKER}\n## Review\n", earlier)
    assert done.returncode == 0, done.stderr
    assert len(calls) == 2
    assert call in calls[1]


@pytest.mark.parametrize("content", ["", "make: *** something else\n"])
def test_what_is_no_review_is_not_posted(tmp_path: Path, content: str) -> None:
    done, calls = _post(tmp_path, content, "")
    assert (done.returncode, calls) == (1, [])
    assert "there is no review to post" in done.stderr


def _post(folder: Path, content: str, earlier: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run the script of the workflow with a fake of the forge's command line."""
    step = next(step for step in _steps(_read("review.yml")) if step.get("name", "").startswith("Post"))
    assert step["env"]["MARKER"] == MARKER
    (folder / "gh").write_text(_DOUBLE)
    (folder / "gh").chmod(0o755)
    (folder / "review.md").write_text(content)
    calls = folder / "calls"
    environment = {
        "PATH": f"{folder}:/usr/bin:/bin",
        "CALLS": str(calls),
        "EARLIER": earlier,
        "REPOSITORY": "a/b",
        "NUMBER": "7",
        "MARKER": MARKER,
    }
    done = subprocess.run(
        ["bash", "-e", "-c", step["run"]], cwd=folder, env=environment, capture_output=True, text=True
    )
    return done, calls.read_text().splitlines() if calls.exists() else []
