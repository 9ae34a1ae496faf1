"""The commands: ``ops regions``, ``ops regions parity``, ``ops failover`` and ``ops failback``.

The status of both regions: which is active, which are alive, what differs, how far the copy is, where names lead.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.alerts.silences import author
from ops.core.errors import OpsError
from ops.core.terminal import confirm
from ops.regions import dns, report, takeover
from ops.regions.journal import Continuation, FailoverContext, Kind, begin, continuation, operations
from ops.regions.region import Region, opened, witness_of
from ops.regions.steps import FAILBACK, FAILOVER, PLANNED, Step, resume_hint, run
from services.regions.witness import Heartbeat, Witness

_T = TypeVar("_T")
_LAG = "obs:mirror_lag:records"
_LATENCY = "max(obs:mirror_latency:seconds)"


@dataclass(frozen=True, kw_only=True)
class Line:
    """A region as its last heartbeat has it.

    Attributes:
        region: Its name.
        heartbeat: The heartbeat, or None if there never was one.
        age_s: Seconds since.
    """

    region: str
    heartbeat: Heartbeat | None
    age_s: float | None

    def as_json(self) -> dict[str, Any]:
        """The line for machines."""
        last = self.heartbeat
        return {
            "region": self.region,
            "age_s": None if self.age_s is None else round(self.age_s, 1),
            "role": last.role if last else None,
            "epoch": last.epoch if last else None,
            "notifies": last.notifies if last else None,
            "isolated": last.isolated if last else None,
            "silences": len(last.silences) if last else None,
        }


@dataclass(frozen=True, kw_only=True)
class Status:
    """How the regions stand; what could not be asked is in ``problems``.

    Attributes:
        holder: Who has the lease; empty if none was ever written: then it is the primary region.
        epoch: Its epoch.
        notify: Whether the holder may notify.
        regions: This region, then the other one.
        differences: Definitions that differ.
        lag: Records that the mirror into this region has to copy; None where there is none.
        latency_s: Age of a record at its arrival, seconds.
        names: Name -> where it leads.
        problems: What could not be asked, or is wrong.
    """

    holder: str
    epoch: int
    notify: bool
    regions: tuple[Line, ...]
    differences: tuple[str, ...]
    lag: float | None
    latency_s: float | None
    names: dict[str, str]
    problems: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The status for machines."""
        return {
            "holder": self.holder or None,
            "epoch": self.epoch,
            "notify": self.notify,
            "regions": [region.as_json() for region in self.regions],
            "differences": list(self.differences),
            "mirror_lag": self.lag,
            "mirror_latency_s": self.latency_s,
            "names": self.names,
            "problems": list(self.problems),
        }


def status(region: Region, witness: Witness) -> Status:
    """Ask everything; what does not answer is told and does not stop the rest."""
    problems: list[str] = []

    def ask(what: Callable[[], _T], otherwise: _T) -> _T:
        try:
            return what()
        except OpsError as error:
            problems.append(str(error))
            return otherwise

    held_lease = ask(lambda: takeover.current(witness), None)
    peer = region.access.peer
    both = (region.name, *((peer.region,) if peer else ()))
    lines = tuple(ask(partial(_line, witness, name), _none(name)) for name in both)
    problems += [
        f"{line.region} gives no sign of life" + ("" if line.age_s is None else f" since {line.age_s:.0f} s")
        for line in lines
        if line.age_s is None or line.age_s > takeover.FRESH_S
    ]
    if sum(bool(line.heartbeat and line.heartbeat.notifies and not _old(line)) for line in lines) > 1:
        problems.append("both regions are active")
    other = lines[-1].heartbeat if peer else None
    different = takeover.differences(region.access.fingerprints, other.fingerprints) if other else []
    mirrored = region.access.mirror is not None
    return Status(
        holder=held_lease[0].holder if held_lease else "",
        epoch=held_lease[0].epoch if held_lease else 0,
        notify=held_lease[0].notify if held_lease else True,
        regions=lines,
        differences=tuple(different),
        lag=ask(lambda: region.metrics.number(_LAG), None) if mirrored else None,
        latency_s=ask(lambda: region.metrics.number(_LATENCY), None) if mirrored else None,
        names=ask(lambda: _names(region), {}),
        problems=tuple(problems),
    )


