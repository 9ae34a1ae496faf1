"""Options that several commands have, and what they reach: the platform, the object storage of the backups, other
servers.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ops.backups import runs
from ops.core import files
from ops.core import platform as platform_module
from ops.core.access import BackupAccess, backup_access, read_access
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.core.platform import Login
from services.backup import BackupError
from services.backup.encryption import Identity, read_identities
from services.backup.store import Store


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
    with access.storage(access.prefix if prefix is None else prefix) as (storage, login), errors():
        store = Store(storage, login=login, signers=access.signing_keys)
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


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server with who logs in there: its address, its authority's certificate, name and password."""

    url: str
    ca_file: Path
    login: tuple[str, str]


def server(url: str | None, ca_file: Path | None, login_file: Path | None) -> Server | None:
    """The server that three options name together, or nothing where none is given.

    Raises:
        OpsError: One is missing, or the file is none with a login.
    """
    given = {"--url": url, "--ca": ca_file, "--login": login_file}
    if not any(given.values()):
        return None
    missing = [name for name, value in given.items() if value is None]
    if url is None or ca_file is None or login_file is None:
        raise OpsError(f"{', '.join(missing)} is missing: another server needs --url, --ca and --login together")
    if not ca_file.is_file():
        raise OpsError(f"--ca {ca_file}: there is no such file: name the certificate of who signs the server's")
    return Server(url=url, ca_file=ca_file, login=read_login(login_file).pair)


def read_login(file: Path) -> Login:
    """A name and a password.

    Raises:
        OpsError: The file cannot be read, or is none of this kind; the message shows nothing of it.
    """
    return files.read_json(Login, file, named="--login", form='must be {"username": "...", "password": "..."}')


def read_dsn(file: Path) -> str:
    """A connection to PostgreSQL, from a file that may hold a password.

    Raises:
        OpsError: The file cannot be read, or is empty.
    """
    try:
        dsn = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise OpsError(f"--dsn-file {file}: cannot be read: {getattr(error, 'strerror', None) or 'no text'}") from None
    if not dsn:
        raise OpsError(f"--dsn-file {file}: is empty; it must hold a connection such as host=... dbname=... user=...")
    return dsn


IDENTITY = "OBS_BACKUP_IDENTITY"
"""Environment variable that names the file with the operator's identities."""
SCRATCH = "OBS_BACKUP_SCRATCH"
"""Environment variable that names a folder with room for plain backups; else that of temporary files."""


class Kind(StrEnum):
    """Everything that is stored."""

    DATABASE = "database"
    GRAFANA = "grafana"
    KAFKA_METADATA = "kafka-metadata"
    SEARCH = "search"
    PULUMI_STATE = runs.PULUMI_STATE
    ARCHIVE = runs.ARCHIVE
    METRICS = runs.METRICS


AccessFile = Annotated[
    Path | None,
    typer.Option(
        "--access",
        metavar="FILE",
        envvar="OBS_BACKUP_ACCESS",
        help="The stack output `backups` as JSON, for when the stack is gone.",
    ),
]
IdentityFile = Annotated[
    Path | None,
    typer.Option("--identity", metavar="FILE", envvar=IDENTITY, help="Your age identity: what opens backups."),
]
RunName = Annotated[
    str | None, typer.Option("--run", metavar="RUN", help="Such as 20261125T150405Z; else the newest one.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print for machines.")]


def access(file: Path | None) -> BackupAccess:
    """How the backups are reached: from the file, else from the selected stack."""
    return read_access(file) if file else backup_access(platform_module.load())


@contextmanager
def connected() -> Iterator[tuple[Context, BackupAccess]]:
    """The running platform, and how its backups are reached."""
    platform = platform_module.load()
    access = backup_access(platform)
    with Context(platform, Kube.of(platform)) as context:
        yield context, access


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for plain backups that nobody else can read, gone when the block ends."""
    place = os.environ.get(SCRATCH)
    try:
        with TemporaryDirectory(prefix="obs-backup-", dir=place) as folder:
            yield Path(folder) / "run"
    except FileNotFoundError:
        raise OpsError(f"{SCRATCH} is {place}: there is no such folder") from None


@contextmanager
def working(text: str) -> Iterator[Progress]:
    """Progress on standard error; ``told`` gives what its first task is to say."""
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=Console(stderr=True)
    ) as progress:
        progress.add_task(text, total=None)
        yield progress


def tell(progress: Progress, text: str) -> None:
    """Say what is going on."""
    progress.update(progress.task_ids[0], description=text)
