"""Which spans make a call: parents and children, producers and consumers, in any order, within a bounded memory."""

from __future__ import annotations

import itertools

import pytest
from google.protobuf.message import DecodeError

from services.service_graph.graph import Matcher, decode
from tests.unit.services.graph_records import CLIENT, CONSUMER, INTERNAL, PRODUCER, SERVER, One, record

Call = tuple[str, str, int, int, bool]
MS = 1_000_000


class Calls(list[Call]):
    """What the matcher told, after records at given times."""

    def __init__(self, *records: bytes, times: tuple[int, ...] = (), window_ms: int = 1000, most: int = 1000) -> None:
        super().__init__()
        self.matcher = Matcher(window_ms, most)
        self.spans = 0
        for index, content in enumerate(records):
            now = times[index] if times else 0
            self.spans += self.matcher.add(decode(content), now, lambda *call: self.append(call[:5]))

    @property
    def edges(self) -> list[tuple[str, str]]:
        return [(client, server) for client, server, *_ in self]


CALLER = One("a", "1", kind=CLIENT, milliseconds=30)
CALLED = One("b", "2", parent="1", milliseconds=20)


def test_a_child_in_another_service_is_a_call_with_both_durations() -> None:
    calls = Calls(record(CALLER, CALLED))
    assert calls == [("a", "b", 20 * MS, 30 * MS, False)]
    assert calls.spans == 2


def test_a_child_in_the_same_service_is_none() -> None:
    assert Calls(record(CALLER, One("a", "2", parent="1"))) == []


@pytest.mark.parametrize("kind", [SERVER, CLIENT, INTERNAL, CONSUMER, PRODUCER])
def test_the_kind_of_the_child_does_not_matter(kind: int) -> None:
    assert Calls(record(CALLER, One("b", "2", parent="1", kind=kind))).edges == [("a", "b")]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_order_of_arrival_does_not_matter(order: tuple[int, ...]) -> None:
    chain = [record(span) for span in (CALLER, CALLED, One("c", "3", parent="2"))]
    assert sorted(Calls(*(chain[index] for index in order)).edges) == [("a", "b"), ("b", "c")]


@pytest.mark.parametrize(("failed_caller", "failed_called"), [(True, False), (False, True), (True, True)])
def test_a_call_failed_when_either_side_did(failed_caller: bool, failed_called: bool) -> None:
    caller = One("a", "1", kind=CLIENT, failed=failed_caller)
    [call] = Calls(record(caller, One("b", "2", parent="1", failed=failed_called)))
    assert call[4] is True


def test_a_caller_that_does_not_wait_has_no_duration() -> None:
    [call] = Calls(record(One("a", "1", kind=PRODUCER, milliseconds=30), One("b", "2", parent="1", kind=CONSUMER)))
    assert call[3] == 0


def test_the_same_span_id_in_another_trace_is_another_span() -> None:
    assert Calls(record(CALLER), record(One("b", "2", parent="1", trace="u"))) == []


def test_a_consumer_is_called_by_each_producer_that_it_is_linked_to() -> None:
    producers = [One(name, "1", kind=PRODUCER, trace=name) for name in ("a", "b")]
    consumer = One("c", "9", kind=CONSUMER, trace="z", links=(("a", "1"), ("b", "1")))
    expected = [("a", "c"), ("b", "c")]
    assert sorted(Calls(record(*producers), record(consumer)).edges) == expected
    assert sorted(Calls(record(consumer), record(*producers)).edges) == expected, "in the other order"


def test_a_link_to_the_parent_is_not_counted_twice() -> None:
    producer = One("a", "1", kind=PRODUCER)
    consumer = One("b", "2", parent="1", kind=CONSUMER, links=(("t", "1"),))
    assert Calls(record(producer, consumer)).edges == [("a", "b")]
    assert Calls(record(consumer), record(producer)).edges == [("a", "b")]


