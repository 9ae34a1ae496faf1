"""The object storage: streams go up in parts, every call is bounded in time and tries, an error is one line.

An object that is written piece by piece goes up in parts as soon as there is more than one.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from services.backup import BackupError
from services.backup.encryption import Digest
from services.runtime import s3
from services.runtime.settings import SettingsError, Storage, secret

PART_BYTES = 16 * 2**20
"""Size of a part; an object that is smaller goes up at once."""
MOST_PARTS = 10_000
"""S3's limit for one object."""
_CONNECT_S, _READ_S, _TRIES = 10, 60, 4
_CHUNK = 2**18
_DELETED_AT_ONCE = 1000


class Parts(Protocol):
    """What a storage offers for this; `services.backup.store.Store` does."""

    def put(self, name: str, content: bytes) -> None:
        """Store an object from memory."""
        ...

    def begin_parts(self, name: str) -> str:
        """Begin an upload in parts; returns its id."""
        ...

    def put_part(self, name: str, upload: str, number: int, content: bytes) -> str:
        """Store a part; returns its tag."""
        ...

    def end_parts(self, name: str, upload: str, tags: Sequence[str], size: int) -> None:
        """Make an object of the parts."""
        ...

    def give_up(self, name: str, upload: str) -> None:
        """End an upload; its parts are removed."""
        ...


class Upload:
    """An object on its way; see `Store.writing`."""

    def __init__(self, store: Parts, name: str, part_bytes: int) -> None:
        self._store, self._name, self._part_bytes = store, name, part_bytes
        self._waiting = bytearray()
        self._upload = ""
        self._tags: list[str] = []
        self._written = 0

    def write(self, content: bytes, /) -> int:
        """Take bytes, all of them.

        Raises:
            BackupError: The storage refuses them or does not answer, or the object gets too large.
        """
        self._waiting += content
        self._written += len(content)
        while len(self._waiting) >= self._part_bytes:
            part = bytes(self._waiting[: self._part_bytes])
            del self._waiting[: self._part_bytes]
            self._send(part)
        return len(content)

    def finish(self) -> None:
        """Store it.

        Raises:
            BackupError: The storage refuses, does not answer, or has another size than was written.
        """
        if not self._upload:
            self._store.put(self._name, bytes(self._waiting))
            return
        if self._waiting:
            self._send(bytes(self._waiting))
            self._waiting.clear()
        self._store.end_parts(self._name, self._upload, self._tags, self._written)
        self._upload = ""

    def abort(self) -> None:
        """Remove what was sent; where that fails too, retention does it later."""
        if self._upload:
            with suppress(BackupError):
                self._store.give_up(self._name, self._upload)
            self._upload = ""

    def _send(self, part: bytes) -> None:
        if len(self._tags) >= MOST_PARTS:
            most = MOST_PARTS * self._part_bytes
            raise BackupError(f"{self._name} is larger than {most} bytes, which is the most for one object")
        self._upload = self._upload or self._store.begin_parts(self._name)
        self._tags.append(self._store.put_part(self._name, self._upload, len(self._tags) + 1, part))


class NotStoredError(BackupError):
    """There is no such object."""


@dataclass(frozen=True, kw_only=True)
class Object:
    """One object.

    Attributes:
        name: Its key below the prefix.
        bytes: Its size.
        written: When it was stored, in UTC.
        metadata: Its metadata; empty in lists.
    """

    name: str
    bytes: int
    written: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """An upload in parts that nobody finished."""

    name: str
    upload: str
    begun: datetime


