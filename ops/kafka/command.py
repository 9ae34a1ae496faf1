"""``ops kafka``: partitions move so that brokers carry alike; clients get new logins, by generations in the stack's
file (ADR 0062), the administrator the password that the stack's outputs have (docs/secrets.md).

Clients take two updates: the first one makes the new logins with their rights and lets each client change over, the
second one ends those of before, once every client has. Between them both are good, so nobody is refused; a rotation
that was interrupted goes on with the next call.

Brokers learn the administrator's first password when they format an empty volume; from then on it is in Kafka's own
metadata. Who only has a new one cannot sign in to change it. So Kafka's own tool does it inside a broker's pod, with
the certificate by which brokers know each other: no key leaves the cluster, and no file is written.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer
from confluent_kafka import KafkaError, KafkaException
from rich.console import Console

from components import java
from components.kafka.config import BROKERS, CONFIG_DIRECTORY, INTERNAL_PORT
from components.naming import size_of, size_text
from ops import config
from ops.config import Generations
from ops.core import jobs, pulumi
from ops.core import platform as platform_module
from ops.core.errors import OpsError, one_line
from ops.core.kafka import ADMIN, TIMEOUT_SECONDS, KafkaAdmin, client_settings, errors
from ops.core.kube import Kube, wait_until
from ops.core.platform import Login, Platform
from ops.core.terminal import Table, clock, confirm, heard, say
from ops.kafka.plan import Layout, Move
from ops.kafka.rebalance import AT_ONCE, Cluster, Wish, look
from ops.kafka.rebalance import rebalance as move_partitions

_ASK_S: Final = 10.0
_ONE_TRY_S: Final = 1.0
_LOGIN: Final = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED})


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a broker says to a login.

    Attributes:
        address: Its ``host:port``.
        problem: Why the login is not signed in; empty: is.
        refused: The broker answers, and does not take user and password.
    """

    address: str
    problem: str = ""
    refused: bool = False


def sign_in_everywhere(platform: Platform, login: Login) -> tuple[Answer, ...]:
    """What each broker says to a login, at its external address."""
    return tuple(sign_in(platform, login, address) for address in platform.kafka_bootstrap.split(","))


def sign_in(platform: Platform, login: Login, address: str) -> Answer:
    """What the broker at an address says to a login; one that does not answer is asked again for ten seconds."""
    said: list[KafkaError] = []
    settings: dict[str, Any] = {
        **client_settings(platform, login),
        "bootstrap.servers": address,
        "error_cb": said.append,
        # Brokers count refusals, and tell of many (KafkaLoginsFail).
        "reconnect.backoff.ms": 1000,
    }
    client = ADMIN.AdminClient(settings)
    deadline = time.monotonic() + _ASK_S
    while True:
        try:
            client.list_topics(timeout=_ONE_TRY_S)
        except KafkaException as error:
            # What went wrong before is told by a callback, which this serves.
            client.poll(0.1)
            login_error = next((reported for reported in said if reported.code() in _LOGIN), None)
            if login_error is not None:
                return Answer(address=address, problem=one_line(login_error.str()), refused=True)
            if time.monotonic() > deadline:
                return Answer(address=address, problem=one_line((said[-1] if said else error.args[0]).str()))
        else:
            return Answer(address=address)


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
    written = config.check(KEY, config.written(config.settings(stack), *_PLACE), deployed, steps[0])
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


CONTAINER: Final = BROKERS
"""Container of a broker's server, in a pod of the workload of the same name."""
TOOL_S: Final = 120.0
"""Longest run of Kafka's tool, whose own limits are 40 s: a busy broker has little for it to start with."""
LIMIT_S: Final = 60.0
"""Longest time until every broker that answers has read the new password."""
_SCRIPT: Final = f"""\
set -euo pipefail
IFS= read -r password
access=$(<{CONFIG_DIRECTORY}/probe-client.properties)
if ! said=$(java -Xmx96m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \\
  -Dlog4j2.configurationFile={CONFIG_DIRECTORY}/log4j2-probe.yaml @{java.ARGUMENTS} \\
  kafka.admin.ConfigCommand --bootstrap-server localhost:{INTERNAL_PORT} \\
  --command-config <(printf '%s\\n' "$access" default.api.timeout.ms=40000 request.timeout.ms=20000) \\
  --alter --entity-type users --entity-name "$1" \\
  --add-config-file <(printf 'SCRAM-SHA-512=password=%s\\n' "$password") 2>&1); then
  printf '%s\\n' "${{said%%$'\\n\\tat '*}}" >&2
  exit 1
fi
"""
"""Bash: sets the password of the user in ``$1`` to the line of standard input; of an error, no Java stack."""

