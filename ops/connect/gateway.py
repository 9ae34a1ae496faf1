"""``ops gateway``: new passwords for layers and node agents while the gateway takes those of before, too (ADR 63).

Clients of the layers are others' programs, so it takes two updates, and as long as they need between them: the first
one lets the gateways take both passwords, the second one ends those of before, once nobody has sent with one for a
while.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Annotated, Final

import typer
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from ops import config
from ops.config import Generations
from ops.core import platform as platform_module
from ops.core import pulumi, web
from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.core.otlp import OtlpClient
from ops.core.platform import Login, Platform
from ops.core.terminal import confirm, heard, say
from ops.core.web import Query

_PLACE: Final = ("gateway", "password_generations")
KEY: Final = ".".join(("settings", *_PLACE))
ASKED: Final = 4
"""Connections with each password: each goes to one of the gateways."""
REFUSED: Final = "UNAUTHENTICATED"
_FORMER: Final = 'otelcol_login_former_password_requests_total{job=~"gateway|otel-agent"}'
_TAKEN: Final = "OK"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the passwords become.

    Attributes:
        deployed: Generations that the gateways take now.
        wanted: Those to come; the same where nothing is to be done.
        written: Whether the stack's file has them already: an update was interrupted, or is still to come.
    """

    deployed: Generations
    wanted: Generations
    written: bool


def plan(deployed: Generations, *, finish: bool, stack: str = "") -> Plan:
    """Compare the stack's file with what is deployed.

    Args:
        deployed: As the outputs have them.
        finish: End the passwords of before; otherwise begin to hand out new ones.
        stack: Its name; empty: the selected one.

    Raises:
        OpsError: The file cannot be read, has generations that do not follow those that are deployed, or takes its
            passwords from another stack.
    """
    newest = deployed[0]
    wanted = (newest,) if finish else deployed if len(deployed) > 1 else (newest + 1, newest)
    return Plan(deployed=deployed, wanted=wanted, written=config.check(KEY, _written(stack), deployed, wanted))


def apply(chosen: Plan, stack: str = "") -> None:
    """Write the generations into the stack's file, and bring the stack up with the policy pack.

    Raises:
        OpsError: Pulumi fails.
    """
    if not chosen.written:
        pulumi.set_generations(_PLACE, chosen.wanted, stack)
    pulumi.up(stack, preview=True)


def answers(otlp: OtlpClient, logins: Mapping[str, Login]) -> dict[str, str]:
    """Layer -> what the gateways answer to its password, ``OK`` where all of them take it.

    Where they do not agree, the answers are separated by a comma.
    """
    empty = ExportMetricsServiceRequest()
    return {
        layer: ", ".join(sorted({otlp.grpc_code(empty, login) for _ in range(ASKED)}))
        for layer, login in logins.items()
    }


def unlike(said: Mapping[str, str], expected: str) -> list[str]:
    """Layers whose password is answered otherwise, with the answer."""
    return [f"{layer}: {answer}" for layer, answer in said.items() if answer != expected]


def check_taken(otlp: OtlpClient, logins: Mapping[str, Login], *, former: bool = False) -> None:
    """Ask the gateways.

    Raises:
        OpsError: They do not take a password.
    """
    if wrong := unlike(answers(otlp, logins), _TAKEN):
        which = "a password of before" if former else "a new password"
        raise OpsError(f"not every gateway takes {which}: {'; '.join(wrong)}")


def check_refused(otlp: OtlpClient, logins: Mapping[str, Login]) -> None:
    """Ask the gateways.

    Raises:
        OpsError: They take a password that has ended.
    """
    if wrong := unlike(answers(otlp, logins), REFUSED):
        raise OpsError(f"a password of before is not refused by every gateway: {'; '.join(wrong)}")


def senders(metrics: Query, quiet_s: int) -> dict[str, int]:
    """User -> requests with its former password within the last seconds, of those that sent one.

    Raises:
        OpsError: Prometheus does not answer, or has not counted them for as long.
    """
    if not metrics.number(f"count({_FORMER} offset {quiet_s}s)"):
        raise OpsError(
            f"requests with a former password have not been counted for {quiet_s} s yet: call again later, or give a "
            "smaller --quiet"
        )
    counted = metrics.instant(f"sum by (layer) (increase({_FORMER}[{quiet_s}s])) > 0")
    return {sample.labels.get("layer", ""): max(1, round(sample.value)) for sample in counted}


def _written(stack: str) -> Generations:
    settings = config.settings(stack)
    elsewhere = (settings.get("regions") or {}).get("credentials")
    if elsewhere:
        raise OpsError(
            f"the passwords are those of the stack {elsewhere}: rotate there, write the same {KEY} here, and bring "
            "this stack up before clients get new ones"
        )
    return config.written(settings, *_PLACE)


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
    chosen = plan(platform.otlp_password_generations, finish=finish, stack=stack)
    if finish and chosen.wanted == chosen.deployed:
        typer.echo("one password of each user is taken: nothing to end")
        return
    with connected(platform) as (_, metrics), heard(lambda line: typer.echo(line, err=True)):
        if not finish and chosen.wanted == chosen.deployed:
            _tell(senders(metrics, min(quiet_s, _HOUR_S)), min(quiet_s, _HOUR_S))
            return
        if finish and not anyway:
            late = senders(metrics, quiet_s)
            if late:
                raise OpsError(
                    f"still sent with a password of before, within {quiet_s} s: {_listed(late)}; give them the new one "
                    "(`ops connect --layer NAME`), or --anyway"
                )
        confirm(yes, _QUESTION[finish])
        say("pulumi up")
        apply(chosen, stack)
    after = platform_module.load(stack=stack)
    with closing(Kube.of(after)) as kube, heard(lambda line: typer.echo(line, err=True)):
        say("the gateways roll")
        kube.wait_rolled("gateway")
    with connected(after) as (otlp, _), heard(lambda line: typer.echo(line, err=True)):
        say("the gateways are asked")
        check_taken(otlp, after.otlp_credentials)
        if finish:
            check_refused(otlp, platform.otlp_former_credentials)
        else:
            check_taken(otlp, after.otlp_former_credentials, former=True)
    typer.echo(_DONE[finish].format(count=len(after.otlp_credentials), key=KEY))


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
