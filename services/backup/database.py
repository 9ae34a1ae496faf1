"""PostgreSQL: a dump of each database, of one moment, beside the rows that it holds; and its restore.

Dumps are in the custom format. Connections are verified, passwords stay off command lines. A restore is one
transaction, so that the target is as before or as in the backup.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from services.backup import DATABASE, WAITS_S, BackupError, Database, Postgres
from services.backup.encryption import Readable
from services.backup.manifest import Manifest, RunSummary, RunWriter
from services.backup.restore import Outcome, opened
from services.runtime import one_line
from services.runtime.settings import secret

CONNECT_S = 10
COUNT_S = 900
"""Seconds that counting one table may take."""
_LIMIT_S = 30
_FOLDERS = "/usr/lib/postgresql"
_TABLES = """
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                      AND d.deptype = 'e')
    ORDER BY 1, 2
"""
Connection = psycopg.Connection[Any]
DUMP = ".dump"
_LOCK_S = 60
_END_S = 30
LIMIT_S = 3600.0
_SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY 1"
_CONTENT = """
    SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
"""
_VERIFIED = "verify-full"
_FINAL = re.compile(r"FATAL:(?! +the database system is )|certificate")
"""Of what libpq says, which keeps no code: a login that is turned away, a server that is another one. The rest (nobody
there yet, starting, shutting down) may be well in a moment."""


def program(name: str) -> str:
    """Path of a program of PostgreSQL: the newest of Debian's packages, else whichever the PATH has."""
    paths = [path for path in Path(_FOLDERS).glob(f"*/bin/{name}") if path.parts[-3].isdigit()]
    return str(max(paths, key=lambda path: int(path.parts[-3]))) if paths else name


def version(name: str) -> str:
    """Name and version of a program, for example ``pg_dump 15.18``.

    Raises:
        BackupError: It is not there.
    """
    said = run([program(name), "--version"], {}, ()).split()
    number = next((word for word in said if re.match(r"\d+\.\d+", word)), "of an unknown version")
    return f"{name} {number}"


@contextmanager
def password_file(password: str) -> Iterator[tuple[Mapping[str, str], tuple[int, ...]]]:
    """A password for a program of PostgreSQL, in memory: the variable that leads to it, and what it must inherit.

    libpq takes no file that a group may read, as mounted Secrets are; this one is nobody else's, and never on a disk.
    """
    escaped = re.sub(r"([\\:])", r"\\\1", password)
    number = os.memfd_create("passwords")
    try:
        os.fchmod(number, 0o600)
        os.write(number, f"*:*:*:*:{escaped}\n".encode())
        yield {"PGPASSFILE": f"/proc/self/fd/{number}"}, (number,)
    finally:
        os.close(number)


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """Environment of a program of PostgreSQL: ours, in English, without a password."""
    return {**{name: value for name, value in os.environ.items() if name != "PGPASSWORD"}, "LC_ALL": "C", **more}


def run(command: Sequence[str], more: Mapping[str, str], inherited: tuple[int, ...], limit_s: float = _LIMIT_S) -> str:
    """Run a program to its end; returns what it prints.

    Raises:
        BackupError: It is not there, fails, or takes too long.
    """
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            command,
            env=environment(more),
            pass_fds=inherited,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit_s,
            check=False,
        )
    except OSError as error:
        raise BackupError(f"{name} cannot be started: {error.strerror}; install the clients of PostgreSQL") from None
    except subprocess.TimeoutExpired:
        raise BackupError(f"{name} took longer than {limit_s:.0f} s") from None
    if done.returncode:
        raise BackupError(f"{name} failed: {complaint(done.stderr) or f'exit code {done.returncode}'}")
    return done.stdout.decode(errors="replace")


def complaint(said: bytes) -> str:
    """The first line in which a program of PostgreSQL says what went wrong."""
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    return one_line(next((line for line in lines if "error:" in line or "ERROR:" in line), lines[0])) if lines else ""


@contextmanager
def connected(words: Mapping[str, Any], where: str) -> Iterator[Connection]:
    """A connection until the block ends; what was not committed is undone. A server without an answer is asked again.

    Raises:
        BackupError: The server refuses, does not answer, or fails at a statement.
    """
    connection: Connection | None = None
    try:
        connection = _connection(words)
        yield connection
    except psycopg.Error as error:
        raise BackupError(f"{where}: {one_line(error)}") from None
    finally:
        if connection is not None:
            connection.close()


