"""``ops report daily|weekly|monthly``: who is asked, with which login, and what is written."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ops import reports
from ops.__main__ import app
from ops.core.errors import OpsError
from services.reports import KafkaAccess
from services.reports.alert_topics import Log
from services.reports.metrics import Sample, Series
from services.reports.model import ReportError
from tests.unit.ops.report_fakes import Cluster, connected, context, platform, report_server_web


@dataclass
class Metrics:
    """A read address that knows nothing, or does not answer."""

    problem: str = ""
    login: tuple[str, str] = ("", "")
    url: str = ""
    closed: bool = False
    warnings: Sequence[str] = ()

    def instant(self, expression: str, at: float) -> list[Sample]:
        self._answer()
        return []

    def range(self, expression: str, start: float, end: float, step: float) -> list[Series]:
        self._answer()
        return []

    def close(self) -> None:
        self.closed = True

    def _answer(self) -> None:
        if self.problem:
            raise ReportError(self.problem)


@dataclass
class Platform:
    """What `ops report` asks, and what it was asked with."""

    metrics: Metrics
    access: KafkaAccess | None = None
    password: str = ""
    mode: int = 0

    def since(self, start: float, end: float) -> Log:
        """No notifications."""
        assert self.access is not None
        self.password = self.access.password_file.read_text()
        self.mode = stat.S_IMODE(self.access.password_file.stat().st_mode)
        return Log(events=())


@pytest.fixture
def live(outputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Platform:
    fake_platform = Platform(Metrics())

    def metrics(url: str, *, ca_file: Path, user: str, password: str) -> Metrics:
        assert ca_file == Path("/ca.pem")
        fake_platform.metrics.url, fake_platform.metrics.login = url, (user, password)
        return fake_platform.metrics

    def alerts(access: KafkaAccess) -> Platform:
        fake_platform.access = access
        return fake_platform

    stub = context(
        platform(outputs, kafka_users={"reports": {"username": "reports", "password": "password-of-reports"}}),
        report_server_web(),
        Cluster(),
        "/ca.pem",
    )
    monkeypatch.setattr(reports, "ThanosMetrics", metrics)
    monkeypatch.setattr(reports, "KafkaAlertLog", alerts)
    monkeypatch.setattr(reports, "_connected", lambda: connected(stub))
    return fake_platform


def report(*words: str) -> Result:
    return CliRunner().invoke(app, ["report", *words])


@pytest.mark.parametrize("kind", ["daily", "weekly", "monthly"])
def test_a_report_is_made_of_what_the_platform_tells(live: Platform, tmp_path: Path, kind: str) -> None:
    page = tmp_path / "report.html"
    result = report(kind, "--html", str(page), "--at", "2026-03-04")
    assert result.exit_code == 0, result.output
    text = page.read_text(encoding="utf-8")
    assert '<html lang="ja">' in text
    assert "obs (here)" in text
    period = {"daily": "2026-03-04", "weekly": "2026-W10", "monthly": "2026-03"}[kind]
    assert f"the {kind} report {period}, ja" in result.stderr
    assert live.metrics.url == "https://198.18.0.21:9090"
    assert live.metrics.login == ("someone", "a-long-password")
    assert live.metrics.closed
    assert live.access is not None
    assert (live.access.bootstrap, live.access.user) == ("198.18.0.10:9094", "reports")
    assert live.access.topic == "alerts-processed"


def test_the_kafka_password_is_in_a_file_for_its_owner_only_and_gone_afterwards(live: Platform, tmp_path: Path) -> None:
    assert report("daily", "--html", str(tmp_path / "x"), "--at", "2026-03-04").exit_code == 0
    assert (live.password, live.mode) == ("password-of-reports", 0o600)
    assert live.access is not None
    assert not live.access.password_file.exists()


def test_the_language_can_be_chosen_and_paper_is_pdf(live: Platform, tmp_path: Path) -> None:
    page, paper = tmp_path / "report.html", tmp_path / "report.pdf"
    result = report("daily", "--html", str(page), "--pdf", str(paper), "--lang", "en", "--at", "2026-03-04")
    assert result.exit_code == 0, result.output
    assert '<html lang="en">' in page.read_text(encoding="utf-8")
    assert paper.read_bytes().startswith(b"%PDF-")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["daily"], "say what you want: --html FILE for a page, --pdf FILE for paper, or both"),
        (["daily", "--html", "x", "--at", "2999-01-01"], "that period begins in the future"),
    ],
)
def test_a_mistake_is_one_line(live: Platform, words: list[str], message: str) -> None:
    result = report(*words)
    assert isinstance(result.exception, OpsError)
    assert message in str(result.exception)


def test_a_read_address_that_does_not_answer_ends_it_and_writes_nothing(live: Platform, tmp_path: Path) -> None:
    live.metrics.problem = "Thanos Query does not answer"
    target = tmp_path / "report.html"
    result = report("daily", "--html", str(target))
    assert isinstance(result.exception, OpsError)
    assert str(result.exception) == "Thanos Query does not answer"
    assert not target.exists()
    assert live.metrics.closed


def test_a_stack_without_the_kafka_user_is_told_so(outputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    stub = context(platform(outputs), report_server_web(), Cluster())
    monkeypatch.setattr(reports, "_connected", lambda: connected(stub))
    result = report("daily", "--html", "x")
    assert isinstance(result.exception, OpsError)
    assert "the stack has no Kafka user `reports`" in str(result.exception)
