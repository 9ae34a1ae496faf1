"""The chain of the audit log: every removal, change and insertion is noticed; what retries do twice is not."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from services.audit import Source
from services.audit.journal import past, request_key
from services.audit.records import (
    BEGINNING,
    CHECKPOINT,
    Access,
    AuditRecord,
    Entry,
    Link,
    Outcome,
    broken_links,
    event_key,
    link_of,
    linked,
    note,
    parsed,
    value_of,
)

NOW = datetime(2026, 11, 28, 23, 30, tzinfo=UTC)


def entry(who: str = "carol", positions: dict[str, str] | None = None) -> Entry:
    told = Access(
        time=NOW, who=who, origin="10.0.0.1", action="read trace", target="trace:00ff", outcome=Outcome.ALLOWED
    )
    return Entry(access=told, source=Source.TRACES, part="jaeger-query-public-0", positions=positions or {})


def chain(count: int, region: str = "region-a", step: timedelta = timedelta(minutes=10)) -> list[AuditRecord]:
    """Records over midnight."""
    records: list[AuditRecord] = []
    newest: Link | None = None
    for number in range(count):
        records.append(linked(entry(f"user-{number}"), region, newest, NOW + number * step))
        newest = link_of(records[-1])
    return records


def stored(records: list[AuditRecord]) -> list[tuple[AuditRecord, bool]]:
    """What a reader of the topic has of them."""
    known = [parsed(value_of(record)) for record in records]
    assert None not in known
    return [pair for pair in known if pair is not None]


def test_numbers_begin_anew_each_day_and_hashes_go_on() -> None:
    records = chain(6)
    assert [(record.day.day, record.sequence) for record in records] == [
        (28, 1),
        (28, 2),
        (28, 3),
        (29, 1),
        (29, 2),
        (29, 3),
    ]
    assert records[0].previous == BEGINNING
    assert [record.previous for record in records[1:]] == [record.hash for record in records[:-1]]
    assert list(broken_links(stored(records))) == []


def test_a_clock_that_was_set_back_does_not_begin_an_older_day_again() -> None:
    first = linked(entry(), "region-a", None, NOW + timedelta(hours=1))
    second = linked(entry(), "region-a", link_of(first), NOW)
    assert (second.day, second.sequence) == (first.day, 2)
    assert list(broken_links(stored([first, second]))) == []


@pytest.mark.parametrize("missing", [1, 2, 3, 4])
def test_each_record_that_is_missing_in_between_is_noticed(missing: int) -> None:
    records = chain(6)
    [broken, *more] = broken_links(stored([*records[:missing], *records[missing + 1 :]]))
    assert more == []
    after = records[missing + 1]
    assert (broken.day, broken.sequence) == (after.day, after.sequence)


def test_a_whole_day_that_is_missing_is_noticed() -> None:
    records = chain(6, step=timedelta(hours=12))
    assert len({record.day for record in records}) == 4
    kept = [record for record in records if record.day != records[1].day]
    assert [link.problem for link in broken_links(stored(kept))] == [
        "the record before it is not the one that it followed (2026-11-28 number 1)"
    ]


@pytest.mark.parametrize("field", ["who", "target", "outcome", "time", "origin", "detail", "recorded_at"])
def test_each_field_that_was_changed_is_noticed(field: str) -> None:
    record = chain(1)[0]
    content = json.loads(value_of(record))
    changes = {"time": "2026-11-28T01:02:03.000Z", "recorded_at": "2026-11-28T01:02:03.000Z", "outcome": "refused"}
    content[field] = changes.get(field, {"a": "b"} if field == "detail" else "another")
    known = parsed(json.dumps(content).encode())
    assert known is not None
    assert [link.problem for link in broken_links([known])] == [
        "its content was changed: the hash is that of another one"
    ]


def test_a_record_that_was_written_anew_with_its_hash_does_not_fit_the_next() -> None:
    records = chain(3)
    forged = linked(entry("mallory"), "region-a", link_of(records[0]), NOW)
    [broken] = broken_links(stored([records[0], forged, records[2]]))
    assert (broken.day, broken.sequence) == (records[2].day, records[2].sequence)


def test_two_different_records_of_one_number_are_noticed() -> None:
    records = chain(3)
    other = linked(entry("mallory"), "region-a", link_of(records[1]), NOW)
    assert other.sequence == records[2].sequence
    problems = [link.problem for link in broken_links(stored([*records, other]))]
    assert problems == ["two different records have this number"]


def test_records_that_came_twice_or_out_of_order_are_no_problem() -> None:
    records = chain(4)
    assert list(broken_links(stored([*records[2:], *records, records[0]]))) == []


def test_each_region_has_a_chain_of_its_own() -> None:
    records, others = chain(3), chain(3, "region-b")
    mixed = [record for pair in zip(records, others, strict=True) for record in pair]
    assert list(broken_links(stored(mixed))) == []
    assert [link.region for link in broken_links(stored([*records, others[0], others[2]]))] == ["region-b"]


def test_fields_of_a_later_version_are_part_of_the_hash() -> None:
    content = json.loads(value_of(chain(1)[0]))
    known = parsed(json.dumps({**content, "mood": "calm"}).encode())
    assert known is not None
    assert not known[1]


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b"1", b'{"who": "carol"}', b'{"schema_version": 2}'])
def test_what_is_no_record_is_none(value: bytes) -> None:
    assert parsed(value) is None


def test_the_past_is_the_last_checkpoint_and_what_came_after_it() -> None:
    entries = [
        entry(positions={"pod/1/kafka/0": "a", event_key("first"): "t"}),
        Entry(access=note(CHECKPOINT, "audit:log", NOW), source=Source.AUDIT, positions={"pod/2/kafka/0": "b"}),
        entry(positions={"pod/3/kafka/0": "c"}),
        entry(positions={event_key("second"): "t"}),
        entry(positions={request_key("00ff"): "t"}),
    ]
    records: list[AuditRecord] = []
    for told in entries:
        records.append(linked(told, "region-a", link_of(records[-1]) if records else None, NOW))
    known = past(records)
    assert known.newest == link_of(records[-1])
    assert known.positions == {"pod/2/kafka/0": "b", "pod/3/kafka/0": "c"}
    assert known.events == {"first", "second"}
    assert (known.requests, known.written) == ({"00ff"}, NOW)
    assert past([]).newest is None