def _connection(words: Mapping[str, Any]) -> Connection:
    waits_s = iter(WAITS_S)
    while True:
        try:
            # An empty file of passwords, so that nobody's own one is asked.
            return psycopg.connect(**{"connect_timeout": CONNECT_S, "passfile": os.devnull, **words})
        except psycopg.OperationalError as error:
            wait_s = next(waits_s, None)
            if wait_s is None or _FINAL.search(str(error)):
                raise
        time.sleep(wait_s)


def conninfo(words: Mapping[str, Any]) -> str:
    """Words of a connection for a command line: without a password."""
    return make_conninfo(**{key: value for key, value in words.items() if key not in ("password", "passfile")})


def tables(connection: Connection) -> list[tuple[str, str]]:
    """Schema and name of everything that holds rows and is dumped."""
    return [(str(schema), str(name)) for schema, name in connection.execute(_TABLES).fetchall()]


def counts(connection: Connection, database: str) -> dict[str, int]:
    """Rows of each table as ``<database>.<schema>.<table>``, the number of tables as ``<database>``."""
    connection.execute(sql.SQL("SET LOCAL statement_timeout = {}").format(sql.Literal(f"{COUNT_S}s")))
    connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    table_names = tables(connection)
    counted = {database: len(table_names)}
    for schema, name in table_names:
        counted[f"{database}.{schema}.{name}"] = _one(
            connection, sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, name))
        )
    large = _one(connection, sql.SQL("SELECT count(*) FROM pg_largeobject_metadata"))
    return {**counted, **({f"{database}: large objects": large} if large else {})}


def _one(connection: Connection, question: sql.SQL | sql.Composed) -> int:
    row = connection.execute(question).fetchone()
    return int(row[0]) if row else 0


def back_up(settings: Postgres, target: RunWriter) -> RunSummary:
    """Dump every database.

    Raises:
        BackupError: A server refuses or does not answer, or a dump fails.
        SettingsError: A password cannot be read.
    """
    counts: dict[str, int] = {}
    for database in settings.databases:
        counts |= _back_up(settings, database, target)
    return RunSummary(program=version("pg_dump"), counts=counts)


def connection_words(settings: Postgres, database: Database) -> dict[str, Any]:
    """How a database is reached: the server is verified, and a login is of no use to anybody in between."""
    return {
        "host": settings.host,
        "port": str(settings.port),
        "dbname": database.name,
        "user": database.user,
        "sslmode": "verify-full",
        "sslrootcert": str(settings.ca_file),
        "ssl_min_protocol_version": "TLSv1.2",
        "channel_binding": "require",
        "connect_timeout": str(CONNECT_S),
        "application_name": "backup",
    }


def _back_up(settings: Postgres, database: Database, target: RunWriter) -> dict[str, int]:
    words, password = connection_words(settings, database), secret(database.password_file)
    with connected({**words, "password": password}, f"database {database.name}") as connection:
        # Dump and counts see the same moment.
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        row = connection.execute("SELECT pg_export_snapshot()").fetchone()
        snapshot = str(row[0]) if row else ""
        rows = counts(connection, database.name)
        with password_file(password) as (variables, inherited):
            command = [
                *(program("pg_dump"), "--format=custom", "--no-password", f"--snapshot={snapshot}"),
                *(f"--lock-wait-timeout={_LOCK_S}s", f"--dbname={conninfo(words)}"),
            ]
            with _dumping(command, variables, inherited, database.name) as dump:
                target.add(f"{database.name}{DUMP}", dump)
    return rows


@contextmanager
def _dumping(
    command: list[str], variables: Mapping[str, str], inherited: tuple[int, ...], database: str
) -> Iterator[Readable]:
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                command,
                env=environment(variables),
                pass_fds=inherited,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
            )
        except OSError as error:
            raise BackupError(f"pg_dump cannot be started: {error.strerror}") from None
        try:
            yield _Dump(process, said, database)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(_END_S)
            if process.stdout is not None:
                process.stdout.close()


class _Dump:
    """What pg_dump writes. At its end it must have ended well, or the dump is a part."""

    def __init__(self, process: subprocess.Popen[bytes], said: IO[bytes], database: str) -> None:
        self._process, self._said, self._database = process, said, database

    def read(self, size: int = -1) -> bytes:
        """At most so many bytes; none at the end.

        Raises:
            BackupError: pg_dump failed.
        """
        assert self._process.stdout is not None
        chunk = self._process.stdout.read(size)
        if not chunk and size:
            try:
                code = self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                raise BackupError(f"pg_dump of {self._database} does not end") from None
            if code:
                self._said.seek(0)
                reason = complaint(self._said.read()) or f"exit code {code}"
                raise BackupError(f"pg_dump of {self._database} failed: {reason}")
        return chunk


