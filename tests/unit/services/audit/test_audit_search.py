"""Lines of OpenSearch as accesses: fields as OpenSearch 2.19 writes them, and what clients would like to write."""

from __future__ import annotations

import json
import random
import string
from datetime import UTC, datetime
from typing import Any

import pytest

from services.audit.records import UNREADABLE, Access, Line, Outcome, UnreadableLineError
from services.audit.stores import search

AT = datetime(2026, 11, 28, 13, 12, 14, tzinfo=UTC)
HEAD = "2026-11-28T13:12:14,625 INFO audit [search-0] "
DENIED: dict[str, Any] = {
    "audit_cluster_name": "obs",
    "audit_node_name": "search-0",
    "audit_trace_task_id": "OyBZSFsUQ2yC0osRfSgTJg:105",
    "audit_transport_request_type": "SearchRequest",
    "audit_category": "MISSING_PRIVILEGES",
    "audit_request_origin": "REST",
    "audit_request_layer": "TRANSPORT",
    "@timestamp": "2026-11-28T13:12:14.441+00:00",
    "audit_request_remote_address": "10.0.0.7",
    "audit_request_privilege": "indices:data/read/search",
    "audit_request_effective_user": "grafana",
    "audit_trace_indices": ["public-jaeger-span-read"],
}
LOGIN: dict[str, Any] = {
    "audit_category": "FAILED_LOGIN",
    "audit_request_layer": "REST",
    "audit_rest_request_path": "/logs-read/_search",
    "audit_rest_request_method": "GET",
    "audit_rest_request_headers": {"Accept": ["*/*"]},
    "audit_request_remote_address": "10.0.0.7",
    "audit_request_effective_user": "grafana",
}
CHANGED: dict[str, Any] = {
    "audit_category": "GRANTED_PRIVILEGES",
    "audit_request_layer": "REST",
    "audit_rest_request_path": "/_plugins/_security/api/roles/evil",
    "audit_rest_request_method": "PUT",
    "audit_rest_request_params": {"name": "evil"},
    "audit_request_effective_user": "CN=search-admin",
}


def text(fields: dict[str, Any], **changed: Any) -> str:
    return HEAD + json.dumps({**fields, **changed})


def server(line: str) -> Access | None:
    return search(Line(time=AT, workload="search", text=line))


def told(line: str) -> Access:
    access = server(line)
    assert access is not None
    return access


def test_a_privilege_that_is_missing() -> None:
    assert server(text(DENIED)) == Access(
        time=AT,
        who="grafana",
        origin="10.0.0.7",
        action="read",
        target="index:public-jaeger-span-read",
        outcome=Outcome.REFUSED,
        detail={"privilege": "indices:data/read/search"},
    )


def test_a_login_that_is_refused_and_one_without_a_name() -> None:
    assert server(text(LOGIN)) == Access(
        time=AT,
        who="grafana",
        origin="10.0.0.7",
        action="log in",
        target="search:cluster",
        outcome=Outcome.REFUSED,
    )
    assert told(text(LOGIN, audit_request_effective_user="<NONE>")).who == "-"


@pytest.mark.parametrize(
    ("path", "method", "action", "target"),
    [
        ("/_plugins/_security/api/roles/evil", "PUT", "change security", "security:roles/evil"),
        ("/_plugins/_security/api/roles", "PATCH", "change security", "security:roles"),
        ("/_opendistro/_security/api/internalusers/x", "DELETE", "change security", "security:internalusers/x"),
        ("/_plugins/_security/api/internalusers", "GET", "read security", "security:internalusers"),
        ('/_plugins/_security/api/roles/a"\n{', "PUT", "change security", "security:other"),
    ],
)
def test_changes_of_users_and_roles_by_who_shows_the_certificate(
    path: str, method: str, action: str, target: str
) -> None:
    access = told(text(CHANGED, audit_rest_request_path=path, audit_rest_request_method=method))
    assert (access.who, access.origin, access.action, access.target) == ("search-admin", "-", action, target)
    assert access.outcome is Outcome.ALLOWED


@pytest.mark.parametrize(
    ("privilege", "action"),
    [
        ("indices:data/read/search", "read"),
        ("indices:data/write/bulk[s]", "write"),
        ("indices:data/write/delete/byquery", "delete"),
        ("indices:admin/create", "manage"),
        ("cluster:monitor/health", "use"),
        ("No permission\nat all", "use"),
    ],
)
def test_privileges_in_words(privilege: str, action: str) -> None:
    assert told(text(DENIED, audit_request_privilege=privilege)).action == action


