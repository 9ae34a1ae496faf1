"""One real Kafka broker on loopback, TLS and SCRAM and ACLs on, for tests that a fake would make worthless."""

from __future__ import annotations

import datetime
import functools
import ipaddress
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from components.java import PLAIN_STORES
from lab.paths import cache_root
from lab.toolchain import tools
from tests.support import java_classes
from tests.support.ports import free_port as free_port

_START_LIMIT_S = 180
"""Ends a start that hangs."""
_END_LIMIT_S = 180
_ANSWER_S = 120
"""Ends a request: the first ones of a broker take long on a busy machine."""
_JVM = (
    *("-Xmx256m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"),
    PLAIN_STORES,
)
_ADMIN, _PASSWORD = "admin", "password-of-the-tests"
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

    @property
    def pid(self) -> int:
        """Number of the process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until it listens."""
        file = self._folder / "broker.log"
        with file.open("ab") as log:
            process = subprocess.Popen(self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self._process = process
        _wait(process, self._port, file)

    def end(self) -> None:
        """End it in good order."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(_END_LIMIT_S)

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_END_LIMIT_S)

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

    def client(self, **changes: str | int | bool) -> dict[str, Any]:
        """Settings of librdkafka: the administrator's, with changes."""
        return {
            "bootstrap.servers": self.bootstrap,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": self.username,
            "sasl.password": self.password,
            "ssl.ca.pem": self.ca,
            **changes,
        }

    def create_topics(self, names: Iterable[str], partitions: int, **config: str) -> None:
        """Create topics, of one copy each."""
        # Kept in a name: what is asked of a client ends with it.
        admin = AdminClient(self.client())
        wanted = [NewTopic(name, num_partitions=partitions, replication_factor=1, config=config) for name in names]
        for future in admin.create_topics(wanted, request_timeout=_ANSWER_S).values():
            future.result()

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """It keeps its connections and answers nothing, until the block ends."""
        self.server.signal(signal.SIGSTOP)
        # On a busy machine its threads go on for seconds before they stop.
        os.waitid(os.P_PID, self.server.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
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
        "controller.quorum.voters": f"0@127.0.0.1:{controller_port}",
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
        # Of what each start takes its time for, only as much as one client at a time needs.
        "transaction.state.log.num.partitions": "1",
        "num.network.threads": "1",
        "num.io.threads": "2",
        "background.threads": "1",
        "num.recovery.threads.per.data.dir": "1",
        "log.cleaner.enable": "false",
    }


def _java(folder: Path, flags: Sequence[str], *arguments: str) -> list[str]:
    logging = f"-Dlog4j2.configurationFile={folder / 'log4j2.yaml'}"
    return ["java", *_JVM, *flags, logging, "-cp", f"{tools.libraries('kafka')}/*", *arguments]


@functools.cache
def prepared() -> Path:
    """Folder that every broker begins with: a formatted ``data``, and an archive of a broker's classes."""
    parts = (tools.libraries("kafka").parent.name, Path(__file__).read_text())
    return java_classes.made_once(cache_root() / "tests", "kafka", parts, _prepare)


def _prepare(target: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        port, file = _write_files(folder)
        add = f"SCRAM-SHA-512=[name={_ADMIN},password={_PASSWORD}]"
        formatting = ("kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(file), "--add-scram", add)
        done = subprocess.run(_java(folder, (), *formatting), capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"formatting the broker failed: {done.stderr[-500:]}"
        shutil.copytree(folder / "data", target / "data")
        server = Server(folder, port, _java(folder, [java_classes.write_at_exit(target)], "kafka.Kafka", str(file)))
        try:
            server.start()
            _use(Broker(f"127.0.0.1:{port}", (folder / "tls" / "ca.pem").read_text(), _ADMIN, _PASSWORD, server))
            server.end()
        finally:
            server.kill()


def _use(broker: Broker) -> None:
    """Write, read in a group and commit, so that the archive has the classes that serve clients, too."""
    topic = "classes"
    broker.create_topics([topic], 1)
    producer = Producer(broker.client())
    producer.produce(topic, b"value", key=b"key")
    assert producer.flush(_ANSWER_S) == 0
    reader = Consumer(broker.client(**{"group.id": topic, "auto.offset.reset": "earliest"}))
    reader.subscribe([topic])
    message = reader.poll(_ANSWER_S)
    assert message is not None
    assert message.error() is None
    reader.commit(asynchronous=False)
    reader.close()


def _write_files(folder: Path) -> tuple[int, Path]:
    """Certificates and settings of a broker; the port of its clients, and its ``server.properties``."""
    port, controller_port = free_port(), free_port()
    write_certificates(folder / "tls")
    (folder / "log4j2.yaml").write_text(_LOGGING)
    module = "org.apache.kafka.common.security.scram.ScramLoginModule"
    settings = _properties(folder, port, controller_port) | {
        "listener.name.client.scram-sha-512.sasl.jaas.config": (
            f'{module} required username="{_ADMIN}" password="{_PASSWORD}";'
        )
    }
    file = folder / "server.properties"
    file.write_text("".join(f"{key}={value}\n" for key, value in settings.items()).replace("\\", "\\\\"))
    return port, file


@contextmanager
def running(folder: Path) -> Iterator[Broker]:
    """Run a broker that keeps everything in ``folder``, ready to serve, and end it afterwards."""
    port, file = _write_files(folder)
    shutil.copytree(prepared() / "data", folder / "data")
    server = Server(folder, port, _java(folder, java_classes.read_from(prepared()), "kafka.Kafka", str(file)))
    try:
        server.start()
        broker = Broker(f"127.0.0.1:{port}", (folder / "tls" / "ca.pem").read_text(), _ADMIN, _PASSWORD, server)
        # It listens before it serves, and the first login takes long on a busy machine.
        AdminClient(broker.client()).list_topics(timeout=_ANSWER_S)
        yield broker
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
