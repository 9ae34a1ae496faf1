"""The series of runs of ``.ci/run``: the table is read, the first failed run is the last, a run that hangs is ended."""

from __future__ import annotations

from pathlib import Path

from tests import ci

TABLE = """
echo "step that is no table"
printf '\\n%-12s %8s  %s\\n' step seconds result
printf '%-12s %8s  %s\\n' test 12 passed e2e 3 "{e2e}" all 15 "{all}"
exit {code}
"""


def script(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "run"
    file.write_text(f"#!/usr/bin/env bash\n{text}")
    file.chmod(0o755)
    return file


def test_green_runs_give_their_times_by_step(tmp_path: Path) -> None:
    runs = ci.series(2, script(tmp_path, TABLE.format(e2e="passed", all="passed", code=0)))
    assert ci.figures(runs, 2) == {
        "runs": 2,
        "green": 2,
        "longest s": 15,
        "longest make test s": 12,
        "seconds by step": {"test": [12, 12], "e2e": [3, 3], "all": [15, 15]},
    }


def test_the_first_failed_run_is_the_last(tmp_path: Path) -> None:
    runs = ci.series(3, script(tmp_path, TABLE.format(e2e="failed (1)", all="failed (1)", code=1)))
    assert [(run.code, dict(run.seconds)) for run in runs] == [(1, {"test": 12, "e2e": 3, "all": 15})]
    assert ci.figures(runs, 3)["green"] == 0


def test_a_run_that_hangs_is_ended(tmp_path: Path) -> None:
    hanging = script(tmp_path, "trap 'exit 143' TERM\nsleep 60 >/dev/null &\nwait")
    assert ci.run(hanging, limit_s=0.3) == ci.Run(143, {})
