"""Dashboards as a browser sees them: real HTTP to the fake's pages, with stand-ins for its database and its sources."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, quote
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
import requests

from components.dashboards.drilldowns import texts
from components.dashboards.grafana import grafana_unit, rendered
from components.dashboards.model import Dashboard, Limit, Query, Row, State, bars, series, stat, table
from lab.fakes.grafana import pages
from lab.fakes.grafana.__main__ import Application
from lab.fakes.grafana.drawing import panel_of, rows_of, unit_of
from lab.fakes.grafana.exchange import Answer, RefusedError, Router, denied, told
from lab.fakes.grafana.login import LoginRoutes
from lab.fakes.grafana.pages import Pages
from lab.fakes.grafana.queries import Queries, Variables
from lab.fakes.grafana.sources import Source
from lab.fakes.grafana.telemetry import Log, Metrics
from lab.fakes.grafana.users import Access, User
from lab.paths import CHECKOUT

BOARD = Dashboard(
    name="shown",
    title="Shown <b>",
    description="What is <i>seen</i>.",
    rows=(
        Row(
            title="First",
            panels=(
                stat("Streams", "Number.", "{stream}", Query(expr="streams"), limits=(Limit(value=5, label="Most"),)),
                series("Lag", "Lines.", "s", Query(expr="lag", legend="{{job}}")),
                bars("Disks", "Bars.", "1", Query(expr="disks", legend="{{job}}")),
                table("Topics", "Table.", {"job": "Job"}, Query(expr="size", legend="Size", unit="By")),
                stat("Broken", "Refused.", "", Query(expr="broken")),
            ),
        ),
    ),
)
SERVICE = rendered(BOARD)["uid"]
KINDS = {"metrics": "prometheus", "traces": "jaeger", "logs": "grafana-opensearch-datasource"}


def source(uid: str, kind: str) -> Source:
    data: dict[str, Any] = {"timeInterval": "15s"} if kind == "prometheus" else {}
    if uid == "logs":
        link = {"field": "trace_id", "url": "/d/obs-trace?var-trace=${__value.raw}"}
        data = {"database": "logs", "logMessageField": "body", "dataLinks": [link]}
    return Source(
        id=1, uid=uid, name=uid.title(), type=kind, url="https://x:1", user="", password="", authority="",
        server_name="", default=uid == "metrics", data=data, secrets=[],
    )  # fmt: skip


SOURCES = tuple(source(uid, kind) for uid, kind in KINDS.items())


class Proxied:
    """Stands where the proxy is: a small Prometheus, Jaeger and search cluster."""

    def __init__(self) -> None:
        self.asked_for: list[str] = []

    def ask(
        self, source: Source, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Answer as that source."""
        self.asked_for.append(f"{target} {body.decode()}")
        if source.type == "jaeger":
            span = {"traceID": "ab12", "spanID": "1", "operationName": "get", "startTime": 1_700_000_000_000_000}
            trace = {
                "traceID": "ab12",
                "spans": [{**span, "duration": 5000, "processID": "p"}],
                "processes": {"p": {"serviceName": "front"}},
            }
            return told({"data": [trace]})
        if source.type != "prometheus":
            record = {"@timestamp": "2026-01-01T00:00:00Z", "body": "<script>", "trace_id": "ab12"}
            hit = {"_index": "logs", "_id": "1", "_source": record}
            return told({"responses": [{"hits": {"total": {"value": 1}, "hits": [hit]}}]})
        if "/label/" in target:
            return told({"status": "success", "data": ["front", "back"]})
        query = parse_qs(body.decode())
        if query["query"][0].startswith("broken"):
            return told({"status": "error", "errorType": "bad_data", "error": "no <such> thing"}, 400)
        points = [float(query["start"][0]), "7"] if "start" in query else [float(query["time"][0]), "7"]
        kind = "matrix" if "start" in query else "vector"
        metric = {"job": "a<b>"}
        value = {"values": [points]} if kind == "matrix" else {"value": points}
        return told({"status": "success", "data": {"resultType": kind, "result": [{"metric": metric, **value}]}})


