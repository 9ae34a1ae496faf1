"""``obs preflight`` and a real registry with TLS and a login: images that are there, that are not, and logins."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
import requests

from ops.images import registry as registry_module
from ops.preflight.demand import Cluster
from ops.preflight.images import in_registries
from ops.preflight.lines import Line, State
from tests.config.registry_process import PASSWORD, USER, RegistryServer, registry
from tests.unit.ops.test_ops_preflight_images import Seen, secret, wanted

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
REPOSITORY = "team/obs/kafka"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def digest(server: RegistryServer) -> str:
    """Digest of an image without layers that the registry has."""
    base, config = f"https://{server.host}/v2/{REPOSITORY}", b"{}"
    about = {"mediaType": "application/vnd.oci.image.config.v1+json", "size": len(config), "digest": _digest(config)}
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": about, "layers": []}).encode()
    with requests.Session() as session:
        session.auth, authority = (USER, PASSWORD), str(server.certs / "ca.crt")
        place = session.post(f"{base}/blobs/uploads/", verify=authority, timeout=60).headers["Location"]
        for url, query, kind, content in (
            (place, {"digest": _digest(config)}, "application/octet-stream", config),
            (f"{base}/manifests/4.3.1", {}, MANIFEST, manifest),
        ):
            headers = {"Content-Type": kind}
            sent = session.put(url, params=query, headers=headers, data=content, verify=authority, timeout=60)
            assert sent.status_code == requests.codes.created, sent.text
    return _digest(manifest)


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture(autouse=True)
def machine(server: RegistryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that knows the registry's authority, and has no login: the file of its logins."""
    place = tmp_path / "certs.d" / server.host
    place.mkdir(parents=True)
    shutil.copy(server.certs / "ca.crt", place / "ca.crt")
    monkeypatch.setattr(registry_module, "_CERTIFICATES", (place.parent,))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    logins = tmp_path / "logins.json"
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(logins))
    return logins


def _line(*images: str, password: str | None = None, host: str = "") -> Line:
    """The only line about images; with the login of a pull Secret unless there is no password."""
    login = {host: {"username": USER, "password": password}}
    secrets = {} if password is None else {"registry": secret(login)}
    [line] = in_registries(cast(Cluster, Seen(**secrets)), wanted(*images))
    assert PASSWORD not in str(line)
    return line


def test_an_image_is_asked_for_by_its_digest_with_the_login_that_nodes_have(
    server: RegistryServer, digest: str
) -> None:
    image, other = f"{server.host}/{REPOSITORY}:4.3.1@{digest}", "sha256:" + "a" * 64
    line = _line(image, password=PASSWORD, host=server.host)
    assert (line.state, line.detail) == (State.OK, f"1 in {server.host}, asked with the login of registry")
    line = _line(image, f"{server.host}/{REPOSITORY}:4.3.1@{other}", password=PASSWORD, host=server.host)
    assert (line.state, line.detail) == (State.FAIL, f"not in {server.host}: {REPOSITORY}:4.3.1@{other[:19]}")
    assert _line(f"{server.host}/{REPOSITORY}:4.3.1", password=PASSWORD, host=server.host).state is State.OK
    line = _line(f"{server.host}/{REPOSITORY}:9", password=PASSWORD, host=server.host)
    assert line.detail == f"not in {server.host}: {REPOSITORY}:9"


def test_a_login_that_is_refused_or_is_for_another_registry_is_told(server: RegistryServer, digest: str) -> None:
    image = f"{server.host}/{REPOSITORY}:4.3.1@{digest}"
    named = f"{REPOSITORY}:4.3.1@{digest[:19]}"
    line = _line(image, password="another", host=server.host)
    assert (line.state, line.detail) == (State.FAIL, f"{server.host} refuses the login of registry: {named}")
    line = _line(image, password=PASSWORD, host="elsewhere.example")
    assert (line.state, line.detail) == (State.FAIL, f"{server.host} wants a login: {named}")


def test_without_a_secret_this_machine_s_login_is_tried_and_a_refusal_is_no_failure(
    server: RegistryServer, digest: str, machine: Path
) -> None:
    image = f"{server.host}/{REPOSITORY}:4.3.1@{digest}"
    line = _line(image)
    assert (line.state, line.detail.partition(": ")[0]) == (State.WARN, f"{server.host} wants a login")
    server.auth_file(machine, password="another")
    assert _line(image).detail.startswith(f"{server.host} refuses this machine's login: ")
    server.auth_file(machine)
    assert _line(image).detail == f"1 in {server.host}, asked with this machine's login"


def test_a_registry_whose_certificate_is_not_known_here_is_a_warning(
    server: RegistryServer, digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_module, "_CERTIFICATES", ())
    line = _line(f"{server.host}/{REPOSITORY}:4.3.1@{digest}", password=PASSWORD, host=server.host)
    assert line.state is State.WARN
    assert line.detail == f"1 of 1 not looked at: the certificate of registry {server.host} is not trusted"
