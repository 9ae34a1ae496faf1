"""Talks to the object storage, over verified TLS; and makes its buckets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]

from lab.storage.keys import REGION

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


def make_bucket(root: Any, name: str, key: str, *, versions: bool = True) -> None:
    """Make a bucket for one key; safe to repeat.

    Args:
        root: Client of the key that may do everything.
        name: The bucket.
        key: Key id that may read and write its objects, and neither change the bucket nor end a version for good.
        versions: Whether what is replaced stays as an older version.

    Raises:
        botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError: The storage refuses, or does not answer.
    """
    if name not in [bucket["Name"] for bucket in root.list_buckets()["Buckets"]]:
        root.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    if versions:
        root.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    allowed = {"Effect": "Allow", "Principal": {"AWS": [key]}}
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {**allowed, "Action": list(_OBJECTS), "Resource": f"arn:aws:s3:::{name}/*"},
            {**allowed, "Action": list(_LISTS), "Resource": f"arn:aws:s3:::{name}"},
        ],
    }
    root.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))


def empty(root: Any, name: str, prefix: str) -> None:
    """Remove the objects of a bucket without versions below a prefix; safe to repeat.

    Raises:
        botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError: The storage refuses, or does not answer.
    """
    for page in root.get_paginator("list_objects_v2").paginate(Bucket=name, Prefix=prefix):
        for stored_object in page.get("Contents", []):
            root.delete_object(Bucket=name, Key=stored_object["Key"])
