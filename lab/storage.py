"""An object storage outside the platform: the Versity S3 Gateway on files, over HTTPS only.

Its keys, and the age identity that opens the lab's backups, are made once, never inside the cluster, and kept in files
that their owner alone can read. ``python -m lab.storage FOLDER HOST:PORT`` becomes the server.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import boto3  # type: ignore[import-untyped]
import pyrage  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from components.storage_roles import RIGHTS, VERSION, WITNESS, Rights, StorageRole, bucket_statements
from lab import LabError, key_files
from lab.cluster import network
from lab.cluster.network import RECEIVERS, STORAGE_PORT, Daemon, wait_until
from lab.fakes.receivers import settings as receivers
from lab.fakes.receivers.settings import aws_key, aws_secret
from lab.paths import CHECKOUT, LabPaths
from lab.toolchain import tools
from ops.core.files import write_private

URL = f"https://{RECEIVERS}:{STORAGE_PORT}"
REGION = "ap-northeast-1"
BUCKET, SECOND_BUCKET, WITNESS_BUCKET = "obs-local", "obs-local-dr", "obs-witness"
"""Of the first region, of the second, and of neither: there both see which region is active."""
CERTIFICATES, SECRETS, STARTED_AS = "pki", "secrets.json", "started-as.json"
REGION_SECRETS, ROLE_SECRETS = "region-secrets.json", "role-secrets.json"
OBJECTS, VERSIONS, ACCOUNTS, IDENTITY = "objects", "versions", "accounts", "backup-identity.txt"
"""Names below `folder`."""
_CALL_LIMIT_S = 5
_OBJECTS = (
    "s3:GetObject",
    "s3:GetObjectVersion",
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
)
_LISTS = (
    "s3:ListBucket",
    "s3:ListBucketVersions",
    "s3:ListBucketMultipartUploads",
    "s3:GetBucketVersioning",
    "s3:GetBucketLocation",
)
_READY_LIMIT_S = 60
_ROLE_KEY_LENGTH = 8
"""Short ids, since policies that name them many times are bounded; what is secret of a key is as long as others."""
_REGIONS = "regions/"
"""What the witness bucket holds of the regions, below this prefix."""
_DESCRIPTION = "Starts the object storage: ``python -m lab.storage FOLDER HOST:PORT``; the process becomes the server."


def folder(paths: LabPaths) -> Path:
    """Folder of the object storage in a lab's state."""
    return paths.state / "storage"


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """Everything that opens the object storage.

    Attributes:
        root_key: Key id that may do everything; the lab alone uses it.
        root_secret: Its secret.
        key: Key id of the first region's common key, which has no rights: every role has a key of its own.
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
        second_key: Key id of the second region's common key, which has no rights either.
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


def _role_keys() -> dict[str, tuple[str, str]]:
    return {str(role): (aws_key()[-_ROLE_KEY_LENGTH:], aws_secret()) for role in StorageRole}


@dataclass(frozen=True, kw_only=True)
class RoleSecrets:
    """Keys of the roles in both regions' buckets; in a file of their own, since older labs have none.

    Attributes:
        first: Role -> id of its key and secret, in the first region's bucket.
        second: The same in the second region's.
    """

    first: Mapping[str, tuple[str, str]] = field(default_factory=_role_keys)
    second: Mapping[str, tuple[str, str]] = field(default_factory=_role_keys)

    def all(self) -> list[str]:
        """Every secret text, for those who must not show any."""
        return [key[1] for keys in (self.first, self.second) for key in keys.values()]


def identity_file(place: Path) -> Path:
    """File with the identity, as the program ``age`` reads it.

    Args:
        place: Folder of the object storage.
    """
    return place / IDENTITY


def make_identity(place: Path) -> None:
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


def client(url: str, authority: Path, key: str, secret: str) -> Any:
    """boto3's S3 client.

    Args:
        url: ``https://host:port``.
        authority: File of who signs the storage's certificate.
        key: Key id.
        secret: Its secret.
    """
    session = boto3.Session(aws_access_key_id=key, aws_secret_access_key=secret)
    return session.client(
        "s3",
        region_name=REGION,
        endpoint_url=url,
        verify=str(authority),
        config=Config(
            connect_timeout=_CALL_LIMIT_S,
            read_timeout=_CALL_LIMIT_S,
            retries={"mode": "standard", "total_max_attempts": 1},
            s3={"addressing_style": "path"},
            # A checksum behind the body is sent apart from the headers; by then the server may have refused and gone.
            request_checksum_calculation="when_required",
            proxies={},
        ),
    )


def make_bucket(
    root: Any, name: str, key: str | None, *, roles: Mapping[str, Rights] | None = None, versions: bool = True
) -> None:
    """Make a bucket for some keys; safe to repeat.

    Args:
        root: Client of the key that may do everything.
        name: The bucket.
        key: Key id that may read and write its objects, and neither change the bucket nor end a version for good; None
            where no key may do all of that.
        roles: Ids of further keys -> their rights.
        versions: Whether what is replaced stays as an older version.

    Raises:
        botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError: The storage refuses, or does not answer.
    """
    if name not in [bucket["Name"] for bucket in root.list_buckets()["Buckets"]]:
        root.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    if versions:
        root.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    allowed = {"Effect": "Allow", "Principal": {"AWS": [key]}}
    whole = [
        {**allowed, "Action": list(_OBJECTS), "Resource": f"arn:aws:s3:::{name}/*"},
        {**allowed, "Action": list(_LISTS), "Resource": f"arn:aws:s3:::{name}"},
    ]
    policy = {"Version": VERSION, "Statement": [*(whole if key else ()), *bucket_statements(name, roles or {})]}
    # The server keeps it beside the folder's name, where the file system has room for some 4 KB.
    root.put_bucket_policy(Bucket=name, Policy=json.dumps(policy, separators=(",", ":")))


def empty(root: Any, name: str, prefix: str) -> None:
    """Remove the objects of a bucket without versions below a prefix; safe to repeat.

    Raises:
        botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError: The storage refuses, or does not answer.
    """
    for page in root.get_paginator("list_objects_v2").paginate(Bucket=name, Prefix=prefix):
        for stored_object in page.get("Contents", []):
            root.delete_object(Bucket=name, Key=stored_object["Key"])


def command(place: Path, address: str) -> list[str]:
    """The server; its root key comes by `variables`, since every user of the machine can read command lines.

    Raises:
        LabError: It is not built.
    """
    pki = place / CERTIFICATES
    return [
        str(tools.path("versitygw")),
        *("--port", address, "--region", REGION),
        *("--cert", str(pki / key_files.CERTIFICATE), "--key", str(pki / key_files.KEY)),
        *("--iam-dir", str(place / ACCOUNTS)),
        *("posix", "--versioning-dir", str(place / VERSIONS), str(place / OBJECTS)),
    ]


def variables(place: Path) -> dict[str, str]:
    """Environment of the server.

    Raises:
        LabError: There are no secrets.
    """
    secrets = key_files.load(Secrets, place / SECRETS, "the object storage")
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
    key_files.create_authority(authority)
    for name in (OBJECTS, VERSIONS, ACCOUNTS):
        (place / name).mkdir(parents=True, exist_ok=True, mode=0o700)
    place.chmod(0o700)
    key_files.issue(authority, place / CERTIFICATES, "storage", RECEIVERS)
    make_identity(place)
    secrets = key_files.load_or_make(Secrets, place / SECRETS, "the object storage")
    regions = key_files.load_or_make(RegionSecrets, place / REGION_SECRETS, "the regions' storage")
    roles = key_files.load_or_make(RoleSecrets, place / ROLE_SECRETS, "the roles of the storage")
    _add_accounts(
        place / ACCOUNTS / "users.json",
        {
            secrets.key: secrets.secret,
            regions.second_key: regions.second_secret,
            regions.witness_key: regions.witness_secret,
            **dict(key for keys in (roles.first, roles.second) for key in keys.values()),
        },
    )
    certificate = (place / CERTIFICATES / key_files.CERTIFICATE).read_text()
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
    process, secrets, regions, roles = daemon(paths), _secrets(paths), _region_secrets(paths), _role_secrets(paths)
    root = client(URL, _authority(paths), secrets.root_key, secrets.root_secret)
    last: list[Exception] = []

    def alive_and_made() -> bool:
        if process.pid() is None:
            raise LabError(f"storage ended; log {process.log}:\n{process.tail()}")
        try:
            make_bucket(root, BUCKET, None, roles=_rights(roles.first))
            make_bucket(root, SECOND_BUCKET, None, roles=_rights(roles.second))
            make_bucket(root, WITNESS_BUCKET, None, roles={regions.witness_key: WITNESS}, versions=False)
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
    """The common key of a stack: the value of the secret ``observability:objectStorageSecrets``.

    It may do nothing in the stack's bucket, where every role has a key of its own (`role_secrets`).

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


