"""Evidence files: complete, replaced as a whole, dated."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ops import evidence
from ops.errors import OpsError


def test_what_is_written_is_read_again_with_commit_time_machine_and_versions(tmp_path: Path) -> None:
    written = evidence.write(
        "a-drill", passed=True, figures={"missing": 0}, versions={"kafka": "4.3.1"}, folder=tmp_path
    )
    assert evidence.read("a-drill", tmp_path) == written
    stored = json.loads((tmp_path / "a-drill.json").read_text())
    assert set(stored) == {"name", "passed", "commit", "time", "machine", "versions", "figures"}
    assert stored["machine"]["cores"] >= 1
    assert [file.name for file in tmp_path.iterdir()] == ["a-drill.json"]


def test_a_drill_that_never_ran_has_no_evidence(tmp_path: Path) -> None:
    assert evidence.read("a-drill", tmp_path) is None


def test_a_spoilt_file_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "a-drill.json").write_text("{}")
    with pytest.raises(OpsError, match="is not an evidence file"):
        evidence.read("a-drill", tmp_path)


def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OpsError, match="evidence name"):
        evidence.write("../a", passed=True, figures={}, versions={}, folder=tmp_path)


@pytest.mark.parametrize(("seconds", "age"), [(5, "5 s"), (125, "2 min"), (7300, "2 h"), (200000, "2 d")])
def test_the_age_is_in_words(tmp_path: Path, seconds: int, age: str) -> None:
    written = evidence.write("a-drill", passed=True, figures={}, versions={}, folder=tmp_path)
    assert written.age(datetime.fromisoformat(written.time) + timedelta(seconds=seconds)) == age
