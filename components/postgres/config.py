"""Configuration of PostgreSQL (requirement G1), as data: settings, logins, and how members reach each other; roles and
databases, with which the start script makes the server agree (``access.sql``).

Every member has the same files. Which of them takes writes is no setting: it is what its data says
(docs/adr/0022-postgresql-primary.md).

The server is told no password: it gets what PostgreSQL itself would store (RFC 5803), with which nobody can log in.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.k8s import TLS_MOUNT

WORKLOAD = "postgres"
PORT = 5432
CONFIG_DIRECTORY = "/etc/postgres"
SECRETS_DIRECTORY = "/etc/postgres-secrets"
VOLUME_DIRECTORY = "/var/lib/postgresql/data"
"""The official image declares a volume there: over a claim that is mounted above, the runtime lays an empty folder."""
DATA_DIRECTORY = f"{VOLUME_DIRECTORY}/data"
"""A folder in it, since the root of a volume is not the server's own (``lost+found``, group and mode)."""
SOCKET_DIRECTORY = "/var/run/postgresql"
CLUSTER_DIRECTORY = "/etc/postgres-cluster"
"""Holds a file from the moment on at which a cluster exists: then an empty volume never begins another one."""
PASSWORD_FILE = f"{SOCKET_DIRECTORY}/replication.pgpass"
"""Copy of the replication user's password: clients of PostgreSQL refuse a file that a group may read."""
SUPERUSER = "postgres"
REPLICATION = "replication"
METRICS = "metrics"
MAINTENANCE = "postgres"
"""Database of those who look after the server: followers, and the exporter."""

RESERVED_CONNECTIONS = 10
"""Connections that no owner of a database can take: for the superuser, followers and the exporter."""
FEWEST_CONNECTIONS = 2 * RESERVED_CONNECTIONS
SYNCHRONOUS_FROM = 2
"""With so many standbys a commit waits for one of them: one may be lost and nothing stands still."""

_SIZE = re.compile(r"[1-9]\d*(kB|MB|GB)")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_MEGABYTE = 2**20
_LEAST_WAL = 64 * _MEGABYTE
_WAL_SHARE = 8
_OWN = (SUPERUSER, REPLICATION, METRICS)
_OWN_DATABASES = (MAINTENANCE, "template0", "template1")

LOG_LINE_PREFIX = "%m [%p] %c %s %e client=%h user=%u db=%d "
"""What the audit log reads (`services.audit.stores`). Clients choose the names of user and database, up to 63 bytes,
which are written as they are: what stands before them is longer, so that no name can be a line of its own. The name of
the program, which may be a sentence, is not in it."""

Setting = str | int | bool


@dataclass(frozen=True, kw_only=True)
class PostgresDatabase:
    """A database and the one user that owns it.

    Attributes:
        name: Name of the database.
        owner: Its owner; nobody else may connect to it.
    """

    name: str
    owner: str

    def __post_init__(self) -> None:
        for what, text, taken in (("name", self.name, _OWN_DATABASES), ("owner", self.owner, _OWN)):
            if not _NAME.fullmatch(text) or text in taken:
                raise ValueError(
                    f"database {what} is {text!r}: small letters, digits and _, a letter first, "
                    f"and none of {', '.join(taken)}"
                )


@dataclass(frozen=True, kw_only=True)
class Member:
    """One server of the set.

    Attributes:
        name: Name of its pod; it follows under this name.
        host: Name to connect to and to verify in its certificate.
        port: Port number.
    """

    name: str
    host: str
    port: int = PORT


