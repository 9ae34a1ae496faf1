"""Segments: what goes in comes out, and what was changed on the way is noticed."""

from __future__ import annotations

import io
import os
from typing import Any

import fastavro
import pyrage
import pytest

from services.backup import BackupError
from services.backup.encryption import decrypt_bytes
from services.kafka_archive import segments
from services.kafka_archive.segments import FIRST_MS, LAST_MS, RECORDS, SHA256, Name, Record, Segment, read, record
from tests.unit.services.kafka_archive.archive_fakes import IDENTITY, RECIPIENT, TOPIC_ID, Message

ODD = (
    Record(7, 1_700_000_000_000, 1, None, b"\x00\xff", ()),
    Record(8, 1_699_999_999_999, 2, b"", None, (("a", b"1"), ("a", None), ("名前", b""))),
    Record(12, 0, 0, b"key", b"", (("", b"empty name"),)),
)


def segment(*records: Record) -> Segment:
    new_segment = Segment("alerts-raw", 3)
    for archive_record in records:
        new_segment.add(archive_record)
    return new_segment


def test_every_part_of_a_record_comes_back_as_it_was() -> None:
    encrypted = segment(*ODD).encrypt(TOPIC_ID, [RECIPIENT])
    assert tuple(read(encrypted.name, encrypted.content, encrypted.metadata, [IDENTITY])) == ODD
    assert encrypted.name == Name("alerts-raw", 3, 7, 12, TOPIC_ID)
    assert encrypted.metadata[RECORDS] == "3"
    assert (encrypted.metadata[FIRST_MS], encrypted.metadata[LAST_MS]) == ("0", "1700000000000"), "earliest and latest"


def test_a_segment_is_a_whole_avro_file_that_any_reader_reads() -> None:
    encrypted = segment(*ODD).encrypt(TOPIC_ID, [RECIPIENT])
    plain = decrypt_bytes(encrypted.content, [IDENTITY])
    reader: Any = fastavro.reader(io.BytesIO(plain))
    assert reader.metadata["avro.codec"] == "deflate"
    assert [row["offset"] for row in reader] == [7, 8, 12]


def test_a_key_says_what_is_in_it_and_sorts_as_offsets_do() -> None:
    keys = [Name("t", 0, first, first + 1, TOPIC_ID).key for first in (9, 10, 100, 99_999_999_999)]
    assert keys == sorted(keys)
    assert keys[0] == f"archive/t/0/00000000000000000009-00000000000000000010.{TOPIC_ID}.avro.age"
    assert [segments.parse(key) for key in keys][1] == Name("t", 0, 10, 11, TOPIC_ID)
    for other in ("archive/t/0/1-2.avro.age", "database/x/manifest.json", keys[0] + ".bak", "archive/t/x/" + keys[0]):
        assert segments.parse(other) is None


def test_nobody_but_a_recipient_can_read_it() -> None:
    encrypted = segment(*ODD).encrypt(TOPIC_ID, [RECIPIENT])
    assert b"avro.codec" not in encrypted.content
    stranger = pyrage.x25519.Identity.generate()
    with pytest.raises(BackupError, match=r"archive/alerts-raw/3/.*it cannot be opened"):
        list(read(encrypted.name, encrypted.content, encrypted.metadata, [stranger]))


def test_encrypting_again_for_another_attempt_gives_the_same_bytes() -> None:
    sealed_segment = segment(*ODD)
    assert sealed_segment.encrypt(TOPIC_ID, [RECIPIENT]) is sealed_segment.encrypt(TOPIC_ID, [RECIPIENT])
    assert sealed_segment.size == len(sealed_segment.encrypt(TOPIC_ID, [RECIPIENT]).content)


def test_memory_is_told_while_a_segment_grows() -> None:
    growing_segment, before = Segment("t", 0), 0
    for number in range(400):
        growing_segment.add(Record(number, 1, 1, None, os.urandom(1000), ()))
        assert growing_segment.size >= 1000 * (number + 1) * 0.95
        before = growing_segment.size
    assert before < 500_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"content": b"x"}, "is damaged: its sha256"),
        ({"metadata": {SHA256: "0" * 64}}, "is damaged: its sha256"),
        ({"metadata": {}}, "not known"),
    ],
)
def test_damage_is_named(change: dict[str, Any], message: str) -> None:
    encrypted = segment(*ODD).encrypt(TOPIC_ID, [RECIPIENT])
    given: dict[str, Any] = {"content": encrypted.content, "metadata": encrypted.metadata} | change
    with pytest.raises(BackupError, match=message) as caught:
        list(read(encrypted.name, given["content"], given["metadata"], [IDENTITY]))
    assert encrypted.name.key in str(caught.value)


def test_a_segment_under_a_wrong_name_is_refused() -> None:
    encrypted = segment(*ODD).encrypt(TOPIC_ID, [RECIPIENT])
    for first, last in ((6, 12), (7, 13), (7, 11)):
        with pytest.raises(BackupError):
            list(read(Name("alerts-raw", 3, first, last, TOPIC_ID), encrypted.content, encrypted.metadata, [IDENTITY]))
    fewer = {**encrypted.metadata, RECORDS: "2"}
    with pytest.raises(BackupError, match="holds 3 records up to offset 12; stored were 2 up to 12"):
        list(read(encrypted.name, encrypted.content, fewer, [IDENTITY]))


def test_a_message_becomes_a_record() -> None:
    message = Message(5, None)
    assert record(message) == Record(5, 1005, 1, b"k", None, ())
    message.named = [("a", None), ("a", b"1")]
    assert record(message).headers == (("a", None), ("a", b"1"))
    assert record(message).weight == 4
