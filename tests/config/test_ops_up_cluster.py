"""What ``obs up`` does in a cluster beside the update, against a real API server."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from ops import up
from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.preflight.images import KEY, KIND
from tests.config.kube_api import ADMIN, READER, KubeApi, kube_api

NAMESPACE = "obs-mine"
SERVICES = f"/api/v1/namespaces/{NAMESPACE}/services"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeApi]:
    with kube_api(tmp_path_factory.mktemp("up")) as server:
        yield server


@pytest.fixture
def kube(api: KubeApi) -> Iterator[Kube]:
    connected = Kube.connect(NAMESPACE, api.kubeconfig, ADMIN)
    yield connected
    connected.close()


def test_a_pull_secret_waits_for_its_namespace_and_is_renewed(api: KubeApi, kube: Kube) -> None:
    assert not up.apply_pull_secret(kube, "pull", '{"auths": {}}')
    assert kube.balancers() == {}
    api.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    for content in ('{"auths": {}}', '{"auths": {"one": {}}}'):
        assert up.apply_pull_secret(kube, "pull", content)
        secret = api.get(f"/api/v1/namespaces/{NAMESPACE}/secrets/pull").json()
        assert secret["type"] == KIND
        assert base64.b64decode(secret["data"][KEY]).decode() == content
    reader = Kube.connect(NAMESPACE, api.kubeconfig, READER)
    try:
        with pytest.raises(OpsError, match=r"^cannot make the Secret other of namespace obs-mine: HTTP 403 "):
            up.apply_pull_secret(reader, "other", "{}")
    finally:
        reader.close()


def test_load_balancers_are_told_once_they_have_an_address(api: KubeApi, kube: Kube) -> None:
    for name, kind in {"inside": "ClusterIP", "first": "LoadBalancer", "second": "LoadBalancer"}.items():
        service = {"metadata": {"name": name}, "spec": {"type": kind, "ports": [{"port": 443}]}}
        api.create(SERVICES, {"apiVersion": "v1", "kind": "Service", **service})
    assert kube.balancers() == {}
    for name, address in {"first": {"ip": "192.0.2.1"}, "second": {"hostname": "lb.cloud"}}.items():
        api.patch(f"{SERVICES}/{name}/status", {"status": {"loadBalancer": {"ingress": [address]}}})
    assert kube.balancers() == {"first": "192.0.2.1", "second": "lb.cloud"}
