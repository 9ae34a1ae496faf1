"""How the drills count what is stored: late is not lost, and what never comes is waited for only so long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import pytest

from ops.drills.tools import span_load
from ops.drills.tools.search_client import SearchClient
from ops.drills.tools.span_load import NOTHING_MORE_S, Sent, Sort, Stored, await_stored

FIRST, SECOND = bytes(15) + b"\1", bytes(15) + b"\2"
Hits = list[tuple[str, str]]
ONE: Hits = [("1", span) for span in "abc"]
TWO: Hits = [("2", span) for span in "abc"]


class Index:
    """Answers one after the other; the last one from then on."""

    def __init__(self, answers: list[Hits]) -> None:
        self._answers = answers

    def hits(self, query: Mapping[str, Any], fields: Sequence[str]) -> Iterator[dict[str, str]]:
        del query, fields
        pairs = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return iter([{"traceID": trace, "spanID": span} for trace, span in pairs])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(span_load.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(span_load.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return now


def awaited(*answers: Hits, seconds: float = 180) -> Stored:
    sent = Sent(sorts={FIRST: Sort.FAILED, SECOND: Sort.FAILED})
    return await_stored(cast(SearchClient, Index(list(answers))), sent, 0.0, set(sent.sorts), seconds)


def test_a_trace_that_comes_late_is_not_lost(clock: list[float]) -> None:
    stored = awaited([], [], *[ONE] * 12, [*ONE, *TWO])
    assert stored.lost({FIRST, SECOND}) == 0
    assert clock[0] < NOTHING_MORE_S


def test_what_never_comes_is_lost_once_nothing_more_comes(clock: list[float]) -> None:
    stored = awaited(ONE)
    assert stored.lost({FIRST, SECOND}) == len(TWO)
    assert NOTHING_MORE_S < clock[0] <= NOTHING_MORE_S + 2


def test_the_wait_ends_although_more_keeps_coming(clock: list[float]) -> None:
    assert awaited(*[ONE[:count] for count in (1, 2)], ONE, seconds=3).lost({SECOND}) == len(TWO)
    assert clock[0] <= 5


def test_documents_of_the_same_span_are_counted_as_doubled_and_torn_traces_as_torn(clock: list[float]) -> None:
    stored = awaited([*ONE, *ONE, *TWO[:2]])
    assert (stored.doubled, stored.torn({FIRST, SECOND}), stored.whole({FIRST, SECOND})) == (3, {SECOND}, {FIRST})
