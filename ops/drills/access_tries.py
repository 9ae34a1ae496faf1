"""Tries to do something with a login, and what became of all of them: at HTTP servers, at the Kubernetes API, at the
search cluster and at PostgreSQL. Nothing changes, also where a try is let through.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import psycopg
import requests

from ops.core.errors import OpsError, one_line
from ops.drills.tools.accounts import unmet
from ops.permissions.model import ANY, DatabaseRole, HttpServer, Matrix, Passwords, SearchUser, ServiceAccount

SHOWN: Final = 10
"""Tries of a kind that are named in the figures."""


class Answer(StrEnum):
    """What a server did with a try."""

    REFUSED = "refused"
    LET_IN = "let in"
    UNCLEAR = "unclear"


@dataclass(frozen=True, kw_only=True)
class Try:
    """One try.

    Attributes:
        part: Where, for example ``Kafka``.
        login: Who.
        what: What was tried.
        allowed: Whether the matrix allows it.
        answer: What the server did.
        said: Its words, where the answer is unclear.
    """

    part: str
    login: str
    what: str
    allowed: bool
    answer: Answer
    said: str = ""

    def __str__(self) -> str:
        said = f" ({self.said})" if self.said else ""
        return f"{self.part}: {self.login}: {self.what}: {self.answer}{said}"


def account(tries: Iterable[Try], figures: dict[str, Any], logins: Mapping[str, Iterable[str]]) -> list[str]:
    """Note what became of tries; a problem for each kind of wrong answer, and for each login without a control.

    A login none of whose allowed tries was let in may be broken: then everything outside is refused, and shows nothing.

    Args:
        tries: All of them.
        figures: Filled in.
        logins: Part -> logins that the matrix allows something there.
    """
    every = list(tries)
    outside = [attempt for attempt in every if not attempt.allowed]
    inside = [attempt for attempt in every if attempt.allowed]
    through = [attempt for attempt in outside if attempt.answer is Answer.LET_IN]
    refused = [attempt for attempt in inside if attempt.answer is Answer.REFUSED]
    unclear = [attempt for attempt in every if attempt.answer is Answer.UNCLEAR]
    proven = {(attempt.part, attempt.login) for attempt in inside if attempt.answer is Answer.LET_IN}
    unproven = sorted(
        f"{part}: {login}" for part, names in logins.items() for login in names if (part, login) not in proven
    )
    figures["tries outside"], figures["let through"] = len(outside), len(through)
    figures["tries inside"], figures["inside refused"] = len(inside), len(refused)
    figures["unclear answers"], figures["logins without a control"] = len(unclear), len(unproven)
    figures["logins"] = sum(len(set(names)) for names in logins.values())
    figures["tries outside by part"] = {
        part: sum(attempt.part == part for attempt in outside) for part in sorted({attempt.part for attempt in every})
    }
    for name, some in (
        ("let through, which", through),
        ("inside refused, which", refused),
        ("unclear, which", unclear),
    ):
        if some:
            figures[name] = list(map(str, some[:SHOWN]))
    if unproven:
        figures["without a control, which"] = unproven[:SHOWN]
    return unmet(
        (bool(outside), "nothing outside of the matrix was tried"),
        (not through, f"{len(through)} tries outside of the matrix were let through: {_some(through)}"),
        (not refused, f"{len(refused)} tries inside of the matrix were refused: {_some(refused)}"),
        (not unclear, f"{len(unclear)} tries were answered neither way: {_some(unclear)}"),
        (not unproven, f"nothing that is allowed was tried with {', '.join(unproven[:SHOWN])}"),
    )


def _some(tries: list[Try]) -> str:
    return "; ".join(map(str, tries[:3]))


HTTP: Final = "HTTP"
TIMEOUT: Final = (5.0, 20.0)
"""Seconds to connect, and to wait for an answer."""
_REFUSED: Final = (401, 403)
_EMPTY: Final = b"{}"


@dataclass(frozen=True, kw_only=True)
class Login:
    """A user with its password, and the servers that know both; the password never shows."""

    user: str
    password: str
    servers: frozenset[str]

    @property
    def name(self) -> str:
        """The user, and one of its servers: several servers have a user ``reader``, each with its own password."""
        return f"{self.user} of {min(self.servers)}"

    def __repr__(self) -> str:
        return f"Login({self.name})"


def logins(servers: Sequence[HttpServer], passwords: Passwords) -> tuple[list[Login], list[str]]:
    """Every login once, and users whose password is not known, as ``user of server``."""
    places: dict[tuple[str, str], set[str]] = {}
    unknown: list[str] = []
    for server in servers:
        for user in server.users:
            password = passwords.of(user.name, user.verifier)
            if password is None:
                unknown.append(f"{user.name} of {server.label}")
            else:
                places.setdefault((user.name, password), set()).add(server.label)
    unique = [
        Login(user=user, password=password, servers=frozenset(labels))
        for (user, password), labels in sorted(places.items())
    ]
    return unique, unknown


def http_tries(
    server: HttpServer, url: str, ca_file: str, known: Sequence[Login], control: bool = True
) -> Iterator[Try]:
    """Every login at one server.

    Args:
        server: Which one.
        url: Its base address, without a path.
        ca_file: Authority of its certificate.
        known: Every login.
        control: Whether its own users are let in wherever this server asks for them; the search cluster is tried by
            a part of its own.
    """
    with requests.Session() as session:
        session.trust_env, session.verify = False, ca_file
        # `auth` None would let the session look for a login elsewhere.
        nobody = Login(user="", password="", servers=frozenset({"nobody"}))
        yield _try(session, server, url, nobody, "nobody")
        for login in known:
            inside = server.label in login.servers
            if not inside or control:
                yield _try(session, server, url, login, login.name)
            if inside:
                wrong = Login(user=login.user, password=f"{login.password}x", servers=frozenset({"nobody"}))
                yield _try(session, server, url, wrong, f"{login.name}, wrong password")


def _try(session: requests.Session, server: HttpServer, url: str, login: Login, name: str) -> Try:
    answer, said = Answer.UNCLEAR, ""
    try:
        with session.request(
            server.method,
            url + server.path,
            auth=(login.user, login.password) if login.user else None,
            data=_EMPTY if server.method == "POST" else None,
            headers={"Content-Type": "application/json"},
            timeout=TIMEOUT,
            allow_redirects=False,
            stream=True,
        ) as response:
            status = response.status_code
        if status in _REFUSED:
            answer = Answer.REFUSED
        elif status < _SERVER_ERROR:
            answer = Answer.LET_IN
        else:
            said = f"HTTP {status}"
    except requests.RequestException as error:
        said = one_line(f"{type(error).__name__}: {error}")
    return Try(
        part=HTTP,
        login=name,
        what=f"{server.method} {server.label}",
        allowed=server.label in login.servers,
        answer=answer,
        said=said,
    )


KUBERNETES: Final = "Kubernetes API"
VERBS: Final = ("get", "list", "create", "delete")
RESOURCES: Final = (
    ("", "secrets"),
    ("", "configmaps"),
    ("", "pods"),
    ("", "pods/exec"),
    ("", "pods/log"),
    ("", "serviceaccounts/token"),
    ("", "nodes"),
    ("", "namespaces"),
    ("apps", "deployments"),
    ("apps", "statefulsets"),
    ("batch", "jobs"),
    ("rbac.authorization.k8s.io", "rolebindings"),
    ("rbac.authorization.k8s.io", "clusterrolebindings"),
    ("networking.k8s.io", "networkpolicies"),
    ("cert-manager.io", "certificates"),
)
"""API group and resource of what could do harm; all of them are tried with each verb, in the platform's namespace."""

