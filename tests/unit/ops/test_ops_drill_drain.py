"""What the drill of a gateway that is to end says of its figures, and what a collector's log tells of its disk."""

from __future__ import annotations

import json
from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest

from components.gateway.config import DRAIN_STALLED_S
from ops.core.context import Context
from ops.drills.procedures.drain import STILL_AWAY_S, left_behind, problems
from ops.drills.tools.load import LAYER, TOPIC, OtlpLoad, sequence_request

GOOD: dict[str, Any] = {
    "ended after s": 14.2,
    "it may take s": 360,
    "exit codes": {"collector": 1},
    "bytes left behind": 0,
    "accepted meanwhile": 900,
}
END = json.dumps({"level": "info", "msg": "Shutdown complete."})


def test_a_gateway_that_waits_and_ends_by_itself_with_an_empty_disk_is_fine() -> None:
    assert problems(GOOD, "gateway-1", waited=True) == []


@pytest.mark.parametrize(
    ("figures", "sentence"),
    [
        ({"ended after s": 360.4}, "gateway-1 was ended by force after 360 s"),
        ({"exit codes": {"collector": 137}}, "gateway-1 did not end by itself: exit codes {'collector': 137}"),
        ({"exit codes": {}}, "gateway-1 did not end by itself: exit codes unknown"),
        ({"bytes left behind": 4096}, "gateway-1 left 4096 bytes on its disk"),
        (
            {"bytes left behind": None},
            "the log of gateway-1 was not read to its end: what it left on its disk is not known",
        ),
        ({"accepted meanwhile": 0}, "gateways accepted nothing while Kafka did not answer"),
    ],
)
def test_anything_else_is_said(figures: dict[str, Any], sentence: str) -> None:
    assert problems(GOOD | figures, "gateway-1", waited=True) == [sentence]


def test_a_gateway_that_does_not_wait_for_kafka_is_found() -> None:
    [sentence] = problems(GOOD, "gateway-1", waited=False)
    assert sentence.startswith("gateway-1 ended while Kafka did not answer")


def test_kafka_is_back_well_before_a_gateway_gives_up() -> None:
    assert STILL_AWAY_S <= DRAIN_STALLED_S / 2


def test_what_a_collector_left_is_in_its_log_where_that_was_read_to_its_end() -> None:
    left = json.dumps({"level": "warn", "msg": "ending with a queue on disk that is not empty", "left": 77})
    assert left_behind([left, "not JSON", END]) == 77
    assert left_behind([END]) == 0
    assert left_behind([left]) is None
    assert left_behind([]) is None
    assert left_behind([END, '"left" in plain words', '["left"]']) == 0


def test_copies_of_numbers_are_counted_and_those_that_were_sent_again_are_not_too_many() -> None:
    kafka = SimpleNamespace(read=lambda topic, positions, seconds: records)
    load = OtlpLoad(cast(Context, SimpleNamespace(ca_file="", kafka=kafka)))
    values = [[(0, 0), (0, 1)], [(0, 1), (0, 2)], [(0, 2)]]
    records = [record(load.run_id, position, numbers) for position, numbers in enumerate(values)]
    load.ledger.acknowledge([(0, 0), (0, 1), (0, 2)], 1.0)
    load.ledger.retry("no answer", [(0, 2)])
    counts = load.counts_in_kafka({0: 0}, 0.0)
    assert counts == Counter({(0, 0): 1, (0, 1): 2, (0, 2): 2})
    assert load.doubled(counts) == 1
    assert load.in_kafka({0: 0}, 0.0) == {(0, 0), (0, 1), (0, 2)}
    assert (LAYER, TOPIC) == ("device", "telemetry-metrics")


def record(run_id: str, offset: int, numbers: list[tuple[int, int]]) -> Any:
    """A record of Kafka with one request of the load."""
    value = sequence_request(run_id, numbers).SerializeToString()
    return SimpleNamespace(partition=lambda: 0, offset=lambda: offset, value=lambda: value)
