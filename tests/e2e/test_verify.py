"""``ops verify`` itself, as its users run it: the exact state of every row, JSON and nothing else, no password."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from components.backups.config import job_schedule
from components.k8s.workload import Schedule
from components.reports import SCHEDULES
from ops.core.access import backup_access
from ops.core.context import Context
from ops.core.platform import PROJECT
from ops.core.rows import REQUIREMENT_IDS
from ops.evidence import files as evidence
from ops.evidence.files import PlatformId
from ops.incidents.collect import Clients
from ops.regions.region import witness_of

PASS, FAIL, STALE, WAITING, NOT_SET_UP = "pass", "fail", "stale", "waiting", "not set up"
_LATENCY = {"alert-latency-both", "alert-latency-one-killed", "alert-latency-partitioned"}
DRILLS: dict[str, set[str]] = {
    # Observed now, all of it.
    **{name: set() for name in ("L1", "L2", "L3", "L4", "L5", "K2", "K3", "K4", "P2", "A3", "G2", "G3", "G4", "M3")},
    "K1": {
        *("broker-killed", "two-brokers-killed", "broker-disk-full", "broker-disk-slow", "kafka-rolling-restart"),
        *("zone-gone", "chaos"),
    },
    "K5": {"quota-exceeded", "certificates-renewed", "kafka-admin-password", "kafka-logins-rotated"},
    "K6": {"partitions-added"},
    "S1": {"gateways-autoscaled", "partitions-added", "storage-grown", "broker-added"},
    "O1": {
        *("gateway-killed", "gateway-drained", "kafka-outage", "client-clock-set", "gate-attacks", "fairness"),
        "gateway-passwords-rotated",
    },
    "O2": {"gate-forgery"},
    "O3": {"masking-kafka", "masking-stores", "privacy-erasure"},
    "O4": {"sampling-kept", "sampling-adaptive"},
    "O5": {"consumer-killed"},
    "P1": {"five-layers", "prometheus-primary-down"},
    "P3": {"alert-thresholds"},
    "P4": {"shards-added"},
    "A1": _LATENCY,
    "A2": {"alert-escalation", "alert-thresholds", "alert-incidents"},
    "G1": {"grafana-replica-killed", "grafana-database-killed"},
    "G5": {"grafana-roles"},
    "R1": {"reports-run"},
    "J1": {"jaeger-collector-killed", "search-node-killed", "sampler-killed", "agent-killed"},
    "J2": {"trace-journey", "dependency-map"},
    "J3": {"trace-confidentiality"},
    "D1": {"backups-restored", "archive-storage-outage"},
    "D2": {"region-drill"},
    "D3": {"region-drill"},
    "D4": {"dead-mans-switch"},
    "M1": {"audit-told"},
    "M2": {"maintenance"},
    "M4": {"change-reviewed"},
    "S2": {
        *("dashboard-load", "dashboard-load-prometheus-down", *_LATENCY),
        *("bench-metrics", "bench-traces", "sustained-metrics", "sustained-traces"),
    },
}
"""Row -> the evidence that it rests on."""
MAY_WAIT = {"L1", "L2", "L3", "L4", "L5", "A2", "A3", "G2", "G3", "G4", "O4", "J2", "R1", "D1"}
"""In the first minutes the slowest sources have not sent yet; in the first month some jobs have not run."""
REGIONS = {"D2", "D3"}
STATE_NOT_SAVED = "no pulumi-state backup is stored: `ops backup run pulumi-state`"
"""The one thing of D1 that operators do: its other backups have jobs."""


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
def began() -> datetime:
    """When the run over all rows begins."""
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def done(began: datetime) -> subprocess.CompletedProcess[str]:
    """One run over all rows."""
    assert began
    return verify("--json")


@pytest.fixture(scope="module")
def peer(context: Context) -> bool:
    """Whether the other region has ever told the witness that it is there."""
    regions = context.platform.regions
    assert regions is not None
    assert regions.peer is not None
    with witness_of(regions) as witness:
        return witness.heartbeat(regions.peer.region) is not None


@pytest.fixture(scope="module")
def rows(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    """Its rows by id."""
    return {row["id"]: row for row in json.loads(done.stdout)["rows"]}


@pytest.mark.timeout(600)
def test_nothing_fails(done: subprocess.CompletedProcess[str], rows: dict[str, dict[str, Any]]) -> None:
    failed = {identifier: row["problems"] for identifier, row in rows.items() if row["state"] == "fail"}
    assert failed == {}
    assert done.returncode == 0, done.stderr[-2000:]


def test_every_row_rests_on_its_drills(rows: dict[str, dict[str, Any]], peer: bool) -> None:
    assert list(rows) == list(REQUIREMENT_IDS)
    relied = {identifier: {drill["name"] for drill in row["drills"]} for identifier, row in rows.items()}
    assert relied == {**DRILLS, **({} if peer else {"D2": set()})}


@pytest.mark.timeout(300)
def test_every_row_is_in_the_state_that_evidence_and_regions_give_it(
    rows: dict[str, dict[str, Any]], peer: bool, context: Context
) -> None:
    here = evidence.platform_id(context.kube)
    for identifier, row in rows.items():
        worths = {drill["name"]: worth(drill["name"], here) for drill in row["drills"]}
        assert {drill["name"]: drill["state"] for drill in row["drills"]} == worths, identifier
        assert row["state"] == expected(row, set(worths.values()), peer), row
        assert identifier in MAY_WAIT or not row["waits"], row
    assert rows["D1"]["setups"] in ([], [STATE_NOT_SAVED])


def worth(name: str, here: PlatformId) -> str:
    """What the newest run of a name that counts on this cluster is worth, by its file and the sources of today."""
    run = next((run for run in evidence.read(name).runs if evidence.counts(run, here)), None)
    if run is None or evidence.staleness(run):
        return STALE
    targets, cores = evidence.catalog().entry(name).targets, int(run.machine["cores"])
    if not run.passed or any(target.problem(run.figures, cores) for target in targets):
        return FAIL
    return NOT_SET_UP if any(target.problem(run.figures) for target in targets) else PASS


def expected(row: dict[str, Any], worths: set[str], peer: bool) -> str:
    """The state of a row whose own observations have no problem.

    Args:
        row: The row.
        worths: What its evidence is worth.
        peer: Whether there is a second region.
    """
    lacks_region = row["id"] in REGIONS and not peer
    if FAIL in worths:
        return FAIL
    if lacks_region or NOT_SET_UP in worths or (row["id"] == "D1" and row["setups"]):
        return NOT_SET_UP
    if row["due"]:
        return WAITING
    return STALE if STALE in worths else PASS


def test_what_waits_says_until_when_and_what_is_not_set_up_by_which_command(
    rows: dict[str, dict[str, Any]], began: datetime, context: Context
) -> None:
    # A job may begin late and run for a while: until then nobody misses what it makes.
    backups = map(job_schedule, backup_access(context.platform).schedules.values())
    late = {"R1": longest(SCHEDULES.values()), "D1": longest(backups)}
    for row in rows.values():
        if row["state"] == WAITING:
            assert datetime.fromisoformat(row["due"]) + late.get(row["id"], timedelta()) > began, row
            assert all(re.search(r" is due at .*\d\d:\d\d UTC", wait) for wait in row["waits"]), row
        if row["state"] in (STALE, NOT_SET_UP):
            assert row["commands"], row
    for wait in rows["R1"]["waits"]:
        assert wait.removeprefix("first ").partition(" report")[0] in set(map(str, SCHEDULES))
    for identifier in ("D2", "D3"):
        if rows[identifier]["state"] == NOT_SET_UP:
            assert rows[identifier]["commands"][0] == "make up-dr"


def longest(schedules: Iterable[Schedule]) -> timedelta:
    """How long after its time the run of a job may end, of the one that may end latest."""
    return max(timedelta(seconds=schedule.start_within_s + schedule.limit_s) for schedule in schedules)


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
