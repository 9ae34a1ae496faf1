"""``ops storage grow``: volumes follow the sizes of the stack's settings, without a restart: each claim asks for more,
its capacity follows, then the StatefulSet takes the size for new pods.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Final

import typer
from rich.console import Console

from ops import config
from ops.core import platform as platform_module
from ops.core import pulumi
from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.core.terminal import Table, clock, confirm, heard, say
from ops.storage.claims import Line, Plan, Step, Volumes, Wanted, of_part, plan, refusals, wanted_of

TAKEN_S: Final = 900.0
"""Until the volumes of a StatefulSet have their size. Kubelets look at a running pod's volumes about once a minute."""
ROLLED_S: Final = 120.0
_EVERY_S: Final = 2.0
_TOLD_EVERY_S: Final = 30.0
_PENDING: Final = "FileSystemResizePending"
_FAILED: Final = ("ControllerResizeError", "NodeResizeError")

Follow = Callable[[Sequence[str]], None]
"""Told which StatefulSets were made again, or began to be, so that Pulumi's state follows."""


def look(volumes: Volumes, wanted: Sequence[Wanted]) -> Plan:
    """What growing would do."""
    return plan(wanted, volumes.claims(), volumes.templates(), volumes.expandable())


def grow(kube: Kube, wanted: Sequence[Wanted], follow: Follow, limit_s: float = TAKEN_S) -> None:
    """Grow the volumes, one StatefulSet after the other. Safe to repeat: what is done already is left as it is.

    Args:
        kube: The cluster.
        wanted: Sizes.
        follow: Called once, at the end, also when a later StatefulSet fails.
        limit_s: Until the capacity of one StatefulSet's volumes has followed.

    Raises:
        OpsError: A volume would shrink or cannot grow, before anything is changed; or a capacity does not follow.
    """
    volumes = Volumes(kube)
    plan = look(volumes, wanted)
    if refused := refusals(plan):
        raise OpsError("; ".join(refused))
    again: list[str] = []
    failed = ""
    try:
        for workload in dict.fromkeys(one.workload for one in wanted):
            own = [one for one in wanted if one.workload == workload]
            _ask(volumes, plan.of(workload))
            _await_capacity(volumes, own, limit_s)
            if workload in plan.templates:
                _await_rolled(kube, workload)
                # First: it is made again before `adopt` has waited for its pods.
                again.append(workload)
                volumes.adopt(workload, {one.template: one for one in own})
    except OpsError as error:
        failed = f"{error}; "
        raise
    finally:
        if again:
            try:
                follow(again)
            except OpsError as error:
                raise OpsError(f"{failed}{error}") from None


def _ask(volumes: Volumes, lines: Sequence[Line]) -> None:
    for line in lines:
        if line.step is Step.GROW:
            say(f"{line.claim.name}: {line.claim.requested} to {line.wanted.size}")
            volumes.ask(line.claim.name, line.wanted.size)


def _await_capacity(volumes: Volumes, wanted: Sequence[Wanted], limit_s: float) -> None:
    start = time.monotonic()
    told = start
    while behind := [line for line in look(volumes, wanted).lines if line.step is not Step.NOTHING]:
        now = time.monotonic()
        if now - start >= limit_s:
            raise OpsError(f"after {clock(limit_s)} {'; '.join(map(_reason, behind))}")
        if now - told >= _TOLD_EVERY_S:
            told = now
            say(f"{clock(now - start)}: {', '.join(_progress(line) for line in behind)}")
        time.sleep(_EVERY_S)


def _progress(line: Line) -> str:
    return f"{line.claim.name} has {line.claim.capacity or 'nothing'} of {line.wanted.size}"


def _reason(line: Line) -> str:
    """Why a capacity does not follow, and who can do something about it."""
    claim = line.claim
    for name in _FAILED:
        if name in claim.conditions:
            return f"{claim.name} did not grow: {claim.conditions[name]}"
    if _PENDING in claim.conditions:
        pod = claim.name.removeprefix(f"{line.wanted.template}-")
        return (
            f"{claim.name} is larger, its file system is not: this driver grows it when the pod starts: once every "
            f"other pod is ready, `kubectl delete pod {pod}`, then repeat"
        )
    return f"{claim.name} has {claim.capacity or 'no volume'}: see `kubectl describe pvc {claim.name}`, then repeat"


def _await_rolled(kube: Kube, workload: str) -> None:
    """A StatefulSet that is being rolled, or has a pod that is not ready, is not touched."""
    deadline = time.monotonic() + ROLLED_S
    while not kube.rolled(workload):
        if time.monotonic() >= deadline:
            raise OpsError(
                f"the volumes of {workload} have grown; new pods do not get the size yet, since {workload} is being "
                "rolled or a pod of it is not ready: repeat when they are"
            )
        time.sleep(_EVERY_S)


storage_app = typer.Typer(help="Volumes: how large they are, and growing them.", no_args_is_help=True)

_FILE_WIDTH = 160
_INSTEAD = "--yes, or --dry-run to see what would be done"
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
            confirm(yes, "Volumes never shrink again. Go on?", _INSTEAD)
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
    from ops.config import problems
    from ops.preflight.demand import rendered

    configuration = config.of_stack(stack)
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
