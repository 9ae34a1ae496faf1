"""``ops verify`` itself, as its users run it: the exact state of every row, JSON and nothing else, no password."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from components.reports.config import SCHEDULES
from ops.core.context import Context
from ops.core.platform import PROJECT
from ops.core.requirements import REQUIREMENT_IDS
from ops.evidence import files as evidence
from ops.incidents.collect import Clients

PASS, STALE, WAITING, NOT_SET_UP = "pass", "stale", "waiting", "not set up"
EXPECTED: dict[str, frozenset[str]] = {
    # Observed now, all of it.
    **dict.fromkeys(("K2", "K3", "K4", "P2", "M3"), frozenset((PASS,))),
    # Observed now; in the first minutes the slowest sources have not sent yet.
    **dict.fromkeys(("L1", "L2", "L3", "L4", "L5", "A3", "G2", "G3", "G4"), frozenset((PASS, WAITING))),
    # Observed now, and drills, whose evidence may be older than what it covers.
    **dict.fromkeys(
        (
            "K1",
            "K5",
            "K6",
            "S1",
            "O1",
            "O2",
            "O3",
            "O5",
            "P1",
            "P3",
            "P4",
            "A1",
            "G1",
            "G5",
            "J1",
            "J3",
            "D4",
            "M2",
            "M4",
        ),
        frozenset((PASS, STALE)),
    ),
    **dict.fromkeys(("O4", "A2", "R1", "J2"), frozenset((PASS, STALE, WAITING))),
    # Operators save Pulumi's state; a second region is set up by `make up-dr`; somebody ran `ops drill audit`; two
    # cores are few for a throughput.
    "D1": frozenset((PASS, STALE, WAITING, NOT_SET_UP)),
    **dict.fromkeys(("D2", "D3", "M1", "S2"), frozenset((PASS, STALE, NOT_SET_UP))),
}
"""Row -> its states on a platform that works, right after `make up` and later."""


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


def test_every_row_is_in_a_state_that_its_parts_explain(rows: dict[str, dict[str, Any]]) -> None:
    assert list(rows) == list(REQUIREMENT_IDS)
    assert set(EXPECTED) == set(REQUIREMENT_IDS)
    unexpected = {
        identifier: row["state"] for identifier, row in rows.items() if row["state"] not in EXPECTED[identifier]
    }
    assert unexpected == {}
    for identifier in rows:
        assert rows[identifier]["state"] == explained(rows[identifier]), rows[identifier]


def explained(row: dict[str, Any]) -> str:
    """The one state that a row's own parts allow."""
    if row["problems"]:
        return "fail"
    if row["setups"]:
        return NOT_SET_UP
    if row["waits"]:
        return WAITING
    return STALE if STALE in {drill["state"] for drill in row["drills"]} else PASS


def test_what_waits_says_until_when_and_what_is_not_set_up_by_which_command(rows: dict[str, dict[str, Any]]) -> None:
    for row in rows.values():
        if row["state"] == WAITING:
            assert datetime.fromisoformat(row["due"]) > datetime.now(UTC) - timedelta(minutes=10), row
            assert all(re.search(r" is due at .*\d\d:\d\d UTC", wait) for wait in row["waits"]), row
        if row["state"] in (STALE, NOT_SET_UP):
            assert row["commands"], row
    for wait in rows["R1"]["waits"]:
        assert wait.removeprefix("first ").partition(" report")[0] in set(map(str, SCHEDULES))
    for identifier in ("D2", "D3"):
        if rows[identifier]["state"] == NOT_SET_UP:
            assert rows[identifier]["commands"][0] == "make up-dr"


def test_evidence_of_another_cluster_is_not_green(rows: dict[str, dict[str, Any]], context: Context) -> None:
    here = context.kube.cluster_id()
    counts = os.environ.get(evidence.SCOPE_VARIABLE) == "checkout"
    for row in rows.values():
        for drill in row["drills"]:
            if drill["state"] == PASS and drill["cluster_id"] not in ("", here):
                assert counts, drill


def test_no_password_is_told(done: subprocess.CompletedProcess[str], context: Context) -> None:
    reach = Clients(load=lambda: context.platform)
    try:
        assert reach.platform.platform
        secrets = reach.secrets()
    finally:
        reach.close()
    assert len(secrets) > 10
    assert not any(secret in done.stdout + done.stderr for secret in secrets)


def test_progress_is_a_line_a_row_on_standard_error(done: subprocess.CompletedProcess[str]) -> None:
    checked = len(REQUIREMENT_IDS)
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
