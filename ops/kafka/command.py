"""``ops kafka``: partitions move so that brokers carry alike; clients get new logins, the administrator a password."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console

from components.kafka.config import BROKERS
from components.naming import size_of, size_text
from ops.core import jobs
from ops.core import platform as platform_module
from ops.core.errors import OpsError
from ops.core.kafka import KafkaAdmin
from ops.core.kube import Kube
from ops.core.terminal import Table, clock, confirm, heard
from ops.kafka import logins
from ops.kafka.logins import Answer
from ops.kafka.plan import Layout, Move
from ops.kafka.rebalance import AT_ONCE, Cluster, Wish, look
from ops.kafka.rebalance import rebalance as move_partitions

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
    told = logins.administrator_answers(platform)
    if not logins.refusing(told):
        typer.echo("Kafka takes the password of the outputs already: nothing to do")
        _tell_silent(told)
        return
    kube = Kube.of(platform)
    try:
        confirm(yes, "Kafka refuses the password of the outputs. Set it? The one of before ends.")
        pod = kube.ready_pod(BROKERS).name

        def run(command: Sequence[str], given: str) -> str:
            return jobs.run_in_pod(kube, pod, logins.CONTAINER, command, given=given, seconds=logins.TOOL_S)

        with heard(lambda line: typer.echo(line, err=True)):
            told = logins.change(platform, run)
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
    chosen = logins.plan(platform, stack)
    already = ", which the stack's file has already" if chosen.written else ""
    steps = ", then ".join(str(list(step)) for step in chosen.steps)
    typer.echo(f"logins of Kafka's clients: generations {list(chosen.deployed)} now, {steps} next{already}")
    confirm(yes, "Bring the stack up with them?")
    with heard(lambda line: typer.echo(line, err=True)):
        done = logins.rotate(platform, chosen, stack)
    typer.echo(
        f"{done.taken} logins are taken by every broker, {len(done.removed)} of before are gone; commit "
        f"{logins.KEY} in the stack's file"
    )


def _tell_silent(told: Sequence[Answer]) -> None:
    if addresses := logins.silent(told):
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
