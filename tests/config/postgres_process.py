"""Real PostgreSQL members on loopback addresses, each in a container of its own, from the very files of the component.

Only the network is the machine's: members differ by address and port.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from components.k8s import TLS_MOUNT, UID
from components.k8s.credentials import dns_names
from components.postgres import component, config
from components.postgres.config import WORKLOAD, Member, PostgresConfig, PostgresDatabase, access_data, rendered_access
from tests.config.postgres_container import Container, scratch, write_file, write_volume
from tests.config.servers import eventually, free_port
from tests.support import shared
from tests.support.kafka_nodes import Authority, loopback
from tests.unit.sampler.stubs import deployment_context

DATABASES = (PostgresDatabase(name="grafana", owner="grafana"), PostgresDatabase(name="other", owner="somebody"))
PATIENCE_S = 4
START_S = 60.0
_MEMORY, _MEMORY_BYTES = Path("/dev/shm"), 4 * 2**30
"""Where members live if there is that much room: nothing here outlives the machine, so no disk has to write it."""
MAX_CONNECTIONS = 30


def password_of(user: str) -> str:
    """Password of a test user."""
    return f"{user}0password"


def issue(authority: Authority, folder: Path, names: Sequence[str]) -> None:
    """Write a certificate as the kubelet shows a Secret: all files change at once, and root owns them."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, WORKLOAD)]))
        .issuer_name(authority.name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files = {
        "tls.crt": certificate.public_bytes(pem),
        "tls.key": private,
        "ca.crt": authority.certificate.public_bytes(pem),
    }
    folder.mkdir(exist_ok=True)
    version = Path(tempfile.mkdtemp(prefix="..", dir=folder))
    version.chmod(0o755)
    for name, content in files.items():
        write_file(version / name, content, 0o440)
    fresh = folder / "..data_tmp"
    fresh.symlink_to(version.name)
    fresh.rename(folder / "..data")
    for name in files:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")


@dataclass
class Server:
    """One member: its container and its address."""

    member: Member
    address: str
    container: Container

    def start(self) -> None:
        """Start the container."""
        self.container.start()

    def ready(self) -> bool:
        """The readiness probe, which is not run before there is something to ask."""
        assert self.container.running(), f"{self.member.name} has ended:\n{self.container.log[-4000:]}"
        if not (self.container.folder / "socket" / f".s.PGSQL.{self.member.port}").exists():
            return False
        return self.container.run(component.ready_command(), check=False).returncode == 0

    def wait(self, seconds: float = START_S) -> None:
        """Wait until it takes logins."""
        eventually(self.ready, seconds, f"{self.member.name} is ready")

    def end(self, *, kill: bool = False) -> None:
        """End the container."""
        self.container.end(kill=kill)

    def fill(self, *, standby: bool) -> None:
        """Give it a volume with the data of a new cluster, as a standby's copy of it or as the primary's own."""
        volume = self.container.folder / "volume"
        shutil.rmtree(volume, ignore_errors=True)
        scratch(volume)
        subprocess.run(["cp", "-a", _new_cluster(), str(volume / "data")], check=True)
        if standby:
            (volume / "data" / "standby.signal").touch()
            os.chown(volume / "data" / "standby.signal", UID, UID)


@dataclass
class Postgres:
    """A running set."""

    root: Path
    servers: list[Server]
    authority: Authority = field(default_factory=Authority)

    @property
    def names(self) -> list[str]:
        """Names of the certificate."""
        return dns_names(deployment_context(), WORKLOAD)

    @property
    def ca(self) -> Path:
        """Certificate of the authority."""
        return self.servers[0].container.folder / "tls" / "ca.crt"

    def connect(self, index: int = 0, user: str = "grafana", **changed: Any) -> psycopg.Connection[Any]:
        """Log in as the platform's clients do; keywords change what libpq is told."""
        server = self.servers[index]
        words: dict[str, Any] = {
            "host": deployment_context().host(WORKLOAD),
            "hostaddr": server.address,
            "port": server.member.port,
            "dbname": "grafana",
            "user": user,
            "password": password_of(user),
            "sslmode": "verify-full",
            "sslrootcert": str(self.ca),
            "connect_timeout": 5,
            "passfile": "/dev/null",
        } | changed
        return psycopg.connect(autocommit=True, **words)

    def rows(self, index: int = 0) -> list[int]:
        """The rows of the test's table as a member has them; none before the table has come to it."""
        with self.connect(index) as connection:
            try:
                rows = connection.execute("SELECT number FROM kept ORDER BY number").fetchall()
            except psycopg.errors.UndefinedTable:
                return []
            return [number for (number,) in rows]

    def one(self, question: str, index: int = 0) -> Any:
        """The single value that a question of the superuser has as its answer."""
        command = ["psql", "-XAtq", "-h", config.SOCKET_DIRECTORY, "-U", "postgres", "-d", "postgres", "-c", question]
        return self.servers[index].container.run(command).stdout.strip()

    def streaming(self, index: int = 0) -> int:
        """How many members follow this one."""
        return int(self.one("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'", index))

    def start(self) -> None:
        """Start all members, and wait until all are ready and all follow."""
        for server in self.servers:
            server.start()
        for server in self.servers:
            server.wait()
        standbys = len(self.servers) - 1
        eventually(lambda: self.streaming() == standbys, START_S, "every standby follows")

    def as_new(self) -> None:
        """Member 0 takes writes and the others follow it, on new data unless that is so already; the logs are empty."""
        if not self._in_order():
            for index, server in enumerate(self.servers):
                server.end(kill=True)
                server.fill(standby=index > 0)
            self.start()
        for server in self.servers:
            os.truncate(server.container.folder / "log", 0)

    def _in_order(self) -> bool:
        if not all(server.container.running() for server in self.servers):
            return False
        return self.one("SELECT pg_is_in_recovery()") == "f" and self.streaming() == len(self.servers) - 1

    def renew(self, index: int = 0) -> None:
        """A new certificate of the same authority."""
        issue(self.authority, self.servers[index].container.folder / "tls", self.names)


def settings_of(members: Sequence[Member]) -> PostgresConfig:
    """Configuration of a small set."""
    return PostgresConfig(
        members=members,
        databases=DATABASES,
        shared_buffers="16MB",
        max_connections=MAX_CONNECTIONS,
        volume_bytes=2**30,
    )


def write_access(folder: Path, databases: Sequence[PostgresDatabase] = DATABASES) -> None:
    """The Secret with roles and databases."""
    users = [config.REPLICATION, config.METRICS, *(database.owner for database in databases)]
    data = access_data(databases, {user: password_of(user) for user in users}, MAX_CONNECTIONS)
    line = component.password_line(config.REPLICATION, password_of(config.REPLICATION))
    write_volume(folder, {"access.json": rendered_access(data), "replication.pgpass": line}, secret=True)


def _server(root: Path, member: Member, address: str, index: int, hosts: Path) -> Server:
    folder = root / member.name
    mounts = {
        config.CONFIG_DIRECTORY: (folder / "config", "ro"),
        "/etc/passwd": (folder / "config" / "passwd", "ro"),
        "/etc/hosts": (hosts, "ro"),
        config.SECRETS_DIRECTORY: (folder / "access", "ro"),
        TLS_MOUNT: (folder / "tls", "ro"),
        config.CLUSTER_DIRECTORY: (folder / "cluster", "ro"),
        config.SOCKET_DIRECTORY: (folder / "socket", "rw"),
        config.VOLUME_DIRECTORY: (folder / "volume", "rw"),
    }
    pod = {"POD_NAME": member.name, "POD_INDEX": str(index), "POD_IP": address}
    environment = component.environment(member.port, patience_s=PATIENCE_S) | pod
    return Server(member, address, Container(folder, mounts, component.start_command(), environment))


def _new_cluster() -> str:
    """Data of a new cluster; one for all of a test run."""
    return shared.once("data of a new PostgreSQL cluster", _first_start)


def _first_start() -> str:
    """Data that a member has made on an empty volume, with its roles and databases, after an end in good order."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-data-", dir=os.environ.get(shared.FOLDER)))
    with postgres(0, empty=True) as servers:
        [server] = servers.servers
        server.end()
        subprocess.run(["cp", "-a", str(server.container.folder / "volume" / "data"), str(folder)], check=True)
    return str(folder / "data")


def _parent() -> Path | None:
    """Where the folders of members are put; None: where folders of tests are."""
    return _MEMORY if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _MEMORY_BYTES else None


@contextmanager
def postgres(standbys: int, *, start: bool = True, empty: bool = False) -> Iterator[Postgres]:
    """A set of members until the block ends; all are ready, and all follow, when the block starts.

    Args:
        standbys: How many follow.
        start: Whether they are started; if not, their volumes are empty.
        empty: Whether they start on empty volumes: the first makes a cluster, the others copy it.
    """
    root = Path(tempfile.mkdtemp(prefix="postgres-", dir=_parent()))
    root.chmod(0o755)
    addresses = loopback(1 + standbys)
    members = [
        Member(name=f"{WORKLOAD}-{index}", host=deployment_context().pod_host(WORKLOAD, index), port=free_port())
        for index in range(1 + standbys)
    ]
    hosts = root / "hosts"
    lines = zip(addresses, members, strict=True)
    hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{address} {member.host}\n" for address, member in lines))
    servers = Postgres(
        root,
        [_server(root, member, addresses[index], index, hosts) for index, member in enumerate(members)],
    )
    try:
        for index, server in enumerate(servers.servers):
            folder = server.container.folder
            folder.mkdir()
            write_volume(folder / "config", component.files(settings_of(members)), secret=False)
            write_access(folder / "access")
            write_volume(folder / "cluster", {} if empty or not start else component.cluster_files(), secret=False)
            issue(servers.authority, folder / "tls", servers.names)
            scratch(folder / "socket")
            scratch(folder / "volume")
            if start and not empty:
                server.fill(standby=index > 0)
        if start:
            servers.start()
        yield servers
    finally:
        for server in servers.servers:
            server.end(kill=True)
        shutil.rmtree(root, ignore_errors=True)
