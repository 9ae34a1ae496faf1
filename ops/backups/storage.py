"""The object storage of the backups as an operator's machine reaches it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.core.backup_access import BackupAccess
from ops.core.errors import OpsError
from services.backup.encryption import Identity, read_identities
from services.backup.errors import BackupError
from services.backup.settings import Storage
from services.backup.store import Store

_NO_FILE = Path("/nonexistent")
"""Keys come from the stack's outputs; no file with them is written."""


@contextmanager
def errors() -> Iterator[None]:
    """Turn the library's errors into those of ``ops``."""
    try:
        yield
    except BackupError as error:
        raise OpsError(str(error)) from None


@contextmanager
def opened(access: BackupAccess, prefix: str | None = None) -> Iterator[Store]:
    """The bucket below the prefix of the backups, or below another one.

    Raises:
        OpsError: The storage refuses, or does not answer.
    """
    with tempfile.TemporaryDirectory(prefix="obs-backup-ca-") as folder, errors():
        authority = Path(folder) / "ca.pem" if access.authority else None
        if authority is not None:
            authority.write_text(access.authority, encoding="utf-8")
        storage = Storage(
            endpoint=access.endpoint,
            region=access.region,
            bucket=access.bucket,
            prefix=access.prefix if prefix is None else prefix,
            access_key_id_file=_NO_FILE,
            secret_access_key_file=_NO_FILE,
            ca_file=authority,
            encryption=access.encryption,
        )
        login = (access.access_key_id.get_secret_value(), access.secret_access_key.get_secret_value())
        store = Store(storage, login=login)
        try:
            yield store
        finally:
            store.close()


def identities(file: Path | None) -> list[Identity]:
    """The operator's identities.

    Raises:
        OpsError: No file is named, it cannot be read, or it holds none.
    """
    if file is None:
        raise OpsError("--identity is missing: name the file with your age identity (AGE-SECRET-KEY-1...)")
    with errors():
        return read_identities(file)
