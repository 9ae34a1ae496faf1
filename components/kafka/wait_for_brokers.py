"""Waits until the brokers answer, before anything is made on them (requirements K1, K2).

The Kafka provider connects once in a run: a connection that is refused then makes every topic, user and permission of
that run fail. A StatefulSet that is ready is not enough, since the provider comes through load balancers from outside.
So the program asks each broker itself, at its external address and as the administrator, right before the first
resource is created or changed; a run that changes nothing in Kafka asks nobody.

The brokers are asked by this module run as a program: a crash of the Kafka client then ends one attempt and not the
update. What it needs comes through standard input, since command lines can be read by every user of a machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

import pulumi
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from components.contracts import Credential

LIMIT_S: Final = 300.0
"""How long brokers may take until they answer: a cloud's load balancer takes minutes."""
_LOGIN_LIMIT_S: Final = 60.0
"""How long they may refuse the administrator: a broker that just started has not read its users yet."""
_ASK_S: Final = 5.0
_PAUSE_S: Final = 1.0
_TELL_S: Final = 20.0
_LOGIN: Final = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError._SSL})


class BrokersUnavailableError(Exception):
    """One line for the user. It has no traceback: the engine would print it behind the line."""

    @property
    def __traceback__(self) -> None:  # type: ignore[override]
        """Nothing."""


@dataclass(eq=False)
class Brokers:
    """The brokers as the provider reaches them.

    Attributes:
        name: Name of the hooks; unique in the program.
        bootstrap: ``host:port`` of every broker's external listener.
        admin: The administrator.
        authority: PEM of the authority behind the brokers' certificates.
        limit_s: How long to wait for them, in seconds.
    """

    name: str
    bootstrap: Sequence[str]
    admin: Credential
    authority: pulumi.Input[str]
    limit_s: float = LIMIT_S
    _waits: dict[int, asyncio.Task[None]] = field(default_factory=dict, init=False)
    _hooks: dict[int, pulumi.ResourceHook] = field(default_factory=dict, init=False)

    def hooks(self, *, all_for_create: bool) -> pulumi.ResourceHookBinding | None:
        """What a resource on the brokers waits for; nothing in a preview, which makes nothing.

        Args:
            all_for_create: Whether every broker must be there to create it, as for a topic with copies on them; else,
                and for changes, one that answers is enough.
        """
        if pulumi.runtime.is_dry_run():
            return None
        every = len(self.bootstrap) if all_for_create else 1
        return pulumi.ResourceHookBinding(before_create=[self._hook(every)], before_update=[self._hook(1)])

    def _hook(self, need: int) -> pulumi.ResourceHook:
        async def wait(_: pulumi.ResourceHookArgs) -> None:
            # Many resources ask at once; the brokers are asked once.
            if need not in self._waits:
                self._waits[need] = asyncio.ensure_future(self._wait(need))
            await asyncio.shield(self._waits[need])

        if need not in self._hooks:
            self._hooks[need] = pulumi.ResourceHook(f"{self.name}-{need}", wait)
        return self._hooks[need]

    async def _wait(self, need: int) -> None:
        values = await pulumi.Output.all(self.authority, self.admin.username, self.admin.password).future()
        authority, username, password = values or ["", "", ""]
        request = {
            "bootstrap": list(self.bootstrap),
            "authority": authority,
            "username": username,
            "password": password,
            "need": need,
            "limit_s": self.limit_s,
        }
        loop = asyncio.get_running_loop()
        # A thread of its own: the loop's pool may be full of resources that wait for this very answer.
        with ThreadPoolExecutor(1) as own:
            problem = await loop.run_in_executor(
                own, _ask_apart, json.dumps(request), lambda line: loop.call_soon_threadsafe(pulumi.log.info, line)
            )
        if problem:
            raise BrokersUnavailableError(problem)


def _ask_apart(request: str, tell: Callable[[str], object]) -> str:
    """Ask in a process of its own; what is wrong, or nothing.

    Args:
        request: Arguments of `wait`, as JSON.
        tell: Told each line of progress.
    """
    with subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(request)
        child.stdin.close()
        last = ""
        for line in child.stdout:
            last = line.strip()
            if last.startswith("waiting"):
                tell(f"Kafka: {last}")
        code = child.wait()
    if code == 0:
        return ""
    return f"Kafka: {last}" if code == 1 and last else f"Kafka: the client that asks the brokers ended with {code}"


def wait(
    bootstrap: Sequence[str], settings: dict[str, Any], need: int, limit_s: float, alive: Callable[[], bool]
) -> str:
    """Wait until enough brokers answer.

    Args:
        bootstrap: ``host:port`` of each broker.
        settings: librdkafka's settings of the administrator's connection.
        need: Brokers that must answer, each at its own address, and know of so many.
        limit_s: How long to wait, in seconds.
        alive: Whether somebody still wants to know.

    Returns:
        What is wrong in the end, or nothing.
    """
    began = told = time.monotonic()
    refused_since: float | None = None
    while True:
        attempt_start = time.monotonic()
        answers = [(address, *_ask(address, settings, need)) for address in bootstrap]
        wrong = [(address, reason, login) for address, reason, login in answers if reason]
        if len(answers) - len(wrong) >= need:
            return ""
        now = time.monotonic()
        address, reason, _ = wrong[0]
        refused_since = (refused_since or attempt_start) if all(login for *_, login in wrong) else None
        if refused_since is not None and now - refused_since > min(_LOGIN_LIMIT_S, limit_s):
            return (
                f"{address} refuses the administrator since {now - refused_since:.0f} s ({reason}): check that its "
                "password and the authority are those that the brokers know (docs/secrets.md)"
            )
        if now - began > limit_s or not alive():
            return (
                f"{address} does not answer as it must ({reason}), waited {now - began:.0f} s: see that the brokers "
                "run and that this address can be reached from here, then run the update again"
            )
        if now - told > _TELL_S:
            told = now
            left = limit_s - (now - began)
            print(f"waiting for {address}, at most {left:.0f} s more: {reason}", flush=True)
        time.sleep(_PAUSE_S)


def _ask(address: str, settings: dict[str, Any], need: int) -> tuple[str, bool]:
    """Ask one broker who is there: what is wrong, and whether it is the login."""
    noted: list[KafkaError] = []
    configuration: dict[str, Any] = {**settings, "bootstrap.servers": address, "error_cb": noted.append}
    try:
        client = AdminClient(configuration)
    except KafkaException as error:
        return " ".join(str(error.args[0].str()).split()), False
    try:
        known = len(client.list_topics(timeout=_ASK_S).brokers)
    except KafkaException as error:
        # What went wrong before is told by a callback, which this serves.
        client.poll(0)
        cause = next(
            (reported for reported in noted if reported.code() in _LOGIN), noted[-1] if noted else error.args[0]
        )
        return " ".join(str(cause.str()).split()), cause.code() in _LOGIN
    return ("" if known >= need else f"it knows of {known} of {need} brokers"), False


def main() -> int:
    """Ask as standard input says; the last line of the output is what is wrong. Returns 0 when nothing is, else 1."""
    request = json.load(sys.stdin)
    settings = {
        "client.id": "pulumi-waiting",
        "log_level": 0,
        "security.protocol": "sasl_ssl",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": request["username"],
        "sasl.password": request["password"],
        "ssl.ca.pem": request["authority"],
    }
    parent = os.getppid()
    problem = wait(request["bootstrap"], settings, request["need"], request["limit_s"], lambda: os.getppid() == parent)
    if problem:
        print(problem, flush=True)
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