def role_secrets(paths: LabPaths, *, second: bool = False) -> dict[str, Any]:
    """Keys of the roles in a stack's bucket: the value of the secret ``observability:objectStorageRoles``.

    Args:
        paths: The lab.
        second: Whether it is the stack of the second region.

    Raises:
        LabError: The storage's files are not there: no lab.
    """
    secrets = _role_secrets(paths)
    keys = secrets.second if second else secrets.first
    return {role: {"access_key_id": key, "secret_access_key": secret} for role, (key, secret) in keys.items()}


def _rights(keys: Mapping[str, tuple[str, str]]) -> dict[str, Rights]:
    """Id of each role's key -> its rights."""
    return {key: RIGHTS[StorageRole(role)] for role, (key, _) in keys.items()}


def give_bucket(paths: LabPaths, name: str) -> dict[str, Any]:
    """Make a bucket with a key of its own; works inside the lab's network namespace.

    Args:
        paths: The lab.
        name: The bucket, which may be there already: the key is a new one.

    Returns:
        The value of the secret ``observability:objectStorageSecrets`` of a stack that uses it.

    Raises:
        LabError: The storage's files are not there, it refuses, or it does not answer.
    """
    secrets, key, secret = _secrets(paths), aws_key(), aws_secret()
    _add_accounts(folder(paths) / ACCOUNTS / "users.json", {key: secret})
    with contextlib.closing(client(URL, _authority(paths), secrets.root_key, secrets.root_secret)) as root:
        try:
            make_bucket(root, name, key)
        except (BotoCoreError, ClientError) as error:
            raise LabError(f"cannot make the bucket {name} of the object storage: {error}") from None
    return _login(paths, key, secret)


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
    return {"recipients": [recipient(folder(paths))]}


