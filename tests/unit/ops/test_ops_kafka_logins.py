"""``ops kafka rotate-logins``: which generation comes next, what goes on after an error, what brokers must say."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from ops import config
from ops.config import Configuration
from ops.core import platform as platform_module
from ops.core import pulumi
from ops.core.errors import OpsError
from ops.core.platform import Login, Platform
from ops.kafka import command
from ops.kafka.command import KEY, Answer, Plan, kafka_app, plan, rotate

CLIENTS = ("gateway", "sampler")


def login(name: str) -> Login:
    return Login.model_validate({"username": name, "password": f"password of {name}"})


def outputs(*generations: int) -> Platform:
    newest, *former = generations
    users = {name: login(named(name, newest)) for name in CLIENTS} | {"mirror": login("mirror")}
    given: Any = SimpleNamespace(
        kafka_bootstrap="kafka-0:9094,kafka-1:9094",
        kafka_users=users,
        kafka_login_generations=generations,
        kafka_former_logins=tuple(named(name, generation) for generation in former for name in CLIENTS),
    )
    return given  # type: ignore[no-any-return]


def named(client: str, generation: int) -> str:
    return client if generation == 1 else f"{client}-g{generation}"


class Stack:
    """A stack file, what is deployed, and Kafka behind it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings: Any = {"kafka": {}}
        self.deployed: tuple[int, ...] = (1,)
        self.broken, self.ups = 0, list[tuple[int, ...]]()
        self.refused: set[str] = set()
        self.forgotten, self.rolls = True, 0
        monkeypatch.setattr(config, "of_stack", lambda _: Configuration(stack="dev", values=self._values()))
        monkeypatch.setattr(command, "KafkaAdmin", lambda _: self)
        monkeypatch.setattr(command, "Kube", SimpleNamespace(of=lambda _: self))
        monkeypatch.setattr(command, "sign_in", self._sign_in)
        monkeypatch.setattr(command, "GONE_S", 0.2)
        monkeypatch.setattr(platform_module, "load", lambda **_: outputs(*self.deployed))
        monkeypatch.setattr(pulumi, "set_generations", self._set)
        monkeypatch.setattr(pulumi, "up", self._up)

    @property
    def client(self) -> Any:
        now = outputs(*self.deployed)
        names = [*(login.username for login in now.kafka_users.values()), *now.kafka_former_logins]
        known = names if self.forgotten else [*names, *CLIENTS]
        return SimpleNamespace(describe_user_scram_credentials=lambda _: SimpleNamespace(result=lambda timeout: known))

    def wait_all_rolled(self) -> float:
        self.rolls += 1
        assert self.rolls == len(self.ups), "no update begins before the clients of the one before have rolled"
        return 0.0

    def close(self) -> None:
        pass

    def _values(self) -> dict[str, str]:
        return {pulumi.SETTINGS_KEY: json.dumps(self.settings)}

    def _set(self, place: tuple[str, str], generations: tuple[int, ...], stack: str) -> None:
        group, key = place
        self.settings[group][key] = list(generations)

    def _up(self, stack: str, *, preview: bool) -> None:
        assert preview, "what a policy forbids is not begun"
        if self.broken == len(self.ups) + 1:
            self.broken = 0
            raise OpsError("`pulumi up` failed: a pod did not get ready")
        self.deployed = tuple(self.settings["kafka"].get("login_generations", [1]))
        self.ups.append(self.deployed)

    def _sign_in(self, platform: Platform, login: Login, address: str) -> Answer:
        if login.username in self.refused:
            return Answer(address=address, problem="Authentication failed", refused=True)
        return Answer(address=address)


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Stack:
    return Stack(monkeypatch)


BOTH = ((2, 1), (2,))


def test_new_logins_come_before_those_of_before_end_and_what_waits_goes_on(stack: Stack) -> None:
    assert plan(outputs(1)) == Plan(deployed=(1,), steps=BOTH, written=False)
    stack.settings["kafka"]["login_generations"] = [2, 1]
    assert plan(outputs(1)) == Plan(deployed=(1,), steps=BOTH, written=True)
    assert plan(outputs(2, 1)) == Plan(deployed=(2, 1), steps=((2,),), written=False)
    stack.settings["kafka"]["login_generations"] = [2]
    assert plan(outputs(2, 1)) == Plan(deployed=(2, 1), steps=((2,),), written=True)
    assert plan(outputs(2)) == Plan(deployed=(2,), steps=((3, 2), (3,)), written=False)
    stack.settings["kafka"]["login_generations"] = [2, 2]
    assert plan(outputs(2)).written is False, "an interrupted command leaves this"


