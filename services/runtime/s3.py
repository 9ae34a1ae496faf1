"""The object storage, read only; every call has a time limit, and an error is one line.

`Poller` polls it, and keeps what was seen at the last poll that succeeded.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import boto3  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from services.runtime import one_line
from services.runtime.settings import Storage

_CONNECT_S, _READ_S, _ATTEMPTS = 5, 15, 3
MISSING: Final = frozenset({"404", "NoSuchKey", "NotFound", "NoSuchUpload"})
"""Codes of what is not there."""
_CHUNK = 64 * 1024
INTERVAL_S = 60.0
_STUCK_S = 10 * INTERVAL_S
_T = TypeVar("_T")


class StorageError(Exception):
    """The object storage does not answer, or refuses; the message has no credentials."""


class NotStoredError(StorageError):
    """There is no such object."""


@dataclass(frozen=True, kw_only=True)
class Object:
    """One object: key without the bucket's prefix, size in bytes, seconds since 1970 at which it was written."""

    key: str
    size: int
    written: float


@dataclass(frozen=True, kw_only=True)
class Content:
    """What an object holds, and its metadata; reading it may end with a `StorageError`."""

    size: int
    chunks: Generator[bytes, None, None]
    metadata: Mapping[str, str] = field(default_factory=dict)


class Bucket:
    """Objects below the prefix. The key is read again for each round, so that a new one counts."""

    things = "the objects"
    """What is listed, for messages."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._made: tuple[tuple[str, str], Any] | None = None

    def objects(self, below: str = "", after: str = "") -> list[Object]:
        """Objects, by key.

        Args:
            below: What their keys begin with.
            after: Only keys that come after this one.

        Raises:
            StorageError: They cannot be listed.
        """
        return sorted(self.walk(below, after), key=lambda stored_object: stored_object.key)

    def walk(self, below: str = "", after: str = "") -> Iterator[Object]:
        """The same one by one, in the order of the storage: for more than should be held at once."""
        prefix = self._storage.prefix
        start = {"StartAfter": prefix + after} if after else {}
        for page in self._pages(Prefix=prefix + below, **start):
            for stored_object in page.get("Contents", ()):
                key, written = stored_object["Key"][len(prefix) :], stored_object["LastModified"].timestamp()
                yield Object(key=key, size=stored_object["Size"], written=written)

    def folders(self, below: str = "", after: str = "") -> list[str]:
        """Names of the folders right below one, sorted; ``below`` ends with ``/``.

        Raises:
            StorageError: They cannot be listed.
        """
        whole = self._storage.prefix + below
        start = {"StartAfter": whole + after} if after else {}
        pages = self._pages(Prefix=whole, Delimiter="/", **start)
        return sorted(prefix["Prefix"][len(whole) : -1] for page in pages for prefix in page.get("CommonPrefixes", ()))

    def _pages(self, **arguments: str) -> Iterator[dict[str, Any]]:
        with errors(f"cannot list {self.things}", StorageError, NotStoredError):
            lister = self._client().get_paginator("list_objects_v2")
            yield from lister.paginate(Bucket=self._storage.bucket, **arguments)

    def open(self, key: str) -> Content:
        """The content of an object.

        Raises:
            NotStoredError: There is none of that key.
            StorageError: It cannot be read.
        """
        what = f"cannot read {key}"
        with errors(what, StorageError, NotStoredError):
            answer = self._client().get_object(Bucket=self._storage.bucket, Key=self._storage.prefix + key)
        return Content(
            size=answer["ContentLength"], chunks=_chunks(answer["Body"], what), metadata=answer.get("Metadata") or {}
        )

    def _client(self) -> Any:
        storage = self._storage
        try:
            login = (storage.access_key_id_file.read_text().strip(), storage.secret_access_key_file.read_text().strip())
        except OSError as error:
            raise StorageError(f"{error.filename} cannot be read: {error.strerror}") from None
        if self._made is None or self._made[0] != login:
            self._made = (login, client(storage, login, connect_s=_CONNECT_S, read_s=_READ_S, attempts=_ATTEMPTS))
        return self._made[1]


def client(storage: Storage, login: tuple[str, str], *, connect_s: float, read_s: float, attempts: int) -> Any:
    """A client of boto3, safe for several threads; it uses no proxy, and nothing of its environment.

    Args:
        storage: Where it is.
        login: Key id and secret.
        connect_s: Limit of a connection in seconds.
        read_s: Limit of the wait for an answer's next bytes.
        attempts: How often a call is tried, the first time included.
    """
    return boto3.session.Session().client(
        "s3",
        endpoint_url=storage.endpoint,
        region_name=storage.region,
        aws_access_key_id=login[0],
        aws_secret_access_key=login[1],
        verify=str(storage.ca_file) if storage.ca_file else True,
        config=Config(
            connect_timeout=connect_s,
            read_timeout=read_s,
            retries={"mode": "standard", "total_max_attempts": attempts},
            proxies={},
            # Not every storage but AWS' own knows checksums that clients add unasked; and with one after the body, a
            # storage that refuses a condition hangs up in the middle of it, so that its answer is lost.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path" if storage.endpoint else "auto"},
        ),
    )


def _chunks(body: Any, what: str) -> Generator[bytes, None, None]:
    try:
        with errors(what, StorageError, NotStoredError):
            yield from body.iter_chunks(_CHUNK)
    finally:
        body.close()


def code_of(error: ClientError) -> str:
    """What S3 calls the reason of a refusal; empty where it names none."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def errors(
    what: str, failed: Callable[[str], Exception], missing: Callable[[str], Exception] | None = None
) -> Iterator[None]:
    """Turn what the client raises into an error with one line.

    Args:
        what: Begins the line.
        failed: Makes the error.
        missing: Makes the one for what is not there; without it that is an error like every other.
    """
    try:
        yield
    except ClientError as error:
        code = code_of(error)
        kind = missing if missing is not None and code in MISSING else failed
        raise kind(f"{what}: {code or 'refused'}") from None
    except (BotoCoreError, OSError) as error:
        raise failed(f"{what}: {one_line(error)}") from None


