"""Gives every client of Kafka in this region a new login, by generations in the stack's file (ADR 0062).

It takes two updates: the first one makes the new logins with their rights and lets each client change over, the second
one ends those of before, once every client has. Between them both are good, so nobody is refused; a rotation that was
interrupted goes on with the next call.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from ops.config import generations
from ops.config.generations import Generations
from ops.core import platform as platform_module
from ops.core import pulumi
from ops.core.errors import OpsError
from ops.core.kafka import TIMEOUT_SECONDS, KafkaAdmin, errors
from ops.core.kube import Kube, wait_until
from ops.core.platform import Login, Platform
from ops.core.terminal import say
from ops.kafka.sign_in import Answer, sign_in_everywhere

_PLACE: Final = ("kafka", "login_generations")
KEY: Final = ".".join(("settings", *_PLACE))
GONE_S: Final = 30.0
"""Until brokers no longer list logins that Pulumi has removed."""
_STEP: Final = {2: "pulumi up: new logins, those of before stay", 1: "pulumi up: the logins of before end"}
"""Generations of an update -> what is told of it."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which generations the logins get.

    Attributes:
        deployed: Those that the stack's outputs have.
        steps: Those of each update to come.
        written: Whether the stack's file has the first of them already: an update was interrupted, or is still to come.
    """

    deployed: Generations
    steps: tuple[Generations, ...]
    written: bool


@dataclass(frozen=True, kw_only=True)
class Rotated:
    """What became of it.

    Attributes:
        taken: Logins that were signed in with, at every broker.
        removed: User names that brokers no longer know.
    """

    taken: int
    removed: tuple[str, ...]


def plan(platform: Platform, stack: str = "") -> Plan:
    """Compare the stack's file with what is deployed.

    Raises:
        OpsError: The file cannot be read, or has generations that do not follow the deployed ones.
    """
    deployed = platform.kafka_login_generations
    newest, *former = deployed
    steps: tuple[Generations, ...] = ((newest,),) if former else ((newest + 1, newest), (newest + 1,))
    written = generations.check(KEY, generations.written(generations.settings(stack), *_PLACE), deployed, steps[0])
    return Plan(deployed=deployed, steps=steps, written=written)


def rotate(platform: Platform, chosen: Plan, stack: str = "") -> Rotated:
    """Write generations into the stack's file, bring the stack up and wait for the clients; then ask the brokers.

    Args:
        platform: The outputs of before.
        chosen: As `plan` made it.
        stack: Its name; empty: the selected one.

    Raises:
        OpsError: Pulumi fails, clients do not roll, a broker refuses a new login or does not answer, or old ones are
            still there.
    """
    before = {login.username for login in platform.kafka_users.values()} | {*platform.kafka_former_logins}
    after, written = platform, chosen.written
    for step in chosen.steps:
        if not written:
            pulumi.set_generations(_PLACE, step, stack)
        written = False
        say(_STEP[len(step)])
        pulumi.up(stack, preview=True)
        after = platform_module.load(stack=stack)
        say("every client rolls")
        with closing(Kube.of(after)) as kube:
            kube.wait_all_rolled()
    removed = tuple(sorted(before - {login.username for login in after.kafka_users.values()}))
    say("the brokers are asked")
    _gone(after, removed)
    return Rotated(taken=_taken(after), removed=removed)


def answers(platform: Platform, logins: Mapping[str, Login]) -> dict[str, tuple[Answer, ...]]:
    """User name -> what each broker says to it."""
    return {login.username: sign_in_everywhere(platform, login) for login in logins.values()}


def _gone(platform: Platform, removed: tuple[str, ...]) -> None:
    kafka = KafkaAdmin(platform)
    left: list[str] = []

    def gone() -> bool:
        with errors("Kafka does not list its users"):
            users = kafka.client.describe_user_scram_credentials(None).result(timeout=TIMEOUT_SECONDS)
        left[:] = [name for name in removed if name in users]
        return not left

    try:
        wait_until(gone, GONE_S, "brokers that no longer know the logins of before")
    except OpsError as error:
        raise OpsError(f"{error}: {', '.join(left)}") from None
    finally:
        kafka.close()


def _taken(platform: Platform) -> int:
    told = answers(platform, platform.kafka_users)
    wrong = [
        f"{user} at {answer.address}: {answer.problem}"
        for user, said in told.items()
        for answer in said
        if answer.problem
    ]
    if wrong:
        raise OpsError(f"not every broker takes every login: {', '.join(wrong)}")
    return len(told)