def restore(
    folder: Path, dsn: str, *, database: str | None = None, replace: bool = False, limit_s: float = LIMIT_S
) -> Outcome:
    """Restore one database of a fetched run.

    Objects belong to the user who restores; grants are those of the dump where their roles are there.

    Args:
        folder: Where the run was fetched to.
        dsn: Connection (words or URI) of libpq to the database to fill, whose owner it logs in as. It must verify the
            server (``sslmode=verify-full``), unless it is a socket of this machine.
        database: Name of the database in the backup; None: the only one.
        replace: Whether what is in the target may be removed.
        limit_s: Seconds that it may take.

    Returns:
        Rows of each table under the names of the manifest.

    Raises:
        BackupError: The target is not empty, a server refuses or does not answer, or the dump cannot be restored.
    """
    manifest = opened(folder, DATABASE)
    name = _chosen(manifest, database)
    words = _words(dsn)
    where = f"database {words.get('dbname') or name}"
    with connected(words, where) as connection:
        held = connection.execute(_CONTENT).fetchone()
        if held and held[0] and not replace:
            raise BackupError(f"{where}: is not empty ({held[0]} tables, views and sequences); nothing was changed")
        clearing = _clearing(connection) if replace else ""
    with tempfile.TemporaryDirectory(prefix="restore-", dir=folder) as scratch:
        _restore(folder / f"{name}{DUMP}", Path(scratch), words, clearing, limit_s)
    with connected(words, where) as connection:
        return Outcome(counts=counts(connection, name))


def databases(manifest: Manifest) -> tuple[str, ...]:
    """Names of the databases of a run."""
    return tuple(
        stored_object.name.removesuffix(DUMP) for stored_object in manifest.objects if stored_object.name.endswith(DUMP)
    )


def counts_of(manifest: Manifest, database: str) -> dict[str, int]:
    """What the manifest counts of one database."""
    starts = (f"{database}.", f"{database}:")
    return {key: count for key, count in manifest.counts.items() if key == database or key.startswith(starts)}


def _chosen(manifest: Manifest, wanted: str | None) -> str:
    names = databases(manifest)
    if wanted is None and len(names) == 1:
        return names[0]
    if wanted not in names:
        raise BackupError(f"database {wanted or 'not named'}: the backup {manifest.run} has {', '.join(names)}")
    return str(wanted)


def _words(dsn: str) -> dict[str, Any]:
    try:
        words: dict[str, Any] = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        # Its message would show the text, and a password in it.
        raise BackupError("the connection is neither words nor a URI of libpq, such as host=... dbname=...") from None
    local = all(not part or part.startswith("/") for part in str(words.get("host") or "").split(","))
    if words.get("sslmode") != _VERIFIED and not local:
        raise BackupError(
            f"sslmode is {words.get('sslmode', 'not set')}; a server must be verified: sslmode=verify-full"
        )
    return words


def _clearing(connection: Connection) -> str:
    """Statements that leave a database as a new one is."""
    statements: list[sql.Composable] = [
        sql.SQL("DROP SCHEMA {} CASCADE;\n").format(sql.Identifier(str(schema)))
        for (schema,) in connection.execute(_SCHEMAS).fetchall()
    ]
    statements += [
        sql.SQL("SELECT lo_unlink(oid) FROM pg_largeobject_metadata;\n"),
        sql.SQL("CREATE SCHEMA public AUTHORIZATION pg_database_owner;\n"),
        sql.SQL("GRANT USAGE ON SCHEMA public TO PUBLIC;\n"),
    ]
    return sql.Composed(statements).as_string(connection)


def _restore(dump: Path, scratch: Path, words: Mapping[str, Any], clearing: str, limit_s: float) -> None:
    # As a script first: psql would take the end of a torn stream for the end of the work, and commit.
    script, first = scratch / "restore.sql", scratch / "clear.sql"
    first.write_text(clearing)
    run(
        [program("pg_restore"), "--exit-on-error", "--no-owner", f"--file={script}", str(dump)],
        {},
        (),
        limit_s,
    )
    with password_file(str(words.get("password") or "")) as (variables, inherited):
        command = [
            *(program("psql"), "--no-psqlrc", "--quiet", "--no-password", "--single-transaction"),
            *("--set=ON_ERROR_STOP=1", f"--dbname={conninfo(words)}"),
            *(f"--file={first}", f"--file={script}", "--output=/dev/null"),
        ]
        run(command, variables, inherited, limit_s)
