"""What real nodes write into their audit log, and what the platform's audit log makes of it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import requests

from components.search.access import ERASER, PROBE
from components.search.config import Engine
from services.audit.records import Access, Line, Outcome
from services.audit.stores import search
from tests.config.index_manager_process import IndexManagerFiles
from tests.config.search.documents import bulk
from tests.config.search_process import SearchProcesses
from tests.config.servers import eventually

HEAD = "2026-11-28T13:12:14,625 INFO audit [search-0] "
_LIMIT_S = 60.0


class Watch:
    """What the nodes tell of what is done meanwhile."""

    def __init__(self, cluster: SearchProcesses) -> None:
        self._cluster = cluster
        logs = [node.folder / "server.log" for node in cluster.nodes]
        self._logs = {log: log.stat().st_size for log in logs}

    @property
    def lines(self) -> list[str]:
        """What they wrote meanwhile."""
        return [line for log, start in self._logs.items() for line in log.read_bytes()[start:].decode().splitlines()]

    def accesses(self) -> list[Access]:
        """Accesses that those tell of."""
        now = datetime.now(UTC)
        told = [search(Line(time=now, workload="search", text=line)) for line in self.lines]
        return [access for access in told if access is not None]

    def until(self, holds: Callable[[Access], bool], what: str) -> Access:
        """The first access of which this is so."""
        fitting: list[Access] = []

        def there() -> bool:
            fitting[:] = [access for access in self.accesses() if holds(access)]
            return bool(fitting)

        eventually(there, _LIMIT_S, what)
        return fitting[0]

    def all(self) -> list[Access]:
        """Everything up to now: a refused request, which comes last, is told of."""
        last = f"audit-last-{secrets.token_hex(4)}"
        assert self._cluster.ask("GET", f"/{last}/_search", "grafana").status_code == 403
        self.until(lambda access: access.target == f"index:{last}", "the last request")
        return [access for access in self.accesses() if access.target != f"index:{last}"]


@pytest.fixture
def watch(cluster: SearchProcesses, files: IndexManagerFiles) -> Watch:
    return Watch(cluster)


@pytest.mark.parametrize("name", ["grafana", "nobody", "kibanaserver"])
def test_a_refused_login_is_told_with_its_name(cluster: SearchProcesses, watch: Watch, name: str) -> None:
    path = "/logs-read/_search?audit_category=GRANTED_PRIVILEGES&audit_request_effective_user=grafana"
    assert cluster.ask("GET", path, name, password="wrong").status_code == 401
    told = watch.until(lambda access: access.action == "log in", "the login")
    assert (told.who, told.origin, told.outcome) == (name, "127.0.0.1", Outcome.REFUSED)


def test_a_request_without_a_login_is_told(cluster: SearchProcesses, watch: Watch) -> None:
    assert cluster.ask("GET", "/logs-read/_search", None).status_code == 401
    assert watch.until(lambda access: access.action == "log in", "the request").who == "-"


def test_a_name_with_line_breaks_forges_no_line(cluster: SearchProcesses, watch: Watch) -> None:
    forged = HEAD + '{"audit_category" "GRANTED_PRIVILEGES"}'
    name = f"x\n{forged.replace(':', '.')}\r\nx"
    assert cluster.ask("GET", "/logs-read/_search", name, password="wrong").status_code == 401
    assert cluster.ask("GET", f"/%0a{HEAD.replace(' ', '%20')}%7b%7d/_search", "grafana").status_code in (400, 403)
    told = watch.all()
    assert {access.outcome for access in told} == {Outcome.REFUSED}
    assert {access.who for access in told} <= {"unreadable", "grafana"}
    assert not [line for line in watch.lines if not line[:4].isdigit()]


def test_a_stack_trace_is_one_line(cluster: SearchProcesses, watch: Watch) -> None:
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(f"http://localhost:{cluster.nodes[0].http_port}/", timeout=60)
    watch.all()
    assert [line for line in watch.lines if "NotSslRecordException" in line and "\\n\tat " in line]
    assert not [line for line in watch.lines if not line[:4].isdigit()]


@pytest.mark.parametrize(
    ("user", "method", "path", "body", "action", "target"),
    [
        ("grafana", "GET", "/public-jaeger-span-read/_search", None, "read", "index:public-jaeger-span-read"),
        ("grafana", "POST", "/logs-write/_doc", {"body": "x"}, "write", "index:logs-write"),
        ("log-indexer", "DELETE", "/logs-000001", None, "manage", "index:logs-000001"),
        ("grafana", "GET", "/.opendistro_security/_search", None, "read", "index:.opendistro_security"),
        ("grafana", "PUT", "/_plugins/_security/api/roles/x", {}, "change security", "security:roles/x"),
    ],
)
def test_what_a_service_is_refused_is_told(
    cluster: SearchProcesses, watch: Watch, user: str, method: str, path: str, body: object, action: str, target: str
) -> None:
    assert cluster.ask(method, path, user, body).status_code == 403
    told = watch.until(lambda access: access.outcome is Outcome.REFUSED, "the refusal")
    assert (told.who, told.action, told.target) == (user, action, target)


def test_what_services_are_let_do_is_not_told_and_what_people_are_let_do_is(
    cluster: SearchProcesses, watch: Watch
) -> None:
    assert not bulk(cluster, "log-indexer", {"create": {"_index": "logs-write"}}, {"body": "x"})["errors"]
    assert cluster.ask("GET", "/logs-read/_search", "grafana").status_code == 200
    assert cluster.ask("GET", "/_cluster/health", PROBE).status_code == 200
    assert cluster.ask("GET", "/logs-read/_search", "log-reader").status_code == 200
    body = {"query": {"term": {"body": "nobody writes this"}}}
    assert cluster.ask("POST", "/logs-000001/_delete_by_query", ERASER, body).status_code == 200
    told = {(access.who, access.action, access.target, access.outcome) for access in watch.all()}
    assert told == {
        ("log-reader", "read", "index:logs-read", Outcome.ALLOWED),
        (ERASER, "delete", "index:logs-000001", Outcome.ALLOWED),
    }


def test_changes_of_users_and_roles_are_told(cluster: SearchProcesses, watch: Watch) -> None:
    path = "/_plugins/_security/api/roles/audit-try"
    assert cluster.as_admin("PUT", path, {"cluster_permissions": []}).status_code == 201
    assert cluster.as_admin("DELETE", path).status_code == 200
    told = [access for access in watch.all() if access.action == "change security"]
    assert {(access.who, access.target, access.outcome) for access in told} == {
        ("search-admin", "security:roles/audit-try", Outcome.ALLOWED)
    }
    assert len(told) == 2


def test_an_index_that_is_not_there_tells_the_same(cluster: SearchProcesses, watch: Watch) -> None:
    """`ops drill audit` tries this, where the cluster says that it is OpenSearch."""
    assert f'"{Engine.OPENSEARCH}"' in cluster.ask("GET", "", "log-reader").text
    assert cluster.ask("GET", "/logs-0audit-try-1/_search", "log-reader").status_code == 404
    assert cluster.ask("GET", "/audit-try-1/_search", "log-reader").status_code == 403
    told = {(access.who, access.target, access.outcome) for access in watch.all()}
    assert told == {
        ("log-reader", "search:cluster", Outcome.ALLOWED),
        ("log-reader", "index:logs-0audit-try-1", Outcome.ALLOWED),
        ("log-reader", "index:audit-try-1", Outcome.REFUSED),
    }
