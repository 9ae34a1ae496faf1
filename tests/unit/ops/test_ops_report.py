"""``ops report list``, ``get`` and ``run``: requests to report server and cluster, and what is printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from typer.testing import CliRunner, Result

from ops import reports
from ops.__main__ import app
from ops.core import jobs
from ops.core.errors import OpsError
from tests.unit.ops.report_fakes import (
    ACCESS,
    PAGE,
    PAPER,
    Answer,
    Cluster,
    ReportServerWeb,
    connected,
    context,
    platform,
    report_server_web,
)

Run = Callable[..., Result]


@pytest.fixture
def report(outputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs ``ops report`` against fakes."""

    def run(*words: str, web: ReportServerWeb | None = None, cluster: Cluster | None = None) -> Result:
        fake_cluster = cluster or Cluster()
        stub = context(platform(outputs), web or report_server_web(), fake_cluster)
        monkeypatch.setattr(reports, "_connected", lambda: connected(stub))
        monkeypatch.setattr(jobs, "_PAUSE_S", 0.0)
        monkeypatch.setattr(client, "BatchV1Api", lambda api: api)
        return CliRunner().invoke(app, ["report", *words], terminal_width=200)

    return run


def problem(result: Result) -> str:
    assert isinstance(result.exception, OpsError), result.exception or result.output
    return str(result.exception)


def test_the_list_shows_reports_in_local_time_and_how_the_last_runs_ended(report: Run) -> None:
    web = report_server_web()
    result = report("list", web=web)
    assert result.exit_code == 0, result.output
    assert "2026-11-25 06:10" in result.output
    assert "ja.html  ja.pdf" in result.output
    assert "daily: the run of 2026-11-25 06:11 (2026-11-24) was stored and sent" in result.output
    assert "monthly: has not run yet" in result.output
    assert web.requests == [("https://localhost:7777/reports", ("reader", "password-of-reader"))]


def test_a_failed_run_is_told_and_fails_the_list(report: Run) -> None:
    result = report("list", web=report_server_web("mail server mail:587 refuses the login"))
    assert result.exit_code == 1
    assert "(2026-11-24) failed: mail server mail:587 refuses the login" in " ".join(result.output.split())


def test_the_list_for_machines_has_kinds_that_were_asked_for_only(report: Run) -> None:
    result = report("list", "--json", "--kind", "weekly", web=report_server_web("broken"))
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "reports": [
            {
                "kind": "weekly",
                "period": "2026-W47",
                "stored_at": "2026-11-24T21:10:30+00:00",
                "files": ["en.html"],
            }
        ],
        "runs": {},
    }


@pytest.mark.parametrize("period", [[], ["latest"], ["2026-11-24"]])
def test_a_stored_report_is_written_as_it_is_in_the_platforms_language(
    report: Run, tmp_path: Path, period: list[str]
) -> None:
    page, paper = tmp_path / "report.html", tmp_path / "report.pdf"
    result = report("get", "daily", *period, "--html", str(page), "--pdf", str(paper))
    assert result.exit_code == 0, result.output
    assert (page.read_bytes(), paper.read_bytes()) == (PAGE, PAPER)
    assert "the daily report 2026-11-24, ja" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["get", "daily"], "say what you want: --html FILE for a page, --pdf FILE for paper, or both"),
        (["get", "daily", "2026-11-01", "--html", "x"], "the newest is 2026-11-24; see `ops report list`"),
        (["get", "monthly", "--html", "x"], "no monthly report is stored: `ops report run monthly` makes one"),
        (["get", "weekly", "--html", "x"], "2026-W47 is not stored as ja.html: there is en.html"),
        (["get", "daily", "--html", "/nowhere/x"], "--html /nowhere/x: No such file or directory"),
    ],
)
def test_what_cannot_be_got_says_what_there_is(
    report: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in problem(report(*words))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(401, b"user and password, please"), "the report server answered 401: user and password, please"),
        (Answer(503, b"the object storage could not be read yet"), "503: the object storage could not be read yet"),
        (Answer(200, b"<html>"), "the report server did not answer with a list"),
        (Answer(200, b'{"reports": 1}'), "the report server did not answer with a list"),
    ],
)
def test_a_report_server_that_does_not_answer_is_one_line(report: Run, answer: Answer, message: str) -> None:
    message_line = problem(report("list", web=ReportServerWeb({"/reports": answer})))
    assert message in message_line
    assert "\n" not in message_line


