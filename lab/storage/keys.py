"""Where the object storage is in the lab (its address, its bucket and its files), its key pairs, and the age identity
that opens the lab's backups; keys are made once, never inside the cluster, and kept in files that their owner alone
can read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pyrage  # type: ignore[import-untyped]

from lab.cluster.network import RECEIVERS, STORAGE_PORT
from lab.errors import LabError
from lab.fakes.receivers.setup import aws_key, aws_secret
from lab.paths import LabPaths
from lab.private_file import write_private

URL = f"https://{RECEIVERS}:{STORAGE_PORT}"
REGION = "ap-northeast-1"
BUCKET, SECOND_BUCKET, WITNESS_BUCKET = "obs-local", "obs-local-dr", "obs-witness"
"""Of the first region, of the second, and of neither: there both see which region is active."""
CERTIFICATES, SECRETS, STARTED_AS = "pki", "secrets.json", "started-as.json"
REGION_SECRETS = "region-secrets.json"
OBJECTS, VERSIONS, ACCOUNTS, IDENTITY = "objects", "versions", "accounts", "backup-identity.txt"
"""Names below `folder`."""


def folder(paths: LabPaths) -> Path:
    """Folder of the object storage in a lab's state."""
    return paths.state / "storage"


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """Everything that opens the object storage.

    Attributes:
        root_key: Key id that may do everything; the lab alone uses it.
        root_secret: Its secret.
        key: Key id that may read and write objects of the bucket.
        secret: Its secret.
    """

    root_key: str = field(default_factory=aws_key)
    root_secret: str = field(default_factory=aws_secret)
    key: str = field(default_factory=aws_key)
    secret: str = field(default_factory=aws_secret)

    def all(self) -> list[str]:
        """Every secret text, for those who must not show any."""
        return [self.root_secret, self.secret]


@dataclass(frozen=True, kw_only=True)
class RegionSecrets:
    """What a second region opens, and what both do; in a file of their own, since older labs have none.

    Attributes:
        second_key: Key id that may read and write objects of the second region's bucket.
        second_secret: Its secret.
        witness_key: Key id that may read and write objects of the bucket in which both regions see which region is
        active.
        witness_secret: Its secret.
    """

    second_key: str = field(default_factory=aws_key)
    second_secret: str = field(default_factory=aws_secret)
    witness_key: str = field(default_factory=aws_key)
    witness_secret: str = field(default_factory=aws_secret)

    def all(self) -> list[str]:
        """Every secret text, for those who must not show any."""
        return [self.second_secret, self.witness_secret]


def identity_file(place: Path) -> Path:
    """File with the identity, as the program ``age`` reads it.

    Args:
        place: Folder of the object storage.
    """
    return place / IDENTITY


def make(place: Path) -> None:
    """Make the identity where there is none."""
    file = identity_file(place)
    if not file.exists():
        write_private(file, f"{pyrage.x25519.Identity.generate()}\n".encode())


def recipient(place: Path) -> str:
    """The public half, to which backups are encrypted.

    Raises:
        LabError: The file is not there or not whole.
    """
    file = identity_file(place)
    try:
        return str(pyrage.x25519.Identity.from_str(file.read_text().strip()).to_public())
    except (OSError, pyrage.IdentityError) as error:
        raise LabError(
            f"identity of backups: {file} cannot be used ({type(error).__name__}): run `make up`, which makes it"
        ) from None
