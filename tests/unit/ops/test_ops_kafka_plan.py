"""Plans of moves: alike, few, racks kept, brokers emptied; and what preflight says of brokers that would go."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.kafka import command
from ops.kafka.plan import Layout, Move, Partition, Replicas, plan
from ops.preflight.checks import brokers
from ops.preflight.lines import State


def layout(counts: Mapping[str, int], on: int, live: int, racks: Mapping[int, str] | None = None) -> Layout:
    """Topics whose three copies are spread over the first brokers, round robin."""
    replicas: dict[Partition, Replicas] = {
        (topic, number): tuple((number + offset + shift) % on for offset in range(3))
        for shift, (topic, count) in enumerate(counts.items())
        for number in range(count)
    }
    known = {broker: (racks or {}).get(broker, "") for broker in range(live)}
    return Layout(racks=known, replicas=replicas, sizes=dict.fromkeys(replicas, 10))


def after(before: Layout, moves: tuple[Move, ...]) -> Layout:
    replicas = dict(before.replicas) | {move.partition: move.after for move in moves}
    return Layout(racks=before.racks, replicas=replicas, sizes=before.sizes)


def by_topic(state: Layout, leaders: bool = False) -> dict[str, Counter[int]]:
    counts: dict[str, Counter[int]] = {}
    for (topic, _), replicas in state.replicas.items():
        counter = counts.setdefault(topic, Counter(dict.fromkeys(state.racks, 0)))
        counter.update(replicas[:1] if leaders else replicas)
    return counts


def uneven(counts: Mapping[str, Counter[int]]) -> dict[str, int]:
    return {topic: max(c.values()) - min(c.values()) for topic, c in counts.items()}


COUNTS = {"telemetry-metrics": 12, "telemetry-traces": 8, "telemetry-logs": 6, "__consumer_offsets": 9, "audit": 3}


def test_copies_that_share_a_rack_are_parted_where_another_rack_has_none() -> None:
    racks = {0: "a", 1: "a", 2: "b", 3: "c"}
    before = layout(COUNTS, 3, 4, racks)
    assert {racks[broker] for broker in before.replicas["audit", 0]} == {"a", "b"}
    moves = plan(before)
    wide = after(before, moves)
    assert all({racks[broker] for broker in replicas} == {"a", "b", "c"} for replicas in wide.replicas.values())
    assert all(len(set(replicas)) == 3 for replicas in wide.replicas.values())
    assert plan(wide) == (), "what is wide stays"


def test_nothing_moves_where_all_is_even() -> None:
    assert plan(layout(COUNTS, 3, 3)) == ()


def test_a_fourth_broker_gets_its_part_of_every_topic_by_the_fewest_moves() -> None:
    before = layout(COUNTS, 3, 4)
    moves = plan(before)
    even = after(before, moves)
    assert max(uneven(by_topic(even)).values()) <= 1
    assert max(uneven(by_topic(even, leaders=True)).values()) <= 1
    all_copies = sum(by_topic(even).values(), Counter())
    assert max(all_copies.values()) - min(all_copies.values()) <= 1
    # A quarter of the copies of each topic must move, and no plan has less.
    assert sum(len(move.adding) for move in moves) <= sum(-(-3 * count // 4) for count in COUNTS.values())
    assert {broker for move in moves for broker in move.adding} == {3}
    assert all(len(set(move.after)) == 3 for move in moves)
    assert plan(even) == (), "what is even stays"


def test_a_drained_broker_has_nothing_and_the_others_stay_even() -> None:
    even = after(before := layout(COUNTS, 3, 4), plan(before))
    moves = plan(even, [3])
    state = after(even, moves)
    assert state.on(3) == []
    copies = sum(by_topic(state).values(), Counter())
    assert max(copies[broker] for broker in range(3)) - min(copies[broker] for broker in range(3)) == 0
    assert sum(len(move.adding) for move in moves) == len(even.on(3)), "no copy moves that need not"


def test_a_broker_that_is_not_there_is_drained() -> None:
    even = after(before := layout(COUNTS, 3, 4), plan(before))
    lost = Layout(racks={0: "", 1: "", 2: ""}, replicas=even.replicas, sizes={})
    assert after(lost, plan(lost, [3])).on(3) == []


@pytest.mark.parametrize("seed", range(20))
def test_copies_are_never_in_fewer_racks_than_before_and_no_broker_has_two(seed: int) -> None:
    chosen = random.Random(seed)
    live = chosen.randint(4, 9)
    racks = {broker: f"zone-{broker % 3}" for broker in range(live)}
    counts = {f"topic-{number}": chosen.randint(1, 20) for number in range(chosen.randint(1, 6))}
    before = Layout(
        racks=racks,
        replicas={
            (topic, number): tuple(chosen.sample(range(live), 3))
            for topic, count in counts.items()
            for number in range(count)
        },
        sizes={},
    )
    drained = [live - 1] if live > 4 and seed % 2 else []
    moves = plan(before, drained)
    state = after(before, moves)
    for move in moves:
        assert len(set(move.after)) == 3
        if not set(move.before) & set(drained):
            assert len({racks[broker] for broker in move.after}) >= len({racks[broker] for broker in move.before})
    assert all(state.on(broker) == [] for broker in drained)
    assert sum(move.size for move in plan(state, drained)) == 0


def test_a_copy_comes_back_into_the_rack_that_it_left() -> None:
    racks = {0: "a", 1: "b", 2: "c", 3: "c"}
    before = layout({"t": 6}, 3, 4, racks)
    for move in plan(before, [2]):
        assert {racks[broker] for broker in move.after} == {"a", "b", "c"}


def test_too_few_brokers_are_one_line() -> None:
    with pytest.raises(OpsError, match="2 brokers would be left, and a partition has 3 copies: add a broker first"):
        plan(layout(COUNTS, 3, 3), [2])


@pytest.mark.parametrize("text", ["quick", "10", "0Mi", "-1Mi"])
def test_a_throttle_that_is_no_size_is_one_line(text: str) -> None:
    with pytest.raises(OpsError, match=r"--throttle is .*: allowed is .*; correct it"):
        command._rate(text)


def kube(count: int) -> Kube:
    pods = [SimpleNamespace(name=f"kafka-{number}") for number in range(count)]
    return cast(Kube, SimpleNamespace(pods=lambda workload: pods if workload == "kafka" else []))


def unasked() -> Any:
    raise AssertionError("Kafka was asked")


def test_preflight_refuses_to_take_a_broker_away_that_has_copies() -> None:
    line = brokers(kube(5), 3, lambda: {0: 9, 1: 9, 2: 9, 3: 4, 4: 0})
    assert (line.state, line.detail, line.remedy) == (
        State.FAIL,
        "settings.kafka.brokers are 3, and broker 3 has 4 copies",
        "first `python -m ops kafka rebalance --drain 3`, then the settings",
    )
    assert brokers(kube(4), 3, lambda: {0: 9, 1: 9, 2: 9}).state is State.OK


@pytest.mark.parametrize("there", [0, 3, 4])
def test_preflight_asks_kafka_only_where_a_broker_would_go(there: int) -> None:
    assert brokers(kube(there), 4, unasked).state is State.OK