def differing(region: Region, witness: Witness) -> tuple[list[str], str]:
    """Definitions that differ between this region's stack and the other region, a line each; and the other's name.

    Raises:
        OpsError: There is no other region, or it has never told what it has.
    """
    other = region.peer.region
    last = takeover.heartbeat(witness, other)
    if last is None:
        raise OpsError(f"{other} has never told what it has: is its failover agent there?")
    here, there = region.access.fingerprints, last.fingerprints
    return [
        f"{name}: {region.name} has {_short(here.get(name))}, {other} has {_short(there.get(name))}"
        for name in takeover.differences(here, there)
    ], other


def _short(digest: str | None) -> str:
    return digest[:12] if digest else "none"


def _line(witness: Witness, name: str) -> Line:
    last = takeover.sign_of_life(witness, name)
    return Line(region=name, heartbeat=last.heartbeat if last else None, age_s=last.age_s if last else None)


def _none(name: str) -> Line:
    return Line(region=name, heartbeat=None, age_s=None)


def _old(line: Line) -> bool:
    return line.age_s is None or line.age_s > takeover.FRESH_S


def _names(region: Region) -> dict[str, str]:
    access = region.access
    if access.dns is None:
        return {}
    with dns.zone(access.dns) as zone:
        return {name: str(zone.answer(name) or "nothing") for name in access.dns.names.values()}


FOLDER = Path("failovers")
_INTERRUPTED = 130
_INSTEAD = "--yes, or --dry-run to see what would be done"

regions_app = typer.Typer(
    help="Two regions: how they stand, and what differs between them.", invoke_without_command=True
)

To = Annotated[str, typer.Option("--to", metavar="REGION", help="Region that takes over.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Tell each step and what is in its way; change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print for machines.")]
Folder = Annotated[Path, typer.Option("--folder", metavar="DIR", help="Where the report is written.")]
AcceptBehind = Annotated[
    bool,
    typer.Option("--accept-behind", help="Go on although records are not copied or read yet; the report counts them."),
]
NamesByHand = Annotated[
    bool, typer.Option("--names-by-hand", help="Change no name: people do; the report says where each must lead.")
]
By = Annotated[str | None, typer.Option(help="Who you are; else the user of this machine.")]


@regions_app.callback()
def regions(context: typer.Context, as_json: AsJson = False) -> None:
    """Show how the two regions stand. Exit code 1 when something is wrong."""
    if context.invoked_subcommand is not None:
        return
    with opened() as region, witness_of(region.access) as witness:
        region_status = status(region, witness)
    if as_json:
        typer.echo(json.dumps(region_status.as_json(), indent=2, ensure_ascii=False))
    else:
        _print(region_status)
    raise typer.Exit(int(bool(region_status.problems or region_status.differences)))


@regions_app.command()
def parity(as_json: AsJson = False) -> None:
    """Compare rules, dashboards, topics, permissions, thresholds of both regions. Exit code 1: something differs."""
    with opened() as region, witness_of(region.access) as witness:
        lines, other = differing(region, witness)
        count = len(region.access.fingerprints)
    if as_json:
        typer.echo(json.dumps({"differences": lines}, indent=2))
    else:
        typer.echo("\n".join(lines) if lines else f"{count} definitions are the same in {other}")
    raise typer.Exit(int(bool(lines)))