CLUSTER_WIDE: Final = frozenset({"nodes", "namespaces", "clusterrolebindings"})
"""Resources that belong to no namespace."""

Reviewer = Callable[[str, str, str, str], bool]
"""ServiceAccount, verb, API group, resource -> whether the API server would allow it."""


def allowed(account: ServiceAccount, verb: str, group: str, resource: str) -> bool:
    """Whether the roles of a ServiceAccount allow it something; a rule about some names allows it for these only."""
    return any(
        {verb, ANY} & set(rule.verbs)
        and {group, ANY} & set(rule.groups)
        and {resource, ANY} & set(rule.resources)
        and not rule.names
        for rule in account.rules
    )


def kubernetes_tries(account: ServiceAccount, review: Reviewer) -> Iterator[Try]:
    """Everything that could do harm, and what the account's own rules allow."""
    own = {
        (group, resource, verb)
        for rule in account.rules
        if not rule.names
        for group in rule.groups
        for resource in rule.resources
        for verb in rule.verbs
        if ANY not in (group, resource, verb)
    }
    common = {(group, resource, verb) for group, resource in RESOURCES for verb in VERBS}
    for group, resource, verb in sorted(common | own):
        yield Try(
            part=KUBERNETES,
            login=account.name,
            what=f"{verb} {resource}{f'.{group}' if group else ''}",
            allowed=allowed(account, verb, group, resource),
            answer=Answer.LET_IN if review(account.name, verb, group, resource) else Answer.REFUSED,
        )


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
