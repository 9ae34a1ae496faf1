"""Threads of the guard, what they tell, and what counts as reached and as different."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from services.region_guard.judging import Judging
from services.region_guard.metrics import differences
from services.region_guard.outside import Outside, every_s
from services.region_guard.rounds import News, Rounds
from tests.config.servers import eventually, free_port


def test_a_round_comes_at_once_when_it_is_woken() -> None:
    stop, done = threading.Event(), list[float]()
    rounds = Rounds("test", 60, lambda: done.append(time.monotonic()))
    rounds.start(stop)
    eventually(lambda: len(done) == 1, 5, "the first round")
    rounds.wake()
    eventually(lambda: len(done) == 2, 5, "the second round")
    assert rounds.alive()
    stop.set()
    rounds.wake()


def test_a_thread_that_has_died_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    died: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", died.append)

    def fail() -> None:
        raise LookupError("never seen before")

    rounds = Rounds("test", 1, fail)
    assert rounds.alive()
    rounds.start(threading.Event())
    eventually(lambda: len(died) == 1, 5, "it dies")
    assert not rounds.alive()


def test_a_problem_is_told_once_and_so_is_its_end() -> None:
    told: list[str] = []
    news = News(told.append)
    for problem in ("", "gone", "gone", "refused", "", ""):
        news.tell("the lease", problem)
    assert told == ["gone", "refused", "the lease: all is well again"]


def test_a_port_that_takes_connections_is_reached_and_one_that_refuses_is_not() -> None:
    now = [100.0]
    judging = Judging(20, lambda: now[0])
    judging.failed()
    with socket.create_server(("127.0.0.1", 0)) as server:
        reached = Outside(("localhost", server.getsockname()[1]), judging, 20)
        refused = Outside(("127.0.0.1", free_port()), judging, 20)
        unknown = Outside(("nobody.invalid", 443), judging, 20)
        now[0] = 119
        for each in (refused, unknown):
            each.look()
        now[0] = 120
        assert judging.wanted() is not None
        assert judging.isolated
        reached.look()
    found = judging.wanted()
    assert found is not None
    assert not found.firm


def test_several_looks_fit_into_the_time_after_which_a_region_is_isolated() -> None:
    assert every_s(20) == 4


def test_a_definition_that_one_region_lacks_is_different() -> None:
    assert differences({"rules": "1", "topics": "2"}, {"rules": "1", "topics": "3", "boards": "4"}) == {
        "boards": True,
        "rules": False,
        "topics": True,
    }
