"""What an API server needs to post its audit events to the audit log: policy, address and token, and its flags.

All of it exists before there is a platform: an API server reads these files when it starts, and refuses to start
without them. It reaches no DNS of the cluster, so it posts to a cluster IP; and it carries no certificate that
cert-manager renews, so token and certificate are made once and given to both sides.
"""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from components.audit import CLUSTER_PORT, CLUSTER_SERVICE, WORKLOAD
from ops.core.files import write_private
from services.audit.cluster import INITIAL_BACKOFF_S, MOST_BODY_BYTES, MOST_EVENT_BYTES, PATH, SECRETS

POLICY, WEBHOOK, CREDENTIALS = "policy.yaml", "webhook.yaml", "secrets.json"
"""Files of a folder: two for the API server, one for the stack."""
_LIFE: Final = dt.timedelta(days=3650)
_LITTLE_MORE: Final = 1024 * 1024
_MOST_WAIT_S: Final = 5
_READS: Final = ["get", "list", "watch"]


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What both sides are given: the value of the stack's secret ``clusterAuditSecrets``.

    Attributes:
        token: What the API server shows.
        certificate: What it trusts, and the audit log shows (PEM).
        key: Its key (PEM).
    """

    token: str
    certificate: str
    key: str


def credentials() -> Credentials:
    """New ones, good for ten years."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, CLUSTER_SERVICE)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(CLUSTER_SERVICE)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Credentials(
        token=secrets.token_urlsafe(32),
        certificate=certificate.public_bytes(serialization.Encoding.PEM).decode(),
        key=pem.decode(),
    )


def policy(namespace: str) -> dict[str, Any]:
    """The audit policy of ``--audit-policy-file``: who did what in a namespace, never with content."""

    def core(*resources: str) -> list[dict[str, Any]]:
        return [{"group": "", "resources": list(resources)}]

    nodes = {"level": "None", "userGroups": ["system:nodes"], "namespaces": [namespace]}
    events = [*core("events"), {"group": "events.k8s.io"}]
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {**nodes, "verbs": _READS, "resources": core("pods", "configmaps", "services", "persistentvolumeclaims")},
            {**nodes, "resources": events},
            {"level": "Metadata", "namespaces": [namespace]},
            {"level": "Metadata", "namespaces": [""], "resources": core(SECRETS)},
            {"level": "None"},
        ],
    }


def webhook(address: str, known: Credentials, port: int = CLUSTER_PORT) -> dict[str, Any]:
    """The kubeconfig of ``--audit-webhook-config-file``."""
    host = f"[{address}]" if ipaddress.ip_address(address).version == 6 else address
    cluster = {
        "server": f"https://{host}:{port}{PATH}",
        "tls-server-name": CLUSTER_SERVICE,
        "certificate-authority-data": base64.b64encode(known.certificate.encode()).decode(),
    }
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": WORKLOAD, "cluster": cluster}],
        "users": [{"name": "api-server", "user": {"token": known.token}}],
        "contexts": [{"name": WORKLOAD, "context": {"cluster": WORKLOAD, "user": "api-server"}}],
        "current-context": WORKLOAD,
    }


def flags(folder: str) -> list[str]:
    """Flags of kube-apiserver, with the files in a folder."""
    return [
        f"--audit-policy-file={folder}/{POLICY}",
        f"--audit-webhook-config-file={folder}/{WEBHOOK}",
        "--audit-webhook-mode=batch",
        f"--audit-webhook-batch-max-wait={_MOST_WAIT_S}s",
        f"--audit-webhook-initial-backoff={INITIAL_BACKOFF_S:.0f}s",
        # Else a batch is as large as its events, which clients make large: what is refused for that is lost.
        "--audit-webhook-truncate-enabled=true",
        f"--audit-webhook-truncate-max-batch-size={MOST_BODY_BYTES - _LITTLE_MORE}",
        f"--audit-webhook-truncate-max-event-size={MOST_EVENT_BYTES}",
    ]


def write(folder: Path, namespace: str, address: str) -> None:
    """Write the files that are not there, with credentials that stay the same.

    Raises:
        OSError: One cannot be written or read.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (folder / CREDENTIALS).exists():
        write_private(folder / CREDENTIALS, json.dumps(asdict(credentials())))
    known = Credentials(**read(folder))
    write_private(folder / WEBHOOK, yaml.safe_dump(webhook(address, known), sort_keys=False))
    write_private(folder / POLICY, yaml.safe_dump(policy(namespace), sort_keys=False))


def read(folder: Path) -> Mapping[str, str]:
    """The stack's secret.

    Raises:
        OSError: There is none.
    """
    content: dict[str, str] = json.loads((folder / CREDENTIALS).read_text())
    return content
