"""Real Kafka nodes on loopback addresses, run from the very files that the component renders.

Only what is bound to a pod is rewritten: folders, and the address that a node listens on.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import ipaddress
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from components import java
from components.k8s import pods
from components.kafka import config
from components.kafka import nodes as process
from lab.toolchain import tools
from ops.core.platform import Login, Platform
from tests.support import java_classes, kafka_broker

PROPERTIES = f"{config.CONFIG_DIRECTORY}/server.properties"
_HEAP = "256m"
KEYSTORE_PASSWORD = "keystorepassword1"
ADMIN_PASSWORD = "adminpassword1"
SCRAPE_PASSWORD = "scrapepassword19"
"""Its first salted hash begins with a zero, which the metrics agent drops."""
START_S = 180.0
PROGRAM_S = 120.0
_KUBECTL = """#!{python} -IS
import os, sys
os.environ.update({variables!r})
with open({calls!r}, "a") as calls:
    print(*sys.argv[1:], file=calls)
command = sys.argv[sys.argv.index("--") + 1:]
for old, new in {moves!r}.items():
    command = [word.replace(old, new) for word in command]
os.execvp(command[0], command)
"""


def jvm_flags() -> tuple[str, ...]:
    """Flags of Java with which a node starts quickly."""
    archive = java_classes.read_from(kafka_broker.prepared())
    return ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *archive)


def tool_variables() -> dict[str, str]:
    """Variables with which Kafka's own tools start quickly."""
    flags = (java.PLAIN_STORES, *java_classes.read_from(kafka_broker.prepared()))
    return {"JDK_JAVA_OPTIONS": " ".join(flags)}


def class_path() -> str:
    """What the image's file of arguments says, for the jars of this machine."""
    return f'-cp "{java.LIBRARIES}/*"\n'


def loopback(count: int) -> tuple[str, ...]:
    """Loopback addresses that no other test process uses."""
    high, low = divmod(os.getpid() % 60000, 250)
    return tuple(f"127.{high + 1}.{low + 1}.{host + 1}" for host in range(count))


def _quickly_encrypted(password: str) -> serialization.KeySerializationEncryption:
    """Encryption of a store in one round, which Java undoes sooner than the usual 20,000."""
    builder = serialization.PrivateFormat.PKCS12.encryption_builder()
    return (
        builder.kdf_rounds(1)
        .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(hashes.SHA256())
        .build(password.encode())
    )