@pytest.mark.parametrize(
    ("indices", "target"),
    [
        (["logs-000001"], "index:logs-000001"),
        (["b", "a", "a"], "index:a,b"),
        (["e", "d", "c", "b", "a"], "index:a,b,c and 2 more"),
        (['"\naudit"'], f"index:{UNREADABLE}"),
        ([], "search:cluster"),
        ("logs", "search:cluster"),
        (None, "search:cluster"),
    ],
)
def test_indices_count_in_their_form_only(indices: object, target: str) -> None:
    assert told(text(DENIED, audit_trace_indices=indices)).target == target


def test_a_part_of_a_request_that_was_let_in_is_not_told_again_and_one_that_was_refused_is() -> None:
    part = {"audit_trace_task_parent_id": "OyBZSFsUQ2yC0osRfSgTJg:1"}
    assert server(text(DENIED, audit_category="GRANTED_PRIVILEGES", **part)) is None
    end = {"audit_request_privilege": "indices:data/read/scroll/clear"}
    assert server(text(DENIED, audit_category="GRANTED_PRIVILEGES", **end)) is None
    assert told(text(DENIED, audit_category="GRANTED_PRIVILEGES")).outcome is Outcome.ALLOWED
    assert told(text(DENIED, **part)).outcome is Outcome.REFUSED


@pytest.mark.parametrize("category", ["AUTHENTICATED", "SSL_EXCEPTION", "INDEX_EVENT", "COMPLIANCE_DOC_READ"])
def test_other_categories_are_no_access(category: str) -> None:
    assert server(text(DENIED, audit_category=category)) is None


@pytest.mark.parametrize(
    "said", ["", "{", "[]", "null", "{}", '{"audit_category": "ELSE"}', '{"audit_category": ["x"]}']
)
def test_lines_of_the_audit_log_that_cannot_be_read_are_noticed(said: str) -> None:
    with pytest.raises(UnreadableLineError):
        server(f"{HEAD}{said}")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "2026-11-28T13:12:10,182 WARN o.o.s.a.BackendRegistry [search-0] Authentication finally failed for x from y",
        f"2026-11-28T13:12:10,182 WARN o.o.s.a.BackendRegistry [search-0] failed for x\\n{text(CHANGED)} from y",
        text(CHANGED).removeprefix("2026-11-28T13:12:14,625 "),
    ],
)
def test_other_lines_of_the_server_are_no_access(line: str) -> None:
    assert server(line) is None


_PIECES = (
    *'"\\\n\r\t{}[]:, \u2028\x00\x1b<>é電',
    "grafana",
    "CN=",
    "<NONE>",
    "audit_category",
    "GRANTED_PRIVILEGES",
    '"audit_category":"GRANTED_PRIVILEGES"',
    "/_plugins/_security/api/roles/",
    "indices:data/read/",
    HEAD,
)
_SAFE = frozenset(string.ascii_letters + string.digits + "._@:/*,[]- ")


def anything(dice: random.Random) -> str:
    return "".join(dice.choice(_PIECES) for _ in range(dice.randrange(12)))


@pytest.mark.parametrize("seed", range(300))
def test_whatever_a_client_sends_it_stays_refused_and_in_its_form(seed: int) -> None:
    dice = random.Random(seed)
    fields = {
        "audit_request_effective_user": anything(dice),
        "audit_request_remote_address": anything(dice),
        "audit_trace_indices": [anything(dice) for _ in range(dice.randrange(6))],
        "audit_request_privilege": anything(dice),
        "audit_rest_request_path": anything(dice),
        "audit_rest_request_params": {"audit_category": "GRANTED_PRIVILEGES", anything(dice): anything(dice)},
    }
    access = told(text(dice.choice((DENIED, LOGIN)), **fields))
    assert access.outcome is Outcome.REFUSED
    for word in (access.who, access.origin, access.action, access.target, *access.detail.values()):
        assert _SAFE.issuperset(word), word
        assert len(word) <= 400


@pytest.mark.parametrize("seed", range(100))
def test_no_line_that_begins_otherwise_is_an_access(seed: int) -> None:
    dice = random.Random(seed)
    assert server(f"2026-11-28T13:12:10,182 WARN o.o.s.a.BackendRegistry [search-0] {anything(dice)}{HEAD}{{}}") is None
