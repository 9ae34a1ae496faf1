"""The registry from which the node pulls the platform's images: Debian's docker-registry, over TLS, with logins.

It is outside of the cluster, as the object storage is. What it holds is kept in the cache, by content: an image is sent
once, and not to each new cluster.
"""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import bcrypt
import requests
import yaml

from components.versions import IMAGES
from lab import LabError, key_files
from lab.cluster import network
from lab.cluster.network import RECEIVERS, REGISTRY_PORT, Daemon, wait_until
from lab.fakes.receivers import settings as receivers
from lab.paths import LabPaths, cache_root
from lab.toolchain import containers, images, tools
from lab.toolchain.images import Image
from lab.toolchain.recipes import PREVIOUS_KAFKA
from ops.core.files import write_private
from ops.images.registry import digest_of

PROGRAM: Final = "docker-registry"
URL: Final = f"https://{RECEIVERS}:{REGISTRY_PORT}"
PULL_SECRET: Final = "registry"  # noqa: S105  (a name)
"""Secret of a namespace with which its pods' images are pulled; the stack files name it."""
PUBLISHER, NODES = "publisher", "nodes"
"""Users: of who sends images, and of who pulls them."""
CERTIFICATES, SECRETS, CONFIGURATION, PASSWORDS, LOGIN, STARTED_AS = (
    "pki",
    "secrets.json",
    "registry.yaml",
    "htpasswd",
    "login.json",
    "started-as.json",
)
"""Names below `folder`."""
DIGESTS: Final = "digests.json"
"""In the state: short name of an image -> its digest, for the stack files and the simulator."""
_CALL_LIMIT_S, _SEND_LIMIT_S, _READY_LIMIT_S = 30, 300, 60
_COST = 5
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_OK = requests.codes.ok


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """Passwords of both users."""

    publisher: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    nodes: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    def all(self) -> list[str]:
        """Every secret text, for those who must not show any."""
        return [self.publisher, self.nodes]


def folder(paths: LabPaths) -> Path:
    """Folder of the registry in a lab's state."""
    return paths.state / "registry"


