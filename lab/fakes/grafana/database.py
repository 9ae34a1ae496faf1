"""PostgreSQL: a small pool of verified connections that finds back by itself, and the tables as steps that are made
once and in order; a step that was released is never changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from lab.fakes.grafana.settings import DatabaseSettings

MIGRATIONS: Final[tuple[tuple[str, str], ...]] = (
    (
        "users and sessions",
        """
        CREATE TABLE users (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            uid text NOT NULL UNIQUE,
            login text NOT NULL,
            email text NOT NULL DEFAULT '',
            name text NOT NULL DEFAULT '',
            role text NOT NULL CHECK (role IN ('Viewer', 'Editor', 'Admin')),
            server_admin boolean NOT NULL DEFAULT false,
            disabled boolean NOT NULL DEFAULT false,
            source text NOT NULL CHECK (source IN ('local', 'ldap')),
            password_hash text NOT NULL DEFAULT '',
            created timestamptz NOT NULL DEFAULT now(),
            updated timestamptz NOT NULL DEFAULT now(),
            seen timestamptz
        );
        CREATE UNIQUE INDEX users_login ON users (lower(login));
        CREATE TABLE sessions (
            token_hash bytea PRIMARY KEY,
            person_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
            created timestamptz NOT NULL DEFAULT now(),
            seen timestamptz NOT NULL DEFAULT now(),
            client_ip text NOT NULL
        );
        CREATE INDEX sessions_person ON sessions (person_id);
        CREATE TABLE login_attempts (
            login text NOT NULL,
            made timestamptz NOT NULL DEFAULT now(),
            client_ip text NOT NULL
        );
        CREATE INDEX login_attempts_login ON login_attempts (login, made);
        """,
    ),
    (
        "teams and preferences",
        """
        CREATE TABLE teams (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            uid text NOT NULL UNIQUE,
            name text NOT NULL UNIQUE,
            email text NOT NULL DEFAULT '',
            created timestamptz NOT NULL DEFAULT now(),
            updated timestamptz NOT NULL DEFAULT now()
        );
        CREATE TABLE team_members (
            team_id bigint NOT NULL REFERENCES teams ON DELETE CASCADE,
            person_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
            level integer NOT NULL DEFAULT 0,
            PRIMARY KEY (team_id, person_id)
        );
        CREATE TABLE preferences (scope text PRIMARY KEY, content jsonb NOT NULL);
        CREATE TABLE organization (id integer PRIMARY KEY CHECK (id = 1), name text NOT NULL);
        INSERT INTO organization VALUES (1, 'Main Org.');
        """,
    ),
    (
        "folders and dashboards",
        """
        CREATE TABLE folders (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            uid text NOT NULL UNIQUE,
            title text NOT NULL,
            description text NOT NULL DEFAULT '',
            parent_uid text REFERENCES folders (uid) ON DELETE CASCADE,
            version integer NOT NULL DEFAULT 1,
            created timestamptz NOT NULL DEFAULT now(),
            created_by text NOT NULL,
            updated timestamptz NOT NULL DEFAULT now(),
            updated_by text NOT NULL
        );
        CREATE UNIQUE INDEX folders_title ON folders (coalesce(parent_uid, ''), title);
        CREATE TABLE dashboards (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            uid text NOT NULL UNIQUE,
            title text NOT NULL,
            folder_uid text REFERENCES folders (uid) ON DELETE CASCADE,
            content json NOT NULL,
            tags text[] NOT NULL DEFAULT '{}',
            version integer NOT NULL DEFAULT 1,
            created timestamptz NOT NULL DEFAULT now(),
            created_by text NOT NULL,
            updated timestamptz NOT NULL DEFAULT now(),
            updated_by text NOT NULL
        );
        CREATE INDEX dashboards_folder ON dashboards (folder_uid);
        CREATE TABLE dashboard_versions (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            dashboard_id bigint NOT NULL REFERENCES dashboards ON DELETE CASCADE,
            version integer NOT NULL,
            parent_version integer NOT NULL,
            restored_from integer NOT NULL DEFAULT 0,
            created timestamptz NOT NULL DEFAULT now(),
            created_by text NOT NULL,
            message text NOT NULL DEFAULT '',
            content json NOT NULL,
            UNIQUE (dashboard_id, version)
        );
        CREATE TABLE permissions (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            folder_uid text REFERENCES folders (uid) ON DELETE CASCADE,
            dashboard_uid text REFERENCES dashboards (uid) ON DELETE CASCADE,
            role text CHECK (role IN ('Viewer', 'Editor')),
            team_id bigint REFERENCES teams ON DELETE CASCADE,
            person_id bigint REFERENCES users ON DELETE CASCADE,
            level integer NOT NULL CHECK (level IN (1, 2, 4)),
            CHECK (num_nonnulls(folder_uid, dashboard_uid) = 1),
            CHECK (num_nonnulls(role, team_id, person_id) = 1)
        );
        CREATE UNIQUE INDEX permissions_once ON permissions (
            coalesce(folder_uid, ''), coalesce(dashboard_uid, ''),
            coalesce(role, ''), coalesce(team_id, 0), coalesce(person_id, 0)
        );
        """,
    ),
)
"""Name and statements of every step."""

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
