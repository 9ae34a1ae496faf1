"""age (https://age-encryption.org/v1) on streams: encrypted for X25519 public keys, opened with an operator's identity.

What is larger than memory goes through in chunks of 64 KiB, each with a tag of its own; the last one is marked, so that
an object that was cut off does not open.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pyrage  # type: ignore[import-untyped]

from services.backup import BackupError, key_problem, no_key
from services.runtime import one_line
from services.runtime.settings import SettingsError

Identity = Any
"""What opens: ``pyrage.x25519.Identity``."""
_T = TypeVar("_T")


class Readable(Protocol):
    """Where bytes come from."""

    def read(self, size: int = -1, /) -> bytes:
        """At most so many bytes; none at the end."""
        ...


class Writable(Protocol):
    """Where bytes go."""

    def write(self, content: bytes, /) -> Any:
        """Take bytes, all of them."""
        ...


class Digest:
    """Counts and digests what passes.

    Attributes:
        bytes: How many bytes passed.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._sha256 = hashlib.sha256()

    def add(self, content: bytes) -> None:
        """Let these bytes pass."""
        self.bytes += len(content)
        self._sha256.update(content)

    @property
    def sha256(self) -> str:
        """Digest of what passed, in hexadecimal."""
        return self._sha256.hexdigest()


class _Ends:
    """The two ends as pyrage wants them. It turns errors of either into texts, so the first one is kept here."""

    def __init__(self, source: Readable, sink: Writable) -> None:
        self.digest_in, self.digest_out = Digest(), Digest()
        self.error: BaseException | None = None
        self._source, self._sink = source, sink

    def read(self, size: int = -1) -> bytes:
        return self._keep(lambda: self._read(size))

    def write(self, content: bytes) -> int:
        return self._keep(lambda: self._write(bytes(content)))

    def _read(self, size: int) -> bytes:
        chunk = self._source.read(size)
        self.digest_in.add(chunk)
        return chunk

    def _write(self, content: bytes) -> int:
        self._sink.write(content)
        self.digest_out.add(content)
        return len(content)

    def _keep(self, step: Callable[[], _T]) -> _T:
        try:
            return step()
        except BaseException as error:
            self.error = self.error or error
            raise


class Chunks:
    """Bytes that somebody yields, as something to read from."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks: Iterator[bytes] = iter(chunks)
        self._left = memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        """At most so many bytes, all of them for a negative size; none at the end."""
        if size < 0:
            return bytes(self._left) + b"".join(self._chunks)
        while not self._left:
            try:
                self._left = memoryview(next(self._chunks))
            except StopIteration:
                return b""
        chunk, self._left = self._left[:size], self._left[size:]
        return bytes(chunk)


def recipient(text: str) -> Any:
    """A public key.

    Raises:
        BackupError: It is none, and above all when it is a secret key; the message does not show it.
    """
    if problem := key_problem(text):
        raise BackupError(problem)
    try:
        return pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError:
        raise BackupError(no_key(text)) from None


def read_identities(file: Path) -> list[Identity]:
    """The secret keys in an operator's file, as ``age-keygen`` writes it.

    Raises:
        BackupError: It cannot be read, or holds no X25519 identity.
    """
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise BackupError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}") from None
    identities = []
    for number, line in enumerate(lines, 1):
        if line and not line.startswith("#"):
            try:
                identities.append(pyrage.x25519.Identity.from_str(line))
            except pyrage.IdentityError:
                raise BackupError(f"{file}: line {number} is no identity of age (AGE-SECRET-KEY-1...)") from None
    if not identities:
        raise BackupError(f"{file}: holds no identity of age; age-keygen -o FILE makes one")
    return identities


def encrypt(source: Readable, sink: Writable, recipients: Sequence[str]) -> tuple[Digest, Digest]:
    """Encrypt everything that can be read.

    Args:
        source: Where it comes from.
        sink: Where the encrypted bytes go.
        recipients: Public keys; each of them can open it.

    Returns:
        Digests of the plain and of the encrypted bytes.

    Raises:
        BackupError: A public key is none, or encryption fails.
        Exception: Whatever reading or writing raises.
    """
    if not recipients:
        raise BackupError("nobody could open it: at least one recipient is needed")
    return _through(pyrage.encrypt_io, source, sink, [recipient(key) for key in recipients], "it cannot be encrypted")


def decrypt(source: Readable, sink: Writable, identities: Sequence[Identity]) -> tuple[Digest, Digest]:
    """Open what was encrypted. What was written must not be used when this fails: it is a part.

    Returns:
        Digests of the encrypted and of the plain bytes.

    Raises:
        BackupError: None of the identities fits, or it was changed or cut off.
        Exception: Whatever reading or writing raises.
    """
    return _through(pyrage.decrypt_io, source, sink, list(identities), "it cannot be opened")


def encrypt_bytes(content: bytes, recipients: Sequence[str]) -> bytes:
    """Encrypt what is in memory.

    Raises:
        BackupError: A public key is none, or encryption fails.
    """
    if not recipients:
        raise BackupError("nobody could open it: at least one recipient is needed")
    try:
        return bytes(pyrage.encrypt(content, [recipient(key) for key in recipients]))
    except pyrage.EncryptError as error:
        raise BackupError(f"it cannot be encrypted: {one_line(error)}") from None


def decrypt_bytes(content: bytes, identities: Sequence[Identity]) -> bytes:
    """Open what is in memory.

    Raises:
        BackupError: None of the identities fits, or it was changed or cut off.
    """
    try:
        return bytes(pyrage.decrypt(content, list(identities)))
    except (pyrage.DecryptError, OSError) as error:
        raise BackupError(f"it cannot be opened: {one_line(error)}") from None


def _through(
    change: Callable[[Any, Any, Any], None], source: Readable, sink: Writable, keys: list[Any], what: str
) -> tuple[Digest, Digest]:
    ends = _Ends(source, sink)
    try:
        change(ends, ends, keys)
    except (pyrage.EncryptError, pyrage.DecryptError, OSError) as error:
        if ends.error is not None:
            raise ends.error from None
        raise BackupError(f"{what}: {one_line(error)}") from None
    return ends.digest_in, ends.digest_out


def check_recipients(recipients: Sequence[str]) -> None:
    """Check that every recipient is a key, and was not mistyped.

    Raises:
        SettingsError: One is not.
    """
    for position, key in enumerate(recipients):
        try:
            recipient(key)
        except BackupError as error:
            raise SettingsError(f"recipients[{position}]: {error}") from None
