"""``ops gateway rotate-passwords``: which generations come next, who still sends, what gateways must answer."""

from __future__ import annotations

import json
import time
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from ops import config
from ops.config import Configuration
from ops.connect import gateway
from ops.connect.gateway import KEY, Plan, gateway_app, plan
from ops.core import kube, pulumi
from ops.core import platform as platform_module
from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.core.platform import Login

LAYERS = ("device", "data")


def logins(generation: int) -> dict[str, Login]:
    return {layer: Login.model_validate({"username": layer, "password": f"{layer} {generation}"}) for layer in LAYERS}


def outputs(deployed: tuple[int, ...]) -> Any:
    newest, *former = deployed
    return SimpleNamespace(
        otlp_password_generations=deployed,
        otlp_credentials=logins(newest),
        otlp_former_credentials=logins(former[0]) if former else {},
    )


class Stack:
    """A stack file, what is deployed, and gateways that take what is deployed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings: dict[str, Any] = {"gateway": {"password_generations": [1]}, "regions": {"credentials": None}}
        self.deployed: tuple[int, ...] = (1,)
        self.broken = 0
        self.taken: set[int] | None = None
        self.rolls = 0
        self.watched, self.senders = True, {"device": 3.0}
        self.queries: list[str] = []
        monkeypatch.setattr(config, "of_stack", lambda _: Configuration(stack="dev", values=self._values()))
        monkeypatch.setattr(platform_module, "load", lambda **_: outputs(self.deployed))
        monkeypatch.setattr(pulumi, "set_generations", self._set)
        monkeypatch.setattr(pulumi, "up", self._up)
        monkeypatch.setattr(gateway, "connected", self._connected)
        monkeypatch.setattr(gateway, "Kube", SimpleNamespace(of=lambda _: self))
        monkeypatch.setattr(kube, "time", SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: None))

    def run(self, *options: str) -> Any:
        return CliRunner().invoke(gateway_app, ["rotate-passwords", *options])

    def _values(self) -> dict[str, str]:
        return {pulumi.SETTINGS_KEY: json.dumps(self.settings)}

    def _set(self, place: tuple[str, str], generations: tuple[int, ...], stack: str) -> None:
        group, key = place
        self.settings[group][key] = list(generations)

    def _up(self, stack: str, *, preview: bool) -> None:
        assert preview, "what a policy forbids is not begun"
        if self.broken:
            self.broken -= 1
            raise OpsError("`pulumi up` failed: a pod did not get ready")
        self.deployed = tuple(self.settings["gateway"]["password_generations"])
        self.rolls = 3

    def _connected(self, _: Any) -> Any:
        return nullcontext((self, self))

    def grpc_code(self, request: Any, login: Login) -> str:
        assert request.ByteSize() == 0
        generation = int(login.pair[1].split()[1])
        taken = self.taken if self.taken is not None else set(self.deployed)
        assert not self.rolls, "asked while the gateways roll"
        return "OK" if generation in taken else "UNAUTHENTICATED"

    def wait_rolled(self, workload: str) -> float:
        return Kube.wait_rolled(self, workload)  # type: ignore[arg-type]

    def rolled(self, workload: str) -> bool:
        assert workload == "gateway"
        self.rolls = max(0, self.rolls - 1)
        return not self.rolls

    def close(self) -> None:
        """Nothing is open."""

    def number(self, query: str) -> float | None:
        self.queries.append(query)
        return 1.0 if self.watched else None

    def instant(self, query: str) -> list[Any]:
        self.queries.append(query)
        return [SimpleNamespace(labels={"layer": layer}, value=value) for layer, value in self.senders.items()]


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Stack:
    return Stack(monkeypatch)


def test_what_comes_next_follows_what_is_deployed(stack: Stack) -> None:
    assert plan((1,), finish=False) == Plan(deployed=(1,), wanted=(2, 1), written=False)
    assert plan((1,), finish=True) == Plan(deployed=(1,), wanted=(1,), written=False)
    stack.settings["gateway"]["password_generations"] = [2, 1]
    assert plan((1,), finish=False) == Plan(deployed=(1,), wanted=(2, 1), written=True)
    assert plan((2, 1), finish=False) == Plan(deployed=(2, 1), wanted=(2, 1), written=False)
    assert plan((2, 1), finish=True) == Plan(deployed=(2, 1), wanted=(2,), written=False)
    stack.settings["gateway"]["password_generations"] = [2]
    assert plan((2, 1), finish=True) == Plan(deployed=(2, 1), wanted=(2,), written=True)


def test_a_file_that_was_left_half_written_is_written_anew(stack: Stack) -> None:
    stack.settings["gateway"]["password_generations"] = [1, 1]
    assert plan((1,), finish=False) == Plan(deployed=(1,), wanted=(2, 1), written=False)


@pytest.mark.parametrize(
    ("written", "deployed", "finish", "allowed"),
    [([2], (1,), False, "[1] or [2, 1]"), ([3, 2], (2, 1), True, "[2, 1] or [2]"), ([1], (2, 1), False, "[2, 1]")],
)
def test_generations_that_do_not_follow_are_one_line(
    stack: Stack, written: list[int], deployed: tuple[int, ...], finish: bool, allowed: str
) -> None:
    stack.settings["gateway"]["password_generations"] = written
    with pytest.raises(OpsError) as caught:
        plan(deployed, finish=finish)
    assert str(caught.value) == (
        f"{KEY} is {written}, and {list(deployed)} is deployed: allowed is {allowed}; correct it"
    )


@pytest.mark.parametrize("wrong", [[], [0], [True], ["2"], None, 1, [3, 2, 1]])
def test_generations_that_are_none_are_one_line(stack: Stack, wrong: object) -> None:
    stack.settings["gateway"]["password_generations"] = wrong
    with pytest.raises(OpsError, match=r"allowed is one whole number from 1 on, or two with the newer one first"):
        plan((1,), finish=False)


def test_passwords_of_another_stack_are_rotated_there(stack: Stack) -> None:
    stack.settings["regions"]["credentials"] = "prod"
    with pytest.raises(
        OpsError, match=rf"^the passwords are those of the stack prod: rotate there, write the same {KEY}"
    ):
        plan((1,), finish=False)


def test_a_stack_file_without_a_gateway_is_one_line(stack: Stack) -> None:
    del stack.settings["gateway"]
    with pytest.raises(OpsError, match=r"has no settings\.gateway: run `ops config check`"):
        plan((1,), finish=False)


def test_new_passwords_are_made_told_of_and_ended(stack: Stack) -> None:
    begun = stack.run("--yes")
    assert begun.exit_code == 0, begun.output
    assert begun.stdout == (
        f"2 layers have a new password, and that of before is taken too; commit {KEY} in the stack's file. Clients get "
        "theirs by `ops connect --layer NAME`; then `ops gateway rotate-passwords --finish`\n"
    )
    assert stack.deployed == (2, 1)
    assert stack.run().stdout == "sent with a password of before, within 3600 s: device (3 requests)\n"
    late = stack.run("--finish", "--yes", "--quiet", "90")
    assert isinstance(late.exception, OpsError)
    assert str(late.exception).startswith(
        "still sent with a password of before, within 90 s: device (3 requests); give"
    )
    assert all("90s" in query for query in stack.queries[-2:])
    assert stack.deployed == (2, 1)
    stack.senders = {}
    assert stack.run().stdout.startswith("nobody has sent with a password of before for 3600 s: ")
    ended = stack.run("--finish", "--yes")
    assert ended.stdout == f"2 passwords of before are refused by the gateways; commit {KEY} in the stack's file\n"
    assert stack.deployed == (2,)
    assert stack.run("--finish", "--yes").stdout == "one password of each user is taken: nothing to end\n"


def test_they_can_be_ended_for_who_still_sends(stack: Stack) -> None:
    assert stack.run("--yes").exit_code == 0
    assert stack.run("--finish", "--anyway", "--yes").exit_code == 0
    assert stack.deployed == (2,)


def test_not_to_know_who_sends_is_no_reason_to_end_them(stack: Stack) -> None:
    assert stack.run("--yes").exit_code == 0
    stack.watched, stack.senders = False, {}
    late = stack.run("--finish", "--yes")
    assert str(late.exception).startswith("requests with a former password have not been counted for 86400 s yet")
    assert stack.deployed == (2, 1)


def test_an_update_that_was_interrupted_goes_on(stack: Stack) -> None:
    stack.broken = 1
    assert str(stack.run("--yes").exception) == "`pulumi up` failed: a pod did not get ready"
    assert stack.settings["gateway"]["password_generations"] == [2, 1]
    assert stack.run("--yes").exit_code == 0
    assert stack.deployed == (2, 1)


def test_gateways_that_do_not_take_a_password_are_named(stack: Stack) -> None:
    stack.taken = {1}
    assert str(stack.run("--yes").exception) == (
        "not every gateway takes a new password: device: UNAUTHENTICATED; data: UNAUTHENTICATED"
    )
    stack.taken, stack.senders = {1, 2}, {}
    assert str(stack.run("--finish", "--yes").exception) == (
        "a password of before is not refused by every gateway: device: OK; data: OK"
    )


def test_nothing_is_changed_unless_somebody_says_yes(stack: Stack) -> None:
    assert str(stack.run().exception) == "nobody can be asked here: give --yes"
    assert stack.settings["gateway"]["password_generations"] == [1]
