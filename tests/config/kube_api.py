"""A real API server of Kubernetes over etcd, on loopback: no kubelet, no controllers, no scheduler."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import yaml
from cryptography.hazmat.primitives import serialization

from lab.cluster.node import on_path
from lab.toolchain import tools
from tests.config.pki import write_certificates
from tests.config.servers import START_SECONDS, eventually, running
from tests.support.ports import free_port

ADMIN, READER, INSTALLER = "admin", "reader", "installer"
LITTLE_GARBAGE = {"GOGC": "400"}
"""Variables of Kubernetes' programs: what they read at their start stays, and Go's default walks it again and again."""
_TOKENS = {name: f"token-of-{name}" for name in (ADMIN, READER, INSTALLER)}


@dataclass(frozen=True)
class KubeApi:
    """The server.

    Attributes:
        url: Where it answers.
        folder: Where its files are.
        kubeconfig: One with a context for each user: ``admin`` may do everything, the others what rules allow.
    """

    url: str
    folder: Path
    kubeconfig: Path

    def create(self, path: str, content: dict[str, Any]) -> dict[str, Any]:
        """Make an object, as the administrator.

        Raises:
            AssertionError: The server refuses it.
        """
        response = self._call("POST", path, json=content)
        assert response.status_code == requests.codes.created, response.text
        created: dict[str, Any] = response.json()
        return created

    def patch(self, path: str, content: dict[str, Any]) -> None:
        """Change an object, or its status, as the administrator: what is named in ``content`` and nothing else."""
        response = self._call("PATCH", path, json=content, headers={"Content-Type": "application/merge-patch+json"})
        assert response.ok, response.text

    def delete(self, path: str) -> None:
        """Remove an object, as the administrator."""
        response = self._call("DELETE", path)
        assert response.ok, response.text

    def get(self, path: str) -> requests.Response:
        """Ask for something, as the administrator."""
        return self._call("GET", path)

    def _call(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {_TOKENS[ADMIN]}", **options.pop("headers", {})}
        return requests.request(
            method, f"{self.url}{path}", headers=headers, verify=str(self.folder / "ca.crt"), timeout=60, **options
        )


@contextmanager
def kube_api(folder: Path, *flags: str) -> Iterator[KubeApi]:
    """The server, from the moment it is ready until the block ends; with further ``flags``."""
    write_certificates(folder)
    key = serialization.load_pem_private_key((folder / "tls.key").read_bytes(), None)
    (folder / "accounts.pub").write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    store, peers, port = (free_port() for _ in range(3))
    tokens = folder / "tokens.csv"
    groups = {ADMIN: ',"system:masters"'}
    lines = [f"{token},{name},{name}{groups.get(name, '')}\n" for name, token in _TOKENS.items()]
    tokens.write_text("".join(lines))
    peer = f"http://127.0.0.1:{peers}"
    etcd = [
        on_path("etcd", "etcd-server"),
        f"--data-dir={folder}/etcd",
        f"--listen-client-urls=http://127.0.0.1:{store}",
        f"--advertise-client-urls=http://127.0.0.1:{store}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]
    server = [
        str(tools.path("kube-apiserver")),
        f"--etcd-servers=http://127.0.0.1:{store}",
        f"--secure-port={port}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--tls-cert-file={folder}/tls.crt",
        f"--tls-private-key-file={folder}/tls.key",
        f"--token-auth-file={tokens}",
        f"--service-account-key-file={folder}/accounts.pub",
        f"--service-account-signing-key-file={folder}/tls.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--authorization-mode=RBAC",
        # Controllers, which are not here, would give pods their account and take the taint from a node.
        "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition",
        "--profiling=false",
        # Nobody waits in a queue here, and its controllers never rest.
        "--enable-priority-and-fairness=false",
        *flags,
    ]
    api = KubeApi(f"https://127.0.0.1:{port}", folder, folder / "kubeconfig")
    api.kubeconfig.write_text(yaml.safe_dump(_kubeconfig(api)))
    with (
        running(etcd, folder / "etcd.log", store),
        running(server, folder / "apiserver.log", port, variables=LITTLE_GARBAGE),
    ):
        for path in ("/readyz", "/api/v1/namespaces/kube-system"):
            eventually(lambda path=path: _answers(api, path), START_SECONDS, f"{path} is there")  # type: ignore[misc]
        yield api


def _answers(api: KubeApi, path: str) -> bool:
    try:
        return api.get(path).ok
    except requests.RequestException:
        return False


def _kubeconfig(api: KubeApi) -> dict[str, Any]:
    cluster = {"server": api.url, "certificate-authority": str(api.folder / "ca.crt")}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": ADMIN,
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": user, "user": {"token": token}} for user, token in _TOKENS.items()],
        "contexts": [{"name": user, "context": {"cluster": "test", "user": user}} for user in _TOKENS],
    }
