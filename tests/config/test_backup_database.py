"""Dumps of a real PostgreSQL, run from the component's own files, into a real object storage and back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyrage  # type: ignore[import-untyped]
import pytest

from components.postgres.config import WORKLOAD
from services.backup import BackupError, Database, database
from services.backup import Postgres as PostgresSettings
from services.backup import database as restore_database
from services.backup.manifest import Manifest, RunWriter
from services.backup.restore import differences, fetch
from services.backup.store import Store
from tests.config.postgres_process import Postgres, password_of, postgres
from tests.config.servers import free_port
from tests.config.storage_process import storage_process
from tests.unit.sampler.stubs import deployment_context

IDENTITY = pyrage.x25519.Identity.generate()
CONTENT = """
CREATE TABLE folders (id bigserial PRIMARY KEY, title text UNIQUE NOT NULL, parent bigint REFERENCES folders);
CREATE TABLE dashboards (
    uid text PRIMARY KEY, folder bigint REFERENCES folders, content jsonb NOT NULL, picture bytea,
    changed timestamptz NOT NULL DEFAULT now(), size numeric(20, 6), tags text[] NOT NULL DEFAULT '{}');
CREATE TABLE nothing (id int);
CREATE INDEX by_title ON dashboards ((content->>'title'));
CREATE VIEW titles AS SELECT uid, content->>'title' AS title FROM dashboards;
CREATE SCHEMA audit;
CREATE TABLE audit."Who ""did"" what" (at timestamptz, who text);
CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS 'SELECT 2 * n';
INSERT INTO folders (title) SELECT '現場 ' || n FROM generate_series(1, 50) n;
UPDATE folders SET parent = id - 1 WHERE id % 2 = 0;
INSERT INTO dashboards
    SELECT 'dashboard-' || n, 1 + n % 50,
           jsonb_build_object('title', 'ダッシュボード ' || n, 'text', repeat(md5(n::text), 40)),
           decode(md5(n::text), 'hex'), '2026-11-25 15:04:05.123456+09', n / 7.0, ARRAY['a\\b', E'c\\td', NULL, 'é']
    FROM generate_series(1, 5000) n;
