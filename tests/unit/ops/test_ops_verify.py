"""The runner: rows in order, one failing check stops nothing, times are bounded."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from ops import cli, evidence
from ops.context import Context
from ops.errors import OpsError
from ops.requirements import REQUIREMENT_IDS
from ops.verify import runner
from ops.verify.rows import Finding, Row, Status

NOWHERE = cast(Context, None)


def good(_: Context) -> Finding:
    return Finding(figures=["3 brokers"], seen=["described"])


def bad(_: Context) -> Finding:
    return Finding(seen=["described"], wrong=["RF is 1, must be 3"])


def broken(_: Context) -> Finding:
    raise OpsError("no answer from Kafka")


def crashing(_: Context) -> Finding:
    nothing: dict[str, Finding] = {}
    return nothing["key"]


def test_all_rows_come_in_the_order_of_the_requirements_and_the_rest_is_absent() -> None:
    rows = runner.run(REQUIREMENT_IDS, {"P2": good, "K1": good}, NOWHERE)
    assert [row.id for row in rows] == list(REQUIREMENT_IDS)
    assert {row.id for row in rows if row.status is Status.PASS} == {"K1", "P2"}
    assert {row.status for row in rows if row.id not in ("K1", "P2")} == {Status.ABSENT}


def test_a_check_that_fails_or_crashes_stops_no_other() -> None:
    rows = {row.id: row for row in runner.run(["K1", "K2", "K3", "K4"], _checks(), NOWHERE)}
    assert rows["K1"].evidence == "no answer from Kafka"
    assert rows["K2"].evidence == "KeyError: 'key'"
    assert rows["K3"].evidence == "RF is 1, must be 3; described"
    assert [row.status for row in rows.values()] == [Status.FAIL, Status.FAIL, Status.FAIL, Status.PASS]


def test_a_check_that_hangs_is_a_failed_row() -> None:
    release = threading.Event()

    def hanging(_: Context) -> Finding:
        release.wait(20)
        return Finding()

    row = runner.run(["K1"], {"K1": hanging}, NOWHERE, seconds=0.2)[0]
    release.set()
    assert row.status is Status.FAIL
    assert row.evidence == "gave no answer in 0 s"


def test_progress_is_told_about_every_check() -> None:
    told: list[str] = []
    runner.run(["K1", "K2", "S1"], {"K1": good, "K2": bad}, NOWHERE, told.append)
    assert told == ["K1", "K2"]


def test_only_keeps_the_order_and_forgives_case_and_spaces() -> None:
    assert runner.choose("p1, k2") == ("K2", "P1")
    assert runner.choose(None) == REQUIREMENT_IDS


def test_only_names_an_unknown_id() -> None:
    with pytest.raises(OpsError, match="no requirement X9"):
        runner.choose("K1,X9")


def test_json_has_exactly_the_four_keys(capsys: pytest.CaptureFixture[str]) -> None:
    cli.print_rows(runner.run(["K1", "S2"], {"K1": good}, NOWHERE), as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        "rows": [
            {"id": "K1", "status": "pass", "figure": "3 brokers", "evidence": "described"},
            {"id": "S2", "status": "absent", "figure": "", "evidence": ""},
        ]
    }


def test_the_table_shows_text_with_brackets_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    cli.print_rows([Row(id="K1", status=Status.FAIL, evidence="[x]")], as_json=False)
    out = capsys.readouterr().out
    assert "[x]" in out
    assert "1 fail" in out


@pytest.mark.parametrize(
    ("statuses", "code"),
    [((Status.PASS, Status.ABSENT), 0), ((Status.PASS, Status.FAIL), 1), ((), 0)],
)
def test_the_exit_code_is_one_when_a_row_fails(statuses: tuple[Status, ...], code: int) -> None:
    assert cli.exit_code(Row(id="K1", status=status) for status in statuses) == code


def test_a_row_needs_the_drills_that_it_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    read = evidence.read
    monkeypatch.setattr(evidence, "read", lambda name: read(name, tmp_path))
    finding = Finding()
    finding.drill("broker-killed")
    assert finding.wrong == ["drill broker-killed was never run: run `make e2e`"]
    evidence.write("broker-killed", passed=True, figures={"missing": 0}, versions={}, folder=tmp_path)
    finding = Finding()
    finding.drill("broker-killed")
    assert finding.wrong == []
    assert re.fullmatch(r"broker-killed: missing 0 \[\d s old, commit .+\]", finding.seen[0])
    evidence.write("broker-killed", passed=False, figures={"missing": 7}, versions={}, folder=tmp_path)
    finding = Finding()
    finding.drill("broker-killed")
    assert finding.row("K1").status is Status.FAIL
    assert "missing 7" in finding.row("K1").evidence


def _checks() -> dict[str, Any]:
    return {"K1": broken, "K2": crashing, "K3": bad, "K4": good}