@dataclass
class Authority:
    """A certificate authority that writes the files that cert-manager would write."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "platform-ca")])
        builder = self._builder(self.name, self.key.public_key())
        self.certificate = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(
            self.key, hashes.SHA256()
        )

    def issue(self, folder: Path, common_name: str, addresses: tuple[str, ...]) -> None:
        """Write ``tls.crt``, ``tls.key``, ``tls-combined.pem``, ``ca.crt`` and ``keystore.p12``."""
        folder.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName("localhost")]
        names += [x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", *addresses)]
        certificate = (
            self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]), key.public_key())
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .sign(self.key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        chain = certificate.public_bytes(serialization.Encoding.PEM)
        authority = self.certificate.public_bytes(serialization.Encoding.PEM)
        (folder / "tls.key").write_bytes(private)
        (folder / "tls.crt").write_bytes(chain)
        (folder / "ca.crt").write_bytes(authority)
        (folder / "tls-combined.pem").write_bytes(private + chain)
        (folder / "keystore.p12").write_bytes(
            pkcs12.serialize_key_and_certificates(
                None,
                key,
                certificate,
                [self.certificate],
                _quickly_encrypted(KEYSTORE_PASSWORD),
            )
        )

    def _builder(self, subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(minutes=5))
            .not_valid_after(now + dt.timedelta(days=1))
        )


def write_kubectl(node: RealNode, folder: Path) -> Path:
    """Write a stand-in for ``kubectl exec``: the command runs beside the node, with the paths of its folder.

    Returns:
        The file into which it writes what it was called with.
    """
    program, calls = folder / "kubectl", folder / "calls"
    program.write_text(
        _KUBECTL.format(python=sys.executable, calls=str(calls), moves=node.moves(), variables=tool_variables())
    )
    program.chmod(0o755)
    return calls


@dataclass(frozen=True)
class KafkaOutputs:
    """The outputs that an administrator of Kafka needs."""

    kafka_bootstrap: str
    ca_certificate: str
    kafka_admin: Login


@dataclass
class RealNode:
    """One node's folder and process."""

    node: config.Node
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    metrics: bool = True
    """Whether the metrics agent runs in it."""
    libraries: Path | None = None
    """Folder of its jars; None: those of the platform's release."""

    def moves(self) -> dict[str, str]:
        """What belongs to the pod -> what stands for it here: paths in this node's folder, ports at its own address."""
        moved = {
            config.DATA_DIRECTORY: self.folder / "data",
            config.CONFIG_DIRECTORY + "/": f"{self.folder / 'config'}/",
            process.FORMAT_DIRECTORY + "/": f"{self.folder / 'format'}/",
            process.METRICS_DIRECTORY + "/": f"{self.folder / 'metrics'}/",
            config.TLS_DIRECTORY + "/": f"{self.folder / 'tls'}/",
            java.ARGUMENTS: self.folder / "java.args",
            java.LIBRARIES: self.libraries or tools.libraries("kafka"),
            "://:": f"://{self.node.host}:",
            "=9404:": f"={self.node.host}:9404:",
            "/dev/tcp/127.0.0.1/": f"/dev/tcp/{self.node.host}/",
            "localhost:": f"{self.node.host}:",
        }
        return {old: str(new) for old, new in moved.items()}

    def rewrite(self, text: str) -> str:
        """Point absolute paths of the pod into this node's folder, and ports to its own address."""
        for old, new in self.moves().items():
            text = text.replace(old, new)
        return text

    def write(self, files: Mapping[str, str]) -> None:
        """Write rewritten files below the node's folder."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.rewrite(text))

    def use(self, libraries: Path) -> None:
        """Run other jars from the next start on."""
        self.libraries = libraries
        self.write({"java.args": class_path()})

    def run(self, command: list[str], env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a rewritten command to its end."""
        return subprocess.run(
            [self.rewrite(word) for word in command],
            capture_output=True,
            text=True,
            timeout=PROGRAM_S,
            check=False,
            env={**os.environ, **tool_variables(), **(env or {})},
        )

    def start(self, command: list[str]) -> None:
        """Start a rewritten server command."""
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.rewrite(word) for word in command], stdout=log, stderr=subprocess.STDOUT
            )

    def serve(self, **variables: str) -> None:
        """Start the server as its pod does, with further variables of its environment."""
        own = [f"{name}={value}" for name, value in variables.items()]
        command = process.server_command(PROPERTIES, _HEAP, jvm_flags())
        agent = f"-javaagent:{java.AGENT}"
        self.start(["env", *own, *(word for word in command if self.metrics or not word.startswith(agent))])

    def stop(self) -> None:
        """End the process in good order, or else at once."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                self.kill()
            self.process = None

    def kill(self) -> None:
        """End the process at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(timeout=60)
            self.process = None

    def wait_for_port(self, port: int) -> None:
        """Wait until the node accepts connections.

        Raises:
            AssertionError: It did not, within the bound.
        """
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self.process is None or self.process.poll() is not None:
                break
            with socket.socket() as connection:
                connection.settimeout(1)
                if connection.connect_ex((self.node.host, port)) == 0:
                    return
            time.sleep(0.3)
        log = (self.folder / "server.log").read_text()[-3000:]
        raise AssertionError(f"node {self.node.identity} does not listen on {port}:\n{log}")


def small_cluster(
    brokers: tuple[str, ...], controllers: tuple[str, ...] = (), *, one_voter: bool = False
) -> config.KafkaCluster:
    """A cluster of the given addresses.

    Args:
        brokers: Addresses of brokers; the first three vote where there are no controllers.
        controllers: Addresses of dedicated controllers.
        one_voter: Whether of the brokers the first one alone votes, which costs less.
    """
    nodes = config.broker_nodes(
        brokers, tuple(f"{host}:{config.EXTERNAL_PORT}" for host in brokers), combined=not controllers
    )
    if one_voter:
        nodes = (nodes[0], *(dataclasses.replace(node, controller=False) for node in nodes[1:]))
    return config.KafkaCluster(
        platform="test",
        brokers=nodes,
        controllers=config.controller_nodes(controllers),
        replication_factor=min(3, len(brokers)),
        min_insync_replicas=min(2, len(brokers)),
        max_message_bytes=4 * 1024 * 1024,
        internal_partitions=3,
        network_threads=2,
        io_threads=2,
    )


