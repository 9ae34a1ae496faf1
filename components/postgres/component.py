"""PostgreSQL for the platform's own programs (requirement G1): servers, databases with their owners, addresses; the
containers of its members, and commands and files with which they are started, asked and led over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import yaml

from components import naming
from components.contracts import Credential, DatabaseEndpoint, ScrapeTarget
from components.k8s import (
    TLS_MOUNT,
    UID,
    Allow,
    Container,
    DeploymentContext,
    FileSet,
    Mount,
    Probe,
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
from components.naming import size_of
from components.postgres import config
from components.postgres.config import (
    CLUSTER_DIRECTORY,
    CONFIG_DIRECTORY,
    DATA_DIRECTORY,
    MAINTENANCE,
    METRICS,
    PORT,
    REPLICATION,
    SECRETS_DIRECTORY,
    SOCKET_DIRECTORY,
    SUPERUSER,
    VOLUME_DIRECTORY,
    WORKLOAD,
    Member,
    PostgresConfig,
    PostgresDatabase,
    access_data,
    rendered_access,
)
from components.web_access import web_file

BINARIES = "/usr/lib/postgresql/15/bin"
EXPORTER_PORT = 9187
EXPORTER_DIRECTORY = "/etc/postgres-exporter"
EXPORTER_SECRETS = "/etc/postgres-exporter-secrets"
PATIENCE_S = 20
"""How long a member asks others that are silent, before it decides without them what it is."""
_SCRIPTS = Path(__file__).with_name("scripts")


def start_command() -> list[str]:
    """Start a member: whatever its data makes it."""
    return _script("start.sh")


def alive_command() -> tuple[str, ...]:
    """Whether the server answers at all; one that recovers or ends is alive."""
    return tuple(_script("alive.sh"))


def ready_command() -> tuple[str, ...]:
    """Whether the server takes logins."""
    return (f"{BINARIES}/pg_isready", "-q", "-h", SOCKET_DIRECTORY, "-U", SUPERUSER, "-d", MAINTENANCE)


def promote_command() -> list[str]:
    """To run in a standby's pod (``kubectl exec``): it takes writes, unless another member does or has more."""
    return _script("promote.sh")


def demote_command() -> list[str]:
    """To run in the pod that takes writes, before another one is promoted: nothing that it confirmed is lost."""
    return _script("demote.sh")


def _script(name: str) -> list[str]:
    return ["bash", f"{CONFIG_DIRECTORY}/{name}"]


def environment(port: int = PORT, *, patience_s: int = PATIENCE_S) -> dict[str, str]:
    """Environment of the server's container; the pod's name, number and address come from Kubernetes."""
    return {
        "PATH": f"{BINARIES}:/usr/bin:/bin",
        "PGDATA": DATA_DIRECTORY,
        "PGPORT": str(port),
        "PATIENCE_S": str(patience_s),
        "LC_ALL": "C.UTF-8",
    }


def files(settings: PostgresConfig) -> dict[str, str]:
    """The public files of every member."""
    return {
        "postgresql.conf": config.rendered_settings(config.server_settings(settings)),
        "pg_hba.conf": config.rendered_lines(config.access_lines(settings.databases)),
        "pg_ident.conf": "",
        "members": config.rendered_members(settings.members),
        "leader": config.leader(settings.members) + "\n",
        "passwd": passwd(),
        **{path.name: path.read_text(encoding="utf-8") for path in sorted(_SCRIPTS.iterdir())},
    }


def cluster_files() -> dict[str, str]:
    """The marker of a cluster that exists (``start.sh`` looks for it)."""
    return {"exists": "An empty volume waits for a member that has data.\n"}


def passwd() -> str:
    """``/etc/passwd``: PostgreSQL asks for the name of the user that it runs as, and knows its superuser by it."""
    return f"root:x:0:0:root:/root:/usr/sbin/nologin\n{SUPERUSER}:x:{UID}:{UID}::{VOLUME_DIRECTORY}:/usr/sbin/nologin\n"


def password_line(user: str, password: str) -> str:
    """A password as clients of PostgreSQL read it from a file, for any server and database.

    Raises:
        ValueError: The password has characters that would have to be escaped.
    """
    if not (password.isascii() and password.isalnum()):
        raise ValueError(f"the password of the database user {user} must be letters and digits")
    return f"*:*:*:{user}:{password}\n"


def exporter_command(*, port: int = EXPORTER_PORT) -> list[str]:
    """Program and arguments of the exporter. What it would tell of single tables is of no use here."""
    return [
        "/bin/postgres_exporter",
        f"--config.file={EXPORTER_DIRECTORY}/config.yml",
        f"--extend.query-path={EXPORTER_DIRECTORY}/queries.yml",
        f"--web.config.file={EXPORTER_SECRETS}/web.yml",
        f"--web.listen-address=0.0.0.0:{port}",
        "--collector.long_running_transactions",
        "--no-collector.stat_user_tables",
        "--no-collector.statio_user_tables",
        "--no-collector.stat_progress_vacuum",
        "--no-collector.replication_slot",
        "--collection-timeout=8s",
        "--log.format=json",
    ]


def exporter_environment(port: int = PORT) -> dict[str, str]:
    """How the exporter connects: over TLS, to the server beside it, with the password from a file."""
    words = {
        "sslmode": "verify-full",
        "sslrootcert": f"{TLS_MOUNT}/ca.crt",
        "connect_timeout": "5",
        "application_name": "postgres_exporter",
    }
    query = "&".join(f"{key}={value}" for key, value in words.items())
    return {
        "DATA_SOURCE_URI": f"localhost:{port}/{MAINTENANCE}?{query}",
        "DATA_SOURCE_USER": METRICS,
        "DATA_SOURCE_PASS_FILE": f"{EXPORTER_SECRETS}/password",
    }


