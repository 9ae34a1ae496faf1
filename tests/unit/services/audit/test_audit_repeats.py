"""What repeats itself: the first at once, the others as a number, nothing else held back."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.audit import Source
from services.audit.journal import MOST_WINDOWS, OTHERS, WINDOW_S, Repeats
from services.audit.records import CHECKPOINT, GAP, Access, Entry, Outcome, note

AT = datetime(2026, 11, 28, 6, 0, tzinfo=UTC)


def entry(
    who: str = "reader", outcome: Outcome = Outcome.REFUSED, position: str = "1", source: Source = Source.KAFKA
) -> Entry:
    told = Access(time=AT, who=who, origin="10.0.0.1", action="read", target="topic:a", outcome=outcome)
    return Entry(access=told, source=source, part="kafka-0", positions={"key": position})


def test_equal_refusals_are_told_once_and_then_as_a_number() -> None:
    repeats = Repeats()
    first, *others = (entry(position=str(number)) for number in range(5))
    assert repeats.folded([first, *others], 100.0) == [first]
    assert repeats.due == 100.0 + WINDOW_S
    assert repeats.ended(100.0 + WINDOW_S - 1) == []
    [together] = repeats.ended(100.0 + WINDOW_S)
    assert together.access.detail == {"repeated": "4"}
    assert together.positions == {"key": "4"}
    assert repeats.all() == []


@pytest.mark.parametrize("every_s", [5.0, 60.0, 90.0])
def test_a_refusal_without_end_is_told_ever_more_rarely_and_in_full(every_s: float) -> None:
    repeats, told, now, count = Repeats(), list[Entry](), 0.0, int(86_400 / every_s)
    for _ in range(count):
        now += every_s
        told += repeats.ended(now)
        told += repeats.folded([entry()], now)
    told += repeats.all()
    assert len(told) <= 32
    assert sum(int(record.access.detail.get("repeated", "1")) for record in told) == count


def test_after_two_windows_without_one_the_next_is_told_at_once() -> None:
    repeats = Repeats()
    repeats.folded([entry(), entry()], 0.0)
    assert len(repeats.ended(WINDOW_S)) == 1
    assert repeats.ended(3 * WINDOW_S) == []
    assert repeats.folded([], 3 * WINDOW_S) == []
    assert repeats.ended(7 * WINDOW_S) == []
    assert repeats.due is None
    assert repeats.folded([entry()], 1000.0) == [entry()]


def test_a_refusal_that_came_once_is_not_told_again() -> None:
    repeats = Repeats()
    repeats.folded([entry()], 0.0)
    assert repeats.ended(WINDOW_S) == []
    assert repeats.ended(3 * WINDOW_S) == []
    assert repeats.all() == []


def test_what_differs_or_was_let_in_is_told_each_time() -> None:
    repeats = Repeats()
    told = [entry("a"), entry("b"), entry("a", Outcome.ALLOWED), entry("a", Outcome.ALLOWED)]
    assert repeats.folded(told, 0.0) == told


def test_what_services_do_all_day_is_counted_and_kept_apart_from_refusals() -> None:
    repeats = Repeats()
    allowed = [entry("a", Outcome.ALLOWED, source=Source.DATABASE) for _ in range(3)]
    refused = entry("a", source=Source.DATABASE)
    assert repeats.folded([*allowed, refused], 0.0) == [allowed[0], refused]
    [together] = repeats.ended(WINDOW_S)
    assert (together.access.outcome, together.access.detail) == (Outcome.ALLOWED, {"repeated": "2"})


def test_lines_without_end_that_cannot_be_read_are_few_records_for_each_pod() -> None:
    repeats = Repeats()
    noted = note(GAP, "source:traces", AT, reason="a request of a login proxy cannot be read")
    first, second = (Entry(access=noted, source=Source.AUDIT, part=part) for part in ("query-a", "query-b"))
    assert repeats.folded([first, first, second, first], 0.0) == [first, second]
    [together] = repeats.ended(WINDOW_S)
    assert (together.part, together.access.detail["repeated"]) == ("query-a", "2")
    checkpoint = Entry(access=note(CHECKPOINT, "audit:log", AT), source=Source.AUDIT)
    assert repeats.folded([checkpoint, checkpoint], 1.0) == [checkpoint, checkpoint]


def test_made_up_names_fill_neither_memory_nor_the_topic_and_hide_no_other_source() -> None:
    repeats = Repeats()
    told = repeats.folded([entry(f"name-{number}") for number in range(3 * MOST_WINDOWS)], 0.0)
    assert len(told) == MOST_WINDOWS + 1
    assert (told[-1].access.who, told[-1].access.action) == ("-", OTHERS)
    assert len(repeats.folded([entry(source=Source.TRACES), entry("name-1")], 1.0)) == 1
    assert sum(int(one.access.detail["repeated"]) for one in repeats.ended(WINDOW_S)) == 2 * MOST_WINDOWS
    assert repeats.ended(3 * WINDOW_S) == []
    assert repeats.ended(10 * WINDOW_S) == []
    assert len(repeats.folded([entry("name-new")], 20 * WINDOW_S)) == 1


def test_names_that_are_refused_do_not_hide_those_that_are_let_in() -> None:
    repeats, source = Repeats(), Source.CLUSTER
    repeats.folded([entry(f"name-{number}", source=source) for number in range(2 * MOST_WINDOWS)], 0.0)
    [told] = repeats.folded([entry("carol", Outcome.ALLOWED, source=source)], 1.0)
    assert told.access.who == "carol"
