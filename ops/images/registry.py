"""What a registry has: digests and manifests, over its HTTP API (OCI distribution specification), and logins at it;
documents attached to an image there, artifacts that refer to it by digest (OCI 1.1).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import requests

from ops.core.errors import OpsError, one_line
from ops.core.web import basic

_HELPER_LIMIT_S = 30
_DOCKER_HUB = ("https://index.docker.io/v1/", "index.docker.io", "registry-1.docker.io")
"""Names under which a login at docker.io is kept besides."""


def files() -> Iterator[Path]:
    """Files that may hold logins, in the order in which the tools look."""
    home = Path.home()
    if named := os.environ.get("REGISTRY_AUTH_FILE"):
        yield Path(named)
    yield Path(os.environ.get("XDG_RUNTIME_DIR", f"/run/containers/{os.getuid()}")) / "containers" / "auth.json"
    yield Path(f"/run/containers/{os.getuid()}/auth.json")
    yield home / ".config" / "containers" / "auth.json"
    yield Path(os.environ.get("DOCKER_CONFIG", home / ".docker")) / "config.json"


def login(host: str) -> tuple[str, str] | None:
    """User and password for a registry, or None where nobody has logged in.

    Args:
        host: Registry with its port.

    Raises:
        OpsError: A file or a credential helper cannot be used.
    """
    hosts = (host, f"https://{host}", *(_DOCKER_HUB if host == "docker.io" else ()))
    for file in files():
        content = _content(file)
        for key, entry in content.get("auths", {}).items():
            if key.rstrip("/") in {name.rstrip("/") for name in hosts} and entry.get("auth"):
                return _decoded(entry["auth"], file)
        helpers = content.get("credHelpers", {})
        for name in hosts:
            helper = helpers.get(name) or content.get("credsStore")
            if helper and (pair := _helped(helper, name)):
                return pair
    return None


def _content(file: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise OpsError(f"{file} cannot be read: {error}") from None
    return content if isinstance(content, dict) else {}


def _decoded(auth: str, file: Path) -> tuple[str, str]:
    try:
        user, _, password = base64.b64decode(auth, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise OpsError(f"{file} holds a login that cannot be read: log in again") from None
    return user, password


def _helped(helper: str, host: str) -> tuple[str, str] | None:
    """What a credential helper says; it fails where it has no login, which is no mistake."""
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, "get"], input=host, capture_output=True, text=True, timeout=_HELPER_LIMIT_S, check=False
        )
        answer = json.loads(done.stdout) if done.returncode == 0 else {}
    except FileNotFoundError:
        raise OpsError(f"the login at {host} is kept by {program}, which is not on PATH: install it") from None
    except (subprocess.TimeoutExpired, ValueError):
        raise OpsError(f"{program} gave no login for {host}: log in again") from None
    return (answer["Username"], answer["Secret"]) if {"Username", "Secret"} <= set(answer) else None


_LIMIT_S = 30
_INDICES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_PLATFORM = ("linux", "amd64")
_SERVERS = {"docker.io": "registry-1.docker.io"}
_CERTIFICATES = (Path("/etc/containers/certs.d"), Path("/etc/docker/certs.d"))
_LARGEST = 4 * 2**20


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """An image as a registry has it.

    Attributes:
        digest: Digest of the manifest, or of the index of several platforms.
        config: Digest of the configuration of linux/amd64; empty where there is no such platform. Copies of an image
            have the same one, whatever became of their layers' compression.
    """

    digest: str
    config: str


def authority(host: str, folder: Path | None = None) -> str | bool:
    """File with the authority of a registry's certificate; True: one of those that the machine trusts.

    Args:
        host: Registry with its port.
        folder: Folder with ``ca.crt``; None: where the tools look.

    Raises:
        OpsError: The folder that was named has no such file.
    """
    if folder is not None and not (folder / "ca.crt").is_file():
        raise OpsError(f"{folder / 'ca.crt'} is not there: --cert-dir is a folder with the authority in ca.crt")
    candidates = [folder] if folder else [certificates / host for certificates in _CERTIFICATES]
    return next((str(path / "ca.crt") for path in candidates if (path / "ca.crt").is_file()), True)


class LoginError(OpsError):
    """A registry wants a login, or refuses the one that it was sent."""


class Registry:
    """A registry, with a path below which its repositories are.

    Args:
        name: Host, if need be with port and path.
        cert_dir: Folder with ``ca.crt``; None: where the tools look.
        find_login: Gives user and password of a host.
        limit_s: How long an answer may take, in seconds.
    """

    def __init__(
        self,
        name: str,
        *,
        cert_dir: Path | None = None,
        find_login: Callable[[str], tuple[str, str] | None] = login,
        limit_s: float = _LIMIT_S,
    ) -> None:
        self.name = name.rstrip("/")
        self._host, _, path = self.name.partition("/")
        self._path = f"{path}/" if path else ""
        self._verify = authority(self._host, cert_dir)
        self._login = find_login(self._host)
        self._limit_s = limit_s
        self._session = requests.Session()
        self._authorizations: dict[tuple[str, str], str] = {}

    def manifest(self, repository: str, reference: str) -> Manifest | None:
        """The image of a tag or digest, or None where there is none.

        Raises:
            OpsError: The registry does not answer, refuses the login, or answers what is no manifest.
        """
        body = self._get(repository, reference)
        if body is None:
            return None
        return Manifest(digest=digest_of(body.content), config=self._config(repository, _parsed(body, self.name)))

    def has(self, repository: str, reference: str) -> bool:
        """Whether there is a manifest of a tag or digest, of which nothing is fetched.

        Raises:
            LoginError: The registry wants another login.
            OpsError: It does not answer.
        """
        return self._get(repository, reference, "HEAD") is not None

    def content(self, repository: str, reference: str) -> tuple[str, bytes] | None:
        """Media type and text of the manifest of a tag or digest, or None where there is none.

        Raises:
            OpsError: As `manifest`.
        """
        body = self._get(repository, reference)
        if body is None:
            return None
        kind = _parsed(body, self.name).get("mediaType") or body.headers.get("Content-Type", "").partition(";")[0]
        return str(kind), body.content

    def request(
        self,
        method: str,
        repository: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        content: bytes | None = None,
        follow: bool = True,
    ) -> requests.Response:
        """Call the API of a repository, with the login that the registry asks for.

        Args:
            method: ``GET`` and ``HEAD`` need the right to read, all others the right to write.
            repository: Below the path of this registry.
            path: Below ``/v2/REPOSITORY/``, or a URL that the registry named; a login goes to the registry alone.
            headers: Besides the login.
            query: Besides what the URL has.
            content: What is sent.
            follow: Whether a redirection is followed, or is the answer.

        Raises:
            OpsError: The registry does not answer, refuses the login, or names an address without TLS.
        """
        server = _SERVERS.get(self._host, self._host)
        name = f"{self._path}{repository}"
        url = urljoin(f"https://{server}/v2/{name}/", path)
        sent, known = dict(headers or {}), (name, "pull" if method in ("GET", "HEAD") else "pull,push")
        if urlsplit(url).scheme != "https":
            raise OpsError(f"registry {self._host} names an address without TLS: {one_line(url, 120)}")
        if urlsplit(url).netloc != server:
            return self._call(method, url, sent, query, content, follow)
        if known in self._authorizations:
            sent["Authorization"] = self._authorizations[known]
        answer = self._call(method, url, sent, query, content, follow)
        if answer.status_code == requests.codes.unauthorized:
            sent["Authorization"] = self._authorizations[known] = self._authorization(answer, *known)
            answer = self._call(method, url, sent, query, content, follow)
        if answer.status_code in (requests.codes.unauthorized, requests.codes.forbidden):
            raise LoginError(f"registry {self._host} refuses the login to {name}: run `TOOL login {self._host}`")
        return answer

    def _config(self, repository: str, manifest: Any) -> str:
        """Digest of the configuration of our platform."""
        if "manifests" in manifest:
            for child in manifest["manifests"]:
                platform = child.get("platform", {})
                if (platform.get("os"), platform.get("architecture")) == _PLATFORM:
                    body = self._get(repository, child["digest"])
                    return self._config(repository, _parsed(body, self.name)) if body is not None else ""
            return ""
        return str(manifest.get("config", {}).get("digest", ""))

    def _get(self, repository: str, reference: str, method: str = "GET") -> requests.Response | None:
        accepted = {"Accept": ", ".join((*_INDICES, *_MANIFESTS))}
        answer = self.request(method, repository, f"manifests/{reference}", headers=accepted)
        if answer.status_code == requests.codes.not_found:
            return None
        if not answer.ok:
            name = f"{self._path}{repository}:{reference}"
            raise OpsError(f"registry {self._host} answered {answer.status_code} for {name}")
        return answer

    def _authorization(self, challenge: requests.Response, repository: str, actions: str) -> str:
        """What a registry asks for: the login itself, or a token that its login server gives for it."""
        header = challenge.headers.get("WWW-Authenticate", "")
        if not header.lower().startswith("bearer "):
            if self._login is None:
                raise LoginError(f"registry {self._host} wants a login: run `TOOL login {self._host}`")
            return basic(*self._login)
        fields = dict(re.findall(r'(\w+)="([^"]*)"', header))
        if "realm" not in fields or not fields["realm"].startswith("https://"):
            raise OpsError(f"registry {self._host} names no login server over TLS: {one_line(header, 120)}")
        answer = self._call(
            "GET",
            fields["realm"],
            {"Authorization": basic(*self._login)} if self._login else {},
            {"service": fields.get("service", self._host), "scope": f"repository:{repository}:{actions}"},
        )
        if not answer.ok:
            raise LoginError(f"registry {self._host} refuses the login to {repository}: run `TOOL login {self._host}`")
        tokens = _parsed(answer, self.name)
        return f"Bearer {tokens.get('token') or tokens.get('access_token', '')}"

    def _call(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        query: Mapping[str, str] | None = None,
        content: bytes | None = None,
        follow: bool = True,
    ) -> requests.Response:
        try:
            return self._session.request(
                method,
                url,
                headers=dict(headers),
                params=dict(query or {}),
                data=content,
                allow_redirects=follow,
                timeout=self._limit_s,
                verify=self._verify,
                # A login in ~/.netrc is none of ours.
                auth=_keep_headers,
            )
        except requests.exceptions.SSLError as error:
            raise OpsError(
                f"the certificate of registry {self._host} is not trusted: name its authority with --cert-dir "
                f"({one_line(error, 120)})"
            ) from None
        except requests.RequestException as error:
            raise OpsError(f"registry {self._host} does not answer: {one_line(error, 160)}") from None


def digest_of(content: bytes) -> str:
    """Digest under which a registry keeps this content."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _keep_headers(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _parsed(answer: requests.Response, name: str) -> Any:
    try:
        content = answer.json() if len(answer.content) <= _LARGEST else None
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise OpsError(f"registry {name} answered no manifest: is it a registry of images?")
    return content


