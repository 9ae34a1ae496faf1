"""The access matrix: who may do what, what is not listed is refused; and the state that it is read from: what a stack
is deployed with, and its passwords, as ``pulumi stack export`` writes it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from components.collector.pods import htpasswd
from ops.core.errors import OpsError, one_line
from ops.core.platform import PROJECT, run_pulumi
from policy.analyze import PolicyInputError, opened, resources
from policy.model import Resource

IMPLIED: dict[str, tuple[str, ...]] = {
    "Read": ("Describe",),
    "Write": ("Describe",),
    "Delete": ("Describe",),
    "Alter": ("Describe",),
    "AlterConfigs": ("DescribeConfigs",),
}
"""Operation of Kafka -> operations that it brings with it."""
ANY = "*"


@dataclass(frozen=True, kw_only=True, order=True)
class KafkaGrant:
    """One permission of a user of Kafka.

    Attributes:
        user: Name without ``User:``.
        operation: For example ``Read``.
        kind: ``Topic``, ``Group``, ``Cluster``, ``TransactionalId``.
        resource: Its name; ``*`` for every one.
        prefixed: Whether the name is only the beginning.
        denied: Whether it is forbidden, whatever else is granted.
    """

    user: str
    operation: str
    kind: str
    resource: str
    prefixed: bool = False
    denied: bool = False

    def covers(self, operation: str, kind: str, resource: str) -> bool:
        """Whether it speaks about an operation on a resource."""
        named = resource.startswith(self.resource) if self.prefixed else self.resource in (ANY, resource)
        included = (self.operation, *(() if self.denied else IMPLIED.get(self.operation, ())))
        return self.kind == kind and named and (operation in included or self.operation == "All")


@dataclass(frozen=True, kw_only=True, order=True)
class KubernetesRule:
    """What a role lets its holder do; ``namespace`` is empty for the whole cluster."""

    verbs: tuple[str, ...]
    resources: tuple[str, ...]
    groups: tuple[str, ...] = ("",)
    names: tuple[str, ...] = ()
    namespace: str = ""


@dataclass(frozen=True, kw_only=True)
class ServiceAccount:
    """An identity of pods at the Kubernetes API.

    Attributes:
        name: Its name.
        mounted_by: Workloads whose pods get its token.
        rules: What it may do.
    """

    name: str
    mounted_by: tuple[str, ...] = ()
    rules: tuple[KubernetesRule, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DatabaseRole:
    """A role of PostgreSQL that may log in.

    Attributes:
        name: Its name.
        verifier: What the server stores in place of a password (RFC 5803).
        replication: Whether it may follow the server's log.
        owns: Databases that it owns.
        connects: Databases that it may connect to, with the addresses from which (``all``: any).
        granted: Further grants, as in SQL.
    """

    name: str
    verifier: str
    replication: bool = False
    owns: tuple[str, ...] = ()
    connects: tuple[tuple[str, str], ...] = ()
    granted: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SearchGrant:
    """Privileges on indices and aliases whose names match patterns."""

    patterns: tuple[str, ...]
    privileges: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SearchUser:
    """A user of the search cluster; ``verifier`` is the bcrypt hash of its password."""

    name: str
    verifier: str
    cluster: tuple[str, ...] = ()
    indices: tuple[SearchGrant, ...] = ()


@dataclass(frozen=True, kw_only=True)
class HttpUser:
    """A user that an HTTP server lets in.

    Attributes:
        name: User name.
        verifier: bcrypt hash, ``sha256:<salt>:<hash>``, or ``plain:<password>``.
    """

    name: str
    verifier: str


@dataclass(frozen=True, kw_only=True)
class HttpServer:
    """A server, or a part of one, with users of its own.

    Attributes:
        workload: Whose pods serve it.
        port: Where.
        path: What of it; ``/`` for all that has no users of its own.
        users: Who is let in.
        method: What a client asks with.
        grpc: Whether it is reached over gRPC only.
    """

    workload: str
    port: int
    path: str
    users: tuple[HttpUser, ...]
    method: str = "GET"
    grpc: bool = False

    @property
    def label(self) -> str:
        """``workload:port/path``."""
        return f"{self.workload}:{self.port}{self.path}"


@dataclass(frozen=True, kw_only=True, order=True)
class Edge:
    """Traffic that NetworkPolicies let in: from one end, to a workload, at a port (0: every port)."""

    to: str
    port: int
    source: str


@dataclass(frozen=True, kw_only=True, order=True)
class Outgoing:
    """Traffic that NetworkPolicies let out of the cluster: to a network, at a port (0: every port)."""

    workload: str
    network: str
    port: int


@dataclass(frozen=True, kw_only=True)
class StorageAccess:
    """A program with a key of an object storage.

    Attributes:
        workload: The program.
        bucket: The bucket.
        prefix: What its keys begin with; empty for the whole bucket.
        key: Number of the access key among those of the bucket, from 1.
    """

    workload: str
    bucket: str
    prefix: str
    key: int


@dataclass(frozen=True, kw_only=True)
class GatewayLogin:
    """A user of the gateway: layers that it may speak for, and the signals of each."""

    user: str
    layers: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """Everything together."""

    kafka: tuple[KafkaGrant, ...]
    kafka_users: tuple[str, ...]
    kafka_super_users: tuple[str, ...]
    accounts: tuple[ServiceAccount, ...]
    database: tuple[DatabaseRole, ...]
    search: tuple[SearchUser, ...]
    http: tuple[HttpServer, ...]
    edges: tuple[Edge, ...]
    outgoing: tuple[Outgoing, ...]
    storage: tuple[StorageAccess, ...]
    gateway: tuple[GatewayLogin, ...]

    def kafka_allows(self, user: str, operation: str, kind: str, resource: str) -> bool:
        """Whether a user of Kafka may do something."""
        return allows((grant for grant in self.kafka if grant.user == user), operation, kind, resource)


def allows(grants: Iterable[KafkaGrant], operation: str, kind: str, resource: str) -> bool:
    """Whether grants of one user allow something: one allows it, and none forbids it."""
    about = [grant for grant in grants if grant.covers(operation, kind, resource)]
    return bool(about) and not any(grant.denied for grant in about)


_SCRAM = "SCRAM-SHA-256$"


class Passwords:
    """Passwords of a platform, found by what servers keep of them.

    Args:
        hashes: bcrypt hash -> its password, as far as known.
        others: Further passwords.
    """

    def __init__(self, hashes: Mapping[str, str], others: Iterable[str] = ()) -> None:
        self._hashes = dict(hashes)
        self._all = tuple(dict.fromkeys([*self._hashes.values(), *others]))
        self._htpasswd: dict[tuple[str, str], str] = {}

    def __len__(self) -> int:
        return len(self._all)

    def of(self, user: str, verifier: str) -> str | None:
        """The password of a user; None where no known one fits.

        Args:
            user: Its name.
            verifier: bcrypt hash (ours, or the same with Elasticsearch's older prefix), ``sha256:<salt>:<hash>``,
                ``plain:<password>``, or a SCRAM verifier of PostgreSQL.
        """
        if verifier.startswith("plain:"):
            return verifier.removeprefix("plain:")
        if verifier.startswith("sha256:"):
            _, salt, wanted = verifier.split(":")
            return self._first(lambda password: hashlib.sha256(f"{salt}:{password}".encode()).hexdigest() == wanted)
        if verifier.startswith(_SCRAM):
            return self._first(lambda password: fits_scram(verifier, password))
        hashed = "$2b$" + verifier.removeprefix("$2a$") if verifier.startswith("$2a$") else verifier
        return self._hashes.get(hashed) or self._first(lambda password: self._in_htpasswd(user, password) == hashed)

    def _first(self, fits: Callable[[str], bool]) -> str | None:
        return next((password for password in self._all if fits(password)), None)

    def _in_htpasswd(self, user: str, password: str) -> str:
        """The hash in the files that collectors read: its salt follows from user and password."""
        login = user, password
        if login not in self._htpasswd:
            self._htpasswd[login] = htpasswd({user: password}).rstrip("\n").partition(":")[2]
        return self._htpasswd[login]


def fits_scram(verifier: str, password: str) -> bool:
    """Whether a password is the one of a SCRAM verifier of PostgreSQL (RFC 5803)."""
    parameters, keys = verifier.removeprefix(_SCRAM).split("$")
    iterations, salt = parameters.split(":")
    stored = base64.b64decode(keys.split(":")[0])
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(iterations))
    client = hmac.digest(salted, b"Client Key", "sha256")
    return hmac.compare_digest(hashlib.sha256(client).digest(), stored)


PASSWORD: Final = "random:index/randomPassword:RandomPassword"  # noqa: S105  (a type token)
_LIMIT_S: Final = 120.0


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """A deployed stack; its resources hold secrets.

    Attributes:
        resources: What the program asked for.
        passwords: Passwords that the program made, and others that it was told.
    """

    resources: Sequence[Resource]
    passwords: Passwords

    def __repr__(self) -> str:
        return f"Deployed({len(self.resources)} resources, {len(self.passwords)} passwords)"


def export(others: Iterable[str] = (), cwd: Path = PROJECT, stack: str = "") -> Deployed:
    """Export a stack's state with its secrets; nothing of it is written to a file.

    Args:
        others: Passwords that other stacks made.
        cwd: Folder of the project.
        stack: Its name; empty for the selected one.

    Raises:
        OpsError: No ``pulumi``, no stack, no answer in time, or no state.
    """
    arguments = ["stack", "export", "--show-secrets", "--non-interactive", *(["--stack", stack] if stack else [])]
    done = run_pulumi(cwd, *arguments, limit_s=_LIMIT_S)
    if done.returncode != 0:
        raise OpsError(f"cannot export the stack's state: {one_line(done.stderr.decode(errors='replace'))}")
    try:
        return deployed(json.loads(done.stdout), others)
    except ValueError:
        raise OpsError("`pulumi stack export` did not print JSON") from None


def deployed(state: Any, others: Iterable[str] = ()) -> Deployed:
    """Read an exported state.

    Raises:
        OpsError: It is none.
    """
    try:
        stack_resources = resources(state, "the stack's state")
    except PolicyInputError as error:
        raise OpsError(str(error)) from None
    hashes: dict[str, str] = {}
    for entry in state["deployment"]["resources"]:
        outputs: Mapping[str, Any] = opened(entry.get("outputs") or {}) if entry.get("type") == PASSWORD else {}
        if isinstance(outputs.get("bcryptHash"), str) and isinstance(outputs.get("result"), str):
            hashes[outputs["bcryptHash"]] = outputs["result"]
    return Deployed(resources=stack_resources, passwords=Passwords(hashes, others))