class Poller(ABC, Generic[_T]):
    """Polls in a thread of its own.

    Attributes:
        snapshot: What the last poll that succeeded saw.
        failures: Polls that failed.
        failing: Whether the last poll did.
    """

    snapshot: _T

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._began = time.time()
        self._beat = time.monotonic()
        self._polled = threading.Event()
        self._last_logged = ""
        self.failures = 0
        self.failing = False

    @property
    def began(self) -> float:
        """When it began, seconds since 1970."""
        return self._began

    def polled(self) -> bool:
        """Whether there was a poll, failed ones among them: metrics are served while the storage is away."""
        return self._polled.is_set()

    def alive(self) -> bool:
        """Whether polls still happen."""
        return time.monotonic() - self._beat < _STUCK_S

    def beat(self) -> None:
        """Tell, in the middle of a long poll, that it goes on."""
        self._beat = time.monotonic()

    def run(self, stop: threading.Event) -> None:
        """Poll until ``stop``."""
        while not stop.is_set():
            self.poll()
            stop.wait(INTERVAL_S)

    def poll(self) -> None:
        """Poll once; log a failure once while it lasts."""
        try:
            self.snapshot = self._poll()
            problem = ""
        except StorageError as error:
            self.failures += 1
            problem = str(error)
        if problem != self._last_logged:
            self._log(problem or "the object storage answers again")
            self._last_logged = problem
        self.failing = bool(problem)
        self.beat()
        self._polled.set()

    @abstractmethod
    def _poll(self) -> _T:
        """Poll.

        Raises:
            StorageError: The storage does not answer, or refuses.
        """
