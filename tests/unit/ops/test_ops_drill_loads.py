"""Loads with numbers: what is taken, refused, not answered or given up, by real threads against a gateway of ours."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.web import Query, Web
from ops.drills.quotas import p95
from ops.drills.tools.accounts import Number
from ops.drills.tools.load import LogLoad, NumberedLoad, OtlpLoad, Send, log_request
from tests.config.servers import eventually

WAIT_S = 60.0
Answer = tuple[int, int] | None
"""Status and what is rejected; None: nobody answers."""


class Gateway:
    """Answers each attempt in turn, and at last as ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.bodies: list[object] = []

    def take(self, body: object) -> tuple[int, int]:
        self.bodies.append(body)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            raise OpsError("no answer")
        return answer


class Load(NumberedLoad):
    def __init__(self, gateway: Gateway, **options: Any) -> None:
        super().__init__("", workers=1, batch=2, pause=0.01, **options)
        self._gateway = gateway

    def _sending(self, web: Web, numbers: Sequence[Number]) -> Send:
        return lambda: self._gateway.take(tuple(numbers))


class Hasty(Load):
    given_up_at_stop = True


@pytest.fixture(autouse=True)
def web(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.drills.tools.load.Web", lambda _: type("W", (), {"close": lambda _: None})())


def test_what_is_refused_is_sent_again_unchanged_until_it_is_taken() -> None:
    gateway = Gateway((503, 0), None, (200, 1), (200, 0))
    with Load(gateway, longest_wait=0.2) as load:
        eventually(lambda: len(load.ledger.acknowledged) >= 6, WAIT_S, "six numbers are taken")
    assert gateway.bodies[:5] == [((0, 0), (0, 1))] * 4 + [((0, 2), (0, 3))]
    assert load.ledger.repeated == {(0, 0), (0, 1)}
    assert load.ledger.given_up == set()
    assert load.ledger.retries == 3
    assert load.ledger.problems == {"HTTP 503": 1, "no answer": 1, "HTTP 200": 1}


def test_what_nobody_takes_in_its_time_is_given_up() -> None:
    gateway = Gateway((500, 0))
    with Load(gateway, give_up_after=0.5, longest_wait=0.2) as load:
        eventually(lambda: len(load.ledger.given_up) >= 4, WAIT_S, "four numbers are given up")
    assert load.ledger.acknowledged == {}
    assert load.ledger.given_up <= load.ledger.repeated


def test_a_load_that_is_stopped_still_sends_what_is_under_way_or_gives_it_up_at_once() -> None:
    patient = Load(Gateway(None, None, (200, 0)), longest_wait=0.2)
    with patient:
        eventually(lambda: patient.ledger.retries > 0, WAIT_S, "it sends again")
    assert patient.ledger.given_up == set()
    hasty, began = Hasty(Gateway(None), give_up_after=900.0), time.monotonic()
    with hasty:
        eventually(lambda: hasty.ledger.retries > 0, WAIT_S, "it sends again")
    assert hasty.ledger.given_up == {(0, 0), (0, 1)}
    assert time.monotonic() - began < WAIT_S


def test_what_comes_after_the_end_of_a_load_is_no_pause_of_it() -> None:
    began = time.time()
    with Load(Gateway((200, 0))) as load:
        eventually(lambda: len(load.ledger.acknowledged) >= 4, WAIT_S, "four numbers are taken")
    longest = load.longest_pause(began)
    time.sleep(longest + 1)
    assert load.longest_pause(began) == longest


def test_log_records_that_were_sent_twice_may_be_stored_twice() -> None:
    gateway = Gateway((503, 0), (200, 0))
    with LogLoad("", lambda _, body: gateway.take(body)[0], workers=1, batch=2, pause=0.01) as load:
        eventually(lambda: len(load.ledger.acknowledged) >= 4, WAIT_S, "four numbers are taken")
    assert gateway.bodies[0] == gateway.bodies[1]
    assert gateway.bodies[0] != gateway.bodies[2]
    (first,) = log_request(load.service, [(0, 0), (0, 1)]).resource_logs
    assert len(first.scope_logs[0].log_records) == 2
    assert load.doubled(Counter({(0, 0): 2, (0, 1): 1, (0, 2): 2})) == 1


def _more_than(requests: Sequence[object], count: int) -> bool:
    return len(requests) > count


def test_points_of_a_client_whose_clock_is_set_are_sent_and_looked_for_in_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requests, questions = list[ExportMetricsServiceRequest](), list[tuple[int, float]]()
    client = SimpleNamespace(metrics=lambda request, _: requests.append(request) or (200, 0))
    monkeypatch.setattr("ops.drills.tools.load.OtlpClient", lambda *_: client)
    context = cast(Context, SimpleNamespace(ca_file="", platform=None))
    load = OtlpLoad(context, workers=1, pause=0.01, clock_changes=True)
    with load:
        for ahead_s in (300.0, -300.0, 0.0):
            load.ahead_s, sent = ahead_s, len(requests)
            eventually(partial(_more_than, requests, sent + 1), WAIT_S, "two requests")
            [resource] = requests[-1].resource_metrics
            points = resource.scope_metrics[0].metrics[0].gauge.data_points
            moments = [point.time_unix_nano // 1_000_000 for point in points]
            assert len(set(moments)) == len(points)
            assert {moment % 2 for moment in moments} == {int(ahead_s != 0)}
            point = points[-1]
            assert point.time_unix_nano / 1e9 - time.time() == pytest.approx(ahead_s, abs=30)

    def raw(_: str, seconds: int, moment: float) -> dict[Any, Any]:
        questions.append((seconds, moment - time.time()))
        samples = [(0.0, float(number)) for _, number in load.ledger.acknowledged]
        return {(("worker", "0"),): samples}

    assert load.in_prometheus(cast(Query, SimpleNamespace(raw=raw, name="primary")), 240, 1.0) == set(
        load.ledger.acknowledged
    )
    [(seconds, ahead)] = questions
    assert seconds == 240 + 600
    assert ahead == pytest.approx(300, abs=30)


def test_the_p95_of_a_login_is_of_what_was_acknowledged_between_two_moments() -> None:
    latencies = [(float(at), at / 10) for at in range(1, 31)]
    assert p95(latencies, 1, 21) == 1.9, "19 of 20, not the slowest"
    assert p95(latencies, 30, 31) == 3.0
    assert p95(latencies, 31, 40) == 0.0
