"""Gives every client of Kafka in this region a new login, by its generation in the stack's file (ADR 0062).

One update makes the new logins with their rights, lets each client change over, and removes those of before at its
end. Until then both are good, so nobody is refused; an update that was interrupted goes on with the next one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from ops.config.source import of_stack
from ops.core import platform as platform_module
from ops.core import pulumi
from ops.core.errors import OpsError
from ops.core.kafka import TIMEOUT_SECONDS, KafkaAdmin, errors
from ops.core.kube import Kube, wait_until
from ops.core.platform import Login, Platform
from ops.core.steps import say
from ops.kafka.sign_in import Answer, sign_in_everywhere

KEY: Final = "settings.kafka.login_generation"
GONE_S: Final = 30.0
"""Until brokers no longer list logins that Pulumi has removed."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which generation the logins get.

    Attributes:
        deployed: The one that the stack's outputs have.
        generation: The one to come.
        written: Whether the stack's file has it already: an update was interrupted, or is still to come.
    """

    deployed: int
    generation: int
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
        OpsError: The file cannot be read, or has a generation from before the deployed one.
    """
    deployed, written = platform.kafka_login_generation, _written(stack)
    if written < deployed:
        raise OpsError(f"{KEY} is {written}, and {deployed} is deployed: allowed is {deployed} or more; correct it")
    return Plan(deployed=deployed, generation=max(written, deployed + 1), written=written > deployed)


def rotate(platform: Platform, chosen: Plan, stack: str = "") -> Rotated:
    """Write the generation into the stack's file, bring the stack up, and ask the brokers.

    Args:
        platform: The outputs of before.
        chosen: As `plan` made it.
        stack: Its name; empty: the selected one.

    Raises:
        OpsError: Pulumi fails, a broker refuses a new login or does not answer, or old ones are still there.
    """
    if not chosen.written:
        pulumi.set_login_generation(chosen.generation, stack)
    say("pulumi up")
    pulumi.up(stack, preview=True)
    after = platform_module.load(stack=stack)
    kept = {login.username for login in after.kafka_users.values()}
    removed = tuple(sorted({login.username for login in platform.kafka_users.values()} - kept))
    say("the gateways roll")
    with closing(Kube.of(after)) as kube:
        kube.wait_rolled("gateway")
    say("the brokers are asked")
    _gone(after, removed)
    return Rotated(taken=_taken(after), removed=removed)


def answers(platform: Platform, logins: Mapping[str, Login]) -> dict[str, tuple[Answer, ...]]:
    """User name -> what each broker says to it."""
    return {login.username: sign_in_everywhere(platform, login) for login in logins.values()}


def _written(stack: str) -> int:
    values = of_stack(stack).values
    try:
        generation = json.loads(values[pulumi.SETTINGS_KEY])["kafka"].get("login_generation", 1)
    except (KeyError, ValueError, TypeError, AttributeError):
        raise OpsError("the stack's file has no settings.kafka: run `ops config check`") from None
    if not isinstance(generation, int) or isinstance(generation, bool) or generation < 1:
        raise OpsError(f"{KEY} is {generation!r}: allowed is a whole number from 1 on; correct it")
    return generation


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
