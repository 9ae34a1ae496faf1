"""``ops loadtest``: what is measured is what a user waits, and what goes wrong is counted."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import typer
from typer.testing import CliRunner

from components.dashboards.model import Dashboard, Kind
from components.dashboards.registry import DASHBOARDS
from components.dashboards.registry import dashboard_named as find
from ops.core import grafana as grafana_client
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.grafana import Grafana, address, administrator
from ops.core.platform import Login
from ops.dashboards.panel_queries import QueryClient
from ops.dashboards.panel_queries import span as span_of
from ops.evidence import files as evidence
from ops.loadtest import command as loadtest
from ops.loadtest.virtual_users import (
    CONNECTIONS,
    DashboardLoad,
    GrafanaDashboardClient,
    LoadTestResult,
    PanelRequest,
    directly,
    panel_requests,
    private_address,
    run_virtual_users,
    through_grafana,
)
from tests.unit.ops.dashboard_fakes import HOUR, LINES, NUMBER, dashboard, query_client
from tests.unit.ops.visualization_fakes import ADMINISTRATOR, NOTHING, PASSWORDS, READER, State, accounts, replica

pytestmark = pytest.mark.timed

CREDENTIALS = grafana_client.Credentials.model_validate(accounts())
SMALL = dashboard(NUMBER, LINES)


@contextmanager
def grafana(folder: Path, **differs: Any) -> Iterator[tuple[Context, State]]:
    """A platform whose Grafana, and whose read address, is the fake."""
    state = State(**differs)
    state.dashboards[SMALL.uid] = SMALL
    with replica(folder, state) as url:
        stub = SimpleNamespace(
            ca_file=str(folder / "ca.crt"),
            platform=SimpleNamespace(
                grafana_url=url,
                grafana_admin=login(*ADMINISTRATOR),
                query_url=url,
                query_reader=login(*READER),
            ),
            kube=SimpleNamespace(close=lambda: None, pods=list),
        )
        yield cast(Context, stub), state


def login(user: str, password: str) -> Login:
    return Login.model_validate({"username": user, "password": password})


def filled() -> QueryClient:
    return query_client({})[0]


def opened(context: Context, count: int = 3, **options: Any) -> LoadTestResult:
    options = {"seconds": 0.6, "think_s": 0.1, "dashboards": (SMALL,), **options}
    return run_virtual_users(through_grafana(context, CREDENTIALS.inside, count), filled(), **options)


def opening(seconds: float, began: float = 0.0, *problems: str) -> DashboardLoad:
    return DashboardLoad(dashboard="one", began=began, seconds=seconds, queries=2, problems=problems)


def test_people_log_in_fetch_the_dashboard_and_ask_what_its_panels_ask(tmp_path: Path) -> None:
    with grafana(tmp_path) as (context, state):
        load = opened(context)
    assert load.wrong() == []
    assert load.count == 3
    assert len(load.loads) >= 3
    assert sorted(state.logins) == ["admin-person", "editor", "viewer"]
    assert {kind for kind, _ in state.requests} == {"query", "query_range"}
    assert len(state.requests) == sum(dashboard_load.queries for dashboard_load in load.loads) == 2 * len(load.loads)
    parameters = dict(state.requests)["query_range"]
    assert parameters["query"] == 'lag{region=~".*"}'
    assert float(parameters["end"]) - float(parameters["start"]) == pytest.approx(6 * 3600)
    assert parameters["step"] == "90"


def test_people_log_out_when_they_leave(tmp_path: Path) -> None:
    with grafana(tmp_path) as (context, state):
        opened(context)
        assert state.sessions == {}


def test_what_is_measured_is_the_wait_until_the_last_answer(tmp_path: Path) -> None:
    with grafana(tmp_path, delay_s=3.0) as (context, _):
        load = opened(context, 1, seconds=0.2, think_s=30)
    [one] = load.loads
    assert 3.0 <= one.seconds < 5.8, "both questions of the dashboard are asked at the same time"
    assert load.figures()["max s"] == round(one.seconds, 3)


def test_a_person_asks_as_many_questions_at_a_time_as_a_browser(tmp_path: Path) -> None:
    large = find("overview")
    with grafana(tmp_path, delay_s=0.02) as (context, state):
        opened(context, 1, seconds=0.1, dashboards=(large,))
    assert sum(len(panel.queries) for panel in large.panels) > CONNECTIONS
    assert state.most == CONNECTIONS


def test_an_error_of_the_data_source_is_counted_and_shown(tmp_path: Path) -> None:
    with grafana(tmp_path, status=502, answer='{"message":"Bad Gateway"}') as (context, _):
        load = opened(context, 1, seconds=0.1, think_s=5)
    assert len(load.errors) == 2
    assert load.figures()["errors"] == 2
    assert "502" in load.wrong()[0]


def test_an_answer_that_is_no_success_is_an_error_whatever_its_status(tmp_path: Path) -> None:
    with grafana(tmp_path, answer="<html>log in</html>") as (context, _):
        load = opened(context, 1, seconds=0.1, think_s=5)
    assert len(load.errors) == 2


def test_an_answer_without_a_series_is_counted_and_is_no_error(tmp_path: Path) -> None:
    with grafana(tmp_path, answer=NOTHING) as (context, _):
        load = opened(context, 1, seconds=0.1, think_s=5)
    assert load.errors == []
    assert load.figures()["answers without a series"] == 2


def test_a_person_opens_what_is_shown_to_him(tmp_path: Path) -> None:
    with grafana(tmp_path, hidden={"viewer": ("obs-two",)}) as (context, state):
        both = named("one", "two")
        state.dashboards |= {shown.uid: shown for shown in both}
        load = run_virtual_users(
            through_grafana(context, [CREDENTIALS.viewer], 2), filled(), seconds=0.3, think_s=0.05, dashboards=both
        )
    assert load.errors == []
    assert {dashboard_load.dashboard for dashboard_load in load.loads} == {"one"}


def test_who_is_shown_no_dashboard_is_counted(tmp_path: Path) -> None:
    with grafana(tmp_path) as (context, state):
        load = opened(context, 1, seconds=0.1, think_s=5, dashboards=named("nowhere"))
    assert load.wrong() == ["nobody opened a dashboard: viewer 1: sees none of 1 dashboards"]
    assert (state.requests, state.sessions) == ([], {})


def test_a_dashboard_that_is_gone_is_an_error_and_asks_nothing(tmp_path: Path) -> None:
    with grafana(tmp_path) as (context, state):
        client = GrafanaDashboardClient(context.ca_file, address(context.platform), CREDENTIALS.viewer.pair)
        assert "404" in client.open("obs-nowhere")
        assert client.open(SMALL.uid) == ""
        client.close()
    assert (state.requests, state.sessions) == ([], {})


def named(*names: str) -> tuple[Dashboard, ...]:
    return tuple(Dashboard(name=name, title=name, description="One.", rows=SMALL.rows) for name in names)


def test_who_does_not_get_in_is_counted_and_named_without_the_password(tmp_path: Path) -> None:
    with grafana(tmp_path) as (context, _):
        factories = through_grafana(context, [CREDENTIALS.outsider], 2)
        load = run_virtual_users(factories, filled(), seconds=0.2, think_s=0.1, dashboards=(SMALL,))
    assert load.loads == ()
    assert len(load.refused) == 2
    assert "401 to the login of outsider" in load.wrong()[0]
    assert PASSWORDS["outsider"] not in str(load)


def test_with_direct_nobody_logs_in_and_the_read_address_is_asked(tmp_path: Path) -> None:
    with grafana(tmp_path) as (context, state):
        load = run_virtual_users(directly(context, 2), filled(), seconds=0.3, think_s=0.1, dashboards=(SMALL,))
    assert load.wrong() == []
    assert state.logins == []
    assert len(state.requests) == 2 * len(load.loads) > 0


def test_it_ends_in_time_and_what_is_open_is_read_to_its_end(tmp_path: Path) -> None:
    with grafana(tmp_path, delay_s=0.4) as (context, _):
        began = time.monotonic()
        load = opened(context, 4, seconds=0.3, think_s=30)
    assert time.monotonic() - began < 15
    assert load.errors == []
    assert len(load.loads) == 4


def test_people_begin_with_different_dashboards(tmp_path: Path) -> None:
    dashboards = named("one", "two", "three")
    with grafana(tmp_path) as (context, state):
        state.dashboards |= {defined.uid: defined for defined in dashboards}
        load = opened(context, 3, seconds=0.3, think_s=30, dashboards=dashboards)
    assert {dashboard_load.dashboard for dashboard_load in load.loads} == {"one", "two", "three"}


def test_every_query_of_every_dashboard_is_asked_with_nothing_left_to_fill_in() -> None:
    for defined in DASHBOARDS:
        panel_questions = panel_requests(defined, filled(), span_of(defined.since))
        panels = [panel for panel in defined.panels for _ in panel.queries]
        assert [one.path == "/query_range" for one in panel_questions] == [
            panel.kind is Kind.SERIES for panel in panels
        ]
        # `$1` is a group of a regular expression.
        assert not any(re.search(r"[$][A-Za-z_{]", one.params["query"]) for one in panel_questions)


def test_a_panel_with_a_time_of_its_own_is_asked_for_that_time() -> None:
    own_time = Dashboard(name="o", title="O", description="O.", rows=dashboard(LINES).rows)
    [lines] = panel_requests(own_time, filled(), HOUR)
    assert lines == PanelRequest(
        path="/query_range",
        params={
            "query": 'lag{region=~".*"}',
            "start": f"{HOUR.start.timestamp():.3f}",
            "end": f"{HOUR.end.timestamp():.3f}",
            "step": "15",
        },
    )
    day = [panel for panel in find("overview").panels if panel.since == "24h" and panel.kind is Kind.SERIES]
    for one in panel_requests(dashboard(*day), filled(), HOUR):
        assert float(one.params["end"]) - float(one.params["start"]) == pytest.approx(24 * 3600)


def test_limits_are_those_of_the_requirement() -> None:
    quick = [opening(2.0, number * 10) for number in range(19)]
    assert LoadTestResult(count=1, seconds=9, loads=(*quick, opening(9.0))).wrong() == []
    slow_tail = LoadTestResult(count=1, seconds=9, loads=(*quick[:18], opening(5.1), opening(5.1)))
    assert slow_tail.wrong() == ["95 of 100 dashboards take 5.10 s, at most 5 s"]
    slow = LoadTestResult(count=1, seconds=9, loads=tuple(opening(3.1) for _ in range(9)))
    assert slow.wrong() == ["a dashboard takes 3.10 s on average, at most 3 s"]
    assert LoadTestResult(count=1, seconds=9, loads=(opening(1, 0, "broken"),)).wrong() == ["1 errors, such as broken"]
    nobody = LoadTestResult(count=1, seconds=9, loads=())
    assert nobody.wrong() == ["nobody opened a dashboard: there was no time"]
    assert math.isnan(nobody.mean)
    assert nobody.figures()["average s"] is None


def test_figures_say_how_many_dashboards_were_opened_at_the_same_time() -> None:
    load = LoadTestResult(count=3, seconds=4, loads=(opening(2, 0), opening(2, 1), opening(2, 2), opening(0.5, 1.2)))
    assert load.figures()["most at the same time"] == 3
    assert load.figures()["queries/s"] == 2.0
    assert json.loads(json.dumps(load.figures())) == load.figures()


def test_a_load_goes_to_private_addresses_only() -> None:
    assert private_address("https://198.18.0.20:3000") == "https://198.18.0.20:3000"
    assert private_address("https://localhost:3000") == "https://localhost:3000"
    with pytest.raises(OpsError, match="a public address"):
        private_address("https://8.8.8.8:3000")
    with pytest.raises(OpsError, match="cannot be resolved"):
        private_address("https://nowhere.invalid:3000")


def test_a_session_is_the_persons_own(tmp_path: Path) -> None:
    with grafana(tmp_path) as (context, _):
        url = address(context.platform)
        with (
            Grafana.sign_in(context.ca_file, url, CREDENTIALS.viewer.pair) as person,
            Grafana(context.ca_file, url) as other,
        ):
            assert person.status("GET", "/api/user") == 200
            assert other.status("GET", "/api/user") == 401
            with person.at(url) as there:
                assert there.get("/api/user/orgs")[0]["role"] == "Viewer"
            with pytest.raises(OpsError, match=r"answers 403 to GET /api/users: You'll need"):
                person.get("/api/users")


def test_a_stack_without_grafana_is_one_line() -> None:
    bare: Any = SimpleNamespace(grafana_url="", grafana_admin=None)
    with pytest.raises(OpsError, match="has no Grafana"):
        address(bare)
    with pytest.raises(OpsError, match="no administrator"):
        administrator(bare)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nonsense", "Invalid JSON: .*: must be {"),
        ("{}", "viewer: Field required"),
        (json.dumps({**accounts(), "somebody": {}}), "somebody: Extra inputs"),
    ],
)
def test_a_file_of_accounts_that_is_none_is_one_line_without_a_password(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "people.json"
    file.write_text(text)
    with pytest.raises(OpsError, match=says) as raised:
        grafana_client.read_credentials(file)
    assert PASSWORDS["viewer"] not in str(raised.value)
    with pytest.raises(OpsError, match="cannot be read"):
        grafana_client.read_credentials(tmp_path / "missing")


def test_accounts_come_from_the_file_that_the_environment_names(tmp_path: Path) -> None:
    file = tmp_path / "people.json"
    file.write_text(json.dumps(accounts()))
    assert grafana_client.known_credentials({}) is None
    assert grafana_client.known_credentials({grafana_client.TEST_ACCOUNTS_FILE: str(file)}) == CREDENTIALS


def run(monkeypatch: pytest.MonkeyPatch, context: Context, *words: str) -> tuple[int, str, dict[str, Any]]:
    """The command; its exit code, what it printed, and the evidence that it wrote."""
    written: dict[str, Any] = {}
    app = typer.Typer()
    app.command()(loadtest.loadtest)
    monkeypatch.setattr("ops.core.platform.load", lambda: SimpleNamespace(namespace="x"))
    monkeypatch.setattr("ops.loadtest.command.Kube.of", lambda _: context.kube)
    monkeypatch.setattr(loadtest, "Context", lambda *_: _Entered(context))
    monkeypatch.setattr(loadtest, "query_client", lambda _: filled())
    monkeypatch.setattr(evidence, "write", lambda name, **what: written.update(name=name, **what))
    done = CliRunner().invoke(app, list(words))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, written


class _Entered:
    def __init__(self, context: Context) -> None:
        self._context = context

    def __enter__(self) -> Context:
        return self._context

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""


def test_the_command_writes_evidence_and_ends_with_0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "people.json"
    file.write_text(json.dumps(accounts()))
    with grafana(tmp_path) as (context, _):
        words = ("--count", "3", "--seconds", "1", "--think", "30", "--credentials", str(file), "--json")
        code, said, written = run(monkeypatch, context, *words)
    assert code == 0, said
    assert (written["name"], written["passed"]) == ("dashboard-load", True)
    assert json.loads(said)["figures"] == written["figures"]
    assert written["figures"]["openings"] == 3
    assert not any(password in said + str(written) for password in PASSWORDS.values())


def test_the_command_ends_with_1_when_the_limits_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with grafana(tmp_path, status=503, answer="away") as (context, _):
        code, said, written = run(monkeypatch, context, "--direct", "--count", "1", "--seconds", "1", "--think", "60")
    assert (code, written["name"], written["passed"]) == (1, "dashboard-load-direct", False)
    assert "503" in said


def test_without_accounts_the_command_says_what_to_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(grafana_client.TEST_ACCOUNTS_FILE, raising=False)
    with (
        grafana(tmp_path) as (context, _),
        pytest.raises(OpsError, match=r"--credentials FILE or OBS_TEST_ACCOUNTS_FILE"),
    ):
        run(monkeypatch, context)