@pytest.mark.parametrize("ahead", [[2], [3, 2], [3]])
def test_generations_that_do_not_follow_are_one_line(stack: Stack, ahead: list[int]) -> None:
    stack.settings["kafka"]["login_generations"] = ahead
    allowed = rf"^{KEY} is {re.escape(str(ahead))}, and \[1\] is deployed: allowed is \[1\] or \[2, 1\]; correct it$"
    with pytest.raises(OpsError, match=allowed):
        plan(outputs(1))


@pytest.mark.parametrize("wrong", [0, [], [0], [True], ["2"], None, [3, 2, 1]])
def test_generations_that_are_none_are_one_line(stack: Stack, wrong: object) -> None:
    stack.settings["kafka"]["login_generations"] = wrong
    with pytest.raises(OpsError, match=rf"^{KEY} is {re.escape(repr(wrong))}: allowed is one whole number from 1 on"):
        plan(outputs(1))


@pytest.mark.parametrize("settings", [None, [], {}, {"kafka": None}])
def test_a_stack_file_without_kafka_is_one_line(stack: Stack, settings: object) -> None:
    stack.settings = settings
    with pytest.raises(OpsError, match=r"has no settings\.kafka: run `ops config check`"):
        plan(outputs(1))


def test_every_client_changes_over_and_logins_of_two_regions_stay(stack: Stack) -> None:
    done = rotate(outputs(1), plan(outputs(1)))
    assert (done.taken, done.removed) == (3, CLIENTS)
    assert (stack.ups, stack.rolls) == ([*BOTH], 2)
    assert stack.settings == {"kafka": {"login_generations": [2]}}


@pytest.mark.parametrize("broken", [1, 2])
def test_a_rotation_that_was_interrupted_goes_on_where_it_was(stack: Stack, broken: int) -> None:
    stack.broken = broken
    with pytest.raises(OpsError, match="a pod did not get ready"):
        rotate(outputs(1), plan(outputs(1)))
    deployed = outputs(*stack.deployed)
    again = plan(deployed)
    assert again == Plan(deployed=deployed.kafka_login_generations, steps=BOTH[broken - 1 :], written=True)
    assert rotate(deployed, again).removed == CLIENTS
    assert (stack.ups, stack.deployed) == ([*BOTH], (2,))


def test_a_broker_that_refuses_a_new_login_is_named(stack: Stack) -> None:
    stack.refused = {"sampler-g2"}
    with pytest.raises(OpsError, match="sampler-g2 at kafka-0:9094: Authentication failed, sampler-g2 at kafka-1:9094"):
        rotate(outputs(1), plan(outputs(1)))


def test_logins_that_stay_are_named(stack: Stack) -> None:
    stack.forgotten = False
    with pytest.raises(OpsError, match=r"no longer know the logins of before.*: gateway, sampler$"):
        rotate(outputs(1), plan(outputs(1)))


def test_the_command_says_what_it_did_without_a_password(stack: Stack) -> None:
    result = CliRunner().invoke(kafka_app, ["rotate-logins", "--yes"], catch_exceptions=False)
    assert result.exit_code == 0
    assert result.stdout == (
        "logins of Kafka's clients: generations [1] now, [2, 1], then [2] next\n"
        f"3 logins are taken by every broker, 2 of before are gone; commit {KEY} in the stack's file\n"
    )
    assert "password of" not in result.output


def test_nothing_is_changed_unless_somebody_says_yes(stack: Stack) -> None:
    stack.settings["kafka"]["login_generations"] = [2, 1]
    result = CliRunner().invoke(kafka_app, ["rotate-logins"])
    assert str(result.exception) == "nobody can be asked here: give --yes"
    assert result.stdout == (
        "logins of Kafka's clients: generations [1] now, [2, 1], then [2] next, which the stack's file has already\n"
    )
    assert stack.ups == []
