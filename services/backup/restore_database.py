"""Restores a dump of PostgreSQL: in one transaction, so that the target is as before or as in the backup."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from services.backup import postgres
from services.backup.database import DUMP
from services.backup.errors import BackupError
from services.backup.manifest import Manifest
from services.backup.restore import Outcome, opened
from services.backup.settings import DATABASE

LIMIT_S = 3600.0
_SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY 1"
_CONTENT = """
    SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
"""
_VERIFIED = "verify-full"


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
    with postgres.connected(words, where) as connection:
        held = connection.execute(_CONTENT).fetchone()
        if held and held[0] and not replace:
            raise BackupError(f"{where}: is not empty ({held[0]} tables, views and sequences); nothing was changed")
        clearing = _clearing(connection) if replace else ""
    with tempfile.TemporaryDirectory(prefix="restore-", dir=folder) as scratch:
        _restore(folder / f"{name}{DUMP}", Path(scratch), words, clearing, limit_s)
    with postgres.connected(words, where) as connection:
        return Outcome(counts=postgres.counts(connection, name))


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


def _clearing(connection: postgres.Connection) -> str:
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
    postgres.run(
        [postgres.program("pg_restore"), "--exit-on-error", "--no-owner", f"--file={script}", str(dump)],
        {},
        (),
        limit_s,
    )
    with postgres.password_file(str(words.get("password") or "")) as (variables, inherited):
        command = [
            *(postgres.program("psql"), "--no-psqlrc", "--quiet", "--no-password", "--single-transaction"),
            *("--set=ON_ERROR_STOP=1", f"--dbname={postgres.conninfo(words)}"),
            *(f"--file={first}", f"--file={script}", "--output=/dev/null"),
        ]
        postgres.run(command, variables, inherited, limit_s)
