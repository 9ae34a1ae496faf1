"""Images of pods and of former revisions, as a real API server tells them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ops.core.kube import Kube
from tests.config.kube_api import kube_api
from tests.unit.ops.test_maintain_images import KAFKA, NEW, OLD, found_by

NAMESPACE, APPS = "obs-local", "/apis/apps/v1/namespaces/obs-local"
BEFORE, NOW = f"r.example/obs/kafka:4.2.0@{OLD}", f"{KAFKA}@{OLD}"


def _template(name: str, image: str) -> dict[str, Any]:
    containers = [{"name": name, "image": image}]
    return {"metadata": {"labels": {"app": name}}, "spec": {"containers": containers}}


@pytest.fixture(scope="module")
def kube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    with kube_api(tmp_path_factory.mktemp("images")) as api:
        api.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        for number, image in enumerate((BEFORE, NOW), 1):
            data = {"spec": {"template": _template("kafka", image)}}
            api.create(
                f"{APPS}/controllerrevisions",
                {"metadata": {"name": f"kafka-{number}"}, "revision": number, "data": data},
            )
        gateway = {"replicas": 0, "selector": {"matchLabels": {"app": "gateway"}}}
        image = "r.example/obs/otelcol:0.149.0"
        template = _template("gateway", image)
        api.create(
            f"{APPS}/replicasets", {"metadata": {"name": "gateway-1"}, "spec": {**gateway, "template": template}}
        )
        pods = f"/api/v1/namespaces/{NAMESPACE}/pods"
        containers = [{"name": "helper", "image": image}, {"name": "kafka", "image": NOW}]
        spec = {"containers": containers, "automountServiceAccountToken": False}
        api.create(pods, {"metadata": {"name": "kafka-0"}, "spec": spec})
        state = {"ready": True, "restartCount": 0, "image": NOW}
        told = [{**state, "name": "kafka", "imageID": f"r.example/obs/kafka@{NEW}"}]
        api.patch(f"{pods}/kafka-0/status", {"status": {"phase": "Running", "containerStatuses": told}})
        with closing(Kube.connect(NAMESPACE, Path(api.kubeconfig))) as connected:
            yield connected


def test_each_container_has_the_image_that_its_node_tells(kube: Kube) -> None:
    [pod] = kube.pods()
    assert pod.containers == ("helper", "kafka")
    assert pod.image_ids == ("", f"r.example/obs/kafka@{NEW}")


def test_revisions_of_every_kind_are_read(kube: Kube) -> None:
    assert kube.former_images() == {BEFORE, NOW, "r.example/obs/otelcol:0.149.0"}


def test_the_check_names_the_container_and_the_tag_before(kube: Kube) -> None:
    pinned = {"kafka": "obs/kafka:4.3.1", "otelcol": "obs/otelcol:0.149.0"}
    assert found_by(pinned, kube, {"kafka": NEW}).wrong == [
        "kafka-0/kafka names sha256:aaaaaaaaaaaa, the stack sha256:bbbbbbbbbbbb",
        "kafka-0/kafka runs sha256:bbbbbbbbbbbb, its pod names sha256:aaaaaaaaaaaa",
        "kafka 4.3.1 has the digest of kafka 4.2.0: sha256:aaaaaaaaaaaa; what runs is one of them",
    ]
