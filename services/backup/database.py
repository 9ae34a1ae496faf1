"""PostgreSQL: a dump of each database in the custom format, of one moment, beside the rows that it holds."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

from services.backup import postgres
from services.backup.encryption import Readable
from services.backup.errors import BackupError
from services.backup.run_writer import RunSummary, RunWriter
from services.backup.settings import Database, Postgres
from services.runtime.settings import secret

DUMP = ".dump"
_LOCK_S = 60
_END_S = 30


def back_up(settings: Postgres, target: RunWriter) -> RunSummary:
    """Dump every database.

    Raises:
        BackupError: A server refuses or does not answer, or a dump fails.
        SettingsError: A password cannot be read.
    """
    counts: dict[str, int] = {}
    for database in settings.databases:
        counts |= _back_up(settings, database, target)
    return RunSummary(program=postgres.version("pg_dump"), counts=counts)


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
        "connect_timeout": str(postgres.CONNECT_S),
        "application_name": "backup",
    }


def _back_up(settings: Postgres, database: Database, target: RunWriter) -> dict[str, int]:
    words, password = connection_words(settings, database), secret(database.password_file)
    with postgres.connected({**words, "password": password}, f"database {database.name}") as connection:
        # Dump and counts see the same moment.
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        row = connection.execute("SELECT pg_export_snapshot()").fetchone()
        snapshot = str(row[0]) if row else ""
        rows = postgres.counts(connection, database.name)
        with postgres.password_file(password) as (variables, inherited):
            command = [
                *(postgres.program("pg_dump"), "--format=custom", "--no-password", f"--snapshot={snapshot}"),
                *(f"--lock-wait-timeout={_LOCK_S}s", f"--dbname={postgres.conninfo(words)}"),
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
                env=postgres.environment(variables),
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
                reason = postgres.complaint(self._said.read()) or f"exit code {code}"
                raise BackupError(f"pg_dump of {self._database} failed: {reason}")
        return chunk