RunInBroker = Callable[[Sequence[str], str], object]
"""Runs a command with a text as its standard input in a broker's container; raises `OpsError` where it fails."""


def administrator_answers(platform: Platform) -> tuple[Answer, ...]:
    """What each broker says at its external address.

    Raises:
        OpsError: None of them answers.
    """
    told = sign_in_everywhere(platform, platform.kafka_admin)
    if all(answer.problem and not answer.refused for answer in told):
        raise OpsError(f"no broker answers, nothing was changed; {told[0].address}: {told[0].problem}")
    return told


def refusing(told: Sequence[Answer]) -> list[str]:
    """Addresses of the brokers that refuse the administrator."""
    return [answer.address for answer in told if answer.refused]


def silent(told: Sequence[Answer]) -> list[str]:
    """Addresses of the brokers that do not answer; they read the password when they are back."""
    return [answer.address for answer in told if answer.problem and not answer.refused]


def change(platform: Platform, run: RunInBroker, limit_s: float = LIMIT_S) -> tuple[Answer, ...]:
    """Set the password in Kafka to that of the outputs, and wait until every broker that answers takes it.

    Args:
        platform: The stack's outputs.
        run: Reaches into a broker.
        limit_s: How long brokers may take to read the change, in seconds.

    Returns:
        What the brokers say then.

    Raises:
        OpsError: The password has characters that Kafka's files cannot carry, the broker does not do it, or brokers
            still refuse it after the limit.
    """
    user, password = platform.kafka_admin.pair
    if not (password.isascii() and password.isalnum()):
        raise OpsError("the password of the output `kafka_admin` has more than letters and digits: replace it")
    say("a broker sets the password, with its own certificate")
    try:
        run(["bash", "-c", _SCRIPT, "bash", user], f"{password}\n")
    except OpsError as error:
        reason = str(error).replace(password, "...")
        raise OpsError(f"Kafka has not confirmed the password, call again, which looks first: {reason}") from None
    last: list[tuple[Answer, ...]] = []

    def taken() -> bool:
        last.append(administrator_answers(platform))
        return not refusing(last[-1])

    wait_until(taken, limit_s, "brokers that take the new password")
    return last[-1]


kafka_app = typer.Typer(help="Kafka: which brokers have what, moving it; logins and passwords.", no_args_is_help=True)

_FILE_WIDTH = 160
_HOUR_S = 3600.0
_MOST_S = 14 * 24 * _HOUR_S


