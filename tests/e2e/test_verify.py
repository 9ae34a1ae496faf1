"""``ops verify`` itself, as its users run it: the exact state of every row, JSON and nothing else, no password."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from components.reports.schedule import SCHEDULES
from ops.context import Context
from ops.incident.reach import Reach
from ops.platform import PROJECT, Platform
from ops.requirements import REQUIREMENT_IDS

ABSENT = {"K6", "P4", "M1", "S1"}
SECOND_REGION = {"D2", "D3"}
ANYTHING_BUT_FAIL = {"pass", "stale", "waiting", "not set up"}
"""States of rows that rely on drills: evidence decides, and `Drills` is tested for how."""
OBSERVED = {*("K2", "K3", "K4", "K5", "O2", "P2", "A3"), *("L1", "L2", "L3", "L4", "L5")}
"""Rows that rely on nothing but what is observed now."""


def verify(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return subprocess.run(
        [sys.executable, "-m", "ops", "verify", *words],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=570,
        check=False,
    )


@pytest.fixture(scope="module")
def done() -> subprocess.CompletedProcess[str]:
    """One run over all rows."""
    return verify("--json")


@pytest.fixture(scope="module")
def rows(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    """Its rows by id."""
    return {row["id"]: row for row in json.loads(done.stdout)["rows"]}


@pytest.mark.timeout(600)
def test_nothing_fails(done: subprocess.CompletedProcess[str], rows: dict[str, dict[str, Any]]) -> None:
    failed = {identifier: row["problems"] for identifier, row in rows.items() if row["state"] == "fail"}
    assert failed == {}
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_rows_are_in_exactly_these_states(rows: dict[str, dict[str, Any]]) -> None:
    assert list(rows) == list(REQUIREMENT_IDS)
    states: dict[str, set[str]] = {}
    for identifier, row in rows.items():
        states.setdefault(row["state"], set()).add(identifier)
    assert states.pop("absent") == ABSENT
    assert {identifier for identifier in OBSERVED if rows[identifier]["state"] not in ("pass", "waiting")} == set()
    for state, found in states.items():
        for identifier in found:
            assert state in explained(rows[identifier]), rows[identifier]


def explained(row: dict[str, Any]) -> set[str]:
    """The one state that a row's own parts allow."""
    drills = {drill["state"] for drill in row["drills"]}
    if row["problems"]:
        return {"fail"}
    if row["setups"]:
        return {"not set up"}
    if row["waits"]:
        return {"waiting"}
    return {"stale"} if "stale" in drills else {"pass"}


def test_what_waits_says_until_when_and_what_is_not_set_up_by_which_command(
    rows: dict[str, dict[str, Any]], platform: Platform
) -> None:
    for row in rows.values():
        if row["state"] == "waiting":
            assert datetime.fromisoformat(row["due"]) > datetime.now(UTC), row
            assert all(re.search(r"is due at .*\d\d:\d\d UTC", wait) for wait in row["waits"]), row
        if row["state"] in ("stale", "not set up"):
            assert row["commands"], row
    if rows["R1"]["state"] == "waiting":
        first = {wait.partition(" report")[0].removeprefix("first ") for wait in rows["R1"]["waits"]}
        assert first <= set(map(str, SCHEDULES))
    if rows["D2"]["state"] == "not set up":
        assert rows["D2"]["commands"] == ["make up-dr"]
        assert "make up-dr" in rows["D3"]["commands"]


def test_no_password_is_told(done: subprocess.CompletedProcess[str], context: Context) -> None:
    reach = Reach(load=lambda: context.platform)
    try:
        assert reach.platform.platform
        secrets = reach.secrets()
    finally:
        reach.close()
    assert len(secrets) > 10
    assert not any(secret in done.stdout + done.stderr for secret in secrets)


def test_progress_is_a_line_a_row_on_standard_error(done: subprocess.CompletedProcess[str]) -> None:
    checked = len(REQUIREMENT_IDS) - len(ABSENT)
    lines = [line for line in done.stderr.splitlines() if re.match(rf"\[\d+/{checked}\] ", line)]
    assert len(lines) == checked


@pytest.mark.timeout(300)
def test_people_get_a_line_a_row_or_the_details_of_one() -> None:
    detailed = verify("k2")
    assert detailed.returncode == 0, detailed.stderr
    assert detailed.stdout.startswith("K2 pass: Five topics")
    unknown = verify("X1")
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert unknown.stderr.startswith("error: no row X1: ")
