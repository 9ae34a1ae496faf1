"""Questions of dashboards: what is sent, how answers are timed and bounded, and what the command tells."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from components.dashboards.model import Query, series, stat
from components.dashboards.registry import DASHBOARDS
from ops.__main__ import app
from ops.core.errors import OpsError
from ops.core.grafana import Grafana
from ops.dashboards import command
from ops.dashboards.panel_queries import GrafanaQueryClient, QueryClient, ask, latencies, quantile, span
from tests.unit.ops.dashboard_fakes import ANSWERS, DISKS, HOUR, LINES, NUMBER, TABLE, query_client
from tests.unit.ops.visualization_fakes import ADMINISTRATOR, PASSWORDS, State, accounts, replica

pytestmark = pytest.mark.timed

EMPTY = stat("Nothing", "Nothing.", "", Query(expr="nothing"))
BROKEN = stat("Broken", "Refused.", "", Query(expr="broken"))
BUG = stat("Bug", "Fails.", "", Query(expr="bug"))


def test_everything_that_grafana_fills_in_is_filled_in() -> None:
    panel_client, address = query_client({}, region="tokyo", layer="data")
    query = Query(expr='sum(rate(x_total{layer=~"$layer",device=~"$device"}[$__rate_interval])) > $__range')
    ask(panel_client, [stat("A", "A.", "", query)], HOUR)
    assert address.requests == [
        'sum(rate(x_total{region=~"tokyo",layer=~"data",device=~".*"}[60s])) > 3600s',
    ]


def test_a_groups_number_in_label_replace_is_no_variable() -> None:
    panel_client, address = query_client({})
    ask(panel_client, [stat("A", "A.", "", Query(expr='label_replace(vector(1), "a", "$1", "b", "(.*)")'))], HOUR)
    assert address.requests == ['label_replace(vector(1), "a", "$1", "b", "(.*)")']


def test_rates_over_a_long_time_take_longer_windows() -> None:
    panel_client, address = query_client({})
    day = replace(HOUR, start=HOUR.end - timedelta(days=1))
    ask(panel_client, [series("A", "A.", "", Query(expr="rate(x[$__rate_interval])"))], day)
    assert address.requests == ['rate(x{region=~".*"}[720s])']


def test_a_panel_with_a_time_of_its_own_is_asked_over_that() -> None:
    panel_client, _ = query_client(ANSWERS)
    result = ask(panel_client, [replace(LINES, since="24h")], HOUR)[0]
    assert result.span.seconds == 86_400
    assert result.answers[0].points > 200


def test_a_panel_that_fails_does_not_stop_the_others() -> None:
    panel_client, _ = query_client(ANSWERS)
    broken, bug, empty, number = ask(panel_client, [BROKEN, BUG, EMPTY, NUMBER], HOUR)
    assert broken.problems == ("Thanos Query answered 422: many-to-many matching",)
    assert bug.problems == ("RuntimeError: something else",)
    assert (empty.problems, empty.empty) == ((), True)
    assert (number.problems, number.empty) == ((), False)
    assert number.answers[0].series[0].points[0][1] == 16


def test_an_answer_that_is_no_number_is_no_data() -> None:
    panel_client, _ = query_client({"odd": [({}, math.nan)]})
    assert ask(panel_client, [stat("A", "A.", "", Query(expr="odd"))], HOUR)[0].empty


def test_a_page_is_bounded_in_time() -> None:
    panel_client, _ = query_client(ANSWERS, delay_s=6.0)
    began = time.monotonic()
    results = ask(panel_client, [NUMBER] * 9, HOUR, limit_s=0.2, workers=2)
    assert time.monotonic() - began < 5.5
    assert {result.problems for result in results} == {("no answer within 0.2 s",)}


def test_answers_are_timed_and_questions_run_side_by_side() -> None:
    panel_client, _ = query_client(ANSWERS, delay_s=1.0)
    began = time.monotonic()
    results = ask(panel_client, [NUMBER] * 6, HOUR, workers=6)
    assert time.monotonic() - began < 5.5, "one after the other they take 6 s"
    times = latencies(results)
    assert len(times) == 6
    assert times[0] >= 0.1


def test_quantiles_are_those_of_the_sorted_values() -> None:
    values = [float(number) for number in range(1, 101)]
    assert (quantile(values, 0.5), quantile(values, 0.95), quantile(values, 1)) == (50, 95, 100)
    assert math.isnan(quantile([], 0.95))


@pytest.mark.parametrize(("text", "length"), [("60s", 60), ("6h", 21_600), ("30d", 2_592_000)])
def test_what_is_looked_at_ends_where_it_is_asked_to(text: str, length: int) -> None:
    looked = span(text, HOUR.end)
    assert (looked.seconds, looked.end) == (length, HOUR.end)


@pytest.mark.parametrize("text", ["", "59s", "31d", "1w"])
def test_no_other_range_is_looked_at(text: str) -> None:
    with pytest.raises(OpsError, match=r"--range is .* from 60s to 30d, for example 15m"):
        span(text)


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The command, connected to a fake; ``answers`` may be changed."""
    state: dict[str, Any] = {"answers": {"": [({}, 1.0)]}}

    @contextmanager
    def connected(region: str = ".*", *, direct: bool = False) -> Iterator[tuple[QueryClient, str]]:
        state.update(region=region, direct=direct)
        yield query_client(state["answers"], region=region)[0], "obs"

    monkeypatch.setattr(command, "connected", connected)
    return state


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["dashboard", *arguments])


