"""One real server: who gets in and how, what it keeps, and what it takes up while it runs."""

from __future__ import annotations

import os
import re
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from components.k8s import UID
from components.postgres import component, config
from components.postgres.config import PostgresDatabase
from services.audit.records import Access, Line
from services.audit.stores import database
from tests.config.postgres_process import (
    DATABASES,
    MAX_CONNECTIONS,
    Postgres,
    issue,
    password_of,
    postgres,
    write_access,
)
from tests.config.servers import eventually
from tests.support.kafka_nodes import Authority


@pytest.fixture(scope="module")
def alone() -> Iterator[Postgres]:
    with postgres(0) as servers:
        yield servers


def refused(servers: Postgres, user: str = "grafana", **changed: object) -> str:
    """What a client is told that is not let in."""
    with pytest.raises(psycopg.OperationalError) as caught:
        servers.connect(0, user, **changed)
    return str(caught.value)


def test_the_owner_of_a_database_logs_in_over_verified_tls(alone: Postgres) -> None:
    with alone.connect() as connection:
        row = connection.execute(
            "SELECT current_user, ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        ).fetchone()
    assert row == ("grafana", True, "TLSv1.3")


def test_who_comes_without_tls_is_refused_whatever_the_password(alone: Postgres) -> None:
    said = refused(alone, sslmode="disable")
    assert "no pg_hba.conf entry" in said
    assert "no encryption" in said


def test_a_client_refuses_a_server_whose_authority_it_does_not_know(alone: Postgres, tmp_path: Path) -> None:
    issue(Authority(), tmp_path / "other", ["localhost"])
    said = refused(alone, sslrootcert=str(tmp_path / "other" / "ca.crt"))
    assert re.search(r"SSL error: (certificate verify failed|provider signature failure)", said)


def test_a_client_refuses_a_server_under_another_name(alone: Postgres) -> None:
    assert "does not match host name" in refused(alone, host="postgres.elsewhere.example")


def test_old_tls_is_refused(alone: Postgres) -> None:
    assert "protocol version" in refused(alone, ssl_min_protocol_version="TLSv1", ssl_max_protocol_version="TLSv1.1")


@pytest.mark.parametrize(
    ("user", "changed", "said"),
    [
        ("grafana", {"password": "wrong"}, "password authentication failed"),
        ("nobody", {}, "no pg_hba.conf entry"),
        ("somebody", {}, "no pg_hba.conf entry"),
        ("grafana", {"dbname": "other"}, "no pg_hba.conf entry"),
        ("grafana", {"dbname": "postgres"}, "no pg_hba.conf entry"),
        ("postgres", {}, "pg_hba.conf rejects connection"),
        ("postgres", {"dbname": "postgres", "password": ""}, "pg_hba.conf rejects connection"),
        ("replication", {}, "no pg_hba.conf entry"),
        ("metrics", {}, "no pg_hba.conf entry"),
    ],
)
def test_everybody_else_is_refused(alone: Postgres, user: str, changed: dict[str, object], said: str) -> None:
    assert said in refused(alone, user, **changed)


def test_what_the_server_stores_is_no_password(alone: Postgres) -> None:
    stored = alone.one("SELECT rolpassword FROM pg_authid WHERE rolname = 'grafana'")
    assert re.fullmatch(r"SCRAM-SHA-256\$4096:[^$]+\$[^:]+:.+", stored)
    assert "password authentication failed" in refused(alone, password=stored)


def test_each_owner_is_no_more_than_owner_of_its_database(alone: Postgres) -> None:
    roles = alone.one(
        "SELECT string_agg(rolname, ',' ORDER BY rolname) FROM pg_roles "
        "WHERE rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls"
    )
    assert roles == "postgres"
    assert alone.one("SELECT string_agg(rolname, ',') FROM pg_roles WHERE rolreplication AND NOT rolsuper") == (
        "replication"
    )
    with alone.connect() as connection:
        connection.execute("CREATE TABLE own (a integer)")
        connection.execute("DROP TABLE own")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE ROLE more")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("COPY (SELECT 1) TO PROGRAM 'cat'")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT pg_read_file('/etc/postgres-secrets/replication.pgpass')")


