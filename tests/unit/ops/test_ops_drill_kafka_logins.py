"""The drill of new logins of Kafka's clients: what it notes, and what it finds when something does not hold."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ops.core import platform as platform_module
from ops.core.context import Context
from ops.core.platform import Login
from ops.drills.procedures import passwords
from ops.drills.procedures.passwords import rotate_logins
from ops.drills.run import find
from ops.evidence.reading import named
from ops.kafka.command import Answer
from tests.unit.ops.test_ops_drill_procedures import Load

CLIENTS = ("gateway", "sampler")


class Live:
    """A platform whose clients change over, or do not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.changed, self.taken_still = True, set[str]()
        self.refused_meanwhile: float | None = 0.0
        self.lost = 0
        monkeypatch.setattr(passwords, "OtlpLoad", self._points)
        monkeypatch.setattr(passwords, "LogLoad", Load)
        monkeypatch.setattr(passwords, "gateway", lambda _: None)
        monkeypatch.setattr(passwords, "account_logs", self._logs)
        monkeypatch.setattr(passwords, "ops", lambda *_, **__: "")
        monkeypatch.setattr(passwords, "settle", self._settle)
        monkeypatch.setattr(passwords, "reached", lambda outputs: nullcontext(SimpleNamespace(platform=outputs)))
        monkeypatch.setattr(passwords, "answers", self._answers)
        monkeypatch.setattr(platform_module, "load", lambda: self._outputs(2 if self.changed else 1))
        thanos = SimpleNamespace(
            instant=lambda _: [] if self.refused_meanwhile is None else [SimpleNamespace(value=self.refused_meanwhile)]
        )
        kafka = SimpleNamespace(end_offsets=lambda _: {})
        given = SimpleNamespace(platform=self._outputs(1), kafka=kafka, thanos=thanos, ca_file="")
        self.context = cast(Context, given)

    def run(self) -> tuple[list[str], dict[str, Any]]:
        figures: dict[str, Any] = {}
        return rotate_logins(self.context, figures), figures

    def _settle(self, context: Context) -> None:
        newest = 2 if self.changed else 1
        assert context.platform.kafka_login_generations == (newest,), "the logins of before are gone"

    def _points(self, _: Context) -> Load:
        load = Load()
        load.lost = self.lost
        return load

    @staticmethod
    def _logs(figures: dict[str, Any], *_: object) -> list[str]:
        figures |= {"log records acknowledged": 4, "log records missing": 0}
        return []

    @staticmethod
    def _outputs(generation: int) -> Any:
        suffix = "" if generation == 1 else f"-g{generation}"
        users = {name: Login.model_validate({"username": f"{name}{suffix}", "password": "any"}) for name in CLIENTS} | {
            "mirror": Login.model_validate({"username": "mirror", "password": "any"})
        }
        return SimpleNamespace(kafka_users=users, kafka_login_generations=(generation,))

    def _answers(self, _: Any, logins: dict[str, Login]) -> dict[str, tuple[Answer, ...]]:
        return {
            login.username: (
                Answer(address="kafka-0:9094", problem="no", refused=True),
                Answer(address="kafka-1:9094", problem="no", refused=login.username not in self.taken_still),
            )
            for login in logins.values()
        }


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> Live:
    return Live(monkeypatch)


def test_every_figure_of_the_drill_is_noted(live: Live) -> None:
    problems, figures = live.run()
    assert problems == []
    assert (figures["clients"], figures["generation"], figures["missing"]) == (2, "1 to 2", 0)
    assert figures["old logins refused by every broker"] == 2
    drill = find("kafka-logins")
    for texts in drill.figures.values():
        for text in texts:
            assert {name.split("/")[0] for name in named(text)} <= set(figures)


def test_clients_that_keep_their_logins_are_a_problem(live: Live) -> None:
    live.changed = False
    assert live.run()[0] == ["no client has another login"]


def test_an_old_login_that_a_broker_takes_is_a_problem(live: Live) -> None:
    live.taken_still = {"sampler"}
    assert live.run()[0] == ["1 of 2 logins of before are not refused by every broker"]


def test_refusals_meanwhile_are_a_problem_and_so_is_not_to_know(live: Live) -> None:
    live.refused_meanwhile = 3.0
    assert live.run()[0] == ["brokers refused 3 logins while clients changed over"]
    live.refused_meanwhile = None
    assert live.run()[0] == ["Prometheus does not know how many logins brokers refused"]


def test_what_is_lost_is_a_problem(live: Live) -> None:
    live.lost = 1
    problems, figures = live.run()
    stores = ("Kafka", "prometheus-primary", "prometheus-secondary")
    assert problems == [f"1 acknowledged points are not in {store}" for store in stores]
    assert figures["missing"] == 3