def failover(
    to: To,
    dry_run: DryRun = False,
    yes: Yes = False,
    planned: Annotated[
        bool, typer.Option("--planned", help="The old region is there and is called: all is copied, it falls silent.")
    ] = False,
    accept_behind: AcceptBehind = False,
    names_by_hand: NamesByHand = False,
    as_json: AsJson = False,
    folder: Folder = FOLDER,
    by: By = None,
) -> None:
    """Let a region take over, with its stack selected. Unless it is planned, the old region is not called.

    Interrupted once it has the lease, and given again, it goes on where it stopped; before that it begins anew.
    """
    with ExitStack() as stack:
        target = stack.enter_context(opened())
        witness = stack.enter_context(witness_of(target.access))
        if target.name != to:
            raise OpsError(f"the selected stack is that of {target.name}: select the stack of {to}, which takes over")
        source = target.peer.region
        resumption = continuation(
            witness, operations(witness, _tell), "failover", target=to, source=source, planned=planned
        )
        if dry_run:
            _dry_run("failover", target, source, witness, resumption, planned, names_by_hand, as_json)
        confirm(yes, f"{to} takes over from {source}{_would(resumption)}. Go on?", _INSTEAD)
        # Before anything is noted: what is planned needs the other region's outputs.
        other = _peer(stack, target) if planned or (resumption.operation and resumption.operation.planned) else None
        journal, _ = begin(witness, "failover", target=to, source=source, planned=planned, by=author(by), tell=_tell)
        steps = PLANNED if journal.operation.planned else FAILOVER
        context = FailoverContext(
            target=target,
            source=source,
            witness=witness,
            journal=journal,
            by="ops failover",
            tell=_tell,
            other=other,
            accept_behind=accept_behind,
            names_by_hand=names_by_hand,
        )
        _run(steps, context, folder, as_json)


def failback(
    to: To,
    dry_run: DryRun = False,
    yes: Yes = False,
    accept_behind: AcceptBehind = False,
    names_by_hand: NamesByHand = False,
    as_json: AsJson = False,
    folder: Folder = FOLDER,
    by: By = None,
) -> None:
    """Let a region that has come back take over again; the stack of one of both is selected.

    It becomes a standby first and gets what it has missed. Interrupted, and given again, it goes on: once the lease is
    taken where it stopped, before that with its checks and everything that it has noted.
    """
    with ExitStack() as stack:
        target, other = _pair(stack, to)
        witness = stack.enter_context(witness_of(other.access))
        resumption = continuation(witness, operations(witness), "failback", target=to, source=other.name, planned=True)
        if dry_run:
            _dry_run("failback", target, other.name, witness, resumption, True, names_by_hand, as_json)
        what = f"{to} comes back and takes over from {other.name}; pulumi up runs three times"
        confirm(yes, f"{what}{_would(resumption)}. Go on?", _INSTEAD)
        journal, _ = begin(witness, "failback", target=to, source=other.name, planned=True, by=author(by), tell=_tell)
        context = FailoverContext(
            target=target,
            source=other.name,
            witness=witness,
            journal=journal,
            by="ops failback",
            tell=_tell,
            other=other,
            accept_behind=accept_behind,
            names_by_hand=names_by_hand,
        )
        _run(FAILBACK, context, folder, as_json)


def _peer(stack: ExitStack, region: Region) -> Region:
    """The other region, by its stack's outputs."""
    peer = stack.enter_context(opened(region.peer.stack))
    if peer.name != region.peer.region:
        raise OpsError(f"stack {region.peer.stack} is that of {peer.name}, must be that of {region.peer.region}")
    return peer


def _pair(stack: ExitStack, to: str) -> tuple[Region, Region]:
    """The region that takes over, and the other one."""
    selected = stack.enter_context(opened())
    peer = _peer(stack, selected)
    named = {selected.name: (selected, peer), peer.name: (peer, selected)}
    if to not in named:
        raise OpsError(f"--to is {to}, must be {' or '.join(named)}")
    return named[to]