INDEX: Final = "application/vnd.oci.image.index.v1+json"
MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_EMPTY = b"{}"
_EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
_TITLE = "org.opencontainers.image.title"
_LISTED = "OCI-Subject"
"""Header of a registry that lists referrers itself."""


def attach(registry: Registry, repository: str, subject: str, *, kind: str, name: str, content: bytes) -> str:
    """Attach a document to an image; one that is attached already stays the same.

    Args:
        registry: Where the image is.
        repository: Of the image.
        subject: Digest of the image.
        kind: Media type of the document.
        name: File name under which it is saved by whoever pulls it.
        content: The document.

    Returns:
        Digest of the artifact.

    Raises:
        OpsError: The image is not there, or the registry refuses something.
    """
    image = registry.content(repository, subject)
    if image is None:
        raise OpsError(f"registry {registry.name} has no {repository}@{subject}")
    for blob in (_EMPTY, content):
        _upload(registry, repository, blob)
    artifact = _text(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": kind,
            "config": _descriptor(_EMPTY_TYPE, _EMPTY),
            "layers": [_descriptor(kind, content) | {"annotations": {_TITLE: name}}],
            "subject": _descriptor(*image),
        }
    )
    described = _descriptor(MANIFEST, artifact) | {"artifactType": kind}
    answer = _put(registry, repository, digest_of(artifact), MANIFEST, artifact)
    if _LISTED not in answer.headers:
        _list(registry, repository, fallback_tag(subject), described)
    return digest_of(artifact)


