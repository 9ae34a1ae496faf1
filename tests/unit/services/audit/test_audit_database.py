"""Lines of PostgreSQL as accesses: lines of the real server, and names that were chosen to look like lines."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.audit.records import Access, Line, Outcome
from services.audit.stores import database

AT = datetime(2026, 11, 28, 9, 38, 21, tzinfo=UTC)
TLS = "SSL enabled (protocol=TLSv1.3, cipher=TLS_AES_256_GCM_SHA384, bits=256)"


def line(
    message: str, *, user: str = "grafana", base: str = "grafana", client: str = "10.0.0.7", state: str = "00000"
) -> str:
    head = "2026-11-28 09:38:21.422 UTC [157] 6b0aa10d.9d 2026-11-28 09:38:21 UTC"
    return f"{head} {state} client={client} user={user} db={base} {message}"


def server(text: str) -> Access | None:
    return database(Line(time=AT, workload="postgres", text=text))


def told(text: str) -> Access:
    access = server(text)
    assert access is not None
    return access


def test_a_login() -> None:
    message = f"LOG:  connection authorized: user=grafana database=grafana application_name=audited {TLS}"
    assert server(line(message)) == Access(
        time=AT,
        who="grafana",
        origin="10.0.0.7",
        action="log in",
        target="database:grafana",
        outcome=Outcome.ALLOWED,
        detail={"program": "audited"},
    )


@pytest.mark.parametrize(
    ("message", "target", "program"),
    [
        (f"LOG:  connection authorized: user=replication database=postgres {TLS}", "database:postgres", None),
        (
            f"LOG:  replication connection authorized: user=replication application_name=postgres-1 {TLS}",
            "database:replication",
            "postgres-1",
        ),
    ],
)
def test_a_login_of_a_standby(message: str, target: str, program: str | None) -> None:
    access = told(line(message, user="replication", base="postgres" if "database" in message else "[unknown]"))
    assert (access.who, access.target, access.detail.get("program")) == ("replication", target, program)


def test_the_superuser_comes_from_its_pod_and_probes_are_left_out() -> None:
    message = "LOG:  connection authorized: user=postgres database=postgres application_name="
    access = told(line(f"{message}psql", user="postgres", base="postgres", client="[local]"))
    assert (access.who, access.origin, access.detail) == ("postgres", "pod", {"program": "psql"})
    assert server(line(f"{message}pg_isready", user="postgres", base="postgres", client="[local]")) is None
    assert server(line(f"{message}pg_isready {TLS}", user="postgres", base="postgres")) is not None


@pytest.mark.parametrize(
    ("state", "message", "user", "base"),
    [
        ("28P01", 'FATAL:  password authentication failed for user "grafana"', "grafana", "grafana"),
        (
            "28000",
            'FATAL:  no pg_hba.conf entry for host "10.0.0.7", user "nobody", database "grafana", SSL encryption',
            "nobody",
            "grafana",
        ),
        (
            "28000",
            'FATAL:  pg_hba.conf rejects connection for host "10.0.0.7", user "postgres", database "grafana", '
            "SSL encryption",
            "postgres",
            "grafana",
        ),
        ("42501", 'FATAL:  permission denied for database "other"', "grafana", "other"),
    ],
)
def test_a_login_that_is_refused(state: str, message: str, user: str, base: str) -> None:
    access = told(line(message, user=user, base=base, state=state))
    assert (access.who, access.action, access.target) == (user, "log in", f"database:{base}")
    assert access.outcome is Outcome.REFUSED
    assert access.detail == {"sqlstate": state}


@pytest.mark.parametrize(
    "message",
    [
        "permission denied to create role",
        "permission denied for table pg_authid",
        'permission denied to set role "postgres"',
    ],
)
def test_an_operation_that_is_refused(message: str) -> None:
    access = told(line(f"ERROR:  {message}", state="42501"))
    assert (access.who, access.action, access.outcome) == ("grafana", "use", Outcome.REFUSED)
    assert access.detail == {"sqlstate": "42501", "reason": message}


@pytest.mark.parametrize(
    ("statement", "action", "target"),
    [
        ("CREATE ROLE somebody PASSWORD 'typed'", "create role", "role:somebody"),
        ("alter user somebody", "alter role", "role:somebody"),
        ('DROP ROLE IF EXISTS "somebody";', "drop role", "role:somebody"),
        ('DROP ROLE "a b"', "drop role", "role:unreadable"),
        ("GRANT pg_monitor TO somebody", "grant", "database:postgres"),
        ("REVOKE ALL ON DATABASE x FROM PUBLIC", "revoke", "database:postgres"),
        ("ALTER SYSTEM SET work_mem='5MB'", "alter system", "database:postgres"),
        ("CREATE OR REPLACE FUNCTION x()", "create function", "database:postgres"),
        ("", "change", "database:postgres"),
        ("/* a note */ CREATE ROLE x", "change", "database:postgres"),
    ],
)
@pytest.mark.parametrize("kind", ["statement", "execute <unnamed>"])
def test_what_the_superuser_changes_is_told_without_what_was_typed(
    statement: str, action: str, target: str, kind: str
) -> None:
    access = told(line(f"LOG:  {kind}: {statement}", user="postgres", base="postgres", client="[local]"))
    assert (access.action, access.target, access.outcome) == (action, target, Outcome.ALLOWED)
    assert "typed" not in access.model_dump_json()


@pytest.mark.parametrize(
    "text",
    [
        line("LOG:  connection received: host=10.0.0.7 port=47538", user="[unknown]", base="[unknown]"),
        line('LOG:  connection authenticated: identity="grafana" method=scram-sha-256 (/etc/postgres/pg_hba.conf:7)'),
        line("LOG:  disconnection: session time: 0:00:00.012 user=grafana database=grafana host=10.0.0.7 port=47530"),
        line("LOG:  statement: CREATE TABLE own (a integer)"),
        line(
            'DETAIL:  Connection matched pg_hba.conf line 7: "hostssl grafana grafana all scram-sha-256"', state="28P01"
        ),
        line('ERROR:  relation "a b" does not exist at character 15', state="42P01"),
        line("LOG:  database system is ready to accept connections", user="", base="", client=""),
        "\tLOGIN",
        "postgres: nobody has data: making a new cluster",
        "",
    ],
)
def test_other_lines_are_no_access(text: str) -> None:
    assert server(text) is None


def test_a_user_with_a_line_break_in_its_name_is_refused_and_writes_no_line_of_its_own() -> None:
    """What the server writes for such a name, which ends after 63 bytes: three lines."""
    inside = "2026-11-28 09:00:00.000 UTC [1] 6928d1a3.1 2026-11-28 09:00:0"
    assert len(f"x\n{inside}") == 63
    lines = (
        line("", user="x", state="28000").removesuffix(" db=grafana "),
        f'{inside} db=grafana FATAL:  no pg_hba.conf entry for host "10.0.0.7", user "x',
        f'\t{inside}", database "grafana", SSL encryption',
    )
    records = [server(text) for text in lines]
    assert [record and (record.who, record.origin, record.outcome) for record in records] == [
        None,
        ("unreadable", "-", Outcome.REFUSED),
        None,
    ]


@pytest.mark.parametrize(
    "user",
    [
        "postgres db=postgres LOG:  connection authorized: user=postgres",
        "postgres db=postgres DETAIL:  x",
        "a b",
    ],
)
def test_a_user_named_like_a_line_is_refused_without_a_name(user: str) -> None:
    message = f'FATAL:  no pg_hba.conf entry for host "10.0.0.7", user "{user}", database "grafana", SSL encryption'
    access = told(line(message, user=user, state="28000"))
    assert (access.who, access.origin, access.outcome) == ("unreadable", "10.0.0.7", Outcome.REFUSED)


def test_a_program_named_like_the_end_of_a_login_is_not_taken() -> None:
    name = "x y SSL enabled (a) LOG:  statement: DROP ROLE y"
    message = f"LOG:  connection authorized: user=grafana database=grafana application_name={name} {TLS}"
    access = told(line(message))
    assert (access.who, access.detail) == ("grafana", {"program": "unreadable"})
