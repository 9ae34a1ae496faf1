"""The object storage of metrics as Thanos reads it: one file, which holds the key, in a Secret (requirement D1)."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

import pulumi

from components.contracts import ObjectStorage
from components.k8s import DeploymentContext, FileSet, Mount, Volume, secret_files
from components.prometheus.config import Data, rendered

OBJECTS_DIRECTORY = "/etc/thanos-objects"
OBJECTS_FILE = "objects.yml"
AUTHORITY_FILE = "authority.crt"
VOLUME = "objects"
_AWS = "s3.{region}.amazonaws.com"

Encryption = Literal["SSE-S3", "SSE-KMS"]
"""How the storage is asked to encrypt what it keeps."""


def objects_config(
    storage: ObjectStorage,
    *,
    access_key_id: str,
    secret_access_key: str,
    private: bool,
    encryption: Encryption | None,
    directory: str = OBJECTS_DIRECTORY,
) -> Data:
    """Content of the file.

    Thanos wants a host without a scheme, and speaks TLS unless it is told not to.

    Args:
        storage: The bucket; below its prefix are the blocks.
        access_key_id: Its key id.
        secret_access_key: Its secret.
        private: Whether its certificate is signed by an authority of its own.
        encryption: How it is asked to encrypt; None: as the bucket says.
        directory: Folder of the authority's certificate.

    Raises:
        ValueError: The endpoint is not ``https://host:port``, or there is no prefix.
    """
    prefix = storage.prefix.strip("/")
    if not prefix:
        raise ValueError("prometheus.objects.prefix is empty: blocks need a folder of their own, for example metrics/")
    return {
        "type": "S3",
        "prefix": prefix,
        "config": {
            "bucket": storage.bucket,
            "endpoint": _host(storage),
            "region": storage.region,
            "access_key": access_key_id,
            "secret_key": secret_access_key,
            "bucket_lookup_type": "path" if storage.endpoint else "auto",
            "max_retries": 3,
            **({"sse_config": {"type": encryption}} if encryption else {}),
            "http_config": {
                "response_header_timeout": "30s",
                **({"tls_config": {"ca_file": f"{directory}/{AUTHORITY_FILE}"}} if private else {}),
            },
        },
    }


def objects_files(
    parent: pulumi.Resource,
    context: DeploymentContext,
    *,
    workload: str,
    storage: ObjectStorage,
    encryption: Encryption | None,
) -> FileSet:
    """Secret ``<workload>-objects`` with the file and the authority's certificate (empty for a public authority)."""

    def written(access_key_id: str, secret_access_key: str, authority: str) -> str:
        config = objects_config(
            storage,
            access_key_id=access_key_id,
            secret_access_key=secret_access_key,
            private=bool(authority),
            encryption=encryption,
        )
        return rendered(config)

    known = pulumi.Output.all(storage.access_key_id, storage.secret_access_key, storage.authority)
    return secret_files(
        parent,
        context,
        name=f"{workload}-objects",
        workload=workload,
        files={
            OBJECTS_FILE: known.apply(lambda resolved: written(*map(str, resolved))),
            AUTHORITY_FILE: storage.authority,
        },
    )


def objects_volume(files: FileSet) -> Volume:
    """The Secret as a volume."""
    return Volume(name=VOLUME, files=files)


def objects_mount() -> Mount:
    """Where Thanos finds it."""
    return Mount(volume=VOLUME, path=OBJECTS_DIRECTORY)


def objects_option(directory: str = OBJECTS_DIRECTORY) -> str:
    """Argument by which each part of Thanos is told of it."""
    return f"--objstore.config-file={directory}/{OBJECTS_FILE}"


def _host(storage: ObjectStorage) -> str:
    if storage.endpoint is None:
        return _AWS.format(region=storage.region)
    parts = urlsplit(storage.endpoint)
    if parts.scheme != "https" or not parts.netloc or parts.path.strip("/"):
        raise ValueError(f"prometheus.objects.endpoint is {storage.endpoint!r}; it must be https://host:port")
    return parts.netloc