def test_an_owner_cannot_take_the_connections_that_look_after_the_server(alone: Postgres) -> None:
    left = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'grafana'"
    eventually(lambda: alone.one(left) == "0", 20, "the sessions of before have ended")
    with ExitStack() as taken:
        for _ in range(MAX_CONNECTIONS - config.RESERVED_CONNECTIONS):
            taken.enter_context(alone.connect())
        assert "too many connections for role" in refused(alone)
        assert alone.one("SELECT 1") == "1"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("data_checksums", "on"),
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("synchronous_standby_names", ""),
        ("ssl", "on"),
        ("ssl_min_protocol_version", "TLSv1.2"),
        ("password_encryption", "scram-sha-256"),
        ("log_connections", "on"),
        ("log_disconnections", "on"),
        ("log_statement", "ddl"),
        ("shared_buffers", "16MB"),
        ("max_connections", "30"),
        ("server_encoding", "UTF8"),
    ],
)
def test_the_server_runs_with_what_the_component_asks_for(alone: Postgres, name: str, value: str) -> None:
    assert alone.one(f"SHOW {name}") == value


def test_every_setting_and_every_login_line_is_taken_without_an_error(alone: Postgres) -> None:
    assert alone.one("SELECT count(*) FROM pg_file_settings WHERE error IS NOT NULL") == "0"
    assert alone.one("SELECT count(*) FROM pg_hba_file_rules WHERE error IS NOT NULL") == "0"


def test_it_listens_at_the_address_of_its_pod_and_on_loopback(alone: Postgres) -> None:
    [server] = alone.servers
    assert alone.one("SHOW listen_addresses") == f"127.0.0.1,{server.address}"


def test_it_runs_as_the_pods_user_and_cannot_write_outside_its_volumes(alone: Postgres) -> None:
    container = alone.servers[0].container
    status = Path(f"/proc/{container.first}/status").read_text()
    assert re.search(rf"^Uid:\t{UID}\t{UID}\t{UID}\t{UID}$", status, re.M)
    assert re.search(r"^CapEff:\t0+$", status, re.M)
    for place in ("/etc/postgres/x", "/etc/x", "/usr/x", "/etc/tls/x"):
        assert container.run(["touch", place], check=False).returncode != 0, place


def test_the_key_is_read_as_the_secret_is_mounted(alone: Postgres) -> None:
    key = (alone.servers[0].container.folder / "tls" / "tls.key").resolve().stat()
    assert (key.st_uid, key.st_gid, key.st_mode & 0o777) == (0, UID, 0o440)


def test_no_password_is_in_the_log_a_command_line_or_the_environment(alone: Postgres) -> None:
    refused(alone, password="secretly0typed")
    container = alone.servers[0].container
    seen = container.log
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            for name in ("cmdline", "environ"):
                try:
                    if os.stat(entry).st_uid == UID:
                        seen += (entry / name).read_bytes().decode(errors="replace")
                except (FileNotFoundError, ProcessLookupError):
                    continue
    assert "config_file=/etc/postgres/postgresql.conf" in seen
    assert "PGDATA=/var/lib/postgresql/data/data" in seen
    for user in ("replication", "metrics", "grafana", "somebody"):
        assert password_of(user) not in seen
    assert "secretly0typed" not in seen
    assert "SCRAM-SHA-256$" not in seen


def accesses(text: str) -> list[Access]:
    """What the audit log takes from a log."""
    at = datetime(2026, 11, 28, tzinfo=UTC)
    lines = (database(Line(time=at, workload="postgres", text=line)) for line in text.splitlines())
    return [access for access in lines if access is not None]


def test_the_audit_log_is_told_who_came_who_was_refused_and_what_the_superuser_changed(alone: Postgres) -> None:
    container = alone.servers[0].container
    before = len(container.log)
    forged = "x\n2026-11-28 09:00:00.000 UTC [1] 6928d1a3.1 2026-11-28 09:00:00"
    inline = "postgres db=postgres LOG:  connection authorized: user=postgres"
    with alone.connect(application_name="audited") as connection:
        connection.execute("CREATE TABLE own (a integer)")
        connection.execute("DROP TABLE own")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE ROLE more")
    refused(alone, password="wrong")
    for user in ("nobody", forged, inline):
        refused(alone, user)
    alone.one("CREATE ROLE passing")
    alone.one("GRANT pg_monitor TO passing")
    alone.one("\nDROP ROLE passing")
    assert container.run(component.ready_command(), check=False).returncode == 0
    eventually(lambda: container.log[before:].count("disconnection") >= 5, 5, "the log has the end of the sessions")
    told = accesses(container.log[before:])
    seen = [(access.who, access.action, access.target, str(access.outcome)) for access in told]
    superuser = ("postgres", "log in", "database:postgres", "allowed")
    assert seen == [
        ("grafana", "log in", "database:grafana", "allowed"),
        ("grafana", "use", "database:grafana", "refused"),
        ("grafana", "log in", "database:grafana", "refused"),
        ("nobody", "log in", "database:grafana", "refused"),
        ("unreadable", "log in", "database:unreadable", "refused"),
        ("unreadable", "log in", "database:unreadable", "refused"),
        superuser,
        ("postgres", "create role", "role:passing", "allowed"),
        superuser,
        ("postgres", "grant", "database:postgres", "allowed"),
        superuser,
        ("postgres", "change", "database:postgres", "allowed"),
    ]
    assert told[0].detail == {"program": "audited"}
    assert told[1].detail["reason"] == "permission denied to create role"


