"""The checks of what people read, against fakes of the platform: each promise broken once."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from components.dashboards.model import Dashboard, Row
from components.dashboards.registry import DASHBOARDS
from components.reports import SCHEDULES
from ops.checks import visualization
from ops.checks.grace_period import GRACE_PERIOD, RUN, series_due
from ops.core.errors import OpsError
from ops.core.kube import CronJob
from ops.evidence import files as evidence
from ops.loadtest.virtual_users import DashboardLoad, LoadTestResult
from tests.unit.ops.dashboard_fakes import query_client
from tests.unit.ops.visualization_fakes import State
from tests.unit.ops.visualization_platform import OLD, known, platforms, report, report_server


@pytest.fixture
def platform_factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Makes platforms."""
    return platforms(tmp_path, monkeypatch)


def full(monkeypatch: pytest.MonkeyPatch, *dashboards: Dashboard, without: str = "") -> None:
    """Every query has an answer, but those in which ``without`` stands."""
    queries = [query.expr for dashboard in dashboards for panel in dashboard.panels for query in panel.queries]
    panel_client, address = query_client({})
    monkeypatch.setattr(
        address, "_found", lambda expression: [] if without and without in expression else [({"x": "1"}, 1.0)]
    )
    assert queries
    monkeypatch.setattr(visualization, "as_viewer", lambda _: nullcontext(panel_client))


def dashboards(*names: str) -> list[Dashboard]:
    return [dashboard for dashboard in DASHBOARDS if dashboard.name in names]


