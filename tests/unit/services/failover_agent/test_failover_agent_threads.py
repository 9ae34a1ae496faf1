"""Threads of the failover agent, what they tell, and what counts as reached and as different."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from services.failover_agent.__main__ import differences
from services.failover_agent.notification_gate import EgressProbe, NotificationGate, interval_s
from services.runtime.serving import DedupLogger, PeriodicTask
from tests.config.servers import eventually, free_port


def test_a_round_comes_at_once_when_it_is_woken() -> None:
    stop, done = threading.Event(), list[float]()
    task = PeriodicTask("test", 60, lambda: done.append(time.monotonic()))
    task.start(stop)
    eventually(lambda: len(done) == 1, 5, "the first round")
    task.wake()
    eventually(lambda: len(done) == 2, 5, "the second round")
    assert task.alive()
    stop.set()
    task.wake()


def test_a_thread_that_has_died_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    died: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", died.append)

    def fail() -> None:
        raise LookupError("never seen before")

    task = PeriodicTask("test", 1, fail)
    assert task.alive()
    task.start(threading.Event())
    eventually(lambda: len(died) == 1, 5, "it dies")
    assert not task.alive()


def test_a_problem_is_told_once_and_so_is_its_end() -> None:
    told: list[str] = []
    problems = DedupLogger(told.append)
    for problem in ("", "gone", "gone", "refused", "", ""):
        problems.report("the lease", problem)
    assert told == ["gone", "refused", "the lease: all is well again"]


def test_a_port_that_takes_connections_is_reached_and_one_that_refuses_is_not() -> None:
    now = [100.0]
    gate = NotificationGate(20, lambda: now[0])
    gate.failed()
    with socket.create_server(("127.0.0.1", 0)) as server:
        reached = EgressProbe(("localhost", server.getsockname()[1]), gate, 20)
        refused = EgressProbe(("127.0.0.1", free_port()), gate, 20)
        unknown = EgressProbe(("nobody.invalid", 443), gate, 20)
        now[0] = 119
        for probe in (refused, unknown):
            probe.poll()
        assert [probe.age() for probe in (reached, refused, unknown)] == [19, 19, 19]
        now[0] = 120
        assert gate.wanted() is not None
        assert gate.isolated
        reached.poll()
        now[0] = 123
        assert [probe.age() for probe in (reached, refused, unknown)] == [3, 23, 23]
    wish = gate.wanted()
    assert wish is not None
    assert not wish.firm


def test_several_looks_fit_into_the_time_after_which_a_region_is_isolated() -> None:
    assert interval_s(20) == 4


def test_a_definition_that_one_region_lacks_is_different() -> None:
    assert differences({"rules": "1", "topics": "2"}, {"rules": "1", "topics": "3", "dashboards": "4"}) == {
        "dashboards": True,
        "rules": False,
        "topics": True,
    }
