"""Data sources: nobody sees a secret, viewers may ask and not change, certificates are verified."""

from __future__ import annotations

import time

import pytest
import requests

from components.dashboards.model import Query, series, stat
from ops.core.grafana import Grafana
from ops.dashboards.panel_queries import GrafanaQueryClient, ask, span
from tests.config.grafana_fake.directory_server import password_of
from tests.config.grafana_fake.prometheus_server import PASSWORD
from tests.config.grafana_fake.replica import METRICS, Client, Replica

PROXY = "/api/datasources/proxy/uid"


@pytest.fixture
def viewer(first: Replica) -> Client:
    return first.person("viewer")


def test_viewers_ask_prometheus_through_the_proxy(viewer: Client) -> None:
    response = viewer.get(f"{PROXY}/metrics/api/v1/query", params={"query": 'vector(21) * 2 # "%/'})
    posted = viewer.send("POST", f"{PROXY}/metrics/api/v1/query", data={"query": "vector(42)"})

    for answer in (response, posted):
        assert answer.status_code == 200, answer.text
        assert answer.json()["data"]["result"][0]["value"][1] == "42"
    wrong = viewer.get(f"{PROXY}/metrics/api/v1/query?query=((")
    assert (wrong.status_code, wrong.json()["errorType"]) == (400, "bad_data")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "api/v1/admin/tsdb/delete_series", 403),
        ("POST", "-/quit", 403),
        ("PUT", "api/v1/query", 403),
        ("DELETE", "api/v1/query", 403),
        ("GET", "../metrics/api/v1/query", 400),
        ("GET", "api/%2e%2e/%2e%2e/secret", 400),
    ],
)
def test_nobody_changes_or_leaves_a_data_source(viewer: Client, method: str, path: str, status: int) -> None:
    request = viewer.session.prepare_request(requests.Request(method, viewer.replica.url))
    request.url = f"{viewer.replica.url}{PROXY}/metrics/{path}"

    answer = viewer.session.send(request, verify=str(viewer.replica.ca_file), timeout=60)
    assert answer.status_code == status, answer.text


def test_a_source_that_is_away_or_not_who_it_says_it_is_is_a_bad_gateway(first: Replica, viewer: Client) -> None:
    for uid, reason in (("away", "refused"), ("false", "certificate verify failed")):
        answer = viewer.get(f"{PROXY}/{uid}/api/v1/query?query=1")
        assert (answer.status_code, answer.json()) == (502, {"message": "Bad Gateway"})
        assert reason in first.lines(logger="data-proxy-log", datasource=uid)[-1]["reason"]
        health = viewer.get(f"/api/datasources/uid/{uid}/health")
        assert (health.status_code, health.json()["status"]) == (400, "ERROR")
    assert viewer.get(f"{PROXY}/not-there/x").json() == {"message": "Data source not found"}
    assert viewer.get("/api/datasources/uid/metrics/health").json()["status"] == "OK"


def test_without_a_session_no_question_is_passed_on(first: Replica) -> None:
    assert first.person().get(f"{PROXY}/metrics/api/v1/query?query=1").status_code == 401


def test_the_list_of_sources_holds_no_secret(first: Replica) -> None:
    answer = first.administrator().get("/api/datasources")
    metrics = next(source for source in answer.json() if source["uid"] == "metrics")

    assert (metrics["type"], metrics["readOnly"], metrics["isDefault"]) == ("prometheus", True, True)
    assert metrics["secureJsonFields"] == {"basicAuthPassword": True, "tlsCACert": True}
    assert PASSWORD not in answer.text
    assert "BEGIN CERTIFICATE" not in answer.text
    seen = first.person("viewer").get("/api/frontend/settings")
    assert seen.json()["datasources"]["Metrics"]["uid"] == "metrics"
    assert "basicAuthUser" not in seen.text


