"""``ops storage grow``: volumes follow the sizes of the stack's settings, without a restart."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from functools import partial
from typing import Annotated

import typer
from rich.console import Console

from ops.config import source
from ops.core import platform as platform_module
from ops.core import pulumi
from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.core.terminal import Table, heard
from ops.storage.claims import Plan, Wanted, of_part, refusals, wanted_of
from ops.storage.cluster import Volumes
from ops.storage.grow import TAKEN_S, grow, look

storage_app = typer.Typer(help="Volumes: how large they are, and growing them.", no_args_is_help=True)

_FILE_WIDTH = 160
_MOST_S = 6 * 3600.0


@storage_app.callback()
def _storage() -> None:
    """Keep `grow` a command of its own while it is the only one."""


@storage_app.command("grow")
def grow_(
    part: Annotated[
        str, typer.Option("--part", metavar="NAME", help="A StatefulSet, or the beginning of several; default: all.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    limit_s: Annotated[
        float, typer.Option("--limit", min=1, max=_MOST_S, help="Seconds until a StatefulSet's volumes have grown.")
    ] = TAKEN_S,
    stack: Annotated[str, typer.Option("--stack", help="Stack; default: the selected one.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan for machines, and change nothing.")] = False,
) -> None:
    """Grow volumes to the sizes of the stack file, pods running on. Exit code 1 (dry run): something is refused."""
    wanted = of_part(wanted_by(stack), part)
    kube = Kube.of(platform_module.load(stack=stack))
    try:
        plan = look(Volumes(kube), wanted)
        refused = refusals(plan)
        if as_json:
            typer.echo(json.dumps(_as_json(plan, refused), indent=2))
            raise typer.Exit(int(bool(refused)))
        _print(plan)
        if dry_run:
            for line in refused:
                typer.echo(line, err=True)
            raise typer.Exit(int(bool(refused)))
        if not plan.to_do:
            typer.echo("nothing to do")
            return
        if not refused:
            _confirm(yes)
        with heard(lambda line: typer.echo(line, err=True)):
            grow(kube, wanted, partial(follow, stack=stack), limit_s)
        typer.echo("grown; thresholds and retention that follow from the sizes: pulumi up --policy-pack policy")
    finally:
        kube.close()


def wanted_by(stack: str = "") -> list[Wanted]:
    """What the settings of a stack want, rendered by the program of this checkout.

    Raises:
        OpsError: The configuration is not complete, or the program fails.
    """
    # Here, since the policies, whose model of resources it shares, are slow to load.
    from ops.config.command import problems
    from ops.preflight.render import rendered

    configuration = source.of_stack(stack)
    if wrong := problems(configuration):
        raise OpsError(wrong[0])
    return wanted_of(rendered(configuration))


def follow(workloads: Sequence[str], stack: str = "") -> None:
    """Let Pulumi's state know of StatefulSets that were made again.

    Raises:
        OpsError: Pulumi fails; the message says what to do.
    """
    try:
        pulumi.refresh([f"**kubernetes:apps/v1:StatefulSet::{name}" for name in workloads], stack)
    except OpsError as error:
        raise OpsError(
            f"{', '.join(workloads)} made again, and Pulumi's state does not know it: {error}: run `pulumi refresh` "
            "before the next update, which is refused by the API server otherwise"
        ) from None


def _confirm(yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise OpsError("nobody can be asked here: give --yes, or --dry-run to see what would be done")
    if not typer.confirm("Volumes never shrink again. Go on?", err=True):
        raise typer.Exit(1)


def _print(plan: Plan) -> None:
    table = Table("StatefulSet", "claim", "asks for", "has", "wanted", "storage class", "what happens")
    for line in plan.lines:
        wanted, claim = line.wanted, line.claim
        new = " (new pods too)" if wanted.workload in plan.templates else ""
        table.add_row(
            wanted.workload,
            claim.name,
            claim.requested,
            claim.capacity or "-",
            wanted.size,
            claim.storage_class,
            f"{line.step}{new}",
        )
    console = Console()
    (console if console.is_terminal else Console(width=_FILE_WIDTH)).print(table)


def _as_json(plan: Plan, refused: Sequence[str]) -> dict[str, object]:
    return {
        "claims": [
            {
                "stateful_set": line.wanted.workload,
                "claim": line.claim.name,
                "asks_for": line.claim.requested,
                "has": line.claim.capacity or None,
                "wanted": line.wanted.size,
                "storage_class": line.claim.storage_class,
                "step": line.step.name.lower(),
            }
            for line in plan.lines
        ],
        "templates": list(plan.templates),
        "refused": list(refused),
    }
