"""How full volumes are: the program against a real API server, and a stand-in for the kubelet, which needs a node."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from components.clusterstate import VOLUMES
from services.runtime.settings import Login, Tls
from services.volumes import Kubernetes, VolumesSettings
from services.volumes.__main__ import AskError, Kubelets, Service, Volume
from tests.config.kube_api import READER, KubeApi, kube_api
from tests.config.pki import write_certificates
from tests.config.servers import eventually, free_port
from tests.support import engine

NAMESPACE = "obs-local"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
TOKEN, USER, PASSWORD = "token-of-reader", "scrape-volumes", "of the scraper"


def _measured(name: str, namespace: str, **more: Any) -> dict[str, Any]:
    """A pod of a kubelet's summary, with one volume and the token's folder, as `k8s.io/kubelet` writes them."""
    sizes = {"time": "2026-11-28T00:00:00Z", "capacityBytes": 100, "usedBytes": 30, "availableBytes": 60}
    sizes |= {"inodes": 9, "inodesUsed": 4, "inodesFree": 5}
    claim = {"name": f"data-{name}", "namespace": namespace}
    volumes = [{**sizes, "name": "api"}, {**sizes, "name": "data", "pvcRef": claim, **more}]
    return {"podRef": {"name": name, "namespace": namespace, "uid": "u"}, "volume": volumes}


SUMMARY = {
    "node": {"nodeName": "node-1"},
    "pods": [
        _measured("kafka-0", NAMESPACE),
        _measured("kafka-0", "somebody-elses"),
        # btrfs has no limit.
        _measured("kafka-1", NAMESPACE, inodes=0, inodesUsed=0, inodesFree=0),
        {"podRef": {"name": "probes-0", "namespace": NAMESPACE, "uid": "u"}},
    ],
}


@dataclass
class Kubelet:
    """What stands in for a kubelet.

    Attributes:
        port: Where it answers.
        status: What it answers with.
        requests: Path and authorization of each request.
    """

    port: int = 0
    status: int = 200
    requests: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def kubelet(folder: Path) -> Iterator[Kubelet]:
    """It listens on loopback, with the certificate of a folder, until the block ends."""
    fake = Kubelet()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fake.requests.append((self.path, self.headers.get("Authorization", "")))
            content = json.dumps(SUMMARY).encode()
            self.send_response(fake.status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        fake.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield fake
        server.shutdown()


def _pod(api: KubeApi, name: str, address: str, *volumes: dict[str, Any]) -> None:
    path = f"/api/v1/namespaces/{NAMESPACE}/pods"
    spec = {"containers": [{"name": "main", "image": "i"}], "automountServiceAccountToken": False}
    api.create(path, {"metadata": {"name": name}, "spec": {**spec, "volumes": list(volumes)}})
    api.patch(f"{path}/{name}/status", {"status": {"hostIP": address, "hostIPs": [{"ip": address}]}})


@dataclass(frozen=True)
class Scene:
    """An API server with pods, and a kubelet."""

    api: KubeApi
    kubelet: Kubelet

    @property
    def settings(self) -> Kubernetes:
        """Who is asked, with the token of the user that has the pod's rights."""
        folder = self.api.folder
        return Kubernetes(
            api=self.api.url,
            kubelet_port=self.kubelet.port,
            ca_file=folder / "ca.crt",
            token_file=folder / "token",
            namespace=NAMESPACE,
        )


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with kube_api(tmp_path_factory.mktemp("volumes")) as api, kubelet(api.folder) as node:
        api.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        recorded = engine.recorded("local")
        api.create(f"{RBAC}/namespaces/{NAMESPACE}/roles", recorded.applicable("Role", VOLUMES))
        binding = recorded.applicable("RoleBinding", VOLUMES)
        subjects = [{"kind": "User", "name": READER, "apiGroup": "rbac.authorization.k8s.io"}]
        api.create(f"{RBAC}/namespaces/{NAMESPACE}/rolebindings", {**binding, "subjects": subjects})
        claim = {"name": "data", "persistentVolumeClaim": {"claimName": "data-kafka-0"}}
        _pod(api, "kafka-0", "127.0.0.1", claim)
        _pod(api, "kafka-1", "127.0.0.1", claim)
        # A node without volumes of the platform is not asked.
        _pod(api, "probes-0", "127.0.0.9", {"name": "tmp", "emptyDir": {}})
        (api.folder / "token").write_text(f"{TOKEN}\n")
        (api.folder / "password").write_text(PASSWORD)
        yield Scene(api, node)


def test_each_node_with_a_volume_is_asked_once_and_tells_of_the_namespaces_volumes(scene: Scene) -> None:
    scene.kubelet.requests.clear()
    seen = Kubelets(scene.settings).ask()
    size = {"used_bytes": 30, "available_bytes": 60}
    assert seen.volumes == (
        Volume(pod="kafka-0", claim="data-kafka-0", **size, used_inodes=4, inodes=9),
        Volume(pod="kafka-1", claim="data-kafka-1", **size),
    )
    assert (seen.nodes, seen.problems) == (1, {})
    assert scene.kubelet.requests == [("/stats/summary", f"Bearer {TOKEN}")]


def test_a_kubelet_that_refuses_is_told_and_the_round_goes_on(scene: Scene) -> None:
    scene.kubelet.status = 403
    try:
        seen = Kubelets(scene.settings).ask()
    finally:
        scene.kubelet.status = 200
    assert (seen.volumes, seen.nodes) == ((), 1)
    assert list(seen.problems) == ["127.0.0.1"]
    assert seen.problems["127.0.0.1"].endswith("answers 403")


def test_a_kubelet_that_is_not_verified_is_not_asked(scene: Scene, tmp_path: Path) -> None:
    """The API server and the kubelet have the same authority: another one refuses both."""
    write_certificates(tmp_path)
    scene.kubelet.requests.clear()
    with pytest.raises(AskError, match="certificate verify failed"):
        Kubelets(scene.settings.model_copy(update={"ca_file": tmp_path / "ca.crt"})).ask()
    assert scene.kubelet.requests == []


def test_the_program_serves_what_kubelets_tell_to_who_has_the_password(scene: Scene) -> None:
    folder, port = scene.api.folder, free_port()
    settings = VolumesSettings(
        kubernetes=scene.settings,
        interval_s=60,
        listen=f"127.0.0.1:{port}",
        tls=Tls(cert_file=folder / "tls.crt", key_file=folder / "tls.key"),
        metrics=Login(user=USER, password_file=folder / "password"),
    )
    service = Service(settings)
    thread = threading.Thread(target=service.run, daemon=True)
    thread.start()

    def metrics(password: str) -> requests.Response:
        return requests.get(
            f"https://localhost:{port}/metrics", auth=(USER, password), verify=str(folder / "ca.crt"), timeout=60
        )

    try:
        eventually(lambda: "volume_nodes 1.0" in metrics(PASSWORD).text, 60, "a round")
        labels = 'persistentvolumeclaim="data-kafka-0",pod="kafka-0"'
        text = metrics(PASSWORD).text
        assert f"volume_used_bytes{{{labels}}} 30.0" in text
        assert f"volume_available_bytes{{{labels}}} 60.0" in text
        assert f"volume_inodes_used{{{labels}}} 4.0" in text
        inodes = [line for line in text.splitlines() if line.startswith("volume_inodes{")]
        assert inodes == [f"volume_inodes{{{labels}}} 9.0"], "a volume without a limit has none"
        assert "volume_nodes_silent 0.0" in text
        assert metrics("wrong").status_code == requests.codes.unauthorized
    finally:
        service.stop()
        thread.join(timeout=60)
