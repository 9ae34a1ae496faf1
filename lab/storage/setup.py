"""The object storage as a part of the lab: its files, its process, and the secrets that the stack gets from it."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from lab import private_file
from lab.cluster import network
from lab.cluster.network import RECEIVERS, STORAGE_PORT, Daemon, wait_until
from lab.errors import LabError
from lab.fakes.receivers import certificates
from lab.fakes.receivers import settings as receivers
from lab.paths import CHECKOUT, LabPaths
from lab.private_file import write_private
from lab.storage import keys
from lab.storage.client import client, empty, make_bucket
from lab.storage.keys import (
    ACCOUNTS,
    BUCKET,
    CERTIFICATES,
    OBJECTS,
    REGION,
    REGION_SECRETS,
    SECOND_BUCKET,
    SECRETS,
    STARTED_AS,
    URL,
    VERSIONS,
    WITNESS_BUCKET,
    RegionSecrets,
    Secrets,
    folder,
)
from lab.toolchain import tools

_READY_LIMIT_S = 60
_REGIONS = "regions/"
"""What the witness bucket holds of the regions, below this prefix."""


def command(place: Path, address: str) -> list[str]:
    """The server; its root key comes by `variables`, since every user of the machine can read command lines.

    Raises:
        LabError: It is not built.
    """
    pki = place / CERTIFICATES
    return [
        str(tools.path("versitygw")),
        *("--port", address, "--region", REGION),
        *("--cert", str(pki / certificates.CERTIFICATE), "--key", str(pki / certificates.KEY)),
        *("--iam-dir", str(place / ACCOUNTS)),
        *("posix", "--versioning-dir", str(place / VERSIONS), str(place / OBJECTS)),
    ]


def variables(place: Path) -> dict[str, str]:
    """Environment of the server.

    Raises:
        LabError: There are no secrets.
    """
    secrets = private_file.load(Secrets, place / SECRETS, "the object storage")
    return {"ROOT_ACCESS_KEY_ID": secrets.root_key, "ROOT_SECRET_ACCESS_KEY": secrets.root_secret}


def daemon(paths: LabPaths) -> Daemon:
    """The process, inside the lab's network namespace."""
    line = [sys.executable, "-m", "lab.storage", str(folder(paths)), f"{RECEIVERS}:{STORAGE_PORT}"]
    return Daemon("storage", [*network.enter(paths.netns), *line], paths.state, {"PYTHONPATH": str(CHECKOUT)})


def prepare(paths: LabPaths) -> None:
    """Make the files that are missing, and end a process that was started in another way than it would be now.

    Raises:
        LabError: The server is not built, or its secrets are not whole.
    """
    place, authority = folder(paths), receivers.folder(paths) / receivers.CERTIFICATES
    certificates.create_authority(authority)
    for name in (OBJECTS, VERSIONS, ACCOUNTS):
        (place / name).mkdir(parents=True, exist_ok=True, mode=0o700)
    place.chmod(0o700)
    certificates.issue(authority, place / CERTIFICATES, "storage", RECEIVERS)
    keys.make(place)
    secrets = private_file.load_or_make(Secrets, place / SECRETS, "the object storage")
    regions = private_file.load_or_make(RegionSecrets, place / REGION_SECRETS, "the regions' storage")
    _add_accounts(
        place / ACCOUNTS / "users.json",
        {
            secrets.key: secrets.secret,
            regions.second_key: regions.second_secret,
            regions.witness_key: regions.witness_secret,
        },
    )
    certificate = (place / CERTIFICATES / certificates.CERTIFICATE).read_text()
    wanted = json.dumps([command(place, f"{RECEIVERS}:{STORAGE_PORT}"), certificate])
    mark = place / STARTED_AS
    if not mark.exists() or mark.read_text() != wanted:
        daemon(paths).stop()
        mark.write_text(wanted)


def _add_accounts(file: Path, secrets: Mapping[str, str]) -> None:
    """Let the server know key ids and their secrets; it reads the file whenever it meets one that it does not know."""
    known = json.loads(file.read_text())["accessAccounts"] if file.exists() else {}
    wanted = known | {key: {"access": key, "secret": secret, "role": "user"} for key, secret in secrets.items()}
    if wanted != known:
        write_private(file, json.dumps({"accessAccounts": wanted}).encode())