def _run(steps: Sequence[Step], context: FailoverContext, folder: Path, as_json: bool) -> None:
    with _interrupted(context):
        run(steps, context)
    operation = context.journal.operation
    written = report.write(operation, folder)
    if as_json:
        typer.echo(json.dumps(report.as_json(operation), indent=2, ensure_ascii=False))
    else:
        typer.echo(report.markdown(operation))
    _tell(f"report: {', '.join(map(str, written))}")


@contextmanager
def _interrupted(context: FailoverContext) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        _tell(f"interrupted{resume_hint(context)}")
        raise typer.Exit(_INTERRUPTED) from None


def _dry_run(
    kind: Kind,
    target: Region,
    source: str,
    witness: Witness,
    resumption: Continuation,
    planned: bool,
    names_by_hand: bool,
    as_json: bool,
) -> None:
    """Tell the steps and what the checks see.

    Raises:
        typer.Exit: Always; 1 where the target could not take over as it is.
    """
    known = resumption.operation
    planned = known.planned if known else planned
    steps = FAILBACK if kind == "failback" else PLANNED if planned else FAILOVER
    if resumption.given_up:
        _tell(_would(resumption).removeprefix("; "))
    done = {step.name: resumption.has(step.name) and not step.again for step in steps}
    # A region that comes back is checked once it is a standby; until then it cannot have all that is asked.
    asked_now = kind == "failover" and not done["check"]
    checks = takeover.target(target, witness, planned=planned, names_by_hand=names_by_hand) if asked_now else []
    if as_json:
        content = {
            "operation": known.id if known else None,
            "steps": [
                {"step": step.name, "what": step.text(target.name, source), "done": done[step.name]} for step in steps
            ],
            "checks": [{"name": check.name, "problem": check.problem, "seen": check.seen} for check in checks],
        }
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        for number, step in enumerate(steps, 1):
            state = "done already" if done[step.name] else step.text(target.name, source)
            typer.echo(f"{number:2} {step.name}: {state}")
        for check in checks:
            typer.echo(f"{'bad' if check.problem else 'ok '} {check}")
    raise typer.Exit(int(any(check.problem and check.fatal for check in checks)))


def _would(resumption: Continuation) -> str:
    """What would be given up, as the end of a sentence; empty when nothing would."""
    return (
        f"; {resumption.given_up.replace(' is given up: ', ' would be given up: ', 1)}" if resumption.given_up else ""
    )


def _tell(text: str) -> None:
    typer.echo(text, err=True)


def _print(region_status: Status) -> None:
    table = Table("region", "role", "sign of life", "active", "epoch", "silences")
    for region in region_status.regions:
        last = region.heartbeat
        if last is None:
            table.add_row(region.region, "?", "never", "?", "?", "?")
            continue
        tells = Text("yes", style="green") if last.notifies else Text("no")
        age = Text(
            f"{region.age_s or 0:.0f} s ago", style="" if (region.age_s or 0) <= takeover.FRESH_S else "bold red"
        )
        table.add_row(region.region, last.role, age, tells, str(last.epoch), str(len(last.silences)))
    console = Console()
    console.print(table)
    holder = (
        f"{region_status.holder}, epoch {region_status.epoch}"
        if region_status.holder
        else "nobody yet: the primary region is active"
    )
    console.print(Text(f"lease: {holder}{'' if region_status.notify else ', while it changes no region is active'}"))
    if region_status.lag is not None or region_status.latency_s is not None:
        console.print(
            Text(
                f"mirror: {_number(region_status.lag)} records to copy, {_number(region_status.latency_s)} s old at "
                "arrival"
            )
        )
    for name, leads in region_status.names.items():
        console.print(Text(f"{name}: {leads}"))
    if region_status.differences:
        console.print(Text(f"differ: {', '.join(region_status.differences)}", style="bold red"))
    for problem in region_status.problems:
        console.print(Text(problem, style="bold red"))


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.1f}".removesuffix(".0")