def test_list_shows_all_dashboards() -> None:
    listed = json.loads(run("list", "--json").stdout)["dashboards"]
    assert [entry["name"] for entry in listed] == [dashboard.name for dashboard in DASHBOARDS]
    assert run("list").exit_code == 0


def test_check_passes_when_every_panel_has_data(answering: dict[str, Any]) -> None:
    done = run("check", "--only", "overview", "--json")
    assert done.exit_code == 0
    document = json.loads(done.stdout)
    panels = list(DASHBOARDS[0].panels)
    assert document["summary"]["panels"] == len(panels)
    assert document["summary"]["panels without data"] == 0
    assert {"dashboard", "panel", "query", "latency_ms", "points"} <= set(document["queries"][0])
    assert len(document["queries"]) == sum(len(panel.queries) for panel in panels)


def test_check_fails_when_a_panel_has_none_and_says_which(answering: dict[str, Any]) -> None:
    answering["answers"] = {"stream_active": [({}, 1.0)]}
    done = run("check", "--only", "obs-overview", "--json")
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert document["summary"]["panels without data"] == len(list(DASHBOARDS[0].panels)) - 1
    assert run("check", "--only", "overview").exit_code == 1


def test_a_page_is_written_for_the_chosen_region(answering: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    done = run("kafka", "--html", str(path), "--range", "15m", "--region", "osaka")
    assert done.exit_code == 0, done.stderr
    kafka = next(dashboard for dashboard in DASHBOARDS if dashboard.uid == "obs-kafka")
    assert f"{len(list(kafka.panels))} panels, 0 without data" in done.stderr
    assert "obs, region osaka" in path.read_text(encoding="utf-8")
    assert (answering["region"], answering["direct"]) == ("osaka", False)
    assert run("kafka", "--json", "--direct").exit_code == 0
    assert answering["direct"]


def test_a_choice_is_asked_for_and_told(answering: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    assert run("overview", "--html", str(path), "--choose", "layer=data").exit_code == 0
    text = path.read_text(encoding="utf-8")
    assert "obs, all regions, layer data" in text
    assert "layer=~&#34;data&#34;" in text


def test_json_has_every_panel_with_its_values(answering: dict[str, Any]) -> None:
    document = json.loads(run("alerting", "--json", "--range", "15m").stdout)
    assert document["dashboard"] == "obs-alerting"
    assert all(panel["series"][0]["value"] == 1 for panel in document["panels"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing", "--json"), "use one of overview, layer-device"),
        (("overview",), "--html FILE for a page, or --json"),
        (("overview", "--json", "--range", "soon"), "--range is 'soon'"),
        (("overview", "--html", "/nowhere/page.html"), "/nowhere/page.html: No such file or directory"),
        (("overview", "--json", "--choose", "device=a"), "--choose is device=a, must be one of layer=VALUE"),
        (("kafka", "--json", "--choose", "layer=data"), "none: this dashboard has no choices"),
        (("check", "--only", "nothing"), "dashboard 'nothing' does not exist"),
    ],
)
def test_mistakes_are_told_in_one_line(answering: dict[str, Any], arguments: tuple[str, ...], message: str) -> None:
    done = run(*arguments)
    assert isinstance(done.exception, OpsError)
    assert message in str(done.exception)
    assert "\n" not in str(done.exception)


def test_disks_and_lines_are_asked_in_their_own_way() -> None:
    panel_client, _ = query_client(ANSWERS)
    disks, lines = ask(panel_client, [DISKS, LINES], HOUR)
    assert [len(line.points) for line in disks.answers[0].series] == [1, 1, 1]
    assert lines.answers[0].points == 240


FRAME = {
    "schema": {"refId": "A", "fields": [{"name": "Time"}, {"name": "Value", "labels": {"topic": "a"}}]},
    "data": {"values": [[1000, 16_000], [4, None]]},
}


@contextmanager
def grafana(tmp_path: Path, **answer: Any) -> Iterator[tuple[GrafanaQueryClient, State]]:
    """Somebody who is logged in at a Grafana that gives panels that answer."""
    state = State(**answer)
    with (
        replica(tmp_path, state) as url,
        Grafana.sign_in(str(tmp_path / "ca.crt"), url, ("viewer", PASSWORDS["viewer"])) as visitor,
    ):
        yield GrafanaQueryClient(grafana=visitor, chosen={"region": "tokyo"}), state


def test_a_panel_is_one_request_with_all_its_queries_as_grafanas_page_sends_them(tmp_path: Path) -> None:
    frames = {"status": 200, "frames": [FRAME]}
    with grafana(tmp_path, panels=(200, {"results": {"A": frames, "B": {"status": 200, "frames": []}}})) as (it, state):
        table, lines = ask(it, [TABLE, LINES], HOUR, workers=1)

    first, second = state.panel_requests
    assert (first["from"], first["to"]) == ("1795564800000", "1795568400000")
    partitions, sizes = first["queries"]
    assert partitions == {
        "refId": "A",
        "datasource": {"type": "prometheus", "uid": "metrics"},
        "expr": 'partitions{region=~"tokyo"}',
        "range": False,
        "instant": True,
        "exemplar": False,
        "format": "table",
        "legendFormat": "Partitions",
        "interval": "15s",
        "intervalMs": 15_000,
        "maxDataPoints": 240,
    }
    assert sizes["refId"] == "B"
    assert (second["queries"][0]["range"], second["queries"][0]["format"]) == (True, "time_series")
    assert table.answers[0].series[0].labels == {"topic": "a"}
    assert table.answers[0].series[0].points == ((1.0, 4.0), (16.0, None))
    assert table.answers[0].latency_s == table.answers[1].latency_s > 0
    assert table.empty, "the second query has no series"
    assert (lines.empty, lines.problems) == (False, ())


def test_exemplars_are_asked_for_where_they_are_drawn_and_are_no_series(tmp_path: Path) -> None:
    single = {"schema": {"meta": {"custom": {"resultType": "exemplar"}}, "fields": [{}] * 5}, "data": {}}
    with grafana(tmp_path, panels=(200, {"results": {"A": {"frames": [FRAME, single]}}})) as (it, state):
        (result,) = ask(it, [replace(LINES, exemplars=True)], HOUR)
    assert state.panel_requests[0]["queries"][0]["exemplar"] is True
    assert (len(result.answers[0].series), result.problems) == (1, ())


def test_grafanas_own_variables_are_left_to_grafana(tmp_path: Path) -> None:
    query = Query(expr='rate(x{layer=~"$layer"}[$__rate_interval]) > $__range_s')
    with grafana(tmp_path, panels=(200, {"results": {"A": {"frames": []}}})) as (it, state):
        (result,) = ask(it, [stat("A", "A.", "", query)], HOUR)
    assert result.answers[0].expression == 'rate(x{region=~"tokyo",layer=~".*"}[$__rate_interval]) > $__range_s'
    assert state.panel_requests[0]["queries"][0]["expr"] == result.answers[0].expression


@pytest.mark.parametrize(
    ("status", "content", "problems"),
    [
        (
            400,
            {"results": {"A": {"error": "bad_data: parse error"}, "B": {"frames": [FRAME]}}},
            "bad_data: parse error",
        ),
        (400, {"message": "No queries found"}, "Grafana answers 400 to a panel: No queries found"),
        (403, {"message": "Access denied"}, "Grafana answers 403 to a panel: Access denied"),
        (200, {"results": {"B": {"frames": []}}}, "Grafana has no answer to this query"),
        (200, {"results": {"A": {"frames": [{"schema": {"fields": [{}]}}]}}}, "Grafana's answer is no time series"),
        (502, "<html>", "Grafana answers 502 to a panel, and no JSON"),
        (200, [], "Grafana answers 200 to a panel, and not in its form"),
    ],
)
def test_what_grafana_says_instead_of_values_is_the_panels_problem(
    tmp_path: Path, status: int, content: Any, problems: str
) -> None:
    with grafana(tmp_path, panels=(status, content)) as (it, _):
        (result,) = ask(it, [TABLE], HOUR)
    assert result.answers[0].problem == problems
    assert math.isnan(result.answers[0].latency_s)


def test_whoever_looks_is_a_viewer_where_one_is_known_and_else_the_administrator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, password = ADMINISTRATOR
    with replica(tmp_path, state := State(panels=(200, {"results": {"A": {"frames": [FRAME]}}}))) as url:
        platform = SimpleNamespace(grafana_url=url, grafana_admin=SimpleNamespace(pair=(user, password)))
        context: Any = SimpleNamespace(platform=platform, ca_file=str(tmp_path / "ca.crt"))
        monkeypatch.delenv("OBS_TEST_ACCOUNTS_FILE", raising=False)
        with command.as_viewer(context) as viewer:
            assert not ask(viewer, [NUMBER], HOUR)[0].empty
        assert state.logins == []
        (tmp_path / "people.json").write_text(json.dumps(accounts()))
        monkeypatch.setenv("OBS_TEST_ACCOUNTS_FILE", str(tmp_path / "people.json"))
        with command.as_viewer(context) as viewer:
            assert not ask(viewer, [NUMBER], HOUR)[0].empty
        assert (state.logins, state.sessions) == (["viewer"], {})
