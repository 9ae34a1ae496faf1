"""Roles and databases as data; the start script makes the server agree with it (``access.sql``).

The server is told no password: it gets what PostgreSQL itself would store (RFC 5803), with which nobody can log in.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any

from components.postgres.config import METRICS, REPLICATION, RESERVED_CONNECTIONS, PostgresDatabase

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