def configuration(place: Path, blobs: Path, address: str) -> dict[str, Any]:
    """Its configuration.

    Args:
        place: Folder with its certificate and passwords.
        blobs: Folder in which it keeps images.
        address: Where it listens, ``host:port``.
    """
    pki = place / CERTIFICATES
    return {
        "version": 0.1,
        "log": {"accesslog": {"disabled": True}, "level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(blobs)}, "delete": {"enabled": False}},
        "http": {
            "addr": address,
            "tls": {
                "certificate": str(pki / key_files.CERTIFICATE),
                "key": str(pki / key_files.KEY),
                "minimumtls": "tls1.2",
            },
        },
        "auth": {"htpasswd": {"realm": "images", "path": str(place / PASSWORDS)}},
    }


def daemon(paths: LabPaths) -> Daemon:
    """The process, inside the lab's network namespace."""
    program = shutil.which(PROGRAM)
    if program is None:
        raise LabError(f"{PROGRAM} is not there: run `make tools`")
    line = [program, "serve", str(folder(paths) / CONFIGURATION)]
    return Daemon("image-registry", [*network.enter(paths.netns), *line], paths.state)


def prepare(paths: LabPaths) -> None:
    """Make the files that are missing, and end a process that was started in another way than it would be now.

    Raises:
        LabError: The server is not there, or its secrets are not whole.
    """
    place, authority = folder(paths), receivers.folder(paths) / receivers.CERTIFICATES
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    key_files.create_authority(authority)
    key_files.issue(authority, place / CERTIFICATES, "registry", RECEIVERS)
    known = key_files.load_or_make(Secrets, place / SECRETS, "the registry of images")
    if not (place / PASSWORDS).exists():
        lines = [
            f"{user}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(_COST)).decode()}\n"
            for user, password in ((PUBLISHER, known.publisher), (NODES, known.nodes))
        ]
        write_private(place / PASSWORDS, "".join(lines).encode())
    text = yaml.safe_dump(configuration(place, cache_root() / "registry", f"{RECEIVERS}:{REGISTRY_PORT}"))
    (place / CONFIGURATION).write_text(text)
    wanted = json.dumps([text, (place / CERTIFICATES / key_files.CERTIFICATE).read_text()])
    mark = place / STARTED_AS
    if not mark.exists() or mark.read_text() != wanted:
        daemon(paths).stop()
        mark.write_text(wanted)


class Registry:
    """A registry to which images are sent, over the OCI distribution API.

    Args:
        url: ``https://host:port``.
        authority: File of who signs its certificate.
        login: User and password.
    """

    def __init__(self, url: str, authority: Path, login: tuple[str, str]) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify, self._session.auth = str(authority), login

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def answers(self) -> bool:
        """Whether it takes the login."""
        try:
            return bool(self._call("GET", "/v2/").status_code == _OK)
        except LabError:
            return False

    def publish(self, image: Image) -> str:
        """Send an image unless it is there.

        Returns:
            Its digest.

        Raises:
            LabError: The registry refuses it, or does not answer.
        """
        config, manifest = image.config(), image.manifest()
        digest, at = digest_of(manifest), f"/v2/{image.repository}/manifests/{image.tag}"
        present = self._call("HEAD", at, headers={"Accept": _MANIFEST})
        if present.status_code == _OK and present.headers.get("Docker-Content-Digest") == digest:
            return digest
        for layer in image.layers:
            if not self._has(image.repository, layer.digest):
                with layer.ensure().open("rb") as content:
                    self._send(image.repository, layer.digest, content)
        self._send(image.repository, digest_of(config), config)
        self._must("PUT", at, data=manifest, headers={"Content-Type": _MANIFEST})
        return digest

    def digest(self, repository: str, tag: str, image_id: str) -> str:
        """Digest of an image if a tag leads to it and its layers are not compressed; else empty.

        Args:
            repository: Its repository.
            tag: The tag.
            image_id: Digest of its configuration.

        Raises:
            LabError: The registry does not answer.
        """
        answer = self._call("GET", f"/v2/{repository}/manifests/{tag}", headers={"Accept": _MANIFEST})
        manifest = answer.json() if answer.status_code == _OK else {}
        if manifest.get("config", {}).get("digest") != image_id:
            return ""
        if any("+" in layer["mediaType"] for layer in manifest["layers"]):
            return ""
        return str(answer.headers["Docker-Content-Digest"])

    def _has(self, repository: str, digest: str) -> bool:
        return bool(self._call("HEAD", f"/v2/{repository}/blobs/{digest}").status_code == _OK)

    def _send(self, repository: str, digest: str, content: Any) -> None:
        begun = self._must("POST", f"/v2/{repository}/blobs/uploads/")
        self._must(
            "PUT",
            begun.headers["Location"],
            params={"digest": digest},
            data=content,
            headers={"Content-Type": "application/octet-stream"},
        )

    def _must(self, method: str, path: str, **options: Any) -> requests.Response:
        answer = self._call(method, path, **options)
        if not answer.ok:
            reason = " ".join(answer.text.split())[:200]
            raise LabError(f"the registry of images answered {answer.status_code} to {method} {path}: {reason}")
        return answer

    def _call(self, method: str, path: str, **options: Any) -> requests.Response:
        url = path if path.startswith("https://") else f"{self._url}{path}"
        try:
            return self._session.request(method, url, timeout=(_CALL_LIMIT_S, _SEND_LIMIT_S), **options)
        except requests.RequestException as error:
            raise LabError(f"the registry of images does not answer: {type(error).__name__}") from None


def publish(paths: LabPaths, built: Mapping[str, str]) -> dict[str, str]:
    """Send the platform's images, and note their digests for the stack files; works inside the lab's namespace.

    Kafka's release before the platform's stays noted where it was sent once.

    Args:
        paths: The lab.
        built: Short name of each image that was built from a Dockerfile -> its id.

    Returns:
        Short name of each -> its digest.

    Raises:
        LabError: The registry ended, does not answer, or refuses one; the message carries the end of its log.
    """
    process = daemon(paths)
    login = PUBLISHER, _secrets(paths).publisher
    with closing(Registry(URL, _authority(paths), login)) as registry:

        def alive_and_answers() -> bool:
            if process.pid() is None:
                raise LabError(f"the registry of images ended; log {process.log}:\n{process.tail()}")
            return registry.answers()

        wait_until("the registry of images to answer", alive_and_answers, timeout_s=_READY_LIMIT_S)
        names = {reference: name for name, reference in IMAGES.items()}
        digests = {
            names[f"{image.repository}:{image.tag}"]: registry.publish(image) for image in images.server_images()
        }
        digests |= {name: _push(paths, registry, reference(name), image) for name, image in built.items()}
    if before := previous_kafka(paths):
        digests.setdefault(containers.KAFKA_BEFORE, before)
    (paths.state / DIGESTS).write_text(json.dumps(digests, indent=1, sort_keys=True) + "\n")
    return digests


def reference(name: str) -> str:
    """``repository:tag`` of an image that is built from a Dockerfile."""
    if name == containers.KAFKA_BEFORE:
        return f"{IMAGES['kafka'].partition(':')[0]}:{PREVIOUS_KAFKA}"
    return IMAGES.get(name, f"lab/{name}:1")


def _push(paths: LabPaths, registry: Registry, name: str, image: str) -> str:
    repository, _, tag = name.partition(":")
    known = registry.digest(repository, tag, image)
    if known:
        return known
    place = folder(paths)
    host = URL.removeprefix("https://")
    write_private(place / LOGIN, json.dumps(_login(host, PUBLISHER, _secrets(paths).publisher)).encode())
    certificates_folder = place / "authority"
    certificates_folder.mkdir(exist_ok=True)
    (certificates_folder / "ca.crt").write_bytes(_authority(paths).read_bytes())
    containers.push(image, f"{host}/{name}", certificates=certificates_folder, login=place / LOGIN)
    sent = registry.digest(repository, tag, image)
    if not sent:
        raise LabError(f"the registry of images has another {name} than was sent")
    return sent


def _login(host: str, user: str, password: str) -> dict[str, Any]:
    login = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"auths": {host: {"username": user, "password": password, "auth": login}}}