def prepare(cluster: config.KafkaCluster, root: Path, libraries: Path | None = None) -> list[RealNode]:
    """Write every node's files and certificates.

    Args:
        cluster: Their cluster.
        root: Parent of their folders.
        libraries: Folder of their jars; None: those of the platform's release.
    """
    authority = Authority()
    nodes = []
    for node in (*cluster.brokers, *cluster.controllers):
        real = RealNode(node=node, folder=root / f"node-{node.identity}", libraries=libraries)
        workload = config.BROKERS if node.broker else config.CONTROLLERS
        authority.issue(real.folder / "tls", workload, (node.host,))
        password = ADMIN_PASSWORD if node.controller else None
        classes = "".join(f'"{flag}"\n' for flag in java_classes.read_from(kafka_broker.prepared()))
        real.write(
            {
                "java.args": class_path(),
                "config/server.properties": config.render(config.server_properties(cluster, node)),
                "config/log4j2.yaml": process.log_configuration(),
                "config/log4j2-probe.yaml": process.probe_log_configuration(),
                "config/probe-client.properties": config.render(config.probe_client_properties()),
                "config/in-sync.sh": process.in_sync_script(),
                f"config/{pods.SCRIPT}": pods.script(),
                "format/format.args": classes
                + process.format_arguments(cluster, votes=node.controller, password=password),
                "metrics/jmx-exporter.yaml": process.jmx_exporter(
                    user="scrape-kafka", password=SCRAPE_PASSWORD, keystore_password=KEYSTORE_PASSWORD
                ),
            }
        )
        nodes.append(real)
    return nodes


def format_volume(node: RealNode) -> None:
    """Format a node's volume by Kafka's own tool, as its pod does."""
    done = node.run(process.format_command(PROPERTIES))
    assert done.returncode == 0, f"StorageTool refuses node {node.node.identity}: {done.stdout}{done.stderr}"
    assert ADMIN_PASSWORD not in done.stdout + done.stderr


_volumes: dict[tuple[str, str, bool, Path | None], dict[str, bytes]] = {}
"""Cluster, voters, whether the node votes and its jars -> files of a volume that was formatted by Kafka's own tool."""


def _format_or_copy(cluster: config.KafkaCluster, node: RealNode) -> None:
    """Format a node's volume, or copy one of its kind: nodes of a kind differ in their two identifiers only."""
    kind = (cluster.cluster_id, cluster.initial_controllers, node.node.controller, node.libraries)
    data = node.folder / "data"
    if kind not in _volumes:
        format_volume(node)
        _volumes[kind] = {str(path.relative_to(data)): path.read_bytes() for path in data.rglob("*") if path.is_file()}
        return
    for name, content in _volumes[kind].items():
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_bytes(content)
    identity = node.node.identity
    own = {
        "version": "1",
        "cluster.id": cluster.cluster_id,
        "node.id": str(identity),
        "directory.id": config.kafka_uuid(f"{cluster.platform}/{identity}"),
    }
    (data / "meta.properties").write_text(config.render(own))


@contextmanager
def formatted(
    cluster: config.KafkaCluster, root: Path, *, metrics: bool = True, libraries: Path | None = None
) -> Iterator[list[RealNode]]:
    """Nodes whose volumes Kafka's own tool has formatted, one of each kind; they are killed in the end.

    Args:
        cluster: Their cluster.
        root: Parent of their folders.
        metrics: Whether they run with the metrics agent.
        libraries: Folder of their jars; None: those of the platform's release.
    """
    nodes = prepare(cluster, root, libraries)
    try:
        for node in nodes:
            node.metrics = metrics
            _format_or_copy(cluster, node)
        yield nodes
    finally:
        for node in nodes:
            node.kill()


def platform(nodes: Sequence[RealNode]) -> Platform:
    """Of a platform, what an administrator of its brokers needs."""
    admin = Login.model_validate({"username": config.ADMIN, "password": ADMIN_PASSWORD})
    bootstrap = ",".join(f"{node.node.host}:{config.EXTERNAL_PORT}" for node in nodes)
    return cast(Platform, KafkaOutputs(bootstrap, (nodes[0].folder / "tls/ca.crt").read_text(), admin))
