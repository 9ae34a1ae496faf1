"""How fast the memory of the machine is, as evidence says it."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from ops.evidence import machine as machine_module
from ops.evidence.machine import machine, random_read_ns


def test_every_place_is_read_before_one_is_read_again() -> None:
    for entries in (machine_module._ENTRIES, machine_module._FEW_ENTRIES):
        place, seen = 0, 0
        while True:
            place, seen = (place * 1664525 + 1013904223) % entries, seen + 1
            if place == 0:
                break
        assert seen == entries


def test_it_is_the_time_of_a_read_without_what_the_loop_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each attempt is timed at its begin and its end; the slow attempts were disturbed.
    large, small = (0.010, 0.030, 0.012, 0.010, 0.020), (0.005, 0.004, 0.009, 0.004, 0.004)
    times = iter([moment for duration in (*large, *small) for moment in (1.0, 1.0 + duration)])
    monkeypatch.setattr(machine_module, "time", SimpleNamespace(thread_time=lambda: next(times)))
    assert random_read_ns.__wrapped__() == round((0.010 - 0.004) / machine_module._READS * 1e9)


def test_it_is_measured_once_in_a_process() -> None:
    assert isinstance(machine()["random_read_ns"], int)
    began = time.thread_time()
    assert machine()["random_read_ns"] == random_read_ns()
    assert time.thread_time() - began < 0.1
