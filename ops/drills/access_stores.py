"""Tries at the search cluster and at PostgreSQL; nothing changes, also where a try is let through."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import psycopg
import requests

from ops.core.errors import OpsError, one_line
from ops.drills.access_tries import Answer, Try
from ops.permissions.model import DatabaseRole, Matrix, SearchUser

SEARCH, DATABASE = "search cluster", "PostgreSQL"
_DOCUMENT: Final = "access-drill"
_TIMEOUT: Final = (5.0, 20.0)
_UNAUTHORIZED, _FORBIDDEN, _SERVER_ERROR = 401, 403, 500
_NO_ADDRESS: Final = (400, 404, 405)

_INDEX: Final[dict[str, tuple[str, str, Any, set[str]]]] = {
    # what is tried: method, path, body, privileges of either engine that allow it
    "read": ("GET", "/{index}/_search?size=0", None, {"read", "indices:data/read/*"}),
    # A sequence number that no document has: a conflict, once the privilege is there.
    "write": (
        "PUT",
        f"/{{index}}/_doc/{_DOCUMENT}?if_seq_no=9007199254740991&if_primary_term=1",
        {},
        {"index", "write", "indices:data/write/index"},
    ),
    "delete from": (
        "DELETE",
        f"/{{index}}/_doc/{_DOCUMENT}",
        None,
        {"delete", "write", "indices:data/write/delete*"},
    ),
    "manage": ("POST", "/{index}/_cache/clear?request=true&query=false", None, {"manage", "indices:admin/*"}),
}
_HEALTH: Final = {"monitor", "cluster:monitor/health", "cluster:monitor/*"}
_CLUSTER: Final[dict[str, tuple[str, str, Any, set[str], Answer]]] = {
    # what is tried: method, path, body, privileges that allow it, what an address means that the engine does not have
    "read the cluster's health": ("GET", "/_cluster/health", None, _HEALTH, Answer.UNCLEAR),
    # Takes back a setting that nobody makes.
    "change the cluster's settings": (
        "PUT",
        "/_cluster/settings",
        {"persistent": {"cluster.routing.allocation.awareness.attributes": None}},
        set[str](),
        Answer.UNCLEAR,
    ),
    "list users (OpenSearch)": ("GET", "/_plugins/_security/api/internalusers", None, set[str](), Answer.REFUSED),
    "list users (Elasticsearch)": ("GET", "/_security/user", None, set[str](), Answer.REFUSED),
}


def families(matrix: Matrix) -> list[str]:
    """Families of indices, from the patterns of all users."""
    patterns = {pattern for user in matrix.search for grant in user.indices for pattern in grant.patterns}
    return sorted(pattern.removesuffix("-0*") for pattern in patterns if pattern.endswith("-0*"))


def may(user: SearchUser, action: str, index: str) -> bool:
    """Whether the roles of a user allow something on an index."""
    wanted = _INDEX[action][3] | {"all"}
    return any(
        wanted & set(grant.privileges) and any(fnmatch.fnmatchcase(index, pattern) for pattern in grant.patterns)
        for grant in user.indices
    )


def search_tries(url: str, ca_file: str, user: SearchUser, password: str, names: Sequence[str]) -> Iterator[Try]:
    """Each action on each family's first index by its own name, and what concerns the cluster.

    Args:
        url: Of the cluster.
        ca_file: Authority of its certificate.
        user: Who tries.
        password: Its password.
        names: Families of indices.
    """
    with requests.Session() as session:
        session.trust_env, session.verify, session.auth = False, ca_file, (user.name, password)
        for family in names:
            index = f"{family}-000001"
            for action, (method, path, body, _) in _INDEX.items():
                answer, said = _ask(session, method, url + path.format(index=index), body)
                yield Try(
                    part=SEARCH,
                    login=user.name,
                    what=f"{action} {index}",
                    allowed=may(user, action, index),
                    answer=answer,
                    said=said,
                )
        for what, (method, path, body, privileges, unknown) in _CLUSTER.items():
            answer, said = _ask(session, method, url + path, body, unknown=unknown)
            yield Try(
                part=SEARCH,
                login=user.name,
                what=what,
                allowed=bool(privileges & set(user.cluster)),
                answer=answer,
                said=said,
            )


def _ask(
    session: requests.Session, method: str, url: str, body: Any, *, unknown: Answer = Answer.LET_IN
) -> tuple[Answer, str]:
    """What became of a request; ``unknown`` stands for an address or an object that is not there."""
    try:
        response = session.request(
            method,
            url,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            timeout=_TIMEOUT,
        )
    except requests.RequestException as error:
        return Answer.UNCLEAR, one_line(f"{type(error).__name__}: {error}")
    status = response.status_code
    if status == _FORBIDDEN:
        return Answer.REFUSED, ""
    if status == _UNAUTHORIZED or status >= _SERVER_ERROR:
        return Answer.UNCLEAR, f"HTTP {status}"
    return (unknown if status in _NO_ADDRESS else Answer.LET_IN), ""


_OWNER_ONLY: Final = "CREATE TABLE public.access_drill (number integer)"
_NOBODY: Final = {
    "read password hashes": "SELECT count(*) FROM pg_authid",
    "create a role": "CREATE ROLE access_drill",
    "read a file of the server": "SELECT pg_read_file('/etc/passwd')",
    "run a program on the server": "COPY (SELECT 1) TO PROGRAM 'true'",
    "become the superuser": "SET ROLE postgres",
}
_LOCAL: Final = ("all", "127.0.0.1/32", "::1/128")
"""Addresses of `pg_hba.conf` that a connection through the API server comes from: it begins in the pod itself."""
_MAINTENANCE: Final = ("postgres", "template1")


def databases(matrix: Matrix) -> list[str]:
    """Every database: those of owners, and those of who looks after the server."""
    return sorted({base for role in matrix.database for base in role.owns} | set(_MAINTENANCE))


Connect = Callable[[str, str, str], psycopg.Connection[Any]]
"""Database, user, password -> a connection that does not commit by itself."""


def takes_writes(connect: Connect, base: str, user: str, password: str) -> bool:
    """Whether a server is no standby.

    Raises:
        OpsError: It does not let its database's owner in.
    """
    try:
        with connect(base, user, password) as connection:
            row = connection.execute("SELECT NOT pg_is_in_recovery()").fetchone()
    except psycopg.Error as error:
        raise OpsError(f"{user} cannot use {base}: {one_line(error)}") from None
    return bool(row and row[0])


def database_tries(connect: Connect, role: DatabaseRole, password: str, bases: Sequence[str]) -> Iterator[Try]:
    """Each database with one role, and in those that it may use what only others may do, all of it rolled back.

    Args:
        connect: Connects with the server that takes writes.
        role: Who tries.
        password: Its password.
        bases: Every database.
    """
    inside = {base for base, address in role.connects if address in _LOCAL}
    for base in bases:
        allowed = base in inside
        try:
            connection = connect(base, role.name, password)
        except psycopg.OperationalError as error:
            answer, said = _refused(error)
            yield _tried(role, f"connect to {base}", allowed, answer, said)
            continue
        with connection:
            yield _tried(role, f"connect to {base}", allowed, Answer.LET_IN)
            yield _tried(role, f"create a table in {base}", base in role.owns, *_run(connection, _OWNER_ONLY))
            for what, statement in _NOBODY.items():
                yield _tried(role, f"{what} ({base})", False, *_run(connection, statement))


def _tried(role: DatabaseRole, what: str, allowed: bool, answer: Answer, said: str = "") -> Try:
    return Try(part=DATABASE, login=role.name, what=what, allowed=allowed, answer=answer, said=said)


def _refused(error: psycopg.OperationalError) -> tuple[Answer, str]:
    """A server that knows the role says that no line of ``pg_hba.conf`` fits, or that the role may not connect."""
    text = str(error)
    if any(mark in text for mark in ("no pg_hba.conf entry", "pg_hba.conf rejects", "permission denied for database")):
        return Answer.REFUSED, ""
    return Answer.UNCLEAR, one_line(text)


def _run(connection: psycopg.Connection[Any], statement: str) -> tuple[Answer, str]:
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(statement.encode())
    except psycopg.errors.InsufficientPrivilege:
        return Answer.REFUSED, ""
    except psycopg.Error as error:
        return Answer.UNCLEAR, one_line(f"{type(error).__name__}: {error}")
    return Answer.LET_IN, ""
