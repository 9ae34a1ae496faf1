"""Access, routes, names, sessions' cookies, queries and the log: pure parts."""

from __future__ import annotations

import json

import pytest

from lab.fakes.grafana import exchange, users
from lab.fakes.grafana.exchange import Answer, Need, RefusedError, Request, Route, Router, told
from lab.fakes.grafana.telemetry import Log, Metrics
from lab.fakes.grafana.users import Access


def access(**more: object) -> Access:
    """Somebody who may view folder a (which holds b, which holds c) and edit b."""
    values: dict[str, object] = {
        "admin": False,
        "editor": False,
        "folders": {"a": 1, "b": 2},
        "dashboards": {"x": 4},
        "parents": {"a": None, "b": "a", "c": "b", "other": None},
    }
    return Access(**(values | more))  # type: ignore[arg-type]


def test_the_highest_level_on_the_way_to_the_root_counts() -> None:
    mine = access()

    assert [mine.folder(uid) for uid in ("a", "b", "c", "other", "not-there")] == [1, 2, 2, 0, 0]
    assert mine.dashboard("x", "other") == 4
    assert mine.dashboard("y", "c") == 2
    assert mine.dashboard("y", None) == 0
    assert mine.below("a") == {"a", "b", "c"}
    assert access(admin=True).dashboard("y", "other") == 4


def test_making_something_needs_edit_in_the_folder_and_the_role_of_editors_at_the_root() -> None:
    assert access().inside("c")
    assert not access().inside("a")
    assert not access().inside(None)
    assert access(editor=True).inside(None)


def test_folders_in_a_circle_end() -> None:
    assert access(parents={"a": "b", "b": "a"}).above("a") == ("b", "a")


def test_exact_paths_come_before_places() -> None:
    def answering(name: str) -> Route:
        return Route(method="GET", path=name, need=Need.NOBODY, handle=lambda request: told(name))

    router = Router([answering(path) for path in ("/api/x/{id}", "/api/x/search", "/p/{uid}/{rest*}", "/")])

    def route_found(path: str, method: str = "GET") -> tuple[str, dict[str, str]] | None:
        match = router.find(method, path)
        return (match[0].handler, match[1]) if match else None

    assert route_found("/api/x/search") == ("/api/x/search", {})
    assert route_found("/api/x/7/") == ("/api/x/:id", {"id": "7"})
    assert route_found("/p/u/a/b%20c") == ("/p/:uid/*", {"uid": "u", "rest": "a/b%20c"})
    assert route_found("/api/x/7", "HEAD") == ("/api/x/:id", {"id": "7"})
    assert route_found("/api/x/7", "POST") is None
    assert route_found("/api/x/7/8") is None
    assert route_found("") is None


@pytest.mark.parametrize(
    ("title", "slug"), [("Kafka / Brokers (all)", "kafka-brokers-all"), ("Café", "cafe"), ("容量", "-")]
)
def test_titles_become_parts_of_addresses(title: str, slug: str) -> None:
    assert exchange.slug(title) == slug


@pytest.mark.parametrize("value", ["a b", "ä", "a/b", "a" * 41, 7, ["x"]])
def test_identifiers_that_cannot_be_are_refused(value: object) -> None:
    with pytest.raises(RefusedError) as caught:
        exchange.chosen_uid(value)
    assert caught.value.status == 400


def test_a_new_identifier_is_a_lawful_one_and_never_the_same() -> None:
    uids = {exchange.chosen_uid(None) for _ in range(50)}

    assert len(uids) == 50
    assert all(exchange.chosen_uid(uid) == uid for uid in uids)


def test_passwords_of_any_length_are_told_apart() -> None:
    stored = users.hashed("x" * 100 + "a")

    assert users.matches("x" * 100 + "a", stored)
    assert not users.matches("x" * 100 + "b", stored)
    assert not users.matches("anything", "")


def test_a_line_of_the_log_is_one_json_object_whatever_is_in_it() -> None:
    lines: list[str] = []
    Log(lines.append).warn("authn.service", "Login refused", uname='a"\n{"level": "info"}')

    (line,) = lines
    assert line.count("\n") == 1
    entry = json.loads(line)
    assert (entry["logger"], entry["level"], entry["msg"]) == ("authn.service", "warn", "Login refused")
    assert entry["uname"] == 'a"\n{"level": "info"}'
    assert entry["t"].endswith("Z")


def test_requests_are_counted_by_route_and_status() -> None:
    metrics = Metrics()
    metrics.begin()
    metrics.end("/api/dashboards/uid/:uid", "GET", 404, 0.2)
    metrics.begin()
    metrics.end("/api/datasources/proxy/uid/:uid/*", "GET", 400, 0.2)
    text = metrics.text().decode()

    assert (
        'grafana_http_request_duration_seconds_count{handler="/api/dashboards/uid/:uid",method="GET",'
        'slo_group="none",status_code="404",status_source="server"} 1.0' in text
    )
    assert 'status_code="400",status_source="downstream"} 1.0' in text
    assert 'grafana_api_response_status_total{code="404"} 1.0' in text
    assert 'grafana_proxy_response_status_total{code="unknown"} 1.0' in text
    assert "grafana_http_request_in_flight 0.0" in text


def test_what_the_process_itself_uses_is_told_as_grafana_tells_it() -> None:
    text = Metrics().text().decode()
    for name in ("cpu_seconds_total", "resident_memory_bytes", "start_time_seconds", "open_fds", "max_fds"):
        assert f"\nprocess_{name} " in text, name


def test_a_request_of_nobody_has_no_person() -> None:
    with pytest.raises(RefusedError) as caught:
        _ = Request(method="GET", path="/").person
    assert caught.value.status == 401
    assert Answer(headers=(("a", "b"),)).plus(("c", "d")).headers == (("a", "b"), ("c", "d"))
