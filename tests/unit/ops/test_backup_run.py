"""``ops backup run``: a Job made from the CronJob; and programs in pods, with their input, errors and limits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ops.__main__ import app
from ops.backups import command, runs
from ops.core import jobs
from ops.core.errors import OpsError
from services.backup import signature
from services.backup.store import Store
from tests.unit.ops.backup_harness import ago, reached
from tests.unit.ops.backup_harness import run as stored_run
from tests.unit.ops.report_fakes import Cluster
from tests.unit.services.backup.harness import Harness


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["backup", "run", *words])


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, place: Harness) -> Cluster:
    fake_cluster = Cluster(lines=("backup: database: run 20261125T150405Z is stored: 1 objects", ""))
    monkeypatch.setattr("ops.core.jobs.client.BatchV1Api", lambda _: fake_cluster)
    monkeypatch.setattr("ops.core.jobs._PAUSE_S", 0.0)

    @contextmanager
    def connected() -> Iterator[tuple[Any, Any]]:
        yield SimpleNamespace(kube=fake_cluster.kube), reached(place)

    monkeypatch.setattr(command, "connected", connected)
    return fake_cluster


def test_the_job_of_a_kind_is_run_and_its_last_lines_are_told(cluster: Cluster, store: Store) -> None:
    cluster.states = (("", 0), ("Complete", 0))
    stored_run(store, "kafka-metadata", ago(minutes=1))
    result = run("kafka-metadata")
    assert result.exit_code == 0, result.output
    assert "is stored: 1 objects" in result.stdout
    assert "kafka-metadata: signed" in result.stdout
    [job] = cluster.created
    assert job["metadata"]["name"].startswith("backup-kafka-metadata-by-hand-")
    assert job["metadata"]["ownerReferences"][0]["name"] == "backup-kafka-metadata"


def test_a_run_that_nobody_signs_is_told(cluster: Cluster, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.states = (("Complete", 0),)
    signed = stored_run(store, "grafana", ago(minutes=1))
    store.delete([signature.object_key("grafana", signed.run)])
    monkeypatch.setattr(runs, "SIGNED_WITHIN", timedelta(seconds=1))
    result = run("grafana")
    assert isinstance(result.exception, OpsError)
    assert str(result.exception).startswith(f"waited 1 s in vain for the signature of grafana {signed.run} (the log of")


def test_a_job_that_fails_says_why(cluster: Cluster) -> None:
    cluster.states = (("Failed", 3),)
    cluster.lines = ("backup: pg_dump failed: no such host",)
    result = run("database")
    assert isinstance(result.exception, OpsError)
    assert "failed (BackoffLimitExceeded): backup: pg_dump failed: no such host" in str(result.exception)


def test_one_under_way_is_waited_for_by_hand(cluster: Cluster) -> None:
    cluster.active = "backup-database-123"
    result = run("database")
    assert isinstance(result.exception, OpsError)
    assert str(result.exception) == "backup-database-123 is under way: wait for its end"


def test_a_stack_without_the_job_is_told_so(cluster: Cluster) -> None:
    cluster.missing = True
    result = run("grafana")
    assert isinstance(result.exception, OpsError)
    assert "cannot read CronJob backup-grafana (does the stack make backups?)" in str(result.exception)


@pytest.mark.parametrize("kind", ["archive", "metrics"])
def test_what_goes_on_all_the_time_has_no_runs(kind: str) -> None:
    result = run(kind)
    assert isinstance(result.exception, OpsError)
    assert f"{kind} goes on all the time" in str(result.exception)


KUBE: Any = SimpleNamespace(namespace="obs-local", context="lab")


def fake_kubectl(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    programs = folder / "bin"
    programs.mkdir()
    program = programs / "kubectl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")


def test_a_program_in_a_pod_gets_its_input_and_tells_its_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_kubectl(tmp_path, monkeypatch, 'printf "%s\\n" "$*"; cat')
    said = jobs.run_in_pod(KUBE, "postgres-0", "postgres", ["psql", "-d", "x"], given="SELECT 1;")
    assert said == "--context=lab -n obs-local exec -i postgres-0 -c postgres -- psql -d x\nSELECT 1;"
    file = tmp_path / "dump"
    file.write_bytes(b"PGDMP\x00")
    assert jobs.run_in_pod(KUBE, "postgres-0", "postgres", ["pg_restore"], given=file).endswith("PGDMP\x00")


def test_a_program_that_fails_is_one_line_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = 'echo "ERROR:  no such role" >&2; echo "command terminated with exit code 3" >&2; exit 3'
    fake_kubectl(tmp_path, monkeypatch, script)
    with pytest.raises(OpsError, match="psql in postgres-0 failed: ERROR: no such role"):
        jobs.run_in_pod(KUBE, "postgres-0", "postgres", ["psql"])


def test_a_program_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_kubectl(tmp_path, monkeypatch, "exec sleep 60")
    with pytest.raises(OpsError, match="psql in postgres-0 took over 0 s and was ended"):
        jobs.run_in_pod(KUBE, "postgres-0", "postgres", ["psql"], seconds=0.2)