def test_a_file_that_is_cut_is_not_written(report: Run, tmp_path: Path) -> None:
    web = report_server_web()
    web.answers["/files/daily/2026/2026-11-24.ja.html"] = Answer(200, PAGE[:4])
    target = tmp_path / "report.html"
    assert "has 4 of 13 bytes" in problem(report("get", "daily", "--html", str(target), web=web))
    assert not target.exists()


def test_a_run_is_a_job_of_the_cron_job_with_what_was_asked_for(report: Run) -> None:
    cluster = Cluster(states=(("", 0), ("", 1), ("error", 0), ("Complete", 1)))
    result = report("run", "daily", "--at", "2026-11-24", "--again", cluster=cluster)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == ["reports: daily report 2026-11-24: stored, 3 reports in the index"]
    assert cluster.looks == 4
    [body] = cluster.created
    [container] = body["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["python3", "-m", "services.reports", "daily", "--at", "2026-11-24", "--again"]
    assert body["metadata"]["labels"] == {"app.kubernetes.io/name": "report-daily"}
    [owner] = body["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == (
        "CronJob",
        "report-daily",
        "uid-of-cron",
        True,
    )


def test_a_job_of_the_longest_name_is_a_legal_name() -> None:
    cron = Cluster().read_namespaced_cron_job("report-monthly", "obs")
    body = jobs.job(Cluster().sanitize_for_serialization(cron), (), datetime(2026, 11, 25, 3, 4, 5, tzinfo=UTC))
    assert body["metadata"]["name"] == "report-monthly-by-hand-1125030405"
    assert len(body["metadata"]["name"]) <= 63


@pytest.mark.parametrize(
    ("cluster", "message"),
    [
        (
            Cluster(states=(("Failed", 4),), lines=("reports: daily report: mail server mail:587: refused",)),
            "failed (BackoffLimitExceeded): reports: daily report: mail server mail:587: refused",
        ),
        (Cluster(states=(("Failed", 4),), pods=False), "failed (BackoffLimitExceeded)"),
        (Cluster(missing=True), "cannot read CronJob report-daily (does the stack make reports?): HTTP 404 Not Found"),
        (Cluster(active="report-daily-29"), "report-daily-29 is under way: wait for its end"),
    ],
    ids=["failed", "failed without a pod", "no CronJob", "under way"],
)
def test_a_run_that_fails_says_why(report: Run, cluster: Cluster, message: str) -> None:
    assert message in problem(report("run", "daily", cluster=cluster))


def test_a_job_that_never_ends_is_waited_for_as_long_as_it_may_run() -> None:
    cluster = Cluster(states=(("", 0),))
    cluster.created.append({"metadata": {"name": "job"}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "_SPARE_S", 0.2)
        patch.setattr(client, "BatchV1Api", lambda api: api)
        told: list[str] = []
        with pytest.raises(OpsError, match="job did not end within 0 s"):
            jobs.wait(cluster.kube, jobs.Started(name="job", limit_s=0.0), told.append, pause=0.05)
    assert told[0] == "job: running"


@pytest.mark.parametrize("states", [(("Complete", 0),), (("", 0), ("Complete", 0))], ids=["done", "runs"])
def test_a_job_whose_pods_cannot_be_listed_for_a_moment_is_waited_for(states: tuple[tuple[str, int], ...]) -> None:
    cluster, told = Cluster(states=states), list[str]()
    cluster.created.append({"metadata": {"name": "job"}})

    def refused(*_: object, **__: object) -> None:
        raise ApiException(status=504, reason="Gateway Timeout")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "BatchV1Api", lambda api: api)
        patch.setattr(cluster, "list_namespaced_pod", refused)
        assert jobs.wait(cluster.kube, jobs.Started(name="job", limit_s=5.0), told.append, pause=0.05) == []
    assert told == ["job: cannot list the pods of job: HTTP 504 Gateway Timeout"] * (len(states) - 1)


def test_a_stack_without_reports_is_told_so(outputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.core.platform.load", lambda: platform(outputs))
    assert "the stack makes no reports" in problem(CliRunner().invoke(app, ["report", "list"]))


def test_the_stack_output_tells_how_reports_are_read(outputs: dict[str, Any]) -> None:
    told = {"time_zone": "Asia/Tokyo", "languages": ["ja", "en"], "reader": "reader", "password": "password-of-reader"}
    assert platform(outputs, reports=told).reports == ACCESS


def test_the_readers_password_shows_nowhere() -> None:
    assert "password-of-reader" not in repr(ACCESS)
    assert ACCESS.login == ("reader", "password-of-reader")
    assert ACCESS.zone.key == "Asia/Tokyo"
