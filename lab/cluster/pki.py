"""Certificates and kubeconfigs of the embedded control plane."""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab.cluster.addresses import API_URL, KUBERNETES_SERVICE, NODE, NODE_NAME

_LIFETIME = dt.timedelta(days=365)


@dataclass(frozen=True)
class Identity:
    """A client or server of the control plane: file name, common name, organisation."""

    file: str
    common_name: str
    organisation: str = ""
    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


IDENTITIES = (
    Identity(
        "apiserver",
        "kube-apiserver",
        names=("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"),
        addresses=(NODE, KUBERNETES_SERVICE, "127.0.0.1"),
    ),
    Identity("admin", "lab-admin", "system:masters"),
    Identity("kubelet", f"system:node:{NODE_NAME}", "system:nodes", names=(NODE_NAME,), addresses=(NODE,)),
    Identity("controller-manager", "system:kube-controller-manager"),
    Identity("scheduler", "system:kube-scheduler"),
    Identity("proxy", "system:kube-proxy"),
)


def create(folder: Path) -> None:
    """Create whatever is missing in ``folder``: CA, certificates, service account keys, kubeconfigs."""
    if (folder / "complete").exists():
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "obs-lab")])
    ca = (
        _builder(ca_name, ca_name, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(sign_certificates=True), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    _write(folder / "ca.crt", ca.public_bytes(serialization.Encoding.PEM))
    _write(folder / "ca.key", _pem(ca_key))
    for identity in IDENTITIES:
        key = ec.generate_private_key(ec.SECP256R1())
        _write(folder / f"{identity.file}.key", _pem(key))
        _write(folder / f"{identity.file}.crt", _sign(identity, key, ca, ca_key))
        _write(folder / f"{identity.file}.kubeconfig", _kubeconfig(folder, identity).encode())
    account = rsa.generate_private_key(65537, 2048)
    _write(folder / "sa.key", _pem(account))
    public = account.public_key()
    _write(
        folder / "sa.pub",
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
    )
    _write(folder / "complete", b"")


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + _LIFETIME)
    )


def _sign(
    identity: Identity, key: ec.EllipticCurvePrivateKey, ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey
) -> bytes:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, identity.common_name)]
    if identity.organisation:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, identity.organisation))
    builder = _builder(x509.Name(attributes), ca.subject, key.public_key()).add_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
    )
    alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in identity.names]
    alternatives += [x509.IPAddress(ipaddress.ip_address(address)) for address in identity.addresses]
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    builder = builder.add_extension(_key_usage(sign_certificates=False), critical=True)
    return builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _kubeconfig(folder: Path, identity: Identity) -> str:
    def inline(name: str) -> str:
        return base64.b64encode((folder / name).read_bytes()).decode()

    user = {
        "client-certificate-data": inline(f"{identity.file}.crt"),
        "client-key-data": inline(f"{identity.file}.key"),
    }
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "obs-lab", "cluster": {"server": API_URL, "certificate-authority-data": inline("ca.crt")}}
            ],
            "users": [{"name": identity.file, "user": user}],
            "contexts": [{"name": "obs-lab", "context": {"cluster": "obs-lab", "user": identity.file}}],
            "current-context": "obs-lab",
        }
    )


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)
