"""Encryption: streams come back whole for those who have the key, and not at all for others or after a change."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pyrage  # type: ignore[import-untyped]
import pytest

from services.backup import BackupError, encryption
from tests.unit.services.backup.harness import IDENTITY, RECIPIENT

CONTENT = os.urandom(300_000)


def encrypted(content: bytes = CONTENT, recipients: tuple[str, ...] = (RECIPIENT,)) -> bytes:
    """Encrypted content."""
    sink = io.BytesIO()
    encryption.encrypt(io.BytesIO(content), sink, recipients)
    return sink.getvalue()


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 300_000])
def test_a_stream_of_any_size_comes_back_with_its_digests(size: int) -> None:
    content, through, back = CONTENT[:size], io.BytesIO(), io.BytesIO()
    plain, closed = encryption.encrypt(io.BytesIO(content), through, [RECIPIENT])
    assert (plain.bytes, plain.sha256) == (size, hashlib.sha256(content).hexdigest())
    assert (closed.bytes, closed.sha256) == (len(through.getvalue()), hashlib.sha256(through.getvalue()).hexdigest())
    again, opened = encryption.decrypt(io.BytesIO(through.getvalue()), back, [IDENTITY])
    assert back.getvalue() == content
    assert (again.sha256, opened.sha256) == (closed.sha256, plain.sha256)


def test_each_recipient_can_open_it_and_nobody_else() -> None:
    second, stranger = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    closed = encrypted(recipients=(RECIPIENT, str(second.to_public())))
    for identity in (IDENTITY, second):
        assert encryption.decrypt_bytes(closed, [stranger, identity]) == CONTENT
    with pytest.raises(BackupError, match="it cannot be opened: No matching keys found"):
        encryption.decrypt(io.BytesIO(closed), io.BytesIO(), [stranger])
    with pytest.raises(BackupError, match="it cannot be opened: No matching keys found"):
        encryption.decrypt_bytes(closed, [stranger])


def test_what_was_changed_or_cut_off_does_not_open() -> None:
    closed = encrypted()
    for place in (10, 250, len(closed) // 2, len(closed) - 1):
        changed = bytearray(closed)
        changed[place] ^= 1
        with pytest.raises(BackupError, match="it cannot be opened"):
            encryption.decrypt(io.BytesIO(bytes(changed)), io.BytesIO(), [IDENTITY])
    # After the header and three whole chunks, too: the last chunk says that it is the last.
    header = len(encrypted(b"")) - 32
    for cut in (1, 16, len(closed) - header - 3 * 65552 - 16):
        with pytest.raises(BackupError, match="it cannot be opened"):
            encryption.decrypt(io.BytesIO(closed[:-cut]), io.BytesIO(), [IDENTITY])


def test_memory_and_streams_are_one_form() -> None:
    sink = io.BytesIO()
    encryption.decrypt(io.BytesIO(encryption.encrypt_bytes(CONTENT, [RECIPIENT])), sink, [IDENTITY])
    assert sink.getvalue() == CONTENT
    assert encryption.decrypt_bytes(encrypted(), [IDENTITY]) == CONTENT


def test_an_error_of_either_end_comes_out_as_it_is() -> None:
    class Torn(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise LookupError("torn")

        def write(self, content: object, /) -> int:
            raise KeyboardInterrupt

    with pytest.raises(LookupError, match="torn"):
        encryption.encrypt(Torn(), io.BytesIO(), [RECIPIENT])
    with pytest.raises(KeyboardInterrupt):
        encryption.encrypt(io.BytesIO(CONTENT), Torn(), [RECIPIENT])
    with pytest.raises(LookupError, match="torn"):
        encryption.decrypt(Torn(), io.BytesIO(), [IDENTITY])


def test_nothing_is_encrypted_for_nobody() -> None:
    for call in (lambda: encryption.encrypt(io.BytesIO(), io.BytesIO(), []), lambda: encryption.encrypt_bytes(b"", [])):
        with pytest.raises(BackupError, match="nobody could open it"):
            call()


def test_yielded_chunks_read_like_a_file() -> None:
    def chunks() -> Iterator[bytes]:
        yield from (b"", b"abc", b"", b"defg", b"h")

    source = encryption.Chunks(chunks())
    assert [source.read(2) for _ in range(7)] == [b"ab", b"c", b"de", b"fg", b"h", b"", b""]
    assert encryption.Chunks(chunks()).read() == b"abcdefgh"


def test_an_operators_file_is_read_as_age_writes_it(tmp_path: Path) -> None:
    file = tmp_path / "identity.txt"
    file.write_text(f"# created: 2026-11-25T15:04:05Z\n# public key: {RECIPIENT}\n{IDENTITY}\n\n")
    (identity,) = encryption.read_identities(file)
    assert str(identity.to_public()) == RECIPIENT


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"# nothing\n", "holds no identity of age; age-keygen -o FILE makes one"),
        (b"\n" + RECIPIENT.encode(), "line 2 is no identity of age (AGE-SECRET-KEY-1...)"),
        (b"\xff\xfe", "cannot be read: it is no text"),
        (None, "cannot be read: No such file or directory"),
    ],
    ids=["comments alone", "a public key", "no text", "no file"],
)
def test_another_file_is_refused_in_one_line(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "identity.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BackupError) as raised:
        encryption.read_identities(file)
    assert str(raised.value) == f"{file}: {message}"


def test_a_wrong_identity_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "identity.txt"
    file.write_text(str(IDENTITY)[:-1])
    with pytest.raises(BackupError) as raised:
        encryption.read_identities(file)
    assert str(IDENTITY)[16:40] not in str(raised.value)
