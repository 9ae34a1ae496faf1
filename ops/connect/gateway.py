"""``ops gateway``: the passwords with which layers and node agents sign in at the gateway."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Annotated

import typer

from ops.connect import passwords
from ops.core import platform as platform_module
from ops.core import web
from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.core.otlp import OtlpClient
from ops.core.platform import Platform
from ops.core.terminal import heard, say
from ops.core.web import Query

gateway_app = typer.Typer(help="The gateway: passwords of layers and node agents.", no_args_is_help=True)
_HOUR_S = 3600
_DAY_S = 24 * _HOUR_S
_FINISH = "`ops gateway rotate-passwords --finish`"
_QUESTION = {False: "Bring the stack up with new passwords?", True: "End the passwords of before?"}
_DONE = {
    False: "{count} layers have a new password, and that of before is taken too; commit {key} in the stack's file. "
    f"Clients get theirs by `ops connect --layer NAME`; then {_FINISH}",
    True: "{count} passwords of before are refused by the gateways; commit {key} in the stack's file",
}


@gateway_app.callback()
def _group() -> None:
    """Subcommands are named, also while there is one."""


@gateway_app.command("rotate-passwords")
def rotate_passwords(
    finish: Annotated[bool, typer.Option("--finish", help="End the passwords of before.")] = False,
    quiet_s: Annotated[
        int, typer.Option("--quiet", min=60, metavar="SECONDS", help="For so long nobody must have sent with one.")
    ] = _DAY_S,
    anyway: Annotated[bool, typer.Option("--anyway", help="End them for who still sends with one, too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    stack: Annotated[str, typer.Option("--stack", help="Stack; default: the selected one.")] = "",
) -> None:
    """Make new passwords; both are taken until --finish. Repeated: who still sends with one of before."""
    platform = platform_module.load(stack=stack)
    chosen = passwords.plan(platform.otlp_password_generations, finish=finish, stack=stack)
    if finish and chosen.wanted == chosen.deployed:
        typer.echo("one password of each user is taken: nothing to end")
        return
    with connected(platform) as (_, metrics), heard(lambda line: typer.echo(line, err=True)):
        if not finish and chosen.wanted == chosen.deployed:
            _tell(passwords.senders(metrics, min(quiet_s, _HOUR_S)), min(quiet_s, _HOUR_S))
            return
        if finish and not anyway:
            late = passwords.senders(metrics, quiet_s)
            if late:
                raise OpsError(
                    f"still sent with a password of before, within {quiet_s} s: {_listed(late)}; give them the new one "
                    "(`ops connect --layer NAME`), or --anyway"
                )
        _confirm(yes, _QUESTION[finish])
        say("pulumi up")
        passwords.apply(chosen, stack)
    after = platform_module.load(stack=stack)
    with closing(Kube.of(after)) as kube, heard(lambda line: typer.echo(line, err=True)):
        say("the gateways roll")
        kube.wait_rolled("gateway")
    with connected(after) as (otlp, _), heard(lambda line: typer.echo(line, err=True)):
        say("the gateways are asked")
        passwords.check_taken(otlp, after.otlp_credentials)
        if finish:
            passwords.check_refused(otlp, platform.otlp_former_credentials)
        else:
            passwords.check_taken(otlp, after.otlp_former_credentials, former=True)
    typer.echo(_DONE[finish].format(count=len(after.otlp_credentials), key=passwords.KEY))


@contextmanager
def connected(platform: Platform) -> Iterator[tuple[OtlpClient, Query]]:
    """The gateway, and the address at which metrics are read, for as long as the block lasts."""
    with web.connected(platform.ca_certificate) as client:
        metrics = Query(client, lambda: platform.query_url, platform.query_reader.pair, "Thanos Query")
        yield OtlpClient(platform, client), metrics


def _listed(late: dict[str, int]) -> str:
    return ", ".join(f"{user} ({requests} requests)" for user, requests in sorted(late.items()))


def _tell(late: dict[str, int], seconds: int) -> None:
    if late:
        typer.echo(f"sent with a password of before, within {seconds} s: {_listed(late)}")
    else:
        typer.echo(f"nobody has sent with a password of before for {seconds} s: {_FINISH}")


def _confirm(yes: bool, question: str) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise OpsError("nobody can be asked here: give --yes")
    if not typer.confirm(question, err=True):
        raise typer.Exit(1)
