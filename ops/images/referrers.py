"""Documents about an image, attached to it in its registry: artifacts that refer to it by digest (OCI 1.1)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import requests

from ops.core.errors import OpsError, one_line
from ops.images.registry import Registry, digest_of

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