def fallback_tag(subject: str) -> str:
    """Tag of the list of an image's referrers, in registries that make no such list themselves."""
    return subject.replace(":", "-")


def _list(registry: Registry, repository: str, tag: str, artifact: Mapping[str, Any]) -> None:
    present = registry.content(repository, tag)
    index: dict[str, Any] = {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
    if present is not None:
        index = json.loads(present[1])
        if present[0] != INDEX or not isinstance(index.get("manifests"), list):
            raise OpsError(f"registry {registry.name}: {repository}:{tag} is no list of referrers: remove this tag")
    if artifact["digest"] not in [entry.get("digest") for entry in index["manifests"]]:
        index["manifests"].append(artifact)
        _put(registry, repository, tag, INDEX, _text(index))


def _upload(registry: Registry, repository: str, content: bytes) -> None:
    digest = digest_of(content)
    # The store that a registry leads to may not answer to HEAD; that it leads there is enough.
    if registry.request("HEAD", repository, f"blobs/{digest}", follow=False).ok:
        return
    opened = _accepted(registry, registry.request("POST", repository, "blobs/uploads/"))
    answer = registry.request(
        "PUT",
        repository,
        opened.headers.get("Location", ""),
        headers={"Content-Type": "application/octet-stream"},
        query={"digest": digest},
        content=content,
    )
    _accepted(registry, answer)


def _put(registry: Registry, repository: str, reference: str, kind: str, content: bytes) -> requests.Response:
    headers = {"Content-Type": kind}
    path = f"manifests/{reference}"
    return _accepted(registry, registry.request("PUT", repository, path, headers=headers, content=content))


def _accepted(registry: Registry, answer: requests.Response) -> requests.Response:
    if not answer.ok:
        call = f"{answer.request.method} {answer.request.path_url.partition('?')[0]}"
        said = one_line(answer.text, 160)
        raise OpsError(f"registry {registry.name} answered {answer.status_code} to {call}: {said}")
    return answer


def _descriptor(kind: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "digest": digest_of(content), "size": len(content)}


def _text(manifest: Mapping[str, Any]) -> bytes:
    return json.dumps(manifest, separators=(",", ":"), sort_keys=True).encode()