def test_other_links_are_no_calls() -> None:
    linked_by_internal = One("b", "2", kind=INTERNAL, trace="z", links=(("t", "1"),))
    assert Calls(record(One("a", "1", kind=PRODUCER)), record(linked_by_internal)) == []
    linked_to_server = One("b", "2", kind=CONSUMER, trace="z", links=(("t", "1"),))
    assert Calls(record(One("a", "1", kind=SERVER)), record(linked_to_server)) == []
    assert Calls(record(linked_to_server), record(One("a", "1", kind=SERVER))) == []


def test_a_parent_is_remembered_for_the_window_and_forgotten_after_two() -> None:
    assert Calls(record(CALLER), record(CALLED), times=(10_000, 10_999)).edges == [("a", "b")]
    filler = record(One("x", "7", trace="f"))
    late = Calls(record(CALLER), filler, filler, record(CALLED), times=(10_000, 11_000, 12_000, 12_001))
    assert late == []


def test_a_child_waits_for_the_window_and_is_counted_when_no_parent_came() -> None:
    filler = record(One("x", "7", trace="f"))
    calls = Calls(record(CALLED), filler, filler, filler, record(CALLER), times=(0, 1000, 2000, 3000, 3001))
    assert calls == []
    assert calls.matcher.unmatched == 1


def test_memory_is_bounded_and_what_was_forgotten_for_it_is_counted() -> None:
    many = [record(One("a", str(number))) for number in range(50)]
    calls = Calls(*many, times=tuple(range(5000, 5050)), window_ms=10_000, most=10)
    assert calls.matcher.remembered <= 20
    assert calls.matcher.forgotten_early >= 20


def test_links_to_spans_that_never_come_fill_no_memory() -> None:
    many = [
        record(One("a", str(number), kind=CONSUMER, links=tuple((f"{number}", str(link)) for link in range(128))))
        for number in range(100)
    ]
    calls = Calls(*many, times=tuple(range(5000, 5100)), window_ms=10_000, most=100)
    assert calls.matcher.remembered <= 2 * (100 + 129), "no more than one record beyond the limit, in each generation"
    assert calls.matcher.remembered + calls.matcher.forgotten_early == 100 * 129


def test_what_waited_and_was_found_makes_room() -> None:
    records = [record(span) for number in range(50) for span in pair_of(str(number))]
    calls = Calls(*records, times=tuple(range(5000, 5100)), window_ms=10_000, most=110)
    assert len(calls) == 50
    assert calls.matcher.remembered == 100, "none of them waits"
    assert calls.matcher.forgotten_early == 0


def pair_of(trace: str) -> tuple[One, One]:
    """A call of which the called span comes first."""
    return One("b", "2", parent="1", trace=trace), One("a", "1", trace=trace)


def test_forgetting_everything_leaves_nothing() -> None:
    calls = Calls(record(CALLER))
    calls.matcher.clear()
    assert calls.matcher.remembered == 0
    calls.matcher.add(decode(record(CALLED)), 0, lambda *call: calls.append(call[:5]))
    assert calls == []


def test_a_span_that_ends_before_it_begins_lasted_no_time() -> None:
    [call] = Calls(record(CALLER, One("b", "2", parent="1", milliseconds=-5)))
    assert call[2] == 0


def test_a_resource_without_a_name_has_the_conventions_name() -> None:
    assert Calls(record(CALLER, One("", "2", parent="1"))).edges == [("a", "unknown_service")]


def test_what_is_no_protobuf_is_told_apart() -> None:
    with pytest.raises(DecodeError):
        decode(b"\xff\xff\xff\xff")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize(("caller", "called", "expected"), [(0, 3, 3), (3, 0, 3), (1, 2, 3), (0, 1, 1), (0, 0, 0)])
def test_a_call_is_news_where_one_of_its_spans_is(
    order: tuple[int, int], caller: int, called: int, expected: int
) -> None:
    told: list[int] = []
    matcher = Matcher(1000, 1000)
    records = [(record(CALLER), caller), (record(CALLED), called)]
    for index in order:
        matcher.add(decode(records[index][0]), 0, lambda *call: told.append(call[5]), records[index][1])
    assert told == [expected]
