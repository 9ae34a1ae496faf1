"""Lines of Grafana as accesses: fields as Grafana 12.3 writes them, and requests that are no access."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from services.audit.records import Access, Line, Outcome, UnreadableLineError
from services.audit.sources import grafana

AT = datetime(2026, 11, 28, 9, 38, 21, tzinfo=UTC)
UID = "obs-operations"


def request(path: str, method: str = "GET", status: int = 200, uname: str = "viewer", **changed: Any) -> str:
    return json.dumps(
        {
            "logger": "context",
            "userId": 3 if uname else 0,
            "orgId": 1 if uname else 0,
            "uname": uname,
            "t": "2026-11-28T09:38:21.422901Z",
            "level": "info",
            "msg": "Request Completed",
            "method": method,
            "path": path,
            "status": status,
            "remote_addr": "10.0.0.7",
            "time_ms": 3,
            "duration": "3.214ms",
            "size": 512,
            "referer": "",
            "handler": "/api/dashboards/uid/:uid",
            "status_source": "server",
        }
        | changed
    )


def server(text: str) -> Access | None:
    return grafana(Line(time=AT, workload="grafana", text=text))


def test_a_dashboard_that_was_read() -> None:
    assert server(request(f"/api/dashboards/uid/{UID}")) == Access(
        time=AT,
        who="viewer",
        origin="10.0.0.7",
        action="read dashboard",
        target=f"dashboard:{UID}",
        outcome=Outcome.ALLOWED,
        detail={"status": "200", "method": "GET"},
    )


@pytest.mark.parametrize(
    ("method", "path", "action", "target"),
    [
        ("POST", "/login", "log in", "grafana:login"),
        ("GET", f"/d/{UID}/operations", "read dashboard", f"dashboard:{UID}"),
        (
            "GET",
            f"/apis/dashboard.grafana.app/v1beta1/namespaces/default/dashboards/{UID}/dto",
            "read dashboard",
            f"dashboard:{UID}",
        ),
        ("GET", "/d/a b\n/x", "read dashboard", "dashboard:unreadable"),
        ("POST", "/api/ds/query", "query", "grafana:data sources"),
        ("POST", "/api/datasources/proxy/uid/metrics/api/v1/query", "query", "source:metrics"),
        ("GET", "/api/datasources/uid/traces/resources/services", "query", "source:traces"),
        ("GET", "/api/datasources/proxy/3/api/traces/00ff", "query", "source:3"),
        ("GET", "/api/datasources/proxy/uid/metrics", "query", "source:metrics"),
        ("GET", "/api/datasources/3/resources/services", "query", "source:3"),
        ("GET", "/api/datasources/proxy/uid/logs/logs-read,a\n*/_search", "query", "source:logs"),
        ("GET", f"/d/{UID}/a\nb", "read dashboard", f"dashboard:{UID}"),
        ("POST", "/api/dashboards/db", "change", "grafana:dashboards"),
        ("PUT", "/api/folders/abc", "change", "grafana:folders"),
        ("DELETE", "/Evil Path/x", "change", "grafana:unreadable"),
        ("GET", "/api/admin/settings", "read", "grafana:accounts"),
        ("GET", "/api/org/users", "read", "grafana:accounts"),
    ],
)
def test_what_a_request_was_about(method: str, path: str, action: str, target: str) -> None:
    access = server(request(path, method))
    assert access is not None
    assert (access.action, access.target, access.outcome) == (action, target, Outcome.ALLOWED)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (302, Outcome.ALLOWED),
        (404, Outcome.ALLOWED),
        (401, Outcome.REFUSED),
        (403, Outcome.REFUSED),
        (500, Outcome.FAILED),
    ],
)
def test_what_came_of_it(status: int, outcome: Outcome) -> None:
    access = server(request("/login", "POST", status, uname=""))
    assert access is not None
    assert (access.who, access.outcome) == ("-", outcome)


def test_whatever_is_refused_is_told() -> None:
    access = server(request("/api/search", status=403))
    assert access is not None
    assert (access.action, access.target, access.outcome) == ("open", "grafana:other", Outcome.REFUSED)


@pytest.mark.parametrize(
    ("uname", "address", "who", "origin"),
    [
        ("carol@example.org", "2001:db8::7", "carol@example.org", "2001:db8::7"),
        ('a"\n{', "10.0.0.7, <b>", "unreadable", "unreadable"),
        ("viewer", "", "viewer", "-"),
    ],
)
def test_names_and_addresses_count_in_their_form_only(uname: str, address: str, who: str, origin: str) -> None:
    access = server(request("/api/ds/query", "POST", uname=uname, remote_addr=address))
    assert access is not None
    assert (access.who, access.origin) == (who, origin)


def test_a_request_whose_line_was_cut_is_not_passed_over() -> None:
    whole = request("/api/datasources/proxy/uid/metrics/" + "\x01" * 400_000)
    with pytest.raises(UnreadableLineError):
        server(whole[: 1024 * 1024])


@pytest.mark.parametrize(
    "text",
    [
        request("/"),
        request("/public/build/app.js"),
        request("/api/search"),
        request("/api/datasources/uid/metrics"),
        request("/login"),
        request("/api/dashboards/uid/x", logger="tsdb"),
        request("/api/dashboards/uid/x", msg="Failed to authenticate request"),
        "grafana-fake: the database cannot be used",
        "{",
        "",
    ],
)
def test_other_lines_are_no_access(text: str) -> None:
    assert server(text) is None


@pytest.mark.parametrize("field", ["method", "path", "status"])
def test_a_request_without_its_fields_is_noticed(field: str) -> None:
    said = json.loads(request("/login", "POST"))
    del said[field]
    with pytest.raises(UnreadableLineError):
        server(json.dumps(said))
