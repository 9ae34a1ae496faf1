"""The witness bucket, in neither region: every call has a time limit, and an error is one line."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from services.regions.records import LEASE_KEY, Heartbeat, Lease, RegionError, dump, parse, region_key
from services.runtime import s3
from services.runtime.storage import Storage

_CONNECT_S, _READ_S = 3, 5
_ATTEMPTS = 3
_SETTLE_S = 1.0
"""How long after writing the lease it is read again: a storage that checks the condition and then writes lets two pass
that come within milliseconds, and the later one counts."""
_MOST_BYTES = 4 * 1024 * 1024
_MOST_SHOWN = 200
_MISSING = frozenset({"NoSuchKey", "404"})
_CONDITION = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})


class WitnessError(RegionError):
    """The witness does not answer, or refuses; the message has no credentials."""


class LeaseChangedError(RegionError):
    """Somebody else has written the lease in the meantime."""


class _ConditionError(Exception):
    pass


class Witness:
    """What the regions share.

    Args:
        storage: The bucket.
        login: Access key id and secret; if not given they are in the storage's files, read again when they change.
        wait: Waits for so many seconds.
    """

    def __init__(
        self, storage: Storage, login: tuple[str, str] | None = None, wait: Callable[[float], None] = time.sleep
    ) -> None:
        self._storage, self._login, self._wait = storage, login, wait
        self._made: tuple[tuple[str, str], Any] | None = None

    def lease(self) -> tuple[Lease, str] | None:
        """The lease and its ETag; None when none was ever written.

        Raises:
            WitnessError: The witness does not answer, or refuses.
            RegionError: What is there is no lease.
        """
        stored_object = self._get(LEASE_KEY)
        if stored_object is None:
            return None
        content, etag = stored_object
        return parse(Lease, content, LEASE_KEY), etag

    def take(self, lease: Lease, etag: str | None) -> str:
        """Write the lease in the place of the one with that ETag, or as the first; the ETag that it has now.

        Raises:
            LeaseChangedError: Another one is there.
            WitnessError: The witness does not answer, or refuses. If it does not tell afterwards what is there, the
                lease may have been written: the next who reads it knows.
        """
        wanted = dump(lease)
        condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
        unanswered: WitnessError | None = None
        try:
            with _errors("cannot write the lease"):
                self._put(LEASE_KEY, wanted, **condition)
                self._wait(_SETTLE_S)
        except _ConditionError:
            # Ours, if the answer to the first attempt was lost and the second one found its work done.
            pass
        except WitnessError as error:
            unanswered = error
        stored_object = self._get(LEASE_KEY)
        if stored_object is not None and stored_object[0] == wanted:
            return stored_object[1]
        if unanswered is not None and (stored_object[1] if stored_object else None) == etag:
            raise unanswered
        raise LeaseChangedError(f"somebody else has written the lease since it was read: {_told(stored_object)}")

    def heartbeat(self, region: str) -> Heartbeat | None:
        """The last heartbeat of a region; None when there was none.

        Raises:
            WitnessError: The witness does not answer, or refuses.
            RegionError: What is there is no heartbeat.
        """
        key = region_key(region)
        stored_object = self._get(key)
        return None if stored_object is None else parse(Heartbeat, stored_object[0], key)

    def beat(self, heartbeat: Heartbeat) -> None:
        """Write the region's heartbeat.

        Raises:
            WitnessError: The witness does not answer, or refuses.
        """
        self._write(region_key(heartbeat.region), dump(heartbeat))

    def read(self, key: str) -> dict[str, Any] | None:
        """A JSON object, or None when there is none of that key.

        Raises:
            WitnessError: The witness does not answer, or refuses.
            RegionError: What is there is no JSON object.
        """
        stored_object = self._get(key)
        if stored_object is None:
            return None
        try:
            content = json.loads(stored_object[0])
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise RegionError(f"{key} in the witness bucket is no JSON object")
        return content

    def write(self, key: str, content: dict[str, Any]) -> None:
        """Write a JSON object.

        Raises:
            WitnessError: The witness does not answer, or refuses.
        """
        self._write(key, json.dumps(content, ensure_ascii=False, indent=2).encode())

    def keys(self, below: str) -> list[str]:
        """Keys that begin so, sorted.

        Raises:
            WitnessError: The witness does not answer, or refuses.
        """
        prefix = self._storage.prefix
        with _errors(f"cannot list {below}"):
            pages = (
                self._client()
                .get_paginator("list_objects_v2")
                .paginate(Bucket=self._storage.bucket, Prefix=prefix + below)
            )
            return sorted(
                stored_object["Key"][len(prefix) :] for page in pages for stored_object in page.get("Contents", ())
            )

    def close(self) -> None:
        """Close the connections."""
        if self._made is not None:
            self._made[1].close()
            self._made = None

    def _get(self, key: str) -> tuple[bytes, str] | None:
        with _errors(f"cannot read {key}"):
            try:
                answer = self._client().get_object(Bucket=self._storage.bucket, Key=self._storage.prefix + key)
            except ClientError as error:
                if _code(error) in _MISSING:
                    return None
                raise
            with answer["Body"] as body:
                content: bytes = body.read(_MOST_BYTES)
            return content, str(answer["ETag"])

    def _write(self, key: str, content: bytes) -> None:
        with _errors(f"cannot write {key}"):
            self._put(key, content)

    def _put(self, key: str, content: bytes, **condition: str) -> None:
        try:
            self._client().put_object(
                Bucket=self._storage.bucket,
                Key=self._storage.prefix + key,
                Body=content,
                ContentType="application/json",
                **condition,
            )
        except ClientError as error:
            if condition and _code(error) in _CONDITION:
                raise _ConditionError from None
            raise

    def _client(self) -> Any:
        login = self._login or self._from_files()
        if self._made is None or self._made[0] != login:
            self.close()
            self._made = (
                login,
                s3.client(self._storage, login, connect_s=_CONNECT_S, read_s=_READ_S, attempts=_ATTEMPTS),
            )
        return self._made[1]

    def _from_files(self) -> tuple[str, str]:
        try:
            return (
                self._storage.access_key_id_file.read_text().strip(),
                self._storage.secret_access_key_file.read_text().strip(),
            )
        except OSError as error:
            raise WitnessError(f"{error.filename} cannot be read: {error.strerror}") from None


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _told(stored_object: tuple[bytes, str] | None) -> str:
    if stored_object is None:
        return "it is gone"
    try:
        there = parse(Lease, stored_object[0], LEASE_KEY)
    except RegionError as error:
        return str(error)
    return f"{there.holder} holds it, epoch {there.epoch}, by {there.by}: {there.reason}"


@contextmanager
def _errors(what: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise WitnessError(f"the witness: {what}: {_code(error) or 'refused'}") from None
    except (BotoCoreError, OSError) as error:
        raise WitnessError(f"the witness: {what}: {' '.join(str(error).split())[:_MOST_SHOWN]}") from None