def wait_ready(paths: LabPaths) -> None:
    """Wait until the storage answers and its buckets are made; works inside the lab's network namespace.

    Raises:
        LabError: It ended, or does not answer in time; the message carries the end of its log.
    """
    process, secrets, regions = daemon(paths), _secrets(paths), _region_secrets(paths)
    root = client(URL, _authority(paths), secrets.root_key, secrets.root_secret)
    last: list[Exception] = []

    def alive_and_made() -> bool:
        if process.pid() is None:
            raise LabError(f"storage ended; log {process.log}:\n{process.tail()}")
        try:
            make_bucket(root, BUCKET, secrets.key)
            make_bucket(root, SECOND_BUCKET, regions.second_key)
            make_bucket(root, WITNESS_BUCKET, regions.witness_key, versions=False)
        except (BotoCoreError, ClientError) as error:
            last[:] = [error]
            return False
        return True

    with contextlib.closing(root):
        try:
            wait_until("the object storage to have its buckets", alive_and_made, timeout_s=_READY_LIMIT_S)
        except LabError as error:
            raise LabError(f"{error}; log {process.log}; {last[0] if last else ''}".rstrip("; ")) from None


def storage_secrets(paths: LabPaths, *, second: bool = False) -> dict[str, Any]:
    """What a stack needs to use its bucket: the value of the secret ``observability:objectStorageSecrets``.

    Args:
        paths: The lab.
        second: Whether it is the stack of the second region.

    Raises:
        LabError: The storage's files are not there: no lab.
    """
    if second:
        regions = _region_secrets(paths)
        return _login(paths, regions.second_key, regions.second_secret)
    secrets = _secrets(paths)
    return _login(paths, secrets.key, secrets.secret)


def witness_secrets(paths: LabPaths) -> dict[str, Any]:
    """What both stacks need to use the witness bucket: the value of the secret ``observability:witnessSecrets``.

    Raises:
        LabError: The storage's files are not there: no lab.
    """
    regions = _region_secrets(paths)
    return _login(paths, regions.witness_key, regions.witness_secret)


def _login(paths: LabPaths, key: str, secret: str) -> dict[str, Any]:
    return {"access_key_id": key, "secret_access_key": secret, "authority": _authority(paths).read_text()}


def forget_regions(paths: LabPaths) -> None:
    """Empty the witness bucket; works inside the lab's network namespace.

    Raises:
        LabError: The storage refuses, or does not answer.
    """
    secrets = _secrets(paths)
    with contextlib.closing(client(URL, _authority(paths), secrets.root_key, secrets.root_secret)) as root:
        try:
            empty(root, WITNESS_BUCKET, _REGIONS)
        except (BotoCoreError, ClientError) as error:
            raise LabError(f"cannot empty the bucket {WITNESS_BUCKET} of the object storage: {error}") from None


def backup_recipients(paths: LabPaths) -> dict[str, Any]:
    """Who can open backups: the value of ``observability:backupRecipients``.

    Raises:
        LabError: The identity is not there: no lab.
    """
    return {"recipients": [keys.recipient(folder(paths))]}


def bucket_client(paths: LabPaths | None = None) -> Any:
    """boto3's S3 client with the stack's own key, for tests inside the lab; the bucket is `lab.storage.keys.BUCKET`.

    Raises:
        LabError: There is no lab.
    """
    where = paths or LabPaths.of_checkout()
    secrets = _secrets(where)
    return client(URL, _authority(where), secrets.key, secrets.secret)


def _secrets(paths: LabPaths) -> Secrets:
    return private_file.load(Secrets, folder(paths) / SECRETS, "the object storage")


def _region_secrets(paths: LabPaths) -> RegionSecrets:
    return private_file.load(RegionSecrets, folder(paths) / REGION_SECRETS, "the regions' storage")


def _authority(paths: LabPaths) -> Path:
    return folder(paths) / CERTIFICATES / certificates.AUTHORITY