def test_data_frames_answer_grafanas_own_queries(viewer: Client) -> None:
    query = {"refId": "A", "datasource": {"uid": "metrics"}, "expr": "vector(7)", "range": True, "interval": "1m"}
    now = int(time.time() * 1000)
    request = {"queries": [query], "from": str(now - 3_600_000), "to": str(now)}
    answer = viewer.post("/api/ds/query", request)

    assert answer.status_code == 200, answer.text
    times, values = answer.json()["results"]["A"]["frames"][0]["data"]["values"]
    assert len(times) == 61
    assert set(values) == {7}
    wrong = viewer.post("/api/ds/query", request | {"queries": [query | {"expr": "(("}, query | {"refId": "B"}]})
    assert wrong.status_code == 400
    assert "parse error" in wrong.json()["results"]["A"]["error"]
    assert wrong.json()["results"]["B"]["frames"]
    # As the page sends it: with a variable that the server fills in, and with values that JSON has no number for.
    panel = {**query, "expr": "rate(vector(1)[$__rate_interval:15s]) / 0", "maxDataPoints": 60, "intervalMs": 60_000}
    odd = viewer.post("/api/ds/query", request | {"queries": [panel]}).json()["results"]["A"]["frames"][0]
    assert odd["data"]["entities"][1]["NaN"] == list(range(len(odd["data"]["values"][1])))
    many = viewer.post("/api/ds/query", request | {"queries": [query | {"refId": str(index)} for index in range(51)]})
    assert (many.status_code, many.json()["message"]) == (400, "bad request data: at most 50 queries")


def test_ops_reads_panels_through_grafana_as_whoever_is_logged_in(first: Replica) -> None:
    panel = stat("A", "A.", "", Query(expr="vector(7)"), Query(expr="absent(vector(1))"), Query(expr="vector("))
    lines = series("B", "B.", "", Query(expr='label_replace(vector(1), "a", "b", "", "")'))
    with Grafana.sign_in(str(first.ca_file), first.url, ("viewer", password_of("viewer"))) as visitor:
        number, line = ask(GrafanaQueryClient(grafana=visitor), [panel, lines], span("15m"))

    seven, none, wrong = number.answers
    assert [value for _, value in seven.series[0].points] == [7.0]
    assert (none.series, none.problem) == ((), "")
    assert "parse error" in wrong.problem
    (queried,) = line.answers[0].series
    assert (queried.labels, len(queried.points)) == ({"a": "b"}, 61)


def test_panels_ask_with_a_session_only_and_learn_of_a_source_that_is_away(first: Replica, viewer: Client) -> None:
    query = {"refId": "A", "datasource": {"uid": "away"}, "expr": "up"}
    request = {"queries": [query], "from": "now-1h", "to": "now"}
    assert first.person().post("/api/ds/query", request).status_code == 401

    answer = viewer.post("/api/ds/query", request)
    assert answer.status_code == 400
    assert answer.json()["results"]["A"] == {"status": 502, "error": "Bad Gateway", "errorSource": "downstream"}
    gone = viewer.post("/api/ds/query", request | {"queries": [query | {"datasource": {"uid": "gone"}}]})
    assert (gone.status_code, gone.json()["message"]) == (404, "Data source not found")


def test_metrics_have_grafanas_names_and_a_password(first: Replica, viewer: Client) -> None:
    viewer.get(f"{PROXY}/metrics/api/v1/query?query=1")
    scraper = first.person()
    assert scraper.get("/metrics").status_code == 401
    scraper.session.auth = METRICS
    text = scraper.get("/metrics").text

    for sample in (
        'grafana_build_info{branch="fake",edition="fake",goversion="none",revision="fake",version="12.3.1"} 1.0',
        "grafana_database_conn_max_open 10.0",
        'grafana_authn_authn_successful_login_total{client="auth.client.form"}',
        'grafana_authn_authn_failed_login_total{client="auth.client.basic"}',
        'grafana_api_response_status_total{code="500"}',
        "grafana_database_conn_wait_count_total",
        "grafana_database_conn_wait_duration_seconds ",
        "grafana_stat_totals_dashboard ",
        "grafana_stat_active_users ",
        'grafana_http_request_duration_seconds_count{handler="/api/datasources/proxy/uid/:uid/*",method="GET"',
        'grafana_datasource_request_total{code="200",datasource="Metrics",datasource_type="prometheus",method="get"',
        'grafana_datasource_request_duration_seconds_bucket{code="200",datasource="Metrics"',
    ):
        assert sample in text, sample


def test_every_answer_carries_the_headers_that_keep_browsers_safe(first: Replica) -> None:
    headers = first.person().get("/login").headers

    assert headers["Strict-Transport-Security"] == "max-age=86400"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "deny"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    redirected = first.person().get("/d/any")
    assert (redirected.status_code, redirected.headers["Location"]) == (302, "/login")
