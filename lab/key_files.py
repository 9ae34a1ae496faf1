"""Files of servers outside the platform: secrets, made once for a lab and kept in a file that only its owner can read;
and the certificates of an authority that is nobody of the platform's, for a pager or a directory.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab import LabError
from ops.core.files import write_private

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


_Secrets = TypeVar("_Secrets", bound="DataclassInstance")


def load(kind: type[_Secrets], file: Path, of: str) -> _Secrets:
    """Read the secrets.

    Args:
        kind: Dataclass whose fields the file has.
        file: JSON.
        of: Whose secrets these are, for the message.

    Raises:
        LabError: The file is not there or not whole.
    """
    try:
        content = json.loads(file.read_text())
        return kind(**{field.name: content[field.name] for field in fields(kind)})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabError(
            f"secrets of {of}: {file} cannot be used ({type(error).__name__}): run `make up`, which makes them"
        ) from None


def load_or_make(kind: type[_Secrets], file: Path, of: str) -> _Secrets:
    """Read the secrets, and make them where there are none.

    Raises:
        LabError: The file is there and not whole.
    """
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(file, json.dumps(asdict(kind()), indent=1).encode() + b"\n")
    return load(kind, file, of)


AUTHORITY, AUTHORITY_KEY, CERTIFICATE, KEY = "ca.crt", "ca.key", "tls.crt", "tls.key"
_LIFETIME = dt.timedelta(days=365)
_CLOCK_SKEW = dt.timedelta(minutes=5)


def create(folder: Path, address: str) -> None:
    """Create authority and server certificate of the fakes in one folder, unless they are there already."""
    create_authority(folder)
    issue(folder, folder, "receivers", address)


def create_authority(folder: Path) -> None:
    """Create the authority, unless it is there already; its certificate comes last."""
    if (folder / AUTHORITY).exists():
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    key, name = ec.generate_private_key(ec.SECP256R1()), _name("receivers outside the platform")
    authority = (
        certificate_builder(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    write_private(folder / AUTHORITY_KEY, pem(key))
    write_private(folder / AUTHORITY, authority.public_bytes(serialization.Encoding.PEM))


def issue(authority: Path, folder: Path, name: str, address: str) -> None:
    """Give a server a certificate for an IP address (and ``localhost``), unless it has one of this authority.

    Keys are readable by their owner only. The certificate comes last: where it is, everything is.

    Args:
        authority: Folder of `create_authority`.
        folder: Folder of the server's files; gets a copy of the authority's certificate.
        name: Common name.
        address: Where the server listens.
    """
    signer = (authority / AUTHORITY).read_bytes()
    if (folder / CERTIFICATE).exists() and (folder / AUTHORITY).read_bytes() == signer:
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    signing_key = serialization.load_pem_private_key((authority / AUTHORITY_KEY).read_bytes(), password=None)
    assert isinstance(signing_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    addresses = [x509.IPAddress(ipaddress.ip_address(ip)) for ip in (address, "127.0.0.1")]
    server = (
        certificate_builder(_name(name), x509.load_pem_x509_certificate(signer).subject, key.public_key())
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost"), *addresses]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(key_usage(authority=False), critical=True)
        .sign(signing_key, hashes.SHA256())
    )
    for file, content in (
        (AUTHORITY, signer),
        (KEY, pem(key)),
        (CERTIFICATE, server.public_bytes(serialization.Encoding.PEM)),
    ):
        write_private(folder / file, content)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def certificate_builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    """A certificate of the lab that holds for a year; extensions and signature are missing."""
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + _LIFETIME)
    )


def key_usage(*, authority: bool) -> x509.KeyUsage:
    """What a key is for: to sign certificates, or connections."""
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        key_encipherment=False,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    """A private key as a file has it."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
