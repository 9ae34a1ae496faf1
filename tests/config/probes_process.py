"""The real prober with the platform's modules, and TLS servers for it to look at, with certificates of any life."""

from __future__ import annotations

import datetime
import ipaddress
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import bcrypt
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from components.probes import probe_command, probe_config, rendered
from components.web_access import web_config
from lab.toolchain import tools
from tests.config.servers import free_port, running

USERS = {name: f"{name}-password" for name in ("scrape-probes", "scrape-probe-pods", "scrape-probe-services")}
DAY = datetime.timedelta(days=1)


@dataclass
class Authority:
    """A certificate authority of a given life."""

    life: datetime.timedelta = 365 * DAY
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        self.now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "platform authority")])
        builder = self._builder(self.name, self.key.public_key(), self.life)
        self.certificate = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(
            self.key, hashes.SHA256()
        )

    @property
    def ends(self) -> float:
        """When the authority itself ends, as a Unix time."""
        return (self.now + self.life).timestamp()

    def issue(self, folder: Path, *, life: datetime.timedelta, host: str = "localhost") -> float:
        """Write ``tls.crt``, ``tls.key`` and ``ca.crt``; returns when the certificate ends, as a Unix time."""
        folder.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName(host), x509.IPAddress(ipaddress.ip_address("127.0.0.2"))]
        certificate = (
            self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)]), key.public_key(), life)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        (folder / "tls.crt").write_bytes(certificate.public_bytes(pem))
        (folder / "ca.crt").write_bytes(self.certificate.public_bytes(pem))
        (folder / "tls.key").write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        return (self.now + life).timestamp()

    def _builder(
        self, subject: x509.Name, public: ec.EllipticCurvePublicKey, life: datetime.timedelta
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now - 400 * DAY)
            .not_valid_after(self.now + life)
        )


@contextmanager
def tls_server(folder: Path, *, status: int = 401, client_certificates: bool = False) -> Iterator[int]:
    """A TLS server that answers every request with one status; with ``tls.crt`` and the rest of a folder.

    Args:
        folder: Certificate, key and authority.
        status: What it answers.
        client_certificates: Whether it serves only those that show a certificate of the authority.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    if client_certificates:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(folder / "ca.crt")
        # With TLS 1.3 the client would not notice during the handshake that it is refused.
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    answer = f"HTTP/1.1 {status} Such\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()

    def serve(connection: socket.socket) -> None:
        with suppress(OSError), connection, context.wrap_socket(connection, server_side=True) as tls:
            tls.settimeout(5)
            if tls.recv(4096):
                tls.sendall(answer)

    with _listening(serve) as port:
        yield port


@contextmanager
def plain_server() -> Iterator[int]:
    """A server without TLS, which greets everybody."""

    def serve(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.sendall(b"220 welcome\r\n")
            connection.settimeout(5)
            connection.recv(4096)

    with _listening(serve) as port:
        yield port


@contextmanager
def _listening(serve: object) -> Iterator[int]:
    assert callable(serve)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(timeout=60)


@dataclass(frozen=True)
class Prober:
    """A running prober."""

    folder: Path
    port: int

    def get(self, path: str, user: str | None = "scrape-probe-pods", **parameters: str) -> requests.Response:
        """Ask the prober, as a user or as nobody."""
        return requests.get(
            f"https://localhost:{self.port}{path}",
            params=parameters,
            auth=(user, USERS.get(user, "wrong")) if user else None,
            verify=str(self.folder / "ca.crt"),
            timeout=60,
        )

    def probe(self, module: str, target: str, **parameters: str) -> dict[str, float]:
        """What it sees of a target: metric name -> value, of metrics without labels."""
        answer = self.get("/probe", module=module, target=target, **parameters)
        assert answer.status_code == 200, answer.text
        return {name: float(value) for name, value in re.findall(r"^(\w+) (\S+)$", answer.text, re.MULTILINE)}


def write_files(folder: Path) -> None:
    """Everything that the prober's pod mounts, beside its certificate."""
    hashes_of = {user: bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode() for user, password in USERS.items()}
    (folder / "config.yml").write_text(rendered(probe_config(str(folder))))
    (folder / "web.yml").write_text(rendered(web_config(hashes_of, str(folder))))


def local_command(folder: Path, port: int) -> list[str]:
    """The pod's command line with the lab's binary and folders; no option is added or left out."""
    replaced = {
        "config.file": str(folder / "config.yml"),
        "web.config.file": str(folder / "web.yml"),
        "web.listen-address": f"127.0.0.1:{port}",
    }
    result = [str(tools.path("blackbox_exporter"))]
    for option in probe_command()[1:]:
        name, _, value = option.removeprefix("--").partition("=")
        result.append(f"--{name}={replaced.get(name, value)}")
    return result


@contextmanager
def prober(folder: Path) -> Iterator[Prober]:
    """Run the prober with the certificate in a folder, until the block ends."""
    write_files(folder)
    port = free_port()
    with running(local_command(folder, port), folder / "blackbox.log", port):
        yield Prober(folder, port)