def exporter_files() -> dict[str, str]:
    """The exporter's public files. Its own configuration is empty: it is for targets that a caller names."""
    return {"config.yml": "auth_modules: {}\n", "queries.yml": yaml.safe_dump(exporter_queries(), sort_keys=False)}


def exporter_queries() -> dict[str, Any]:
    """What the exporter does not know by itself."""

    def column(usage: str, description: str) -> dict[str, str]:
        return {"usage": usage, "description": description}

    return {
        "pg_checksum": {
            "query": "SELECT coalesce(datname, 'shared') AS datname, coalesce(checksum_failures, 0) AS failures "
            "FROM pg_stat_database",
            "metrics": [
                {"datname": column("LABEL", "Database; shared for what belongs to all")},
                {"failures": column("COUNTER", "Pages that were read and did not fit their checksum")},
            ],
        },
        "pg_standbys": {
            "query": "SELECT count(*) FILTER (WHERE state = 'streaming') AS streaming, "
            "current_setting('obs.standbys')::integer AS wanted "
            "FROM pg_stat_replication HAVING NOT pg_is_in_recovery()",
            "metrics": [
                {"streaming": column("GAUGE", "Standbys that follow this server, which takes writes")},
                {"wanted": column("GAUGE", "Standbys that there shall be")},
            ],
        },
        "pg_volume": {
            "query": "SELECT (SELECT sum(pg_database_size(oid)) FROM pg_database) "
            "+ (SELECT coalesce(sum(size), 0) FROM pg_ls_waldir()) AS used_bytes, "
            "current_setting('obs.volume_bytes')::bigint AS size_bytes",
            "metrics": [
                {"used_bytes": column("GAUGE", "Databases and write-ahead log on the server's volume")},
                {"size_bytes": column("GAUGE", "Size of the volume")},
            ],
        },
    }


POD_INDEX = "apps.kubernetes.io/pod-index"
"""Label that a StatefulSet gives its pods."""
_STARTUP_PERIOD_S = 5
_STARTUP_TRIES = 360


def server(resources: Resources) -> Container:
    """The server. The first copy of the data, and the recovery after a crash, may take half an hour."""
    return Container(
        name="postgres",
        image="postgres",
        command=start_command(),
        resources=resources,
        ports={"postgres": PORT},
        env=environment(),
        env_labels={"POD_INDEX": POD_INDEX},
        env_fields={"POD_NAME": "metadata.name", "POD_IP": "status.podIP"},
        mounts=[
            Mount(volume="config", path=CONFIG_DIRECTORY),
            Mount(volume="config", path="/etc/passwd", sub_path="passwd"),
            Mount(volume="access", path=SECRETS_DIRECTORY),
            Mount(volume="cluster", path=CLUSTER_DIRECTORY),
            Mount(volume="socket", path=SOCKET_DIRECTORY, writable=True),
            Mount(volume="data", path=VOLUME_DIRECTORY, writable=True),
        ],
        startup=Probe(command=ready_command(), period_s=_STARTUP_PERIOD_S, failures=_STARTUP_TRIES),
        readiness=Probe(command=ready_command(), period_s=10),
        liveness=Probe(command=alive_command(), period_s=20, failures=6),
    )


def exporter(resources: Resources) -> Container:
    """The exporter. It has none of the server's volumes: it reaches the server as any other client does."""
    return Container(
        name="postgres-exporter",
        image="postgres-exporter",
        command=exporter_command(),
        resources=resources,
        ports={naming.METRICS_PORT: EXPORTER_PORT},
        env=exporter_environment(),
        mounts=[
            Mount(volume="exporter", path=EXPORTER_DIRECTORY),
            Mount(volume="exporter-secrets", path=EXPORTER_SECRETS),
        ],
        startup=Probe(tcp=EXPORTER_PORT, period_s=2, failures=30),
        readiness=Probe(tcp=EXPORTER_PORT, period_s=5),
        liveness=Probe(tcp=EXPORTER_PORT, period_s=20, failures=6),
    )


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
        headless_service(self, context, workload=WORKLOAD, ports={"postgres": PORT, naming.METRICS_PORT: EXPORTER_PORT})
        service = self._service(args)
        self._network(context)
        made_pods = stateful_set(
            self,
            context,
            Workload(
                name=WORKLOAD,
                replicas=1 + args.standbys,
                containers=[server(args.resources), exporter(args.exporter_resources)],
                volumes=[
                    Volume(name="socket"),
                    Volume(
                        name="config",
                        files=config_files(self, context, name=WORKLOAD, workload=WORKLOAD, files=files(settings)),
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
            data=cluster_files(),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[made_pods]),
        )
        self.databases = {
            database.name: DatabaseEndpoint(
                host=context.host(WORKLOAD),
                port=PORT,
                name=database.name,
                user=owners[database.name],
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
                selector={**naming.selector(WORKLOAD), POD_INDEX: str(args.primary)},
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
                Allow(peers=[with_access(naming.METRICS_ACCESS)], ports=[EXPORTER_PORT]),
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
                "replication.pgpass": passwords.apply(lambda known: password_line(REPLICATION, known[REPLICATION])),
            },
        )

    def _exporter(self, context: DeploymentContext, user: Credential) -> list[Volume]:
        public = config_files(self, context, name=f"{WORKLOAD}-exporter", workload=WORKLOAD, files=exporter_files())
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
