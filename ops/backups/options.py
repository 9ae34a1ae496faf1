"""Options that several commands have, and connections as they say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ops.backups import runs
from ops.core import platform as platform_module
from ops.core.backup_access import BackupAccess, access_of, read_access
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import Kube

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
    return read_access(file) if file else access_of(platform_module.load())


@contextmanager
def connected() -> Iterator[tuple[Context, BackupAccess]]:
    """The running platform, and how its backups are reached."""
    platform = platform_module.load()
    access = access_of(platform)
    with Context(platform, Kube.connect(platform.namespace)) as context:
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