@dataclass(frozen=True, kw_only=True)
class PostgresConfig:
    """What the configuration depends on.

    Attributes:
        members: Every server; the first one makes the cluster when there is none.
        databases: Databases with their owners.
        shared_buffers: Memory for pages, as PostgreSQL writes sizes, for example ``128MB``.
        max_connections: Connections of a server.
        volume_bytes: Size of a member's volume.
    """

    members: Sequence[Member]
    databases: Sequence[PostgresDatabase]
    shared_buffers: str
    max_connections: int
    volume_bytes: int

    def __post_init__(self) -> None:
        if not _SIZE.fullmatch(self.shared_buffers):
            raise ValueError(
                f"database.shared_buffers is {self.shared_buffers!r}: a whole number with kB, MB or GB, such as 128MB"
            )
        if self.max_connections < FEWEST_CONNECTIONS:
            raise ValueError(
                f"database.max_connections is {self.max_connections}: at least {FEWEST_CONNECTIONS}, "
                f"of which {RESERVED_CONNECTIONS} are kept for the platform itself"
            )
        for what, names in (
            ("database", [database.name for database in self.databases]),
            ("owner", [database.owner for database in self.databases]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"databases: {what} {twice[0]} occurs twice: each database has an owner of its own")

    @property
    def standbys(self) -> int:
        """Members that follow."""
        return len(self.members) - 1


def server_settings(settings: PostgresConfig) -> dict[str, Setting]:
    """Content of ``postgresql.conf``; addresses and the member's name come from the command line."""
    wal = max(_LEAST_WAL, settings.volume_bytes // _WAL_SHARE) // _MEGABYTE
    return {
        "hba_file": f"{CONFIG_DIRECTORY}/pg_hba.conf",
        "ident_file": f"{CONFIG_DIRECTORY}/pg_ident.conf",
        "unix_socket_directories": SOCKET_DIRECTORY,
        "max_connections": settings.max_connections,
        "superuser_reserved_connections": 3,
        "authentication_timeout": "15s",
        "password_encryption": "scram-sha-256",
        "ssl": True,
        "ssl_cert_file": f"{TLS_MOUNT}/tls.crt",
        "ssl_key_file": f"{TLS_MOUNT}/tls.key",
        "ssl_min_protocol_version": "TLSv1.2",
        "tcp_keepalives_idle": 60,
        "tcp_keepalives_interval": 10,
        "tcp_keepalives_count": 3,
        "client_connection_check_interval": "10s",
        "shared_buffers": settings.shared_buffers,
        "huge_pages": "off",
        "jit": False,
        "fsync": True,
        "full_page_writes": True,
        "synchronous_commit": True,
        "synchronous_standby_names": _synchronous(settings),
        "wal_level": "replica",
        "wal_keep_size": f"{wal}MB",
        "max_wal_size": f"{wal}MB",
        "min_wal_size": "32MB",
        "max_wal_senders": 2 * settings.standbys + 4,
        "wal_sender_timeout": "30s",
        "wal_receiver_timeout": "30s",
        "wal_retrieve_retry_interval": "2s",
        "hot_standby": True,
        "primary_conninfo": leader(settings.members),
        "idle_in_transaction_session_timeout": "10min",
        "log_destination": "stderr",
        "logging_collector": False,
        "log_timezone": "UTC",
        "log_line_prefix": LOG_LINE_PREFIX,
        "log_connections": True,
        "log_disconnections": True,
        "log_checkpoints": True,
        "log_lock_waits": True,
        # Statements hold what people typed; of them the audit log needs those that change roles and rights.
        "log_statement": "ddl",
        "log_min_duration_statement": -1,
        "log_min_error_statement": "panic",
        "log_parameter_max_length": 0,
        "timezone": "UTC",
        # For the exporter, which shows them beside what is really there.
        "obs.standbys": settings.standbys,
        "obs.volume_bytes": settings.volume_bytes,
    }


def _synchronous(settings: PostgresConfig) -> str:
    if settings.standbys < SYNCHRONOUS_FROM:
        return ""
    return "ANY 1 ({})".format(", ".join(f'"{member.name}"' for member in settings.members))


def leader(members: Sequence[Member]) -> str:
    """Connection to whichever member takes writes."""
    return connection(members) + " target_session_attrs=primary"


def connection(members: Sequence[Member]) -> str:
    """Connection of a follower: verified TLS, and a login that nobody between the two can pass on."""
    words = {
        "host": ",".join(member.host for member in members),
        "port": ",".join(str(member.port) for member in members),
        "user": REPLICATION,
        "dbname": MAINTENANCE,
        "passfile": PASSWORD_FILE,
        "sslmode": "verify-full",
        "sslrootcert": f"{TLS_MOUNT}/ca.crt",
        "ssl_min_protocol_version": "TLSv1.2",
        "channel_binding": "require",
        "connect_timeout": "5",
    }
    return " ".join(f"{key}={value}" for key, value in words.items())


def access_lines(databases: Sequence[PostgresDatabase]) -> list[tuple[str, ...]]:
    """Lines of ``pg_hba.conf``, the first that fits decides; whom none fits is refused."""
    method = "scram-sha-256"
    return [
        ("local", "all", SUPERUSER, "peer"),
        ("hostssl", "all", SUPERUSER, "all", "reject"),
        ("hostssl", "replication", REPLICATION, "all", method),
        ("hostssl", MAINTENANCE, REPLICATION, "all", method),
        ("hostssl", MAINTENANCE, METRICS, "127.0.0.1/32", method),
        ("hostssl", MAINTENANCE, METRICS, "::1/128", method),
        *(("hostssl", database.name, database.owner, "all", method) for database in databases),
    ]


def rendered_settings(settings: Mapping[str, Setting]) -> str:
    """``postgresql.conf``."""
    return "".join(f"{name} = {_quoted(value)}\n" for name, value in settings.items())


def _quoted(value: Setting) -> str:
    text = ("on" if value else "off") if isinstance(value, bool) else str(value)
    return "'" + text.replace("'", "''") + "'"


def rendered_lines(lines: Sequence[tuple[str, ...]]) -> str:
    """``pg_hba.conf``."""
    return "".join(" ".join(line) + "\n" for line in lines)


def rendered_members(members: Sequence[Member]) -> str:
    """Name and connection of each member, one on a line, for the scripts."""
    return "".join(f"{member.name} {connection([member])}\n" for member in members)


_ROUNDS = 4096
_SALT_BYTES = 16


def scram_verifier(user: str, password: str) -> str:
    """What PostgreSQL stores of a password.

    The salt follows from the password, so that nothing changes from one deployment to the next; passwords are 32 random
    characters, which no salt gives away.

    Args:
        user: Login name.
        password: Letters and digits (else it would have to be normalised first).

    Raises:
        ValueError: The password has other characters.
    """
    if not (password.isascii() and password.isalnum()):
        raise ValueError(f"the password of the database user {user} must be letters and digits")
    salt = hmac.digest(password.encode(), f"postgres {user}".encode(), "sha256")[:_SALT_BYTES]
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ROUNDS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    first, second, third = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${_ROUNDS}:{first}${second}:{third}"


def access_data(
    databases: Sequence[PostgresDatabase], passwords: Mapping[str, str], max_connections: int
) -> dict[str, Any]:
    """Every role that may log in, and every database.

    Args:
        databases: Databases with their owners.
        passwords: User -> password, of every owner, ``replication`` and ``metrics``.
        max_connections: Connections of a server; an owner gets some less.
    """

    def login(name: str, connections: int, *, replication: bool = False) -> dict[str, Any]:
        return {
            "name": name,
            "verifier": scram_verifier(name, passwords[name]),
            "replication": replication,
            "connections": connections,
        }

    return {
        "roles": [
            login(REPLICATION, RESERVED_CONNECTIONS, replication=True),
            login(METRICS, RESERVED_CONNECTIONS // 2),
            *(login(database.owner, max_connections - RESERVED_CONNECTIONS) for database in databases),
        ],
        "databases": [{"name": database.name, "owner": database.owner} for database in databases],
    }


def rendered_access(data: Mapping[str, Any]) -> str:
    """``access.json``, on one line as ``access.sql`` reads it."""
    return json.dumps(data, sort_keys=True)