@kafka_app.command()
def rebalance(
    drain: Annotated[
        list[int] | None, typer.Option("--drain", metavar="BROKER", help="Leave nothing on it; may be repeated.")
    ] = None,
    throttle: Annotated[
        str, typer.Option("--throttle", metavar="SIZE", help="Bytes a second that moves may take of each broker.")
    ] = "50Mi",
    limit_s: Annotated[
        float, typer.Option("--limit", min=1, max=_MOST_S, help="Seconds to follow the moves; they go on after it.")
    ] = 12 * _HOUR_S,
    at_once: Annotated[
        int, typer.Option("--at-once", min=1, max=1000, help="Partitions on their way at a time.")
    ] = AT_ONCE,
    only_plan: Annotated[bool, typer.Option("--plan", help="Only show what would move.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    stack: Annotated[str, typer.Option("--stack", help="Stack; default: the selected one.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan for machines, and change nothing.")] = False,
) -> None:
    """Move as few copies as possible so that brokers carry alike. Repeated, it goes on with what is on its way."""
    leaving, rate = tuple(drain or ()), _rate(throttle)
    with Cluster(KafkaAdmin(platform_module.load(stack=stack))) as cluster:
        ongoing = cluster.ongoing()
        layout, moves = (None, ()) if ongoing else look(cluster, leaving)
        if as_json:
            typer.echo(json.dumps({"ongoing": len(ongoing), "moves": [_as_json(move) for move in moves]}, indent=2))
            return
        if layout is None:
            typer.echo(f"{len(ongoing)} partitions are being moved already; the plan follows when they are there")
        else:
            _print(layout, moves, rate)
        if only_plan:
            return
        if not moves and not ongoing and not cluster.throttled():
            typer.echo("nothing to do")
            return
        confirm(yes, "Move?", "--yes, or --plan to see what would move")
        wish = Wish(drain=leaving, bytes_per_s=rate, limit_s=limit_s, at_once=at_once)
        with heard(lambda line: typer.echo(line, err=True)):
            moved = move_partitions(cluster, wish)
        typer.echo(f"{len(moved)} partitions are where they should be, whole, and no throttle is left")
        for broker in leaving:
            typer.echo(f"broker {broker} has nothing: it may go")


@kafka_app.command("admin-password")
def admin_password(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    stack: Annotated[str, typer.Option("--stack", help="Stack; default: the selected one.")] = "",
) -> None:
    """Give Kafka the administrator's password of the stack's outputs, after Pulumi has replaced it."""
    platform = platform_module.load(stack=stack)
    told = administrator_answers(platform)
    if not refusing(told):
        typer.echo("Kafka takes the password of the outputs already: nothing to do")
        _tell_silent(told)
        return
    kube = Kube.of(platform)
    try:
        confirm(yes, "Kafka refuses the password of the outputs. Set it? The one of before ends.")
        pod = kube.ready_pod(BROKERS).name

        def run(command: Sequence[str], given: str) -> str:
            return jobs.run_in_pod(kube, pod, CONTAINER, command, given=given, seconds=TOOL_S)

        with heard(lambda line: typer.echo(line, err=True)):
            told = change(platform, run)
    finally:
        kube.close()
    typer.echo(
        "Kafka takes the password of the outputs, and the one of before no more; connections that are open go on"
    )
    _tell_silent(told)


@kafka_app.command("rotate-logins")
def rotate_logins(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    stack: Annotated[str, typer.Option("--stack", help="Stack; default: the selected one.")] = "",
) -> None:
    """Give every client of Kafka a new login, then end those of before. Repeated after an error, it goes on."""
    platform = platform_module.load(stack=stack)
    chosen = plan(platform, stack)
    already = ", which the stack's file has already" if chosen.written else ""
    steps = ", then ".join(str(list(step)) for step in chosen.steps)
    typer.echo(f"logins of Kafka's clients: generations {list(chosen.deployed)} now, {steps} next{already}")
    confirm(yes, "Bring the stack up with them?")
    with heard(lambda line: typer.echo(line, err=True)):
        done = rotate(platform, chosen, stack)
    typer.echo(
        f"{done.taken} logins are taken by every broker, {len(done.removed)} of before are gone; commit "
        f"{KEY} in the stack's file"
    )


def _tell_silent(told: Sequence[Answer]) -> None:
    if addresses := silent(told):
        typer.echo(f"no answer, so not tried: {', '.join(addresses)}", err=True)


def _rate(text: str) -> int:
    try:
        rate = size_of(text)
    except ValueError:
        raise OpsError(f"--throttle is {text}: allowed is a size such as 5Mi, 50Mi or 1Gi; correct it") from None
    if rate <= 0:
        raise OpsError(f"--throttle is {text}: allowed is more than nothing; correct it")
    return rate


def _print(layout: Layout, moves: Sequence[Move], rate: int) -> None:
    after = dict(layout.replicas) | {move.partition: move.after for move in moves}
    table = Table("broker", "rack", "copies", "after", "leads", "after", "gets")
    for broker in sorted({*layout.racks, *(broker for replicas in layout.replicas.values() for broker in replicas)}):
        table.add_row(
            str(broker),
            layout.racks.get(broker, "not there") or "-",
            str(len(layout.on(broker))),
            str(sum(broker in replicas for replicas in after.values())),
            str(sum(replicas[0] == broker for replicas in layout.replicas.values())),
            str(sum(replicas[0] == broker for replicas in after.values())),
            size_text(sum(move.size for move in moves if broker in move.adding)),
        )
    console = Console()
    console = console if console.is_terminal else Console(width=_FILE_WIDTH)
    console.print(table)
    for move in moves:
        if move.adding:
            topic, number = move.partition
            typer.echo(f"{topic}/{number}: {_listed(move.before)} to {_listed(move.after)}, {size_text(move.bytes)}")
    copied = sum(move.bytes for move in moves)
    gets = max((sum(move.size for move in moves if broker in move.adding) for broker in layout.racks), default=0)
    typer.echo(
        f"{sum(len(move.adding) for move in moves)} copies move ({size_text(copied)}, at least {clock(gets / rate)}); "
        f"{sum(not move.adding for move in moves)} partitions only change their leader"
    )


def _as_json(move: Move) -> dict[str, object]:
    topic, number = move.partition
    return {
        "topic": topic,
        "partition": number,
        "before": list(move.before),
        "after": list(move.after),
        "bytes": move.bytes,
    }


def _listed(brokers: Sequence[int]) -> str:
    return ",".join(map(str, brokers))
