"""``ops kafka rotate-logins``: which generation comes next, what goes on after an error, what brokers must say."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from ops.config.source import Configuration
from ops.core import kube, pulumi
from ops.core import platform as platform_module
from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.core.platform import Login, Platform
from ops.kafka import logins, sign_in
from ops.kafka.command import kafka_app
from ops.kafka.logins import KEY, Plan, plan, rotate
from ops.kafka.sign_in import Answer

CLIENTS = ("gateway", "sampler")


def login(name: str) -> Login:
    return Login.model_validate({"username": name, "password": f"password of {name}"})


def outputs(generation: int) -> Platform:
    suffix = "" if generation == 1 else f"-g{generation}"
    users = {name: login(f"{name}{suffix}") for name in CLIENTS} | {"mirror": login("mirror")}
    given: Any = SimpleNamespace(
        kafka_bootstrap="kafka-0:9094,kafka-1:9094", kafka_users=users, kafka_login_generation=generation
    )
    return given  # type: ignore[no-any-return]


class Stack:
    """A stack file, what is deployed, and Kafka behind it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings: Any = {"kafka": {}}
        self.deployed, self.broken, self.ups = 1, 0, 0
        self.refused: set[str] = set()
        self.forgotten, self.rolls = True, 3
        monkeypatch.setattr(logins, "of_stack", lambda _: Configuration(stack="dev", values=self._values()))
        monkeypatch.setattr(logins, "KafkaAdmin", lambda _: self)
        monkeypatch.setattr(logins, "Kube", SimpleNamespace(of=lambda _: self))
        monkeypatch.setattr(kube, "time", SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: None))
        monkeypatch.setattr(sign_in, "sign_in", self._sign_in)
        monkeypatch.setattr(logins, "GONE_S", 0.2)
        monkeypatch.setattr(platform_module, "load", lambda **_: outputs(self.deployed))
        monkeypatch.setattr(pulumi, "set_login_generation", self._set)
        monkeypatch.setattr(pulumi, "up", self._up)

    @property
    def client(self) -> Any:
        names = [login.username for login in outputs(self.deployed).kafka_users.values()]
        known = names if self.forgotten else [*names, *CLIENTS]
        return SimpleNamespace(describe_user_scram_credentials=lambda _: SimpleNamespace(result=lambda timeout: known))

    def wait_rolled(self, workload: str) -> float:
        return Kube.wait_rolled(self, workload)  # type: ignore[arg-type]

    def rolled(self, workload: str) -> bool:
        assert (workload, self.deployed) == ("gateway", 2)
        self.rolls -= 1
        return self.rolls <= 0

    def close(self) -> None:
        pass

    def _values(self) -> dict[str, str]:
        return {pulumi.SETTINGS_KEY: json.dumps(self.settings)}

    def _set(self, generation: int, stack: str) -> None:
        self.settings["kafka"]["login_generation"] = generation

    def _up(self, stack: str, *, preview: bool) -> None:
        assert preview, "what a policy forbids is not begun"
        self.ups += 1
        if self.broken:
            self.broken -= 1
            raise OpsError("`pulumi up` failed: a pod did not get ready")
        self.deployed = self.settings["kafka"].get("login_generation", 1)

    def _sign_in(self, platform: Platform, login: Login, address: str) -> Answer:
        if login.username in self.refused:
            return Answer(address=address, problem="Authentication failed", refused=True)
        return Answer(address=address)


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Stack:
    return Stack(monkeypatch)


def test_the_next_generation_is_one_more_and_one_that_waits_goes_on(stack: Stack) -> None:
    assert plan(outputs(1)) == Plan(deployed=1, generation=2, written=False)
    stack.settings["kafka"]["login_generation"] = 4
    assert plan(outputs(3)) == Plan(deployed=3, generation=4, written=True)
    assert plan(outputs(4)) == Plan(deployed=4, generation=5, written=False)
    with pytest.raises(OpsError, match=rf"^{KEY} is 4, and 5 is deployed: allowed is 5 or more; correct it$"):
        plan(outputs(5))


@pytest.mark.parametrize("wrong", [0, -1, True, "2", None, 1.5])
def test_a_generation_that_is_none_is_one_line(stack: Stack, wrong: object) -> None:
    stack.settings["kafka"]["login_generation"] = wrong
    with pytest.raises(OpsError, match=rf"^{KEY} is {wrong!r}: allowed is a whole number from 1 on; correct it$"):
        plan(outputs(1))


@pytest.mark.parametrize("settings", [None, [], {}, {"kafka": None}])
def test_a_stack_file_without_kafka_is_one_line(stack: Stack, settings: object) -> None:
    stack.settings = settings
    with pytest.raises(OpsError, match=r"has no settings\.kafka: run `ops config check`"):
        plan(outputs(1))


def test_every_client_changes_over_and_logins_of_two_regions_stay(stack: Stack) -> None:
    done = rotate(outputs(1), plan(outputs(1)))
    assert (done.taken, done.removed) == (3, CLIENTS)
    assert stack.rolls == 0, "the gateways had rolled before brokers were asked"
    assert stack.deployed == 2
    assert stack.settings == {"kafka": {"login_generation": 2}}


def test_an_update_that_was_interrupted_goes_on_with_the_same_generation(stack: Stack) -> None:
    stack.broken = 1
    with pytest.raises(OpsError, match="a pod did not get ready"):
        rotate(outputs(1), plan(outputs(1)))
    assert (stack.deployed, stack.settings["kafka"]["login_generation"]) == (1, 2)
    again = plan(outputs(1))
    assert again == Plan(deployed=1, generation=2, written=True)
    assert rotate(outputs(1), again).removed == CLIENTS
    assert (stack.deployed, stack.ups) == (2, 2)


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
        "logins of Kafka's clients: generation 1 now, 2 next\n"
        f"3 logins are taken by every broker, 2 of before are gone; commit {KEY} in the stack's file\n"
    )
    assert "password of" not in result.output


def test_nothing_is_changed_unless_somebody_says_yes(stack: Stack) -> None:
    stack.settings["kafka"]["login_generation"] = 2
    result = CliRunner().invoke(kafka_app, ["rotate-logins"])
    assert str(result.exception) == "nobody can be asked here: give --yes"
    assert result.stdout == (
        "logins of Kafka's clients: generation 1 now, 2 next, which the stack's file has already\n"
    )
    assert stack.ups == 0
