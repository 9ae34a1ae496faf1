"""Indices of the search cluster from a backup: as they were, or under new names beside those that are there."""

from __future__ import annotations

import base64
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes.client.exceptions import ApiException

from components.search.config import ADMIN, HTTP_PORT, WORKLOAD
from ops.core.context import Context
from ops.core.errors import OpsError, one_line
from services.backup import manifest as form
from services.backup import restore
from services.backup.manifest import Manifest
from services.backup.restore_search import documents
from services.backup.search_export import INDICES, file_name
from services.backup.settings import SEARCH
from services.backup.web import Web

_SECRET = f"{ADMIN}-tls"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}-")
_REQUEST_S = 15


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The platform's search cluster, as its administrator: chain and key are files that end with the connection."""

    url: str
    ca_file: Path
    certificate: tuple[Path, Path]

    def web(self) -> Web:
        """A client."""
        return Web("search cluster", self.url, self.ca_file, certificate=self.certificate)


@contextmanager
def administrator(context: Context) -> Iterator[Cluster]:
    """Reach the search cluster through a tunnel, with the certificate of the index manager.

    Raises:
        OpsError: There is no such certificate, or no node is ready.
    """
    kube = context.kube
    try:
        secret = kube.core.read_namespaced_secret(_SECRET, kube.namespace, _request_timeout=_REQUEST_S)
    except ApiException as error:
        raise OpsError(
            f"cannot read Secret {_SECRET}, the administrator of the search cluster: HTTP {error.status} "
            f"{one_line(error.reason)}: give --url, --ca and --login of somebody who may make indices"
        ) from None
    url = context.tunnels.url(kube.ready_pod(WORKLOAD).name, HTTP_PORT)
    with tempfile.TemporaryDirectory(prefix="obs-search-") as folder:
        files = []
        for name in ("tls.crt", "tls.key"):
            file = Path(folder) / name
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
                target.write(base64.b64decode(secret.data[name]))
            files.append(file)
        yield Cluster(url=url, ca_file=Path(context.ca_file), certificate=(files[0], files[1]))


def legal(prefix: str) -> str:
    """What new names begin with.

    Raises:
        OpsError: It is no beginning of an index's name.
    """
    if not _NAME.fullmatch(prefix):
        raise OpsError(f"--prefix is {prefix!r}: small letters, digits and -, with - at the end, such as restored-")
    return prefix


def renamed(folder: Path, prefix: str) -> Manifest:
    """Give every index of a fetched run another name, and its aliases too: nobody reads or writes them by accident.

    Raises:
        OpsError: Files cannot be renamed.
        BackupError: The folder holds no such run.
    """
    manifest = restore.opened(folder, SEARCH)
    indices: dict[str, Any] = restore.content(folder, INDICES)
    moved = {
        prefix + name: {**index, "aliases": {prefix + alias: more for alias, more in index["aliases"].items()}}
        for name, index in indices.items()
    }
    files = {file_name(name): file_name(prefix + name) for name in indices}
    changed = manifest.model_copy(
        update={
            "objects": tuple(
                stored_object.model_copy(update={"name": files.get(stored_object.name, stored_object.name)})
                for stored_object in manifest.objects
            ),
            "counts": {prefix + name if name in indices else name: count for name, count in manifest.counts.items()},
        }
    )
    try:
        for old, new in files.items():
            (folder / old).rename(folder / new)
        (folder / INDICES).write_text(json.dumps(moved), encoding="utf-8")
        (folder / form.FILE).write_bytes(changed.content())
    except OSError as error:
        raise OpsError(f"{error.filename or folder}: {error.strerror}") from None
    return changed


def check(folder: Path, manifest: Manifest) -> list[str]:
    """What is wrong with a fetched run: documents that cannot be read, or are not as many as it says."""
    indices: Mapping[str, Any] = restore.content(folder, INDICES)
    problems = []
    for name in indices:
        number = sum(1 for _ in documents(folder / file_name(name)))
        if number != manifest.counts.get(name):
            problems.append(f"{name}: {number} documents, the manifest says {manifest.counts.get(name, 'nothing')}")
    return problems


def remove(cluster: Cluster, names: list[str]) -> None:
    """Remove indices that a restore made under new names.

    Raises:
        BackupError: The cluster refuses or does not answer.
    """
    with cluster.web() as web:
        for name in names:
            web.ask("DELETE", f"/{name}")
