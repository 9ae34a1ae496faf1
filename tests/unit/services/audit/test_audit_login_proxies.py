"""Lines of the login proxies in front of metrics and alerts as accesses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from services.audit import Source
from services.audit.login_proxies import alerts, metrics
from services.audit.records import Access, Line, Outcome, UnreadableLineError
from services.audit.sources import PARSERS

AT = datetime(2026, 12, 3, 8, 0, tzinfo=UTC)
SILENCE = "0F1E2D3C-4b5a-6978-8796-a5b4c3d2e1f0"
Read = Callable[[Line], Access | None]


def told(read: Read, target: str, method: str = "GET", status: int = 200, who: str = "carol@example.org") -> Access:
    text = f'access 10.0.0.7:4711 6a1c-42 {method} {status} 0.003 "{who}" {target}'
    access = read(Line(time=AT, workload="login", text=text))
    assert access is not None
    return access


def test_a_query_of_metrics() -> None:
    assert told(metrics, "query", "POST") == Access(
        time=AT,
        who="carol@example.org",
        origin="10.0.0.7",
        action="query",
        target="metrics:query",
        outcome=Outcome.ALLOWED,
        detail={"status": "200", "method": "POST"},
    )


@pytest.mark.parametrize(
    ("target", "action", "about"),
    [
        ("metadata", "read metadata", "metrics:metadata"),
        ("other", "read", "metrics:other"),
        ("silences", "read", "metrics:other"),
        ("anything else", "read", "metrics:other"),
    ],
)
def test_other_requests_for_metrics(target: str, action: str, about: str) -> None:
    access = told(metrics, target)
    assert (access.action, access.target) == (action, about)


@pytest.mark.parametrize(
    ("target", "method", "action", "about"),
    [
        ("silences", "POST", "create silence", "alertmanager:silences"),
        ("silences", "GET", "read silences", "alertmanager:silences"),
        ("silences", "PUT", "change silences", "alertmanager:silences"),
        (f"silence:{SILENCE}", "DELETE", "expire silence", f"silence:{SILENCE.lower()}"),
        (f"silence:{SILENCE}", "GET", "read silence", f"silence:{SILENCE.lower()}"),
        ("silence:other", "DELETE", "change other", "alertmanager:other"),
        ("alerts", "GET", "read alerts", "alertmanager:alerts"),
        ("alerts", "POST", "change alerts", "alertmanager:alerts"),
        ("status", "GET", "read status", "alertmanager:status"),
        ("other", "GET", "read other", "alertmanager:other"),
        ("other", "POST", "change other", "alertmanager:other"),
        ("query", "GET", "read other", "alertmanager:other"),
    ],
)
def test_what_somebody_did_to_alerts(target: str, method: str, action: str, about: str) -> None:
    access = told(alerts, target, method)
    assert (access.action, access.target) == (action, about)


@pytest.mark.parametrize("read", [metrics, alerts])
@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, Outcome.ALLOWED), (404, Outcome.ALLOWED), (401, Outcome.REFUSED), (403, Outcome.REFUSED), (502, "failed")],
)
def test_what_came_of_a_request(read: Read, status: int, outcome: Outcome) -> None:
    assert told(read, "other", status=status).outcome is Outcome(outcome)


@pytest.mark.parametrize(("read", "target"), [(metrics, "metrics:page"), (alerts, "alertmanager:page")])
def test_a_page_is_told_of_where_it_is_refused_only(read: Read, target: str) -> None:
    text = 'access 10.0.0.7:4711 6a1c-42 GET 200 0.003 "carol@example.org" page'
    assert read(Line(time=AT, workload="login", text=text)) is None
    access = told(read, "page", status=403)
    assert (access.action, access.target, access.outcome) == ("open page", target, Outcome.REFUSED)


@pytest.mark.parametrize(("read", "target"), [(metrics, "metrics:login"), (alerts, "alertmanager:login")])
@pytest.mark.parametrize(
    ("status", "outcome"), [("AuthSuccess", "allowed"), ("AuthFailure", "refused"), ("AuthError", "failed")]
)
def test_a_login(read: Read, target: str, status: str, outcome: str) -> None:
    text = f'login [::1]:4711 6a1c-42 "carol@example.org" [{status}] "Authenticated via OAuth2"'
    access = read(Line(time=AT, workload="login", text=text))
    assert access == Access(
        time=AT,
        who="carol@example.org",
        origin="::1",
        action="log in",
        target=target,
        outcome=Outcome(outcome),
        detail={},
    )


@pytest.mark.parametrize("read", [metrics, alerts])
@pytest.mark.parametrize("text", ["access x", 'login 10.0.0.7:1 id "carol" [AuthMaybe] "x"', "login "])
def test_what_begins_like_an_access_and_is_none_is_an_error(read: Read, text: str) -> None:
    with pytest.raises(UnreadableLineError):
        read(Line(time=AT, workload="login", text=text))


@pytest.mark.parametrize("read", [metrics, alerts])
def test_other_lines_are_no_access(read: Read) -> None:
    text = '[2026/12/03 08:00:00] [provider.go:55] "access 1.2.3.4:5 - GET 200 0.1 \\"admin\\" query"'
    assert read(Line(time=AT, workload="login", text=text)) is None


def test_both_sources_are_read() -> None:
    assert (PARSERS[Source.METRICS], PARSERS[Source.ALERTS]) == (metrics, alerts)
