"""The object storage of the reports, read only."""

from __future__ import annotations

from services.runtime import s3
from services.runtime.s3 import Content, NotStoredError, Object, StorageError

__all__ = ["Bucket", "Content", "NotStoredError", "Object", "StorageError"]


class Bucket(s3.Bucket):
    """Reports below the prefix."""

    things = "the reports"
