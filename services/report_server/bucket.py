"""The object storage of the reports, read only."""

from __future__ import annotations

from services.buckets import bucket
from services.buckets.bucket import Content, NotStoredError, Object, StorageError

__all__ = ["Bucket", "Content", "NotStoredError", "Object", "StorageError"]


class Bucket(bucket.Bucket):
    """Reports below the prefix."""

    things = "the reports"
