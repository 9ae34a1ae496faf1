"""PostgreSQL for the platform's own programs: servers, databases with their owners, addresses (requirement G1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components import naming
from components.contracts import Credential, DatabaseEndpoint, ScrapeTarget
from components.k8s import (
    Allow,
    DeploymentContext,
    FileSet,
    Resources,
    StorageClaim,
    Volume,
    Workload,
    certificate,
    config_files,
    credential,
    headless_service,
    network_policy,
    secret_files,
    stateful_set,
    with_access,
    workload_pods,
)
from components.postgres import process
from components.postgres.config import (
    METRICS,
    PORT,
    REPLICATION,
    WORKLOAD,
    Member,
    PostgresConfig,
    PostgresDatabase,
    access_data,
    rendered_access,
)
from components.sizes import size_of
from components.web_access import web_file

TOKEN = "obs:postgres:Postgres"  # noqa: S105  (a type token)
_GRACE_S = 90
_MARKER = f"{WORKLOAD}-cluster"
"""ConfigMap that says that a cluster exists."""


@dataclass(frozen=True, kw_only=True)
class PostgresArgs:
    """What the servers need.

    Attributes:
        context: Deployment context.
        scrape: Metrics endpoint of every server.
        databases: Databases with their owners; each becomes an endpoint.
        standbys: Servers that follow the one that takes writes, 0 or more. From 2 on a commit waits for one of them.
        resources: Of each server.
        exporter_resources: Of each server's exporter.
        storage: Size of each server's volume, a whole number with Mi, Gi or Ti.
        shared_buffers: Memory for pages, as PostgreSQL writes sizes (``128MB``); a quarter of the memory at most.
        max_connections: Connections of a server.
        primary: Number of the pod that clients are led to. It follows a promotion, and does not cause one.
    """

    context: DeploymentContext
    scrape: ScrapeTarget
    databases: Sequence[PostgresDatabase]
    standbys: int
    resources: Resources
    exporter_resources: Resources
    storage: str
    shared_buffers: str
    max_connections: int
    primary: int = 0

    def __post_init__(self) -> None:
        if self.standbys < 0:
            raise ValueError(f"database.standbys is {self.standbys}: 0 or more")
        if not 0 <= self.primary <= self.standbys:
            raise ValueError(
                f"database.primary is {self.primary}: the number of a pod, 0 to {self.standbys}; name the one that was "
                "promoted"
            )
        if not self.databases:
            raise ValueError("databases: there is none; name at least one, or leave PostgreSQL out")


class Postgres(pulumi.ComponentResource):
    """One set of servers.

    Attributes:
        databases: Database -> how its owner reaches it.
        scrape: Metrics of every server.
    """

    databases: Mapping[str, DatabaseEndpoint]
    scrape: ScrapeTarget

    def __init__(self, name: str, args: PostgresArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        optional = pulumi.ResourceOptions(transformations=[_marker_is_optional])
        super().__init__(TOKEN, name, None, pulumi.ResourceOptions.merge(opts, optional))
        context = args.context
        settings = postgres_config(args)

        def new_credential(username: str) -> Credential:
            return credential(self, name=f"{WORKLOAD}-{username}", username=username)

        owners = {database.name: new_credential(database.owner) for database in args.databases}
        own = {username: new_credential(username) for username in (REPLICATION, METRICS)}
        self.scrape = args.scrape
        headless_service(
            self, context, workload=WORKLOAD, ports={"postgres": PORT, naming.METRICS_PORT: process.EXPORTER_PORT}
        )
        service = self._service(args)
        self._network(context)
        made_pods = stateful_set(
            self,
            context,
            Workload(
                name=WORKLOAD,
                replicas=1 + args.standbys,
                containers=[process.server(args.resources), process.exporter(args.exporter_resources)],
                volumes=[
                    Volume(name="socket"),
                    Volume(
                        name="config",
                        files=config_files(
                            self, context, name=WORKLOAD, workload=WORKLOAD, files=process.files(settings)
                        ),
                    ),
                    Volume(name="access", files=self._access(args, [*own.values(), *owners.values()])),
                    Volume(name="cluster", files=_marker_files(), reloaded=True),
                    *self._exporter(context, own[METRICS]),
                ],
                tls=certificate(self, context, workload=WORKLOAD),
                grace_s=_GRACE_S,
            ),
            claims=[StorageClaim(name="data", size=args.storage)],
            timeout="20m",
        )
        k8s.core.v1.ConfigMap(
            _MARKER,
            metadata=k8s.meta.v1.ObjectMetaArgs(
                name=_MARKER, namespace=context.namespace_ref, labels=naming.labels(WORKLOAD)
            ),
            data=process.cluster_files(),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[made_pods]),
        )
        self.databases = {
            database.name: DatabaseEndpoint(
                host=context.host(WORKLOAD),
                port=PORT,
                name=database.name,
                user=owners[database.name],
                private_authority=True,
                workload=WORKLOAD,
                access_label=naming.access_label(WORKLOAD),
                after=(made_pods, service),
            )
            for database in args.databases
        }
        self.register_outputs({"pods": made_pods.id, "service": service.id, "databases": list(self.databases)})

    def _service(self, args: PostgresArgs) -> k8s.core.v1.Service:
        """The address of the one server that takes writes; that it moves to another pod rolls nothing."""
        return k8s.core.v1.Service(
            WORKLOAD,
            metadata=k8s.meta.v1.ObjectMetaArgs(
                name=WORKLOAD,
                namespace=args.context.namespace_ref,
                labels=naming.labels(WORKLOAD),
                annotations={"pulumi.com/skipAwait": "true"},
            ),
            spec=k8s.core.v1.ServiceSpecArgs(
                type="ClusterIP",
                selector={**naming.selector(WORKLOAD), process.POD_INDEX: str(args.primary)},
                ports=[k8s.core.v1.ServicePortArgs(name="postgres", port=PORT, target_port=PORT, protocol="TCP")],
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _network(self, context: DeploymentContext) -> None:
        members = Allow(peers=[workload_pods(WORKLOAD)], ports=[PORT])
        network_policy(
            self,
            context,
            workload=WORKLOAD,
            ingress=[
                members,
                Allow(peers=[with_access(naming.access_label(WORKLOAD))], ports=[PORT]),
                Allow(peers=[with_access(naming.METRICS_ACCESS)], ports=[process.EXPORTER_PORT]),
            ],
            egress=[members],
        )

    def _access(self, args: PostgresArgs, users: Sequence[Credential]) -> FileSet:
        """Roles and databases, and the one password that a server itself shows to another."""
        passwords = pulumi.Output.all(**{user.username: user.password for user in users})
        return secret_files(
            self,
            args.context,
            name=f"{WORKLOAD}-access",
            workload=WORKLOAD,
            files={
                "access.json": passwords.apply(
                    lambda known: rendered_access(access_data(args.databases, known, args.max_connections))
                ),
                "replication.pgpass": passwords.apply(
                    lambda known: process.password_line(REPLICATION, known[REPLICATION])
                ),
            },
        )

    def _exporter(self, context: DeploymentContext, user: Credential) -> list[Volume]:
        public = config_files(
            self, context, name=f"{WORKLOAD}-exporter", workload=WORKLOAD, files=process.exporter_files()
        )
        secret = secret_files(
            self,
            context,
            name=f"{WORKLOAD}-exporter",
            workload=WORKLOAD,
            files={"web.yml": web_file([self.scrape.credential]), "password": user.password},
        )
        return [Volume(name="exporter", files=public), Volume(name="exporter-secrets", files=secret)]


def _marker_files() -> FileSet:
    """The marker by its name: the pods do not wait for it, it waits for the first start of the pods."""
    return FileSet(kind="ConfigMap", name=pulumi.Output.from_input(_MARKER), checksum=pulumi.Output.from_input(""))


def _marker_is_optional(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
    """Let pods start where the marker is not there yet."""
    if args.type_ != "kubernetes:apps/v1:StatefulSet":
        return None
    spec: Any = args.props["spec"]
    for volume in spec.template.spec.volumes:
        if volume.name == "cluster":
            volume.config_map.optional = True
    return pulumi.ResourceTransformationResult(props=args.props, opts=args.opts)


def postgres_config(args: PostgresArgs) -> PostgresConfig:
    """The servers as their configuration sees them."""
    return PostgresConfig(
        members=tuple(
            Member(name=f"{WORKLOAD}-{index}", host=args.context.pod_host(WORKLOAD, index))
            for index in range(1 + args.standbys)
        ),
        databases=tuple(args.databases),
        shared_buffers=args.shared_buffers,
        max_connections=args.max_connections,
        volume_bytes=size_of(args.storage),
    )
