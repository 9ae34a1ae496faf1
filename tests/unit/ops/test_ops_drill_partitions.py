"""Where the points of a load are after partitions were added, and whether they are in order."""

from __future__ import annotations

from dataclasses import dataclass

from ops.drills.procedures.growth import out_of_order, places_of
from ops.drills.tools.load import sequence_request


@dataclass(frozen=True)
class Record:
    """What the drill reads of a record."""

    place: int
    body: bytes

    def partition(self) -> int:
        return self.place

    def value(self) -> bytes:
        return self.body


def record(partition: int, worker: int, *numbers: int, run: str = "ab12") -> Record:
    request = sequence_request(run, [(worker, number) for number in numbers])
    return Record(partition, request.SerializeToString())


def test_places_have_the_points_of_one_load_in_the_order_of_their_records() -> None:
    records = [record(5, 1, 0, 1), record(5, 2, 0), record(17, 1, 2, 3), record(17, 1, 9, run="cd34"), record(3, 2, 1)]
    assert places_of(records, "ab12") == {1: ((5, 0), (5, 1), (17, 2), (17, 3)), 2: ((5, 0), (3, 1))}


def test_a_key_that_moved_is_in_order_in_each_of_its_partitions() -> None:
    assert out_of_order({1: ((5, 0), (5, 1), (17, 2), (5, 3), (17, 4))}) == 0


def test_a_point_behind_a_later_one_is_counted_and_a_repeated_one_is_not() -> None:
    assert out_of_order({1: ((5, 0), (5, 2), (5, 1), (5, 3))}) == 1
    assert out_of_order({1: ((5, 0), (5, 1), (5, 0), (5, 1), (5, 2))}) == 0
    assert out_of_order({1: ((5, 2), (17, 1))}) == 0, "between partitions there is no order"
