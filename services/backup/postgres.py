"""What dumps and restores of PostgreSQL share: verified connections, passwords kept off command lines, counts."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from services.backup.errors import BackupError, one_line

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
    """A connection until the block ends; what was not committed is undone.

    Raises:
        BackupError: The server refuses, does not answer, or fails at a statement.
    """
    connection: Connection | None = None
    try:
        # An empty file of passwords, so that nobody's own one is asked.
        connection = psycopg.connect(**{"connect_timeout": CONNECT_S, "passfile": os.devnull, **words})
        yield connection
    except psycopg.Error as error:
        raise BackupError(f"{where}: {one_line(error)}") from None
    finally:
        if connection is not None:
            connection.close()


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
