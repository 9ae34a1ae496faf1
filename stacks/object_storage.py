"""The object storage as a stack file and its secrets describe it."""

from __future__ import annotations

from typing import Any, Final

import pulumi

from components.contracts import ObjectStorage
from stacks.secrets import storage_secrets, witness_secrets
from stacks.settings import Settings
from stacks.visualization_settings import Storage

WITNESS_PREFIX: Final = "regions/"


def object_storage(settings: Settings, prefix: str) -> ObjectStorage:
    """The bucket.

    Args:
        settings: Where it is.
        prefix: What the keys of its user start with, for example ``reports/``.

    Raises:
        SettingsError: Its keys are missing in an update.
    """
    return _storage(settings.object_storage, prefix, storage_secrets())


def witness(settings: Settings) -> ObjectStorage:
    """The bucket in neither region.

    Raises:
        SettingsError: Its keys are missing in an update.
    """
    return _storage(settings.regions.witness, WITNESS_PREFIX, witness_secrets())


def _storage(storage: Storage, prefix: str, secrets: pulumi.Output[dict[str, Any]]) -> ObjectStorage:
    return ObjectStorage(
        endpoint=storage.endpoint,
        region=storage.region,
        bucket=storage.bucket,
        prefix=prefix,
        networks=storage.networks,
        port=storage.port,
        access_key_id=secrets.apply(lambda known: str(known["access_key_id"])),
        secret_access_key=secrets.apply(lambda known: str(known["secret_access_key"])),
        authority=secrets.apply(lambda known: str(known["authority"])),
    )