@pytest.mark.parametrize("identifier", ["G2", "G3"])
def test_dashboards_with_data_in_every_panel_pass(
    platform_factory: Any, identifier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    full(monkeypatch, *DASHBOARDS)
    with platform_factory() as (platform, _):
        finding = visualization.CHECKS[identifier](platform.context)
    assert finding.wrong == []
    assert "panels with data" in finding.figures[0]


def test_every_dashboard_belongs_to_a_row() -> None:
    known = {*visualization.OVERVIEW, *visualization.DETAILS, *visualization.OPERATIONS}
    assert {dashboard.name for dashboard in DASHBOARDS} <= known


def test_an_empty_panel_is_named(platform_factory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    [dashboard] = dashboards("overview")
    panel = next(iter(dashboard.panels))
    full(monkeypatch, dashboard, without=panel.queries[0].expr.partition("{")[0][-20:])
    with platform_factory() as (platform, _):
        [wrong] = visualization.CHECKS["G2"](platform.context).wrong
    assert wrong.startswith("no data in overview: ")
    assert panel.title in wrong


def test_an_empty_panel_of_a_young_platform_waits(platform_factory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    [dashboard] = dashboards("overview")
    panel = next(iter(dashboard.panels))
    full(monkeypatch, dashboard, without=panel.queries[0].expr.partition("{")[0][-20:])
    with platform_factory(created=datetime.now(UTC)) as (platform, _):
        finding = visualization.CHECKS["G2"](platform.context)
    assert finding.wrong == []
    assert panel.title in finding.waits[0].what
    assert finding.waits[0].due == platform.created + GRACE_PERIOD


def test_series_about_reports_are_due_after_the_first_report(platform_factory: Any) -> None:
    with platform_factory(jobs=jobs(OLD)) as (platform, _):
        of_reports = series_due(platform.context, ["report_due_timestamp_seconds"])
        of_backups = series_due(platform.context, ["backup_runs", "up"])
    assert of_reports == datetime(2026, 1, 1, 21, 10, tzinfo=UTC) + RUN
    assert of_backups == OLD + GRACE_PERIOD


def test_a_dashboard_that_grafana_lacks_or_has_otherwise_is_named(
    platform_factory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    [dashboard] = dashboards("overview")
    full(monkeypatch, dashboard)
    less = Dashboard(
        name=dashboard.name,
        title=dashboard.title,
        description=dashboard.description,
        rows=(Row(title="One", panels=dashboard.rows[0].panels[:1]),),
        variables=dashboard.variables,
    )
    with platform_factory(State(dashboards={dashboard.uid: less})) as (platform, _):
        [other] = visualization.CHECKS["G2"](platform.context).wrong
    with platform_factory(State(dashboards={})) as (platform, _):
        [missing] = visualization.CHECKS["G2"](platform.context).wrong
    assert other.startswith("panels of Grafana's obs-overview is")
    assert "overview: Grafana answers 404" in missing


def test_what_operators_need_and_no_panel_shows_is_named(
    platform_factory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    full(monkeypatch, *DASHBOARDS)
    check = visualization.dashboards_check(("operations",), {"CPU": "process_cpu", "the weather": "rain_"})
    with platform_factory() as (platform, _):
        assert check(platform.context).wrong == ["no panel shows the weather"]
    unknown = visualization.dashboards_check(("nowhere",))
    with platform_factory() as (platform, _):
        assert unknown(platform.context).wrong == ["no such dashboard: nowhere"]


def test_panels_below_a_folded_row_count() -> None:
    folded = {"panels": [{"type": "row", "panels": [{"title": "a"}]}, {"type": "stat", "title": "b"}, {"type": "row"}]}
    assert [panel["title"] for panel in visualization.panels_of(folded)] == ["a", "b"]


def test_reports_that_are_there_in_time_pass(platform_factory: Any) -> None:
    with platform_factory() as (platform, _):
        finding = visualization.r1(platform.context)
    assert finding.wrong == []
    assert finding.figures == [f"{kind} a period, 0.0 h old, 2 files" for kind in SCHEDULES]


def jobs(created: datetime, *, suspended: bool = False) -> dict[str, CronJob]:
    """The reports' CronJobs."""
    return {
        f"report-{kind}": CronJob(
            name=f"report-{kind}",
            cron=schedule.cron,
            time_zone="Asia/Tokyo",
            created=created,
            suspended=suspended,
        )
        for kind, schedule in SCHEDULES.items()
    }


def test_a_report_that_is_missing_or_late_is_named(platform_factory: Any) -> None:
    now = time.time()
    stored = report_server(report("daily"), report("monthly", end="2999-01-01T00:00:00Z"))
    differs = {"due": {"daily": now - 7200}, "newest": {"daily": now, "monthly": now}, "stored": stored}
    with platform_factory(**differs, jobs=jobs(OLD)) as (platform, _):
        wrong = visualization.r1(platform.context).wrong
    assert wrong == [
        "the next daily report is overdue by 2.0 h",
        "no weekly report of a completed period is in the object storage: the first was due at 04 Jan 21:30 UTC",
        "no monthly report of a completed period is in the object storage: the first was due at 31 Jan 21:50 UTC",
    ]
    with platform_factory(**differs) as (platform, _):
        assert visualization.r1(platform.context).wrong[1].endswith("is in the object storage, and no job creates one")


def test_the_first_reports_are_waited_for_until_their_schedule(platform_factory: Any) -> None:
    created = datetime.now(UTC)
    with platform_factory(newest={}, stored=report_server(), jobs=jobs(created)) as (platform, _):
        finding = visualization.r1(platform.context)
    assert finding.wrong == []
    assert [wait.what for wait in finding.waits] == [f"first {kind} report" for kind in SCHEDULES]
    daily = finding.waits[0]
    assert daily.command == "ops report run daily"
    assert daily.due.astimezone(ZoneInfo("Asia/Tokyo")).strftime("%H:%M") == "06:10"
    assert timedelta() < daily.due - created <= timedelta(days=1)


def test_a_region_that_stands_by_makes_no_reports(platform_factory: Any) -> None:
    with platform_factory(newest={}, stored=report_server(), jobs=jobs(OLD, suspended=True)) as (platform, _):
        finding = visualization.r1(platform.context)
    assert (finding.wrong, finding.waits) == ([], [])
    assert "first daily report: created by the other region, since this one is standby" in finding.seen


def test_a_report_whose_run_failed_or_that_is_not_whole_is_named(platform_factory: Any) -> None:
    stored = report_server(report("daily"), report("weekly", ".html"), report("monthly"))
    with platform_factory(failed={"daily": 1.0}, stored=stored) as (platform, _):
        assert visualization.r1(platform.context).wrong == [
            "the last run of the daily report failed",
            "the newest weekly report has no .pdf",
        ]


def test_a_report_server_that_does_not_answer_is_one_line(platform_factory: Any) -> None:
    with (
        platform_factory(answered=503) as (platform, _),
        pytest.raises(OpsError, match="the report server answered 503"),
    ):
        visualization.r1(platform.context)


def visited(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """People whose dashboards take so long."""
    one = DashboardLoad(dashboard="one", began=0.0, seconds=seconds, queries=1)
    monkeypatch.setattr(visualization, "query_client", lambda _: query_client({})[0])
    monkeypatch.setattr(
        visualization,
        "run_virtual_users",
        lambda ways, *_, **__: LoadTestResult(count=len(ways), seconds=1.0, loads=(one, one)),
    )


def test_dashboards_that_answer_in_time_pass(platform_factory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    visited(monkeypatch, 0.5)
    with platform_factory() as (platform, _):
        finding = visualization.s2(platform.context)
    assert finding.wrong == []
    people = f"{visualization.SHORT_USERS} virtual users"
    assert finding.figures[0] == f"{people}, 2 dashboards: 0.50 s on average, P95 0.50 s"


def test_slow_dashboards_are_found_and_throughput_comes_from_the_bench(
    platform_factory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    visited(monkeypatch, 6.0)
    with platform_factory() as (platform, _):
        finding = visualization.s2(platform.context)
    assert [problem.partition(" (load of this machine ")[0] for problem in finding.wrong] == [
        "a dashboard takes 6.00 s on average, at most 3 s",
        "95 of 100 dashboards take 6.00 s, at most 5 s",
    ]
    assert finding.drills["bench-metrics"] == ("sustained points/s",)
    assert finding.drills["bench-traces"] == ("sustained spans/s",)


def test_the_targets_of_throughput_are_the_catalogs() -> None:
    for name, figure in visualization.THROUGHPUT.items():
        [target] = [target for target in evidence.catalog().entry(name).targets if target.source == "S2"]
        assert target.figure == figure


def test_a_short_visit_of_people_through_grafana_is_a_real_one(
    platform_factory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(tmp_path, monkeypatch)
    monkeypatch.setattr(visualization, "query_client", lambda _: query_client({})[0])
    monkeypatch.setattr(visualization, "SHORT_SECONDS", 0.2)
    monkeypatch.setattr(visualization, "SHORT_USERS", 3)
    with platform_factory() as (platform, state):
        finding = visualization.s2(platform.context)
    assert finding.wrong == []
    assert sorted(state.logins) == ["admin-person", "editor", "viewer"]
