"""One real Kafka broker on loopback, TLS and SCRAM and ACLs on, for tests that a fake would make worthless."""

from __future__ import annotations

import datetime
import ipaddress
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab.toolchain import tools
from tests.support.ports import free_port as free_port

_START_LIMIT_S = 60
_JVM = ["-Xmx256m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
_CLUSTER_ID = "b2JzLXRlc3QtY2x1c3Rlcg"
_LOGGING = """
Configuration:
  status: error
  Appenders: {Console: {name: out, PatternLayout: {pattern: "%d %p %c %m%n"}}}
  Loggers: {Root: {level: warn, AppenderRef: [{ref: out}]}}
"""


class Server:
    """The broker's process, which can hang, be killed and be started again."""

    def __init__(self, folder: Path, port: int, command: list[str]) -> None:
        self._folder, self._port, self._command = folder, port, command
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        file = self._folder / "broker.log"
        with file.open("ab") as log:
            process = subprocess.Popen(self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self._process = process
        _wait(process, self._port, file)

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def signal(self, number: int) -> None:
        """Send a signal: SIGSTOP lets it hang, SIGCONT go on."""
        assert self._process is not None
        self._process.send_signal(number)


@dataclass(frozen=True)
class Broker:
    """How to reach the broker as its administrator."""

    bootstrap: str
    ca: str
    username: str
    password: str
    server: Server

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """It keeps its connections and answers nothing, until the block ends."""
        self.server.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.server.signal(signal.SIGCONT)


def write_certificates(folder: Path) -> None:
    """Write ``ca.pem``, ``cert.pem``, ``key.pem`` and ``node.pem`` (key and chain) for localhost."""
    now = datetime.datetime.now(datetime.UTC)

    def name(common: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])

    def builder(subject: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name("test-ca"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(days=2))
        )

    ca_key, node_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = (
        builder("test-ca", ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    node = (
        builder("kafka-0", node_key)
        .add_extension(names, critical=False)
        .add_extension(usages, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    key = node_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ca.pem").write_bytes(ca.public_bytes(pem))
    (folder / "cert.pem").write_bytes(node.public_bytes(pem))
    (folder / "key.pem").write_bytes(key)
    (folder / "node.pem").write_bytes(key + node.public_bytes(pem) + ca.public_bytes(pem))


def _properties(folder: Path, client_port: int, controller_port: int) -> dict[str, str]:
    return {
        "node.id": "0",
        "process.roles": "broker,controller",
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller_port}",
        "listeners": f"CLIENT://127.0.0.1:{client_port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"CLIENT://127.0.0.1:{client_port},CONTROLLER://127.0.0.1:{controller_port}",
        "listener.security.protocol.map": "CLIENT:SASL_SSL,CONTROLLER:SSL",
        "inter.broker.listener.name": "CLIENT",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(folder / "data"),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(folder / "tls" / "node.pem"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(folder / "tls" / "ca.pem"),
        "ssl.principal.mapping.rules": r"RULE:^CN=(.*)$/$1/",
        "listener.name.controller.ssl.client.auth": "required",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:admin;User:kafka-0",
        "auto.create.topics.enable": "false",
        "default.replication.factor": "1",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.replication.factor": "1",
        "group.initial.rebalance.delay.ms": "0",
    }


def _java(folder: Path, *arguments: str) -> list[str]:
    libraries = f"{tools.libraries('kafka')}/*"
    return ["java", *_JVM, f"-Dlog4j2.configurationFile={folder / 'log4j2.yaml'}", "-cp", libraries, *arguments]


@contextmanager
def running(folder: Path) -> Iterator[Broker]:
    """Run a broker that keeps everything in ``folder``, ready to serve, and end it afterwards."""
    port, controller_port = free_port(), free_port()
    password = secrets.token_urlsafe(12)
    write_certificates(folder / "tls")
    (folder / "log4j2.yaml").write_text(_LOGGING)
    jaas = f'org.apache.kafka.common.security.scram.ScramLoginModule required username="admin" password="{password}";'
    settings = _properties(folder, port, controller_port) | {
        "listener.name.client.scram-sha-512.sasl.jaas.config": jaas
    }
    file = folder / "server.properties"
    file.write_text("".join(f"{key}={value}\n" for key, value in settings.items()).replace("\\", "\\\\"))
    add = f"SCRAM-SHA-512=[name=admin,password={password}]"
    formatting = [
        "kafka.tools.StorageTool",
        "format",
        "-t",
        _CLUSTER_ID,
        "-c",
        str(file),
        "--standalone",
        "--add-scram",
        add,
    ]
    done = subprocess.run(_java(folder, *formatting), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"formatting the broker failed: {done.stderr[-500:]}"
    server = Server(folder, port, _java(folder, "kafka.Kafka", str(file)))
    try:
        server.start()
        yield Broker(f"127.0.0.1:{port}", (folder / "tls" / "ca.pem").read_text(), "admin", password, server)
    finally:
        server.kill()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the broker ended: {log.read_text()[-800:]}"
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError(f"the broker did not listen within {_START_LIMIT_S} s: {os.linesep}{log.read_text()[-800:]}")
