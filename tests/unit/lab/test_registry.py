"""The registry of images: a real docker-registry over HTTPS, as the lab's daemon runs it."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests

from lab import LabError, key_files, registry
from lab.cluster.network import wait_until
from lab.paths import LabPaths
from lab.registry import NODES, PUBLISHER, Registry, Secrets
from lab.toolchain import containers
from lab.toolchain.images import Image, Layer
from ops.images.registry import digest_of
from tests.unit.lab.external_services_harness import loopback_lab, started


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabPaths]:
    with loopback_lab(registry) as (paths, _), pytest.MonkeyPatch.context() as patch:
        blobs = tmp_path_factory.mktemp("cache")
        patch.setattr(registry, "cache_root", lambda: blobs)
        registry.prepare(paths)
        with started(registry.daemon(paths)), closing(sender(paths)) as known:
            wait_until("the registry to answer", known.answers, timeout_s=60)
            yield paths


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of its own for the layers."""
    monkeypatch.setenv("OBS_CACHE", str(tmp_path / "cache"))


def passwords(lab: LabPaths) -> Secrets:
    return key_files.load(Secrets, registry.folder(lab) / "secrets.json", "the registry of images")


def authority(lab: LabPaths) -> Path:
    return registry.folder(lab) / "pki" / key_files.AUTHORITY


def sender(lab: LabPaths, password: str = "") -> Registry:
    return Registry(registry.URL, authority(lab), (PUBLISHER, password or passwords(lab).publisher))


def image(content: str, *, tag: str = "1") -> Image:
    def layer(name: str, text: str) -> Layer:
        return Layer(f"{name}-{text}", lambda root: (root / name).write_text(text) and None)

    return Image("obs/program", tag, (layer("base", "the same"), layer("program", content)))


