"""How long a failover waits for its point: as long as it takes, or as the consumers have older records to read."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from ops.core.errors import OpsError
from ops.core.kafka import CAUGHT_UP
from ops.regions.region import unread, wait_for_point


def told(lags: Iterator[int | None], seen_from: int | None) -> tuple[float, list[str]]:
    """Seconds and messages of a wait in which the point is seen once so few records are unread."""
    messages: list[str] = []
    current: list[int | None] = [None]

    def left() -> int | None:
        current[0] = next(lags)
        return current[0]

    def seen() -> bool:
        return seen_from is not None and current[0] is not None and current[0] <= seen_from

    took = wait_for_point(seen, left, "point 7", tell=messages.append, seen_s=0.05, read_s=0.5, pause_s=0.01)
    return took, messages


def test_a_point_that_is_there_asks_nobody_how_far_the_consumers_are() -> None:
    took = wait_for_point(lambda: True, lambda: pytest.fail("asked"), "point 7", tell=pytest.fail)
    assert took < 1


def test_older_records_are_read_first_and_it_is_told_how_many() -> None:
    took, messages = told(iter((90_000, 60_000, 20_000, CAUGHT_UP)), seen_from=CAUGHT_UP)
    assert took > 0.05
    assert [re.findall("have ([0-9]+) older", text) for text in messages] == [["60000"], ["20000"], [str(CAUGHT_UP)]]


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (CAUGHT_UP, f"in vain for point 7; the consumers have {CAUGHT_UP} records unread"),
        (None, "in vain for point 7; the consumers have an unknown number of records unread"),
    ],
)
def test_a_point_that_nothing_stands_before_is_not_waited_for(left: int | None, words: str) -> None:
    with pytest.raises(OpsError, match=re.escape(words)):
        told(iter((left,)), seen_from=None)


def test_consumers_that_do_not_get_on_end_the_wait() -> None:
    with pytest.raises(OpsError, match="in vain for the consumers to have read what is older than point 7"):
        told(iter([5_000] * 1_000), seen_from=None)


def test_the_group_that_is_furthest_counts_and_one_that_has_committed_nothing_does_not() -> None:
    class Kafka:
        def lag(self, group: str) -> dict[str, int]:
            return {"a": {"telemetry-metrics": 40, "other": 2}, "b": {"telemetry-metrics": 9}, "new": {}}[group]

    assert unread(Kafka(), ["a", "b", "new"]) == 9
    assert unread(Kafka(), ["new"]) is None
