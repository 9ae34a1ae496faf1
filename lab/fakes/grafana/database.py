"""PostgreSQL: a small pool of verified connections that finds back by itself, and the tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from lab.fakes.grafana.migrations import MIGRATIONS
from lab.fakes.grafana.settings import DatabaseSettings

_CONNECT_S: Final = 3
_BORROW_S: Final = 5.0
_HEALTH_S: Final = 2.0
_STATEMENT_MS: Final = 15_000
_LOCK: Final = 7_041_203  # any number, the same in every replica
_AGAIN_S: Final = 1.0

Db = psycopg.Connection[DictRow]
"""A connection whose rows are mappings."""

Row = DictRow
"""Column -> value."""


class DatabaseAwayError(Exception):
    """PostgreSQL cannot be asked at the moment."""


class Database:
    """Connections to PostgreSQL; statements outside `writing` commit one by one."""

    def __init__(self, settings: DatabaseSettings) -> None:
        """Use that database; nothing is opened yet."""
        self._settings = settings
        self._pool: ConnectionPool[Db] = ConnectionPool(
            connection_class=psycopg.Connection[DictRow],
            kwargs=_parameters(settings),
            min_size=settings.idle_connections,
            max_size=settings.max_connections,
            max_lifetime=settings.lifetime_s,
            timeout=_BORROW_S,
            reconnect_timeout=_BORROW_S,
            check=ConnectionPool.check_connection,
            open=False,
            name="grafana",
        )

    def migrate(self, patience_s: float, tell: Callable[[str], None]) -> int:
        """Bring the tables up to date, one replica at a time, and open the pool.

        Args:
            patience_s: How long a database that is away is waited for, in seconds.
            tell: Told why it cannot be asked, once for each reason.

        Returns:
            How many steps were made.

        Raises:
            DatabaseAwayError: It stayed away, refuses us, or another replica's migration took too long.
        """
        deadline, told = time.monotonic() + patience_s, ""
        while True:
            try:
                steps = self._migrate()
            except (psycopg.OperationalError, psycopg.errors.LockNotAvailable) as error:
                if time.monotonic() > deadline:
                    raise DatabaseAwayError(_reason(error)) from None
                if _reason(error) != told:
                    told = _reason(error)
                    tell(told)
                time.sleep(_AGAIN_S)
            else:
                self._pool.open()
                return steps

    def _migrate(self) -> int:
        with psycopg.connect(**_parameters(self._settings)) as db, db.transaction():
            db.execute(f"SET LOCAL lock_timeout = {self._settings.lock_wait_s * 1000}")
            db.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            db.execute(
                "CREATE TABLE IF NOT EXISTS migration_log "
                "(id integer PRIMARY KEY, name text NOT NULL, made timestamptz NOT NULL DEFAULT now())"
            )
            last = db.execute("SELECT coalesce(max(id), 0) AS last FROM migration_log").fetchone()
            done = int(last["last"]) if last else 0
            for number, (name, statement) in enumerate(MIGRATIONS[done:], done + 1):
                db.execute(statement.encode())
                db.execute("INSERT INTO migration_log (id, name) VALUES (%s, %s)", (number, name))
            return len(MIGRATIONS[done:])

    @contextmanager
    def reading(self, wait_s: float = _BORROW_S) -> Iterator[Db]:
        """A connection whose statements stand for themselves.

        Raises:
            DatabaseAwayError: None came within ``wait_s`` seconds, or it broke.
        """
        try:
            with self._pool.connection(timeout=wait_s) as db:
                yield db
        except (PoolTimeout, psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise DatabaseAwayError(_reason(error)) from None

    @contextmanager
    def writing(self) -> Iterator[Db]:
        """A connection in a transaction: everything or nothing.

        Raises:
            DatabaseAwayError: None came in time, or it broke.
        """
        with self.reading() as db, db.transaction():
            yield db

    def healthy(self) -> bool:
        """Whether PostgreSQL answers now."""
        try:
            with self.reading(_HEALTH_S) as db:
                db.execute("SELECT 1")
        except DatabaseAwayError:
            return False
        return True

    def figures(self) -> dict[str, int]:
        """Connections: ``open``, ``in_use``, ``idle``, ``max_open``, and how many requests waited for one."""
        stats = self._pool.get_stats()
        size, idle = stats.get("pool_size", 0), stats.get("pool_available", 0)
        return {
            "open": size,
            "idle": idle,
            "in_use": max(0, size - idle),
            "max_open": self._settings.max_connections,
            "waited": stats.get("requests_queued", 0),
            "waited_ms": stats.get("requests_wait_ms", 0),
        }

    def close(self) -> None:
        """Give every connection back."""
        self._pool.close(timeout=_HEALTH_S)


def _parameters(settings: DatabaseSettings) -> dict[str, Any]:
    return {
        "host": settings.host,
        "port": settings.port,
        "dbname": settings.name,
        "user": settings.user,
        "password": settings.password,
        "sslmode": "verify-full",
        "sslrootcert": str(settings.ca_file),
        "connect_timeout": _CONNECT_S,
        "application_name": "grafana",
        "options": f"-c statement_timeout={_STATEMENT_MS} -c timezone=UTC",
        "tcp_user_timeout": 10_000,
        "autocommit": True,
        "row_factory": dict_row,
    }


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
