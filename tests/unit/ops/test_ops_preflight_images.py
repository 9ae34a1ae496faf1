"""Pull Secrets and references of images, and registries that do not answer."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from ops.preflight import images
from ops.preflight.demand import Cluster, Demand, Pods, demand
from ops.preflight.images import in_registries, pull_secrets, reference
from ops.preflight.lines import Line, State

KIND = "kubernetes.io/dockerconfigjson"
PASSWORD = "not-to-be-seen"


class Seen:
    """A cluster with a namespace and Secrets."""

    def __init__(self, **secrets: dict[str, Any]) -> None:
        self._secrets = secrets

    def exists(self, path: str) -> bool:
        return path == "/api/v1/namespaces/obs"

    def read(self, path: str) -> dict[str, Any] | None:
        return self._secrets.get(path.removeprefix("/api/v1/namespaces/obs/secrets/"))


def secret(auths: object, kind: str = KIND) -> dict[str, Any]:
    return {
        "type": kind,
        "data": {".dockerconfigjson": base64.b64encode(json.dumps({"auths": auths}).encode()).decode()},
    }


def entry(user: str = "nodes") -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{PASSWORD}".encode()).decode()}


def wanted(*references: str, secrets: tuple[str, ...] = ("registry",)) -> Demand:
    """A platform that needs these images."""
    pods = [Pods(name=name, count=1, spec={"containers": [{"image": name}]}) for name in references]
    return replace(demand("obs", []), pods=pods, pull_secrets=frozenset(secrets))


def told(content: Demand, **secrets: dict[str, Any]) -> Line:
    line = pull_secrets(cast(Cluster, Seen(**secrets)), content)
    assert PASSWORD not in str(line)
    return line


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a.example/team/obs/kafka:4@sha256:ab", ("a.example", "team/obs/kafka", "4", "sha256:ab")),
        ("a.example:5000/kafka", ("a.example:5000", "kafka", "", "")),
        ("localhost/kafka:4", ("localhost", "kafka", "4", "")),
        ("kindest/kindnetd:v1", ("docker.io", "kindest/kindnetd", "v1", "")),
        ("nginx:1.2", ("docker.io", "nginx", "1.2", "")),
    ],
)
def test_a_reference_is_taken_apart(text: str, parts: tuple[str, str, str, str]) -> None:
    image = reference(text)
    assert (image.host, image.repository, image.tag, image.digest) == parts


@pytest.mark.parametrize(
    ("key", "image", "is_for"),
    [
        ("a.example", "a.example/obs/kafka:4", True),
        ("https://a.example/v2/", "a.example/obs/kafka:4", True),
        ("a.example/obs", "a.example/obs/kafka:4", True),
        ("a.example/other", "a.example/obs/kafka:4", False),
        ("*.example", "a.example/obs/kafka:4", True),
        ("*.example", "a.b.example/obs/kafka:4", False),
        ("a.example:5000", "a.example/obs/kafka:4", False),
        ("a.example:5000", "a.example:5000/obs/kafka:4", True),
        ("https://index.docker.io/v1/", "docker.io/obs/kafka:4", True),
        ("https://index.docker.io/v1/", "a.example/obs/kafka:4", False),
    ],
)
def test_logins_are_for_the_registries_that_nodes_take_them_for(key: str, image: str, is_for: bool) -> None:
    line = told(wanted(image), registry=secret({key: entry()}))
    assert line.state is (State.OK if is_for else State.FAIL)
    if not is_for:
        assert line.detail == f"no login for {reference(image).host} in registry"
        assert line.remedy.startswith(
            "make it anew with that host: kubectl -n obs create secret docker-registry registry"
        )


@pytest.mark.parametrize(
    "content",
    [
        {"type": KIND, "data": {}},
        {"type": KIND, "data": {".dockerconfigjson": "?"}},
        secret([]),
        secret({"a.example": {"auth": "?"}}),
        secret({"a.example": {"username": "nodes"}}),
        secret({"a.example": None}),
    ],
)
def test_a_secret_without_a_login_that_can_be_read_has_none(content: dict[str, Any]) -> None:
    line = told(wanted("a.example/kafka:4"), registry=content)
    assert (line.state, line.detail) == (State.FAIL, "no login for a.example in registry")


def test_a_secret_of_another_type_is_refused() -> None:
    line = told(wanted("a.example/kafka:4"), registry=secret({"a.example": entry()}, "Opaque"))
    assert (line.state, line.detail) == (State.FAIL, f"registry is of type Opaque: nodes take {KIND}")
    assert line.remedy.startswith("the type cannot be changed: delete it, then kubectl -n obs create secret ")


def test_a_second_registry_without_a_login_may_let_everybody_read() -> None:
    both = wanted("a.example/kafka:4", "b.example/grafana:1", secrets=("registry", "other"))
    only = {"registry": secret({"a.example": entry()}), "other": secret({})}
    line = told(both, **only)
    assert (line.state, line.detail) == (State.WARN, "no login for b.example in other, registry")
    assert told(both, **only | {"other": secret({"b.example": entry()})}).state is State.OK
    assert told(both, registry=only["registry"]).detail == "there is no other in obs"


@pytest.fixture
def silent() -> Iterator[str]:
    """Host of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_registries_that_do_not_answer_are_one_warning_in_time(
    silent: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(images, "_CALL_S", 2.0)
    many = [f"127.0.0.1:1/obs/kafka:{number}" for number in range(20)]
    [line] = in_registries(cast(Cluster, Seen()), wanted(*many, secrets=()))
    assert (line.state, line.detail) == (State.WARN, "20 of 20 not looked at: registry 127.0.0.1:1 does not answer")
    assert line.remedy.startswith("nodes may reach it all the same")
    monkeypatch.setattr(images, "_ALL_S", 0.5)
    [line] = in_registries(cast(Cluster, Seen()), wanted(f"{silent}/obs/kafka:4", secrets=()))
    assert (line.state, line.detail) == (State.WARN, "1 of 1 not looked at: no answer within 0 s")
