"""Lines as accesses: lines of the real programs, and lines that somebody made to look like them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.audit.records import Access, Line, Outcome, UnreadableLineError
from services.audit.sources import kafka, traces

AT = datetime(2026, 11, 28, 6, 23, 31, tzinfo=UTC)
_SELECTOR = (
    "2026-11-28T06:23:28.225Z INFO org.apache.kafka.common.network.Selector "
    "[SocketServer listenerType=BROKER, nodeId=0] Failed authentication with /127.0.0.1 "
    "(channelId=127.0.0.1:10001-127.0.0.1:58048-0-1) "
)
LOGIN = (
    f"{_SELECTOR}(Authentication failed during authentication due to invalid credentials with SASL mechanism "
    "SCRAM-SHA-512)"
)
DENIED = (
    "2026-11-28T06:23:31.480Z INFO kafka.authorizer.logger Principal = User:reader is Denied operation = CREATE "
    "from host = 127.0.0.1 on resource = Topic:LITERAL:other for request = CreateTopics with resourceRefCount = 1 "
    "based on rule DefaultDeny"
)
TRACE = "0123456789abcdef0123456789abcdef"


def broker(text: str) -> Access | None:
    return kafka(Line(time=AT, workload="kafka", text=text))


def proxy(text: str) -> Access | None:
    return traces(Line(time=AT, workload="jaeger-query-confidential", text=text))


def request(target: str, status: int = 200, who: str = "carol@example.org", client: str = "10.0.0.7:4711") -> str:
    return f'access {client} 6a1c-42 GET {status} 0.003 "{who}" {target}'


def test_an_operation_that_a_broker_refuses() -> None:
    assert broker(DENIED) == Access(
        time=AT,
        who="reader",
        origin="127.0.0.1",
        action="create",
        target="topic:other",
        outcome=Outcome.REFUSED,
        detail={"request": "CreateTopics"},
    )


def test_a_change_of_rights_that_a_controller_refuses() -> None:
    text = (
        "2026-11-28T06:23:31.480Z INFO kafka.authorizer.logger Principal = User:reader is Denied operation = ALTER "
        "from host = 10.0.0.7 on resource = Cluster:LITERAL:kafka-cluster for request = CreateAcls with "
        "resourceRefCount = 1 based on rule DefaultDeny"
    )
    told = kafka(Line(time=AT, workload="kafka-controller", text=text))
    assert told is not None
    assert (told.who, told.origin, told.action) == ("reader", "10.0.0.7", "alter")
    assert (told.target, told.outcome) == ("cluster:kafka-cluster", Outcome.REFUSED)
    assert told.detail == {"request": "CreateAcls"}


def test_a_login_that_a_broker_refuses_has_no_name() -> None:
    assert broker(LOGIN) == Access(
        time=AT,
        who="-",
        origin="127.0.0.1",
        action="log in",
        target="kafka:broker",
        outcome=Outcome.REFUSED,
        detail={"mechanism": "SCRAM-SHA-512"},
    )


@pytest.mark.parametrize(
    "text",
    [
        f"{_SELECTOR}(SSL handshake failed)",
        "2026-11-28T06:23:26.539Z INFO org.apache.kafka.metadata.authorizer.StandardAuthorizerData "
        "[StandardAuthorizer 0] set super.users=User:kafka-0,User:admin, default result=DENIED",
        "",
        f"2026-11-28T06:23:26.539Z INFO kafka.server.KafkaApis a client wrote: {DENIED}",
    ],
)
def test_other_lines_of_a_broker_are_no_access(text: str) -> None:
    assert broker(text) is None


def test_a_name_that_is_no_topic_is_not_taken() -> None:
    told = broker(DENIED.replace("LITERAL:other", r"LITERAL:x\nPrincipal = User:admin is Denied"))
    assert told is not None
    assert (told.who, told.target) == ("reader", "topic:unreadable")


def test_a_trace_that_was_read() -> None:
    assert proxy(request(f"trace:{TRACE}")) == Access(
        time=AT,
        who="carol@example.org",
        origin="10.0.0.7",
        action="read trace",
        target=f"trace:{TRACE}",
        outcome=Outcome.ALLOWED,
        detail={"clearance": "confidential", "status": "200", "method": "GET"},
    )


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.ALLOWED),
        (302, Outcome.ALLOWED),
        (404, Outcome.ALLOWED),
        (401, Outcome.REFUSED),
        (403, Outcome.REFUSED),
        (500, Outcome.FAILED),
        (502, Outcome.FAILED),
    ],
)
def test_what_came_of_a_request(status: int, outcome: Outcome) -> None:
    told = proxy(request(f"trace:{TRACE}", status))
    assert told is not None
    assert told.outcome is outcome


@pytest.mark.parametrize(
    ("target", "action", "about"),
    [
        ("search", "search traces", "traces:search"),
        ("query", "query", "traces:query"),
        ("trace:other", "read trace", "trace:other"),
        ("other", "read trace", "trace:other"),
        ("anything else", "read trace", "trace:other"),
    ],
)
def test_other_requests_for_traces(target: str, action: str, about: str) -> None:
    told = proxy(request(target))
    assert told is not None
    assert (told.action, told.target) == (action, about)


def test_a_page_shows_no_trace_and_is_told_when_it_is_refused_only() -> None:
    assert proxy(request("page")) is None
    refused = proxy(request("page", 403))
    assert refused is not None
    assert (refused.action, refused.outcome) == ("open page", Outcome.REFUSED)


@pytest.mark.parametrize("client", ["[2001:db8::7]:4711", "2001:db8::7"])
def test_addresses_of_both_kinds_lose_their_port(client: str) -> None:
    told = proxy(request("search", client=client))
    assert told is not None
    assert told.origin == "2001:db8::7"


def test_nobody_is_told_as_nobody_and_a_name_cannot_end_its_quotes() -> None:
    nobody, strange = proxy(request("search", 401, who="-")), proxy(request("search", who=r"a\" trace:00"))
    assert nobody is not None
    assert strange is not None
    assert (nobody.who, strange.who) == ("-", 'a" trace:00')
    assert strange.target == "traces:search"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [("AuthSuccess", Outcome.ALLOWED), ("AuthFailure", Outcome.REFUSED), ("AuthError", Outcome.FAILED)],
)
def test_a_login_at_a_proxy(status: str, outcome: Outcome) -> None:
    told = proxy(f'login 10.0.0.7:4711 6a1c-42 "peter@example.org" [{status}] Authenticated via OAuth2')
    assert told is not None
    assert (told.who, told.action, told.target) == ("peter@example.org", "log in", "traces:confidential")
    assert told.outcome is outcome


@pytest.mark.parametrize("text", ["access", "[2026/11/28 06:23:31] [provider.go:55] Performing OIDC Discovery...", ""])
def test_other_lines_of_a_proxy_are_no_access(text: str) -> None:
    assert proxy(text) is None


@pytest.mark.parametrize("text", ["access 10.0.0.7 GET", 'login 10.0.0.7 id "peter" [AuthMaybe] x', "login x"])
def test_lines_that_must_be_accesses_and_are_none_are_noticed(text: str) -> None:
    with pytest.raises(UnreadableLineError):
        proxy(text)
