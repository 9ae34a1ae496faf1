"""The drill of shards: what it counts, and what it calls a problem."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ops.core.context import Context
from ops.core.errors import OpsError
from ops.drills.procedure import CannotRunError
from ops.drills.procedures import shards

REPLICAS = ("primary", "secondary")
HELD = {
    "primary": frozenset("ab"),
    "secondary": frozenset("ab"),
    "primary-shard-1": frozenset("c"),
    "secondary-shard-1": frozenset("c"),
}
GOOD: dict[str, Any] = {
    "Critical told after s": {"1": 9.0, "2": 11.5, "3": 30.0},
    "series of the load read": 4,
    "fewest series of the load read": 4,
    "most series of the load read": 4,
    "notices of the High that lasted": 1,
    "ends of it told meanwhile": 0,
    "senders in two shards": 0,
    "failed questions": 0,
}


def test_a_run_that_held_everything_has_no_problem() -> None:
    assert shards.problems(GOOD, [(True, "nothing is missing")]) == []


@pytest.mark.parametrize(
    ("figure", "value", "words"),
    [
        ("Critical told after s", {"1": 9.0, "2": 31.0}, "too late, at shards -> seconds: {'2': 31.0}"),
        ("Critical told after s", {"1": None}, "too late, at shards -> seconds: {'1': None}"),
        ("fewest series of the load read", 3, "between 3 and 4 series of the load, which has 4"),
        ("most series of the load read", 5, "between 4 and 5 series of the load, which has 4"),
        ("notices of the High that lasted", 2, "told 2 times"),
        ("ends of it told meanwhile", 1, "told to have ended"),
        ("senders in two shards", 7, "7 senders are in two shards"),
        ("failed questions", 1, "1 questions to the read address failed"),
    ],
)
def test_what_did_not_hold_is_a_problem(figure: str, value: Any, words: str) -> None:
    [problem] = shards.problems({**GOOD, figure: value}, [])
    assert words in problem


def test_what_is_missing_is_a_problem() -> None:
    assert shards.problems(GOOD, [(False, "3 points are not in prometheus-primary")]) == [
        "3 points are not in prometheus-primary"
    ]


def test_a_sender_in_two_shards_of_a_replica_counts_once_for_each_replica() -> None:
    assert shards.twice(HELD, REPLICAS, 2) == 0
    assert shards.twice({**HELD, "primary-shard-1": frozenset("bc")}, REPLICAS, 2) == 1


def test_the_fullest_shard_is_one_of_a_replica() -> None:
    platform = SimpleNamespace(prometheus_replicas=REPLICAS, prometheus_shards=2)
    assert shards.spread(HELD, cast(Context, SimpleNamespace(platform=platform))) == (2, 3)


def test_a_platform_in_shards_is_left_alone() -> None:
    context = cast(Context, SimpleNamespace(platform=SimpleNamespace(prometheus_shards=2)))
    with pytest.raises(CannotRunError, match=r"prometheus\.shards is 2: the drill begins with 1"):
        shards.add_shards(context, {})


def test_the_view_is_asked_all_the_time_and_failures_count() -> None:
    answers: list[float | Exception | None] = [4.0, 3.0, OpsError("no answer"), 4.0]
    queries: list[str] = []

    def number(query: str) -> float | None:
        queries.append(query)
        answer = answers[min(len(queries), len(answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    view = shards.View(cast(Context, SimpleNamespace(thanos=SimpleNamespace(number=number))), every_s=0.01)
    with view.asked("run7"):
        deadline = time.monotonic() + 10
        while len(queries) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
    figures = view.figures()
    assert queries[0] == 'count(obs_e2e_sequence{run="run7"})'
    assert figures["failed questions"] == 1
    assert figures["series of the load read"] == figures["most series of the load read"] == 4
    assert figures["fewest series of the load read"] == 3