def digests(paths: LabPaths) -> dict[str, str]:
    """Short name of each of the platform's images that was published -> its digest; empty where none was."""
    return {name: digest for name, digest in _published(paths).items() if name in IMAGES}


def previous_kafka(paths: LabPaths) -> str:
    """Digest of Kafka's release before the platform's; empty where it was never published."""
    return _published(paths).get(containers.KAFKA_BEFORE, "")


def simulator_image(paths: LabPaths) -> str:
    """The simulator's image, as its pod names it.

    Raises:
        LabError: None was published: no lab.
    """
    digest = _published(paths).get(containers.SIMULATOR)
    if digest is None:
        raise LabError("the registry of images has no simulator: run `make up`")
    return f"{images.REGISTRY}/{reference(containers.SIMULATOR)}@{digest}"


def _published(paths: LabPaths) -> dict[str, str]:
    try:
        known: dict[str, str] = json.loads((paths.state / DIGESTS).read_text())
    except (OSError, ValueError):
        return {}
    return known


def hosts_file(paths: LabPaths) -> str:
    """How containerd finds the registry behind its name."""
    return (
        f'server = "https://{images.REGISTRY}"\n'
        f'[host."{URL}"]\n'
        '  capabilities = ["pull", "resolve"]\n'
        f'  ca = "{_authority(paths)}"\n'
    )


def nodes_login(paths: LabPaths) -> dict[str, Any]:
    """The login that may only read, in the form of docker's `config.json`.

    Raises:
        LabError: There are no secrets: no lab.
    """
    return _login(images.REGISTRY, NODES, _secrets(paths).nodes)


def pull_secret(paths: LabPaths, namespace: str) -> dict[str, Any]:
    """The Secret with which pods of a namespace pull.

    Raises:
        LabError: There are no secrets: no lab.
    """
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": PULL_SECRET, "namespace": namespace},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": base64.b64encode(json.dumps(nodes_login(paths)).encode()).decode()},
    }


@contextmanager
def pull_secret_given(paths: LabPaths, namespace: str) -> Iterator[None]:
    """Make that Secret as soon as the namespace is there, which the program makes, while the block runs.

    Args:
        paths: The cluster that the namespace is in.
        namespace: The namespace.

    Raises:
        LabError: The namespace is there at the end, and the Secret could not be made.
    """
    manifest, ending = json.dumps(pull_secret(paths.first, namespace)), threading.Event()
    problem = ["the namespace did not come"]

    def follow() -> None:
        while True:
            try:
                done = _kubectl(paths, "apply", "--server-side", "--field-manager=lab", "-f", "-", given=manifest)
            except subprocess.TimeoutExpired as error:
                problem[:] = [f"kubectl did not end within {error.timeout:g} s"]
            except OSError as error:
                problem[:] = [str(error)]
            else:
                problem[:] = [] if done.returncode == 0 else [" ".join(done.stderr.split())[-200:]]
            if not problem or ending.wait(1.0):
                return

    thread = threading.Thread(target=follow, name="pull-secret", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()
    if problem:
        raise LabError(f"the Secret {PULL_SECRET} of {namespace} could not be made: {problem[0]}")


def _kubectl(paths: LabPaths, *arguments: str, given: str) -> subprocess.CompletedProcess[str]:
    command = [*network.enter(paths.netns), str(tools.path("kubectl")), f"--kubeconfig={paths.kubeconfig}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, input=given)


def _authority(paths: LabPaths) -> Path:
    return folder(paths) / CERTIFICATES / key_files.AUTHORITY


def _secrets(paths: LabPaths) -> Secrets:
    return key_files.load(Secrets, folder(paths) / SECRETS, "the registry of images")
