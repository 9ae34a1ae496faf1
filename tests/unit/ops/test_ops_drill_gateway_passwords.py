"""The drill of two passwords at the gateway: what it notes, and what it finds when something does not hold."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ops.core import platform as platform_module
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.platform import Login
from ops.drills.procedure import CannotRunError
from ops.drills.procedures import passwords
from ops.drills.procedures.passwords import rotate_passwords
from ops.drills.run import find
from ops.drills.tools import outside
from ops.drills.tools.load import LAYER, LOG_LAYER
from ops.evidence.reading import named
from tests.unit.ops.test_ops_drill_procedures import Load

LAYERS = ("device", "data")


class Stopping(Load):
    """A load that can be stopped before its end."""

    def stop(self) -> None:
        self._acknowledge()


class Live:
    """A platform whose gateways take both passwords, and end the former ones, or do not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loads: list[Stopping] = []
        self.lost = self.wrong = 0
        self.former_sent: dict[str, int] = {LAYER: 12, LOG_LAYER: 4}
        self.logs_lost: list[str] = []
        self.refusal = "still sent with a password of before, within 60 s: device (12 requests)"
        self.taken_still = set[str]()
        self.given: list[tuple[str, ...]] = []
        monkeypatch.setattr(passwords, "OtlpLoad", self._load)
        monkeypatch.setattr(passwords, "LogLoad", self._load)
        monkeypatch.setattr(passwords, "agent", lambda _: None)
        monkeypatch.setattr(passwords, "account_logs", self._logs)
        monkeypatch.setattr(passwords, "ops", self._ops)
        monkeypatch.setattr(passwords, "settle", lambda _: None)
        monkeypatch.setattr(passwords, "gateway_answers", self._answers)
        monkeypatch.setattr(passwords, "senders", lambda *_: self.former_sent)
        monkeypatch.setattr(passwords, "reached", lambda platform: nullcontext(self._context(platform)))
        monkeypatch.setattr(
            outside, "client_commands", lambda: outside.ClientCommands.model_validate({"renew": ["give", "new"]})
        )
        monkeypatch.setattr(outside, "run", lambda command, _: self.given.append(tuple(command)))
        monkeypatch.setattr(platform_module, "load", lambda: self._outputs((2, 1)))
        self.context = self._context(self._outputs((1,)))

    def run(self) -> tuple[list[str], dict[str, Any]]:
        figures: dict[str, Any] = {}
        return rotate_passwords(self.context, figures), figures

    @staticmethod
    def _context(platform: Any) -> Context:
        kafka = SimpleNamespace(end_offsets=lambda _: {})
        return cast(Context, SimpleNamespace(platform=platform, kafka=kafka, otlp=None, thanos=None, ca_file=""))

    @staticmethod
    def _outputs(generations: tuple[int, ...]) -> Any:
        former = generations[1:] and {
            layer: Login.model_validate({"username": layer, "password": "any"}) for layer in LAYERS
        }
        return SimpleNamespace(otlp_password_generations=generations, otlp_former_credentials=former)

    def _logs(self, figures: dict[str, Any], *_: object) -> list[str]:
        figures |= {"log records acknowledged": 4, "log records missing": len(self.logs_lost)}
        return self.logs_lost

    def _load(self, *_: object) -> Stopping:
        load = Stopping()
        load.lost = self.lost
        if self.wrong:
            load.ledger.problems["HTTP 401"] = self.wrong
        self.loads.append(load)
        return load

    def _ops(self, *words: str, limit_s: float) -> str:
        assert words[:2] == ("gateway", "rotate-passwords")
        if "--finish" in words and not self.given and self.refusal:
            raise OpsError(self.refusal)
        return ""

    def _answers(self, _: Any, logins: dict[str, Login]) -> dict[str, str]:
        return {layer: "OK" if layer in self.taken_still else "UNAUTHENTICATED" for layer in logins}


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> Live:
    return Live(monkeypatch)


def test_every_figure_of_the_drill_is_noted(live: Live) -> None:
    problems, figures = live.run()
    assert problems == []
    assert (figures["layers"], figures["generations"], figures["missing"]) == (2, "1 to 2", 0)
    assert (figures["passwords of before refused"], figures["requests with one of before counted"]) == (2, 16)
    assert live.given == [("give", "new")]
    for texts in find("gateway-passwords").figures.values():
        for text in texts:
            assert {name.split("/")[0] for name in named(text)} <= set(figures)


def test_a_former_password_that_is_taken_at_the_end_is_a_problem(live: Live) -> None:
    live.taken_still = {"data"}
    assert live.run()[0] == ["1 of 2 passwords of before are not refused"]


def test_requests_that_are_not_counted_are_a_problem(live: Live) -> None:
    live.former_sent = {LAYER: 3}
    assert live.run()[0] == ["requests with a password of before are not all counted"]


def test_an_end_while_one_is_in_use_is_a_problem(live: Live) -> None:
    live.refusal = ""
    assert live.run()[0] == ["--finish ended passwords that were still sent"]


def test_an_end_that_fails_for_another_reason_ends_the_drill(live: Live) -> None:
    live.refusal = "`pulumi up` failed: a pod did not get ready"
    with pytest.raises(OpsError, match="a pod did not get ready"):
        live.run()


def test_a_client_that_is_refused_with_a_good_password_is_a_problem(live: Live) -> None:
    live.wrong = 2
    assert live.run()[0] == ["clients were refused 8 times with a password that was good"]


def test_what_is_lost_is_a_problem(live: Live) -> None:
    live.lost = 1
    problems, figures = live.run()
    stores = ("Kafka", "prometheus-primary", "prometheus-secondary")
    assert problems == [f"1 acknowledged points are not in {store}" for store in stores] * 2
    assert figures["missing"] == 6


def test_what_an_agent_loses_is_a_problem(live: Live) -> None:
    live.logs_lost = ["2 of 6 acknowledged log records are missing"]
    assert live.run()[0] == live.logs_lost


def test_without_a_way_to_give_clients_new_ones_nothing_is_begun(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Any:
        raise CannotRunError("nothing tells how clients get new passwords")

    monkeypatch.setattr(outside, "client_commands", missing)
    with pytest.raises(CannotRunError):
        live.run()
    assert live.loads == []
