"""A real object storage (versitygw) on loopback over TLS, started as the lab starts it, with a bucket of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from components.storage_roles import RIGHTS, StorageRole
from lab import key_files
from lab.storage import (
    ACCOUNTS,
    CERTIFICATES,
    OBJECTS,
    REGION,
    ROLE_SECRETS,
    SECRETS,
    VERSIONS,
    RoleSecrets,
    Secrets,
    client,
    command,
    make_bucket,
    variables,
)
from services.backup.store import Store
from services.runtime.settings import Storage
from tests.config.servers import START_SECONDS, eventually, free_port

BUCKET, ROLE_BUCKET = "obs-test", "obs-test-roles"
"""Of one key, and of the keys of the roles."""


@dataclass(frozen=True, kw_only=True)
class StorageProcess:
    """The running storage.

    Attributes:
        folder: Its files.
        url: Its address.
        secrets: Its keys.
    """

    folder: Path
    url: str
    secrets: Secrets

    @property
    def ca_file(self) -> Path:
        """Authority of its certificate."""
        return self.folder / CERTIFICATES / key_files.AUTHORITY

    def settings(self, prefix: str, role: StorageRole | None = None) -> dict[str, Any]:
        """The section ``storage`` of a settings file, with the common key and its bucket, or a role's and theirs."""
        key, secret = self.role(role) if role else (self.secrets.key, self.secrets.secret)
        files = {}
        for name, text in (("access_key_id_file", key), ("secret_access_key_file", secret)):
            file = self.folder / f"{role or 'common'}-{name}"
            files[name] = str(file)
            file.write_text(text + "\n")
        return {
            "endpoint": self.url,
            "region": REGION,
            "bucket": ROLE_BUCKET if role else BUCKET,
            "prefix": prefix,
            "ca_file": str(self.ca_file),
            **files,
        }

    def place(self, prefix: str, role: StorageRole | None = None) -> Storage:
        """The same as a program has it."""
        settings = self.settings(prefix, role)
        files = {name: Path(settings[name]) for name in ("access_key_id_file", "secret_access_key_file", "ca_file")}
        return Storage(**{**settings, **files})

    def role(self, role: StorageRole) -> tuple[str, str]:
        """Id and secret of a role's key."""
        key, secret = key_files.load(RoleSecrets, self.folder / ROLE_SECRETS, "the roles").first[role]
        return key, secret

    @contextmanager
    def store(self, prefix: str, role: StorageRole | None = None, **options: Any) -> Iterator[Store]:
        """The bucket below a prefix."""
        store = Store(self.place(prefix, role), **options)
        try:
            yield store
        finally:
            store.close()

    def age(self, key: str, seconds: float) -> None:
        """Make an object of the bucket so old, as the storage tells it."""
        file = self.folder / OBJECTS / BUCKET / key
        written = time.time() - seconds
        os.utime(file, (written, written))

    def root(self) -> Any:
        """boto3's client with the key that may do everything."""
        return client(self.url, self.ca_file, self.secrets.root_key, self.secrets.root_secret)

    def client(self) -> Any:
        """boto3's client with the platform's key."""
        return client(self.url, self.ca_file, self.secrets.key, self.secrets.secret)


@contextmanager
def storage_process(folder: Path) -> Iterator[StorageProcess]:
    """Run the storage until the block ends; its bucket is there when the block starts.

    Args:
        folder: A new folder for its files.
    """
    for name in (OBJECTS, VERSIONS, ACCOUNTS):
        (folder / name).mkdir(parents=True, mode=0o700)
    key_files.create(folder / CERTIFICATES, "127.0.0.1")
    secrets = key_files.load_or_make(Secrets, folder / SECRETS, "the object storage")
    roles = key_files.load_or_make(RoleSecrets, folder / ROLE_SECRETS, "the roles").first
    keys = {secrets.key: secrets.secret, **dict(roles.values())}
    accounts = {key: {"access": key, "secret": secret, "role": "user"} for key, secret in keys.items()}
    (folder / ACCOUNTS / "users.json").write_text(json.dumps({"accessAccounts": accounts}))
    rights = {key: RIGHTS[StorageRole(role)] for role, (key, _) in roles.items()}
    port = free_port()
    running = StorageProcess(folder=folder, url=f"https://localhost:{port}", secrets=secrets)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command(folder, f"127.0.0.1:{port}"),
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **variables(folder)},
        )
    root = running.root()

    def ready() -> bool:
        assert process.poll() is None, f"it ended with {process.returncode}:\n{(folder / 'log').read_text()[-3000:]}"
        try:
            make_bucket(root, BUCKET, secrets.key)
            make_bucket(root, ROLE_BUCKET, None, roles=rights)
        except (BotoCoreError, ClientError):
            return False
        return True

    try:
        eventually(ready, START_SECONDS, "the object storage has its bucket")
        yield running
    finally:
        root.close()
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=60)
        shutil.rmtree(folder, ignore_errors=True)
