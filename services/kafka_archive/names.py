"""Keys of segments: ``archive/<topic>/<partition>/<first offset>-<last offset>.<topic id>.avro.age``.

Offsets have 20 digits, so that keys sort as offsets do. The id is Kafka's own of the topic: a topic that was lost and
made again counts from 0 again, and its segments must not replace, or mix with, those of the one before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

FOLDER = "archive/"
_KEY = re.compile(r"archive/([A-Za-z0-9._-]{1,249})/(\d{1,9})/(\d{20})-(\d{20})\.([A-Za-z0-9_-]{22})\.avro\.age")


@dataclass(frozen=True, order=True)
class Name:
    """What a key says.

    Attributes:
        topic: The topic.
        partition: The partition.
        first: Offset of the first record.
        last: Offset of the last record.
        topic_id: Kafka's id of the topic.
    """

    topic: str
    partition: int
    first: int
    last: int
    topic_id: str

    @property
    def key(self) -> str:
        """The key below the bucket's prefix."""
        return f"{folder(self.topic, self.partition)}{self.first:020d}-{self.last:020d}.{self.topic_id}.avro.age"


def folder(topic: str, partition: int | None = None) -> str:
    """What all keys of a topic, or of a partition, begin with."""
    return f"{FOLDER}{topic}/" if partition is None else f"{FOLDER}{topic}/{partition}/"


def parse(key: str) -> Name | None:
    """What a key says; None when it is none of a segment."""
    match = _KEY.fullmatch(key)
    if match is None:
        return None
    return Name(topic=match[1], partition=int(match[2]), first=int(match[3]), last=int(match[4]), topic_id=match[5])