INSERT INTO audit."Who ""did"" what" VALUES (now(), E'back\\\\slash\\nline'), (NULL, '\\N');
SELECT lo_from_bytea(0, 'a large object');
"""
TABLES = ("folders", "dashboards", "nothing", 'audit."Who ""did"" what"')


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres(0) as started:
        with started.connect() as connection:
            connection.execute(CONTENT)
        yield started


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with storage_process(tmp_path_factory.mktemp("storage")) as storage, storage.store("backups/") as opened_store:
        yield opened_store


@pytest.fixture(autouse=True)
def _address(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    # Names of Services are not resolved on this machine.
    monkeypatch.setenv("PGHOSTADDR", server.servers[0].address)


def settings(server: Postgres, folder: Path, *users: str) -> PostgresSettings:
    """What is dumped; each database here has another owner."""
    names = {"grafana": "grafana", "somebody": "other"}
    for user in users:
        (folder / user).write_text(password_of(user) + "\n")
        (folder / user).chmod(0o440)
    return PostgresSettings(
        host=deployment_context().host(WORKLOAD),
        port=server.servers[0].member.port,
        ca_file=server.ca,
        databases=tuple(Database(name=names[user], user=user, password_file=folder / user) for user in users),
    )


def dsn(server: Postgres, user: str, name: str) -> str:
    """A connection as an operator writes it."""
    host, port = deployment_context().host(WORKLOAD), server.servers[0].member.port
    return f"postgresql://{user}:{password_of(user)}@{host}:{port}/{name}?sslmode=verify-full&sslrootcert={server.ca}"


def content(server: Postgres, user: str, name: str) -> dict[str, Any]:
    """Every row of every table, what a view and a function say, and where a sequence stands."""
    with server.connect(user=user, dbname=name) as connection:
        tables: dict[str, Any] = {}
        for table in TABLES:
            question = f"COPY (SELECT * FROM {table} ORDER BY 1) TO STDOUT"  # noqa: S608
            with connection.cursor().copy(question.encode()) as rows:
                tables[table] = b"".join(bytes(row) for row in rows)
        for question in (
            "SELECT count(*), max(title) FROM titles",
            "SELECT twice(21)",
            "SELECT last_value FROM folders_id_seq",
            "SELECT array_agg(convert_from(lo_get(oid), 'UTF8')) FROM pg_largeobject_metadata",
            "SELECT array_agg(indexname ORDER BY indexname) FROM pg_indexes WHERE schemaname = 'public'",
        ):
            tables[question] = connection.execute(question.encode()).fetchone()
        return tables


def backed_up(server: Postgres, store: Store, folder: Path, *users: str) -> Manifest:
    """A run."""
    target = RunWriter(store, "database", [str(IDENTITY.to_public())])
    result = database.back_up(settings(server, folder, *users), target)
    manifest = target.finish(result, platform="obs", region="tokyo")
    # Names of runs have whole seconds.
    time.sleep(1)
    return manifest


def test_what_is_restored_is_what_was_there(server: Postgres, store: Store, tmp_path: Path) -> None:
    manifest = backed_up(server, store, tmp_path, "grafana", "somebody")
    assert manifest.program.startswith("pg_dump 15.")
    assert manifest.counts["grafana.public.dashboards"] == 5000
    assert manifest.counts["grafana"] == 4
    assert manifest.counts["other"] == 0
    assert manifest.counts["grafana: large objects"] == 1
    run = tmp_path / "run"
    assert fetch(store, "database", manifest.run, [IDENTITY], run) == manifest
    assert restore_database.databases(manifest) == ("grafana", "other")
    with pytest.raises(BackupError, match=r"database not named: the backup \w+ has grafana, other"):
        restore_database.restore(run, dsn(server, "somebody", "other"))
    outcome = restore_database.restore(run, dsn(server, "somebody", "other"), database="grafana")
    mine = restore_database.counts_of(manifest, "grafana")
    assert differences(manifest.model_copy(update={"counts": mine}), outcome.counts) == []
    assert content(server, "somebody", "other") == content(server, "grafana", "grafana")

    with pytest.raises(BackupError, match=r"database other: is not empty \(\d+ tables, views and sequences\)"):
        restore_database.restore(run, dsn(server, "somebody", "other"), database="grafana")
    with server.connect(user="somebody", dbname="other") as connection:
        connection.execute("DELETE FROM dashboards WHERE folder = 7; CREATE TABLE later (id int)")
        connection.execute("SELECT lo_from_bytea(0, 'another large object')")
    again = restore_database.restore(run, dsn(server, "somebody", "other"), database="grafana", replace=True)
    assert again == outcome
    assert content(server, "somebody", "other") == content(server, "grafana", "grafana")


def test_a_restore_that_fails_changes_nothing(server: Postgres, store: Store, tmp_path: Path) -> None:
    manifest = backed_up(server, store, tmp_path, "grafana")
    fetch(store, "database", manifest.run, [IDENTITY], tmp_path / "run")
    with server.connect(user="somebody", dbname="other") as connection:
        before = connection.execute("SELECT count(*) FROM pg_class").fetchone()
    dump = tmp_path / "run/grafana.dump"
    dump.write_bytes(dump.read_bytes()[:-2000])
    with pytest.raises(BackupError, match="pg_restore failed: pg_restore: error:"):
        restore_database.restore(tmp_path / "run", dsn(server, "somebody", "other"), replace=True)
    with server.connect(user="somebody", dbname="other") as connection:
        assert connection.execute("SELECT count(*) FROM pg_class").fetchone() == before


def test_counts_and_dump_are_of_one_moment(server: Postgres, store: Store, tmp_path: Path) -> None:
    stop, begun = threading.Event(), threading.Event()

    def write() -> None:
        with server.connect() as connection:
            while not stop.is_set():
                connection.execute("INSERT INTO nothing SELECT generate_series(1, 10)")
                begun.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert begun.wait(60)
        manifest = backed_up(server, store, tmp_path, "grafana")
    finally:
        stop.set()
        writer.join(60)
    with server.connect() as connection:
        row = connection.execute("SELECT count(*) FROM nothing").fetchone()
        connection.execute("TRUNCATE nothing")
    fetch(store, "database", manifest.run, [IDENTITY], tmp_path / "run")
    outcome = restore_database.restore(tmp_path / "run", dsn(server, "somebody", "other"), replace=True)
    assert row is not None
    assert 0 < manifest.counts["grafana.public.nothing"] < row[0]
    assert differences(manifest, outcome.counts) == []


def test_a_wrong_password_an_unverified_server_and_a_stranger_are_one_line(
    server: Postgres, store: Store, tmp_path: Path
) -> None:
    right = settings(server, tmp_path, "grafana")
    (tmp_path / "grafana").write_text("wrong0password")
    (tmp_path / "foreign.crt").write_bytes((store._storage.ca_file or Path()).read_bytes())
    foreign = right.model_copy(update={"ca_file": tmp_path / "foreign.crt"})
    for given, message in ((right, "password authentication failed"), (foreign, "certificate verify failed")):
        with pytest.raises(BackupError) as raised:
            database.back_up(given, RunWriter(store, "database", [str(IDENTITY.to_public())]))
        assert message in str(raised.value)
        assert "\n" not in str(raised.value)
        assert "wrong0password" not in str(raised.value)


def test_a_server_that_comes_back_is_waited_for(server: Postgres, store: Store, tmp_path: Path) -> None:
    [member] = server.servers
    member.end()
    start = threading.Timer(1.5, member.start)
    start.start()
    try:
        manifest = backed_up(server, store, tmp_path, "grafana")
    finally:
        start.join()
        member.wait()
    assert manifest.counts["grafana.public.dashboards"] == 5000


def test_a_server_that_stays_away_is_one_line(
    server: Postgres, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "WAITS_S", (0.1, 0.1))
    away = settings(server, tmp_path, "grafana").model_copy(update={"port": free_port()})
    with pytest.raises(BackupError, match=r"^database grafana: connection failed: .* Connection refused [^\n]*$"):
        database.back_up(away, RunWriter(store, "database", [str(IDENTITY.to_public())]))