def pulled(lab: LabPaths, reference: str, folder: Path) -> dict[str, object]:
    """What skopeo copies of an image with the login of the nodes: an OCI folder's index."""
    folder.mkdir()
    login = base64.b64encode(f"{NODES}:{passwords(lab).nodes}".encode()).decode()
    host = registry.URL.removeprefix("https://")
    auth = folder / "auth.json"
    auth.write_text(json.dumps({"auths": {host: {"auth": login}}}))
    certs = folder / "certs"
    certs.mkdir()
    (certs / "ca.crt").write_bytes(authority(lab).read_bytes())
    command = ["skopeo", "copy", "--authfile", str(auth), "--src-cert-dir", str(certs), "--preserve-digests"]
    done = subprocess.run(
        [*command, f"docker://{host}/{reference}", f"oci:{folder}/image"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    index: dict[str, object] = json.loads((folder / "image" / "index.json").read_text())
    return index


def test_an_image_is_sent_once_and_pulled_by_its_digest(
    lab: LabPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = image("one")
    with closing(sender(lab)) as known:
        digest = known.publish(first)
        assert digest == digest_of(first.manifest())
        monkeypatch.setattr(known, "_send", lambda *_: pytest.fail("it is there already"))
        assert known.publish(first) == digest
    index = pulled(lab, f"obs/program@{digest}", tmp_path / "pulled")
    [manifest] = index["manifests"]  # type: ignore[misc,attr-defined]
    assert manifest["digest"] == digest


def test_what_two_images_share_is_sent_once(lab: LabPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sender(lab)) as known:
        known.publish(image("two"))
        sent: list[str] = []
        send = known._send
        monkeypatch.setattr(
            known, "_send", lambda place, digest, content: (sent.append(digest), send(place, digest, content))
        )
        other = image("three")
        known.publish(other)
    assert sent == [other.layers[1].digest, digest_of(other.config())]


def test_a_tag_leads_to_what_was_sent_last(lab: LabPaths, tmp_path: Path) -> None:
    with closing(sender(lab)) as known:
        digests = [known.publish(image(content, tag="moving")) for content in ("four", "five")]
    index = pulled(lab, "obs/program:moving", tmp_path / "pulled")
    assert [entry["digest"] for entry in index["manifests"]] == digests[1:]  # type: ignore[attr-defined]


def test_nobody_gets_in_without_a_login(lab: LabPaths) -> None:
    answer = requests.get(f"{registry.URL}/v2/", verify=str(authority(lab)), timeout=60)
    assert answer.status_code == requests.codes.unauthorized
    with closing(sender(lab, "wrong")) as stranger:
        assert not stranger.answers()
        with pytest.raises(LabError, match=r"^the registry of images answered 401 to POST "):
            stranger.publish(image("six"))


def test_a_registry_that_is_away_is_one_line(lab: LabPaths) -> None:
    with closing(Registry("https://127.0.0.1:9", authority(lab), ("a", "b"))) as nobody:
        assert not nobody.answers()
        with pytest.raises(LabError, match=r"^the registry of images does not answer: ConnectionError$"):
            nobody.publish(image("seven"))


def test_an_image_that_was_built_from_a_dockerfile_is_sent_once_and_known_by_its_id(
    lab: LabPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = tmp_path / "storage"
    variables = {
        **containers.environment(),
        "CONTAINERS_STORAGE_CONF": str(tmp_path / "storage.conf"),
    }
    (tmp_path / "storage.conf").write_text(
        f'[storage]\ndriver = "vfs"\ngraphroot = "{storage}/graph"\nrunroot = "{storage}/run"\n'
    )
    monkeypatch.setattr(containers, "environment", lambda: {**variables, "STORAGE_DRIVER": "vfs"})
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    containers._buildah("bud", "--quiet", "--tag", "localhost/built", str(folder))
    built = containers.image_id("localhost/built")
    with closing(sender(lab)) as known:
        digest = registry._push(lab, known, "lab/built:1", built)
        monkeypatch.setattr(containers, "push", lambda *_, **__: pytest.fail("it is there already"))
        assert registry._push(lab, known, "lab/built:1", built) == digest
        assert known.digest("lab/built", "1", "sha256:another") == ""
    index = pulled(lab, f"lab/built@{digest}", tmp_path / "pulled")
    [manifest] = index["manifests"]  # type: ignore[misc,attr-defined]
    assert manifest["digest"] == digest
    blobs = tmp_path / "pulled" / "image" / "blobs" / "sha256"
    stored = json.loads((blobs / digest.removeprefix("sha256:")).read_text())
    assert [layer["mediaType"] for layer in stored["layers"]] == ["application/vnd.oci.image.layer.v1.tar"]
    assert (registry.folder(lab) / "login.json").stat().st_mode & 0o777 == 0o600
    for layer in stored["layers"]:
        layer["mediaType"] += "+gzip"
    with closing(sender(lab)) as known:
        known._must(
            *("PUT", "/v2/lab/built/manifests/1"),
            data=json.dumps(stored).encode(),
            headers={"Content-Type": "application/vnd.oci.image.manifest.v1+json"},
        )
        assert known.digest("lab/built", "1", built) == "", "what is compressed is sent anew"


def test_pods_get_the_login_of_nodes_and_passwords_stay_in_files_of_their_owner(lab: LabPaths) -> None:
    secret = registry.pull_secret(lab, "obs-local")
    content = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))
    assert content["auths"]["registry.lab.internal"]["username"] == NODES
    assert content["auths"]["registry.lab.internal"]["password"] == passwords(lab).nodes
    place = registry.folder(lab)
    for name in ("secrets.json", "htpasswd"):
        assert (place / name).stat().st_mode & 0o777 == 0o600
    assert not any(password in (place / "registry.yaml").read_text() for password in passwords(lab).all())


def test_containerd_is_led_to_the_registry_behind_its_name(lab: LabPaths) -> None:
    text = registry.hosts_file(lab)
    assert text.splitlines()[0] == 'server = "https://registry.lab.internal"'
    assert f'[host."{registry.URL}"]' in text
    assert f'ca = "{authority(lab)}"' in text


SLOW = subprocess.TimeoutExpired("kubectl", 30)


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """What the next calls of kubectl fail with; then it succeeds."""
    failures: list[Exception] = []

    def kubectl(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        if failures:
            raise failures.pop(0)
        return subprocess.CompletedProcess((), 0)

    monkeypatch.setattr(registry, "_kubectl", kubectl)
    monkeypatch.setattr(registry, "pull_secret", lambda *_: {})
    return failures


def ended() -> bool:
    return "pull-secret" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("error", [SLOW, OSError("no more processes")])
def test_a_secret_that_cannot_be_given_is_given_later(tries: list[Exception], error: Exception) -> None:
    tries.append(error)
    with registry.pull_secret_given(LabPaths("x"), "obs-local"):
        wait_until("the Secret to be given", ended, timeout_s=60)
    assert tries == []


@pytest.mark.parametrize(
    ("error", "told"), [(SLOW, "kubectl did not end within 30 s"), (OSError("no more processes"), "no more processes")]
)
def test_a_secret_that_was_never_given_is_told_with_the_reason(
    tries: list[Exception], error: Exception, told: str
) -> None:
    tries += [error] * 9
    with (
        pytest.raises(LabError, match=f"^the Secret registry of obs-local could not be made: {told}$"),
        registry.pull_secret_given(LabPaths("x"), "obs-local"),
    ):
        pass
