"""The access matrix: who may do what; what is not listed is refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

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