def bucket_client(paths: LabPaths | None = None) -> Any:
    """boto3's S3 client with the key that may do everything, for tests inside the lab; the bucket is `BUCKET`.

    Raises:
        LabError: There is no lab.
    """
    where = paths or LabPaths.of_checkout()
    secrets = _secrets(where)
    return client(URL, _authority(where), secrets.root_key, secrets.root_secret)


def _secrets(paths: LabPaths) -> Secrets:
    return key_files.load(Secrets, folder(paths) / SECRETS, "the object storage")


def _region_secrets(paths: LabPaths) -> RegionSecrets:
    return key_files.load(RegionSecrets, folder(paths) / REGION_SECRETS, "the regions' storage")


def _role_secrets(paths: LabPaths) -> RoleSecrets:
    return key_files.load(RoleSecrets, folder(paths) / ROLE_SECRETS, "the roles of the storage")


def _authority(paths: LabPaths) -> Path:
    return folder(paths) / CERTIFICATES / key_files.AUTHORITY


def main() -> NoReturn:
    """Become the server; exit code 2 when it cannot be started."""
    parser = argparse.ArgumentParser(prog="lab.storage", description=_DESCRIPTION)
    parser.add_argument("folder", type=Path)
    parser.add_argument("address")
    given = parser.parse_args()
    try:
        line = command(given.folder, given.address)
        environment = {**os.environ, **variables(given.folder)}
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    os.execve(line[0], line, environment)


if __name__ == "__main__":
    main()
