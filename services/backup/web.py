"""Grafana and the search cluster, as a backup or a restore talks to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.backup import WAITS_S, BackupError
from services.runtime.json_api import ApiError, JsonApi


@contextmanager
def connected(
    name: str,
    url: str,
    ca_file: Path,
    *,
    login: tuple[str, str] | None = None,
    certificate: tuple[Path, Path] | None = None,
) -> Iterator[JsonApi]:
    """A client of one server, as one user.

    Args:
        name: Which server, for messages, for example ``Grafana``.
        url: ``https://host:port``.
        ca_file: Authority of its certificate.
        login: Name and password for every request.
        certificate: Files with chain and key of the client, if it has one.

    Raises:
        BackupError: The address is not HTTPS, the authority's file is not there, or a request fails.
    """
    if not url.startswith("https://"):
        raise BackupError(f"{name}: the address is {url!r}; it must be https://host:port")
    if not ca_file.is_file():
        raise BackupError(f"{ca_file}: cannot be read: it must hold the authority of {name}")
    try:
        with JsonApi(name, url, ca_file, login=login, certificate=certificate, waits_s=WAITS_S) as api:
            yield api
    except ApiError as error:
        raise BackupError(str(error)) from None