def served_certificate(servers: Postgres) -> str:
    """The certificate that the server shows to a new client."""
    [server] = servers.servers
    command = ["openssl", "s_client", "-starttls", "postgres", "-connect", f"{server.address}:{server.member.port}"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
    return done.stdout[done.stdout.index("-----BEGIN") : done.stdout.index("-----END")]


def test_a_renewed_certificate_is_shown_without_a_restart_and_nobody_is_cut_off(alone: Postgres) -> None:
    old = served_certificate(alone)
    with alone.connect() as connection:
        started = connection.execute("SELECT pg_postmaster_start_time()").fetchone()
        alone.renew()
        eventually(lambda: served_certificate(alone) != old, 20, "the renewed certificate is shown")
        assert connection.execute("SELECT pg_postmaster_start_time()").fetchone() == started
    file = alone.servers[0].container.folder / "tls" / "tls.crt"
    assert ssl.PEM_cert_to_DER_cert(file.read_text()) == ssl.PEM_cert_to_DER_cert(
        served_certificate(alone) + "-----END CERTIFICATE-----"
    )
    alone.connect().close()


def test_a_restart_is_quick_and_keeps_rows_though_clients_stay_connected(alone: Postgres) -> None:
    [server] = alone.servers
    with alone.connect() as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (number integer)")
        connection.execute("INSERT INTO kept VALUES (1)")
        started = time.monotonic()
        server.end()
        assert time.monotonic() - started < 60, "it waited for its clients"
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    assert "database system is shut down" in server.container.log
    server.start()
    server.wait()
    assert 1 in alone.rows()


def test_a_killed_server_keeps_every_row_that_it_confirmed(alone: Postgres) -> None:
    [server] = alone.servers
    with alone.connect() as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (number integer)")
        connection.execute("DELETE FROM kept")
        for number in range(200):
            connection.execute("INSERT INTO kept VALUES (%s)", [number])
        server.end(kill=True)
    server.start()
    server.wait()
    assert alone.rows() == list(range(200))
    assert "was not properly shut down" in server.container.log


def test_roles_and_databases_follow_the_settings_at_the_next_start(alone: Postgres) -> None:
    [server] = alone.servers
    more = (DATABASES[0], PostgresDatabase(name="third", owner="third"))
    server.end()
    write_access(server.container.folder / "access", more)
    server.start()
    server.wait()
    owned = alone.one(
        "SELECT string_agg(datname || '=' || rolname, ',') FROM pg_database JOIN pg_roles ON datdba = pg_roles.oid"
    )
    assert {"grafana=grafana", "third=third", "other=somebody"} <= set(owned.split(","))
    assert alone.one("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'somebody'") == "f"
    alone.connect().close()
    server.end()
    write_access(server.container.folder / "access")
    server.start()
    server.wait()
    alone.connect(user="somebody", dbname="other").close()


def test_liveness_leaves_a_server_alone_that_is_ending_and_not_one_that_is_gone(alone: Postgres) -> None:
    container = alone.servers[0].container
    assert container.run(component.alive_command(), check=False).returncode == 0
    container.run(["bash", "-c", "mv /var/run/postgresql/.s.PGSQL.* /tmp/"])
    try:
        assert container.run(component.alive_command(), check=False).returncode != 0
        assert container.run(component.ready_command(), check=False).returncode != 0
    finally:
        container.run(["bash", "-c", "mv /tmp/.s.PGSQL.* /var/run/postgresql/"])