class Stored:
    """Stands where the database is."""

    @contextmanager
    def reading(self) -> Iterator[None]:
        yield None


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Nothing."""


def viewer(role: str = "Viewer") -> User:
    return User(id=2, uid="u", login="some<one>", name="", email="", role=role, server_admin=False, source="ldap")


@pytest.fixture
def stored() -> dict[str, dict[str, Any]]:
    """Dashboards that the database holds, by their uid."""
    return {SERVICE: rendered(BOARD), **{uid: json.loads(text) for uid, text in texts().items()}}


@pytest.fixture
def proxied() -> Proxied:
    return Proxied()


@pytest.fixture
def url(stored: dict[str, dict[str, Any]], proxied: Proxied, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    rows = {
        uid: {"uid": uid, "title": model["title"], "folder_uid": "f", "tags": ["obs"], "content": model}
        for uid, model in stored.items()
    }
    folder = {"uid": "f", "title": "Folder <x>", "folder_uid": None}
    access = Access(admin=False, editor=False, folders={"f": 1}, dashboards={}, parents={"f": None})

    def allowed(db: None, access: Access, uid: str, level: int, action: str) -> Any:
        if uid == "hidden":
            raise denied(action)
        if uid not in rows:
            raise RefusedError(HTTPStatus.NOT_FOUND, "Dashboard not found")
        return rows[uid]

    monkeypatch.setattr(pages, "access_of", lambda *_: access)
    monkeypatch.setattr(pages, "visible", lambda *_: ([folder], list(rows.values())))
    monkeypatch.setattr(pages, "allowed_dashboard", allowed)
    monkeypatch.setattr(pages, "allowed_folder", lambda *_: folder)
    database: Any = Stored()
    proxy: Any = proxied
    sessions: Any = SimpleNamespace(
        given=lambda cookies: "session" in cookies, person=lambda db, cookies: viewer(), start=lambda *_: "session=1"
    )

    def prove(name: str, password: str, *_: Any) -> User:
        if password != "right":
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "Invalid username or password")
        return viewer()

    authenticator: Any = SimpleNamespace(prove=prove)
    database.writing = database.reading
    queries = Queries(SOURCES, proxy)
    parts: Any = (
        LoginRoutes(database, authenticator, sessions, Log()),
        Pages(database, queries, Variables(SOURCES, proxy)),
    )
    settings: Any = SimpleNamespace(
        metrics=False,
        login=SimpleNamespace(basic=False),
        transport_security_s=0,
        trusted_origins=(),
        log_requests=False,
    )
    router = Router([route for part in parts for route in part.routes()])
    app = Application(settings, router, database, authenticator, sessions, Log(), Metrics())
    with make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def get(url: str, path: str, **more: Any) -> requests.Response:
    return requests.get(url + path, headers={"Cookie": "session=1"}, allow_redirects=False, timeout=60, **more)


def test_who_is_not_signed_in_is_sent_to_the_login_and_lands_on_the_list(url: str) -> None:
    for path in ("/", "/dashboards", "/d/obs-shown"):
        answer = requests.get(url + path, allow_redirects=False, timeout=60)
        assert (answer.status_code, answer.headers["Location"]) == (302, "/login")
    page = requests.get(f"{url}/login", timeout=60)
    assert '<form method="post" action="/login">' in page.text
    # A browser sends the origin of a form where the policy of its page lets it.
    assert page.headers["Referrer-Policy"] == "same-origin"
    form = {"user": "someone", "password": "right"}
    answer = requests.post(f"{url}/login", data=form, headers={"Origin": url}, allow_redirects=False, timeout=60)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    wrong = requests.post(f"{url}/login", data=form | {"password": "x"}, allow_redirects=False, timeout=60)
    assert wrong.status_code == 401
    assert "Invalid username or password" in wrong.text
    assert "<form" in wrong.text


@pytest.mark.parametrize("path", ["/", "/dashboards", "/dashboards/f/f/folder-x"])
def test_the_list_shows_folders_and_dashboards_escaped(url: str, path: str) -> None:
    answer = get(url, path)
    assert answer.status_code == 200
    assert "Folder &lt;x&gt;" in answer.text
    assert '<a href="/d/obs-shown/shown-b">Shown &lt;b&gt;</a>' in answer.text
    assert "some&lt;one&gt;, Viewer" in answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; form-action 'self';")


def test_a_dashboard_is_drawn_of_what_is_stored(url: str, proxied: Proxied) -> None:
    answer = get(url, "/d/obs-shown?from=now-1h&to=now")
    text = answer.text
    assert answer.status_code == 200
    assert text.count('<article class="card') == 5
    assert text.count("<svg") == 1
    assert "cannot be" not in text
    assert "bad_data: no &lt;such&gt; thing" in text
    assert "1 of 5 panels lack data" in text
    assert "7 B" in text
    assert "a&lt;b&gt;" in text
    assert "<b>" not in text.replace('<div class="stat', "").replace("<b>7", "").replace("<b>700 %", "")
    assert "<script" not in text
    sent = [parse_qs(request.partition(" ")[2]) for request in proxied.asked_for if "query_range" in request]
    assert [float(query["end"][0]) - float(query["start"][0]) for query in sent] == [3600]


@pytest.mark.parametrize(("path", "status"), [("/d/hidden", 403), ("/d/gone", 404), ("/d/obs-shown?from=never", 400)])
def test_refusals_are_those_of_the_interface(url: str, path: str, status: int) -> None:
    answer = get(url, path)
    assert answer.status_code == status
    assert answer.json()["message"]


def test_variables_of_the_address_stand_in_queries_escaped(url: str, proxied: Proxied) -> None:
    values = "&".join(f"var-region={quote(value)}" for value in ('a.b"', "c"))
    assert get(url, f"/d/obs-shown?{values}").status_code == 200
    queries = [parse_qs(request.partition(" ")[2]).get("query", [""])[0] for request in proxied.asked_for]
    assert 'streams{region=~"(a\\\\.b\\"|c)"}' in queries
    proxied.asked_for.clear()
    get(url, "/d/obs-shown?var-region=$__all")
    queries = [parse_qs(request.partition(" ")[2]).get("query", [""])[0] for request in proxied.asked_for]
    assert 'streams{region=~".*"}' in queries


def test_traces_and_logs_are_tables_that_lead_to_a_trace(url: str) -> None:
    text = get(url, "/d/obs-service").text
    assert "cannot be" not in text
    assert "front: get" in text
    assert text.count('<a href="/d/obs-trace?var-trace=ab12') == 2
    assert "&lt;script&gt;" in text
    trace = get(url, "/d/obs-trace?var-trace=ab12").text
    assert "cannot be" not in trace
    assert "duration, ms" in trace


@pytest.mark.parametrize(
    "panel",
    [
        {"id": 1, "z": 1, "a": None},
        {"type": "timeseries", "targets": [{"refId": 7}], "gridPos": "x", "fieldConfig": []},
        {"type": "table", "targets": [{"expr": "up", "datasource": {"uid": "gone"}}], "title": ["x"]},
        {"type": "stat", "targets": "x", "timeFrom": "now/d"},
    ],
)
def test_a_panel_of_no_known_form_does_not_stop_the_page(
    url: str, stored: dict[str, dict[str, Any]], panel: dict[str, Any]
) -> None:
    stored[SERVICE]["panels"].append(panel)
    answer = get(url, "/d/obs-shown")
    assert answer.status_code == 200
    assert answer.text.count('<article class="card') == 6


def test_panels_beyond_the_bound_say_so(url: str, stored: dict[str, dict[str, Any]]) -> None:
    panels = stored[SERVICE]["panels"]
    panels += [panels[1] | {"id": 100 + number, "gridPos": {"x": 0, "y": 100, "w": 4}} for number in range(80)]
    assert get(url, "/d/obs-shown").text.count("left out: a page has at most 80 panels") == 5


def test_a_panel_is_read_back_from_grafanas_form() -> None:
    limits = (Limit(value=1, label="limit"), Limit(value=3, label="limit", tone="warning", bad="below"))
    shown = stat("A", "B", "By", Query(expr="x"), limits=limits[:1], states=(State(value=1, text="up", tone="good"),))
    ranked = table("T", "U", {"job": "Job"}, Query(expr="y", legend="Size", unit="s"), top=3)
    board = replace(BOARD, rows=(Row(title="R", panels=(shown, ranked)),))
    ((title, panels),) = rows_of(rendered(board))
    first, second = (panel_of(panel) for panel in panels)
    assert (title, first.unit, first.limits, first.states) == ("R", "By", limits[:1], shown.states)
    assert (second.columns, second.top) == (ranked.columns, 3)
    assert (second.queries[0].legend, second.queries[0].unit) == ("Size", "s")
    assert {unit_of(grafana_unit(unit)) for unit in ("1", "s", "By", "By/s", "Hz")} == {"1", "s", "By", "By/s", "Hz"}
    assert unit_of(grafana_unit("{call}/s")) == "/s"


def test_what_the_image_holds_is_enough_to_draw(tmp_path: Path) -> None:
    for line in (CHECKOUT / "lab/images/Dockerfile").read_text().partition(" AS grafana")[2].splitlines():
        if line.startswith("COPY ") and "grafana.sh" not in line:
            *names, target = line.split()[1:]
            for name in names:
                place = tmp_path / target.removeprefix("/opt/app/")
                place = place / Path(name).name if target.endswith("/") else place
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(CHECKOUT / name)
    (tmp_path / "components" / "__init__.py").symlink_to(CHECKOUT / "components/__init__.py")
    (tmp_path / "components" / "telemetry").symlink_to(CHECKOUT / "components/telemetry")
    (tmp_path / "services").symlink_to(CHECKOUT / "services")
    program = (
        f"import sys; sys.path[:] = [{str(tmp_path)!r}, *(p for p in sys.path if p and p != {str(CHECKOUT)!r})]\n"
        "import lab.fakes.grafana.drawing, lab.fakes.grafana.pages\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env={"PATH": "/usr/bin"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert {"pulumi", "typer", "grafana_foundation_sdk"}.isdisjoint(done.stdout.split())
