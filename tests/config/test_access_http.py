"""Tries with logins at a real Prometheus and at a real PostgreSQL: refused outside of the matrix, let in inside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from components.postgres import component, config
from components.postgres.config import access_data
from ops.core.errors import OpsError
from ops.drills import access_tries
from ops.drills.access_tries import Answer, Try
from ops.permissions.matrix import database_roles
from ops.permissions.model import DatabaseRole, HttpServer, HttpUser, Matrix, Passwords
from policy.model import Resource
from tests.config.postgres_process import DATABASES, MAX_CONNECTIONS, Postgres, password_of, postgres, settings_of
from tests.config.prometheus_process import USERS, PrometheusProcess, job, prometheus_process, write_files
from tests.config.servers import free_port

FOREIGN = {"scrape-gateway": "scrape-gateway-password", "device": "device-password"}


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusProcess]:
    folder = tmp_path_factory.mktemp("prometheus")
    write_files(folder, job("gateway"))
    with prometheus_process(folder) as process:
        yield process


def server(workload: str, users: dict[str, str]) -> HttpServer:
    return HttpServer(
        workload=workload,
        port=9090,
        path="/",
        users=tuple(HttpUser(name=name, verifier=f"plain:{password}") for name, password in users.items()),
    )


def wrong(tries: list[Try]) -> list[str]:
    return [
        str(attempt)
        for attempt in tries
        if attempt.answer is not (Answer.LET_IN if attempt.allowed else Answer.REFUSED)
    ]


def test_only_its_own_users_are_let_in_by_a_server(prometheus: PrometheusProcess) -> None:
    own = server("prometheus-primary", USERS)
    # The same user name with another password elsewhere is another login.
    other = server("gateway", {**FOREIGN, "reader": "password elsewhere"})
    known, unknown = access_tries.logins([own, other], Passwords({}))
    assert unknown == []
    tries = list(access_tries.http_tries(own, prometheus.url, str(prometheus.folder / "ca.crt"), known))
    assert wrong(tries) == []
    assert sum(attempt.allowed for attempt in tries) == len(USERS)
    # Nobody, each foreign login, and a wrong password for each own user.
    assert sum(not attempt.allowed for attempt in tries) == 1 + len(FOREIGN) + 1 + len(USERS)


def test_a_server_that_lets_a_foreign_login_in_is_told(prometheus: PrometheusProcess) -> None:
    claimed = server("prometheus-primary", {"reader": USERS["reader"]})
    other = server("elsewhere", {"writer": USERS["writer"]})
    known, _ = access_tries.logins([claimed, other], Passwords({}))
    tries = access_tries.http_tries(claimed, prometheus.url, str(prometheus.folder / "ca.crt"), known)
    through = [attempt.login for attempt in tries if not attempt.allowed and attempt.answer is Answer.LET_IN]
    assert through == ["writer of elsewhere:9090/"]


def test_a_server_that_does_not_answer_is_no_refusal(prometheus: PrometheusProcess) -> None:
    own = server("prometheus-primary", {"reader": USERS["reader"]})
    known, _ = access_tries.logins([own], Passwords({}))
    nowhere = f"https://localhost:{free_port()}"
    tries = list(access_tries.http_tries(own, nowhere, str(prometheus.folder / "ca.crt"), known))
    assert {attempt.answer for attempt in tries} == {Answer.UNCLEAR}
    # Neither is one whose certificate nobody knows.
    untrusted = list(access_tries.http_tries(own, prometheus.url, "/etc/ssl/certs/ca-certificates.crt", known))
    assert {attempt.answer for attempt in untrusted} == {Answer.UNCLEAR}


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with postgres(0) as servers:
        yield servers


def roles(servers: Postgres) -> dict[str, DatabaseRole]:
    """Roles, from the very files that the server reads."""
    users = [config.REPLICATION, config.METRICS, *(base.owner for base in DATABASES)]
    access = config.rendered_access(
        access_data(DATABASES, {user: password_of(user) for user in users}, MAX_CONNECTIONS)
    )
    metadata = {"name": "postgres", "namespace": "obs"}
    known_roles = database_roles(
        [
            Resource(
                "kubernetes:core/v1:ConfigMap",
                "postgres",
                {
                    "metadata": metadata,
                    "data": component.files(settings_of([server.member for server in servers.servers])),
                },
            ),
            Resource(
                "kubernetes:core/v1:Secret", "access", {"metadata": metadata, "stringData": {"access.json": access}}
            ),
        ]
    )
    return {role.name: role for role in known_roles}


def matrix(known_roles: dict[str, DatabaseRole]) -> Matrix:
    names = ("kafka", "kafka_users", "kafka_super_users", "accounts", "search", "http", "edges", "outgoing", "storage")
    nothing: dict[str, Any] = dict.fromkeys((*names, "gateway"), ())
    return Matrix(database=tuple(known_roles.values()), **nothing)


def connect_to(servers: Postgres) -> access_tries.Connect:
    """Connects from the server's own machine, as a tunnel to its pod does."""
    server = servers.servers[0]

    def connect(base: str, user: str, password: str) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host="localhost",
            hostaddr=server.address,
            port=server.member.port,
            dbname=base,
            user=user,
            password=password,
            sslmode="verify-full",
            sslrootcert=str(servers.ca),
            connect_timeout=30,
            passfile="/dev/null",
        )

    return connect


@pytest.mark.parametrize("name", ["grafana", "somebody", "metrics", "replication"])
def test_a_role_is_refused_at_every_database_and_statement_that_is_not_its_own(database: Postgres, name: str) -> None:
    known_roles = roles(database)
    assert Passwords({}, [password_of(user) for user in known_roles]).of(
        name, known_roles[name].verifier
    ) == password_of(name)
    bases = access_tries.databases(matrix(known_roles))
    assert bases == ["grafana", "other", "postgres", "template1"]
    tries = list(access_tries.database_tries(connect_to(database), known_roles[name], password_of(name), bases))
    assert wrong(tries) == []
    assert any(attempt.allowed for attempt in tries)
    assert len(tries) == len(bases) + 6, "one database to connect to, and six statements in it"


def test_nothing_of_the_tries_is_kept(database: Postgres) -> None:
    owner = roles(database)["grafana"]
    list(access_tries.database_tries(connect_to(database), owner, password_of("grafana"), ["grafana"]))
    with database.connect() as connection:
        assert connection.execute("SELECT to_regclass('public.access_drill')").fetchone() == (None,)
    assert database.one("SELECT count(*) FROM pg_roles WHERE rolname = 'access_drill'") == "0"


def test_a_database_that_the_matrix_does_not_give_is_told(database: Postgres) -> None:
    owner = DatabaseRole(name="grafana", verifier="")
    tries = list(access_tries.database_tries(connect_to(database), owner, password_of("grafana"), ["grafana"]))
    through = [attempt.what for attempt in tries if not attempt.allowed and attempt.answer is Answer.LET_IN]
    assert through == ["connect to grafana", "create a table in grafana"]


def test_a_wrong_password_is_no_refusal_of_a_database(database: Postgres) -> None:
    tries = access_tries.database_tries(connect_to(database), roles(database)["grafana"], "wrong", ["grafana"])
    assert [attempt.answer for attempt in tries] == [Answer.UNCLEAR]


def test_the_server_that_takes_writes_is_known(database: Postgres) -> None:
    assert access_tries.takes_writes(connect_to(database), "grafana", "grafana", password_of("grafana"))
    with pytest.raises(OpsError, match="grafana cannot use grafana"):
        access_tries.takes_writes(connect_to(database), "grafana", "grafana", "wrong")