class Store:
    """The bucket, below its prefix. One per program: it keeps its connections; safe for several threads.

    Attributes:
        signers: Public keys by one of which a run must be signed to be one that is read here; None: this program
            restores nothing.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        login: tuple[str, str] | None = None,
        part_bytes: int = PART_BYTES,
        signers: Sequence[str] | None = None,
    ) -> None:
        """Get ready; nothing is asked yet.

        Args:
            storage: Where it is.
            login: Key id and secret; None: as the files of ``storage`` have them.
            part_bytes: Size of a part, at least 5 MiB.
            signers: See the attribute.

        Raises:
            BackupError: A file with a key cannot be read.
        """
        self._storage, self._part_bytes = storage, part_bytes
        self.signers = None if signers is None else tuple(signers)
        try:
            key, password = login or (secret(storage.access_key_id_file), secret(storage.secret_access_key_file))
        except SettingsError as error:
            raise BackupError(str(error)) from None
        if storage.ca_file and not storage.ca_file.is_file():
            raise BackupError(f"{storage.ca_file}: cannot be read: it must hold the authority of the object storage")
        self._more = {"ServerSideEncryption": storage.encryption} if storage.encryption else {}
        self._client: Any = s3.client(storage, (key, password), connect_s=_CONNECT_S, read_s=_READ_S, attempts=_TRIES)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def put(
        self,
        name: str,
        content: bytes,
        *,
        kind: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Store an object from memory, in place of one before; the storage checks its MD5 digest.

        Args:
            name: Key below the prefix.
            content: What it holds.
            kind: Its content type.
            metadata: Its metadata (ASCII).

        Raises:
            BackupError: The storage refuses it, or does not answer.
        """
        with self._errors(f"{name} cannot be stored"):
            self._client.put_object(
                **self._key(name),
                Body=content,
                ContentMD5=_md5(content),
                ContentType=kind,
                Metadata=dict(metadata or {}),
                **self._more,
            )

    @contextmanager
    def writing(self, name: str) -> Iterator[Upload]:
        """Store what is written to the upload; when the block ends with an error, nothing is stored.

        Raises:
            BackupError: The storage refuses it, does not answer, or has another size than was written.
        """
        upload = Upload(self, name, self._part_bytes)
        try:
            yield upload
            upload.finish()
        except BaseException:
            upload.abort()
            raise

    def objects(self, below: str = "") -> list[Object]:
        """Objects whose names begin with ``below``, by name.

        Raises:
            BackupError: The storage refuses, or does not answer.
        """
        prefix = self._storage.prefix
        with self._errors(f"{below or 'the bucket'} cannot be listed"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._storage.bucket, Prefix=prefix + below
            )
            stored_objects = [
                Object(
                    name=content["Key"][len(prefix) :],
                    bytes=int(content["Size"]),
                    written=content["LastModified"],
                )
                for page in pages
                for content in page.get("Contents", ())
            ]
        return sorted(stored_objects, key=lambda stored_object: stored_object.name)

    def folders(self, below: str = "") -> list[str]:
        """Names of the folders directly below a folder (``""`` or one with ``/`` at its end), without slashes.

        Raises:
            BackupError: The storage refuses, or does not answer.
        """
        whole = self._storage.prefix + below
        with self._errors(f"{below or 'the bucket'} cannot be listed"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._storage.bucket, Prefix=whole, Delimiter="/"
            )
            names = [prefix["Prefix"][len(whole) : -1] for page in pages for prefix in page.get("CommonPrefixes", ())]
        return sorted(names)

    def head(self, name: str) -> Object:
        """An object with its metadata.

        Raises:
            NotStoredError: There is none of that name.
            BackupError: The storage refuses, or does not answer.
        """
        with self._errors(f"{name} cannot be looked at"):
            head = self._client.head_object(**self._key(name))
        return Object(
            name=name, bytes=int(head["ContentLength"]), written=head["LastModified"], metadata=head["Metadata"]
        )

    def get(self, name: str, most: int) -> bytes:
        """Content of an object of at most ``most`` bytes.

        Raises:
            NotStoredError: There is none of that name.
            BackupError: It is larger, or the storage refuses or does not answer.
        """
        with self._errors(f"{name} cannot be read"):
            answer = self._client.get_object(**self._key(name))
            with answer["Body"] as body:
                if int(answer["ContentLength"]) > most:
                    raise BackupError(f"{name} has {answer['ContentLength']} bytes; no more than {most} are expected")
                content: bytes = body.read()
        return content

    def download(self, name: str, file: Path) -> Digest:
        """Write an object to a file; returns the digest of what was written.

        Raises:
            NotStoredError: There is none of that name.
            BackupError: The storage refuses or does not answer, or the file cannot be written.
        """
        digest = Digest()
        with self._errors(f"{name} cannot be read"):
            body = self._client.get_object(**self._key(name))["Body"]
            with body, file.open("wb") as target:
                for chunk in body.iter_chunks(_CHUNK):
                    digest.add(chunk)
                    target.write(chunk)
        return digest

    def delete(self, names: Iterable[str]) -> None:
        """Remove objects, in that order; one that is not there is no error.

        Raises:
            BackupError: The storage refuses, or does not answer.
        """
        listed = list(names)
        for start in range(0, len(listed), _DELETED_AT_ONCE):
            some = listed[start : start + _DELETED_AT_ONCE]
            with self._errors(f"{some[0]} and {len(some) - 1} more cannot be removed"):
                keys = [{"Key": self._storage.prefix + name} for name in some]
                answer = self._client.delete_objects(
                    Bucket=self._storage.bucket, Delete={"Objects": keys, "Quiet": True}
                )
            for problem in answer.get("Errors", ()):
                raise BackupError(f"{self.where}: {problem.get('Key')} cannot be removed: {problem.get('Code')}")

    def unfinished(self, below: str = "") -> list[Unfinished]:
        """Uploads in parts that are not finished, of names that begin with ``below``.

        Raises:
            BackupError: The storage refuses, or does not answer.
        """
        prefix = self._storage.prefix
        with self._errors("unfinished uploads cannot be listed"):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._storage.bucket, Prefix=prefix + below
            )
            return [
                Unfinished(name=upload["Key"][len(prefix) :], upload=upload["UploadId"], begun=upload["Initiated"])
                for page in pages
                for upload in page.get("Uploads", ())
            ]

    def give_up(self, name: str, upload: str) -> None:
        """End an unfinished upload; its parts are removed. One that is not there is no error.

        Raises:
            BackupError: The storage refuses, or does not answer.
        """
        with suppress(NotStoredError), self._errors(f"the upload of {name} cannot be ended"):
            self._client.abort_multipart_upload(**self._key(name), UploadId=upload)

    def begin_parts(self, name: str) -> str:
        """Begin an upload in parts; returns its id. `Upload` is the way to use this and the next two.

        Raises:
            BackupError: The storage refuses, or does not answer.
        """
        with self._errors(f"{name} cannot be stored"):
            begun = self._client.create_multipart_upload(
                **self._key(name), ContentType="application/octet-stream", **self._more
            )
        return str(begun["UploadId"])

    def put_part(self, name: str, upload: str, number: int, content: bytes) -> str:
        """Store a part, the first is number 1; returns its tag.

        Raises:
            BackupError: The storage refuses, or does not answer.
        """
        with self._errors(f"part {number} of {name} cannot be stored"):
            answer = self._client.upload_part(
                **self._key(name), UploadId=upload, PartNumber=number, Body=content, ContentMD5=_md5(content)
            )
        return str(answer["ETag"])

    def end_parts(self, name: str, upload: str, tags: Sequence[str], size: int) -> None:
        """Make an object of the parts, and see that it has that size.

        Raises:
            BackupError: The storage refuses, does not answer, or has another size.
        """
        parts = [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, 1)]
        with self._errors(f"{name} cannot be stored"):
            self._client.complete_multipart_upload(**self._key(name), UploadId=upload, MultipartUpload={"Parts": parts})
        stored = self.head(name).bytes
        if stored != size:
            raise BackupError(f"{self.where}: {name} has {stored} bytes of {size} that were sent")

    def keeps_versions(self) -> bool:
        """Whether what is deleted or replaced stays as an older version; S3's lock against deletion needs that too.

        Raises:
            BackupError: The storage refuses to tell, or does not answer.
        """
        with self._errors("versions of objects"):
            answer = self._client.get_bucket_versioning(Bucket=self._storage.bucket)
        return bool(answer.get("Status") == "Enabled")

    @property
    def where(self) -> str:
        """Where it is, for messages."""
        return f"object storage {self._storage.endpoint or 'of AWS'}, bucket {self._storage.bucket}"

    def _key(self, name: str) -> dict[str, str]:
        return {"Bucket": self._storage.bucket, "Key": self._storage.prefix + name}

    def _errors(self, what: str) -> AbstractContextManager[None]:
        return s3.errors(f"{self.where}: {what}", BackupError, NotStoredError)


def _md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
