"""A Prometheus on this machine that opens restored blocks: the program on PATH, on the loopback address, with a
certificate and a login of its own.
"""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import bcrypt
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from components.prometheus.config import BLOCK_DURATION, rendered
from components.versions import IMAGES
from components.web_access import web_config
from ops.core.errors import OpsError, one_line
from ops.core.terminal import end
from ops.drills.procedure import CannotRunError
from services.backup.restore_metrics import QueryApi

PROGRAM: Final = "prometheus"
DATA: Final = "data"
USER: Final = "drill"
STARTS_S: Final = 120.0
_ENDS_S: Final = 30.0
_LOOK_S: Final = 0.2
_COST: Final = 4
"""Of bcrypt: nobody guesses 24 random bytes at any cost."""


def program() -> str:
    """The program.

    Raises:
        CannotRunError: It is not on PATH.
    """
    path = shutil.which(PROGRAM)
    if path is None:
        raise CannotRunError(
            f"`{PROGRAM}` is not on PATH: restored blocks are opened by one on this machine; install {IMAGES[PROGRAM]} "
            "or a newer one (in the lab: python -m lab exec --)"
        )
    return path


@contextmanager
def opened_blocks(program: str, folder: Path) -> Iterator[QueryApi]:
    """Run a Prometheus until the block ends; nothing of its data goes for its age, and no blocks are merged.

    Args:
        program: Its program.
        folder: A private folder: `DATA` below it holds the blocks, its other files are written beside.

    Raises:
        OpsError: It ends, or is not ready in time.
    """
    password, port, log = secrets.token_urlsafe(24), _free_port(), folder / "prometheus.log"
    _write_files(folder, password)
    command = [
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--web.config.file={folder / 'web.yml'}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--storage.tsdb.path={folder / DATA}",
        "--storage.tsdb.retention.time=10y",
        f"--storage.tsdb.min-block-duration={BLOCK_DURATION}",
        f"--storage.tsdb.max-block-duration={BLOCK_DURATION}",
        "--no-storage.tsdb.allow-overlapping-compaction",
    ]
    api = QueryApi(url=f"https://localhost:{port}", user=USER, password=password, ca_file=folder / "tls.crt")
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            _await_ready(process, api, log)
            yield api
        finally:
            end(process, _ENDS_S)


def _await_ready(process: subprocess.Popen[bytes], api: QueryApi, log: Path) -> None:
    deadline = time.monotonic() + STARTS_S
    while not _ready(api):
        if process.poll() is not None:
            said = [line for line in log.read_text(errors="replace").splitlines() if line.strip()] or ["silently"]
            raise OpsError(f"{PROGRAM} ended with code {process.returncode}: {one_line(said[-1])}")
        if time.monotonic() > deadline:
            raise OpsError(f"{PROGRAM} was not ready within {STARTS_S:.0f} s")
        time.sleep(_LOOK_S)


def _ready(api: QueryApi) -> bool:
    try:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(
                f"{api.url}/-/ready", auth=(api.user, api.password), verify=str(api.ca_file), timeout=(5, 10)
            )
    except requests.RequestException:
        return False
    return answer.status_code == 200


def _write_files(folder: Path, password: str) -> None:
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(_COST)).decode()
    certificate, key = _certificate()
    (folder / "tls.crt").write_bytes(certificate)
    (folder / "tls.key").touch(mode=0o600)
    (folder / "tls.key").write_bytes(key)
    (folder / "web.yml").write_text(rendered(web_config({USER: hashed}, str(folder))))
    # Nothing is scraped and no rule is evaluated.
    (folder / "prometheus.yml").write_text("{}\n")


def _certificate() -> tuple[bytes, bytes]:
    """A certificate for this machine that is its own authority, and its key; PEM."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "restored blocks")])
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, key_cert_sign=True, **usage), critical=True)
        .add_extension(own, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
