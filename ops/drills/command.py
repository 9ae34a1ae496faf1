"""The commands: one for each drill, and ``list``.

Exit codes: 0 passed, 1 a promise did not hold, 2 the drill was not run (not steady, refused, something missing), 130
interrupted.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column
from rich.text import Text

from ops.core import platform as platform_module
from ops.core import terminal
from ops.core.context import Context
from ops.core.errors import OpsError, one_line
from ops.core.kube import Kube
from ops.core.terminal import Table
from ops.drills import record, watch
from ops.drills.procedure import Drill
from ops.drills.record import FOLDER, Report
from ops.drills.run import (
    AFTER_S,
    BEFORE_S,
    SHOWN,
    DrillProgress,
    Outcome,
    alone,
    command_of,
    find,
    run,
    steady_problems,
    wait_until_steady,
)
from ops.drills.tools.durations import CHAOS_MINUTES, CHAOS_SEED, variables
from ops.drills.watch import Watched, Watcher
from ops.evidence import files as evidence
from ops.evidence.files import Evidence

drill_app = typer.Typer(
    help="Inject a fault under load, count what is missing, write the measurements. Run it where the cluster is: "
    "in the lab through `python -m lab exec --`.",
    no_args_is_help=True,
)

_FILE_WIDTH = 160
_INTERRUPTED = 130

Folder = Annotated[Path, typer.Option("--folder", metavar="DIR", help="Where the report is written.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation; required without a terminal.")]


@drill_app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List every drill with its newest result, from evidence alone."""
    records = record.newest()
    if as_json:
        listed = [{**_data(drill), "newest": _newest(written)} for drill, written, _ in records]
        typer.echo(json.dumps({"drills": listed}, indent=2))
        return
    rows = Table(Column("drill", no_wrap=True), "what it shows", "requirements", "duration", "newest run")
    for drill, written, _ in records:
        state = Text("never", style="dim")
        if written is not None:
            failed = bool(evidence.problems(written))
            state = Text(f"{'failed' if failed else 'passed'} {written.time:%Y-%m-%d}")
            state.stylize("bold red" if failed else "green")
        about = f"{drill.seconds} s" if drill.seconds < 120 else f"{drill.seconds / 60:.0f} min"
        shows = Text(drill.shows)
        shows.append(f"\nload: {drill.load}; evidence: {drill.evidence}", style="dim")
        rows.add_row(drill.name, shows, ", ".join(drill.requirements), about, state)
    console = Console()
    (console if console.is_terminal else Console(width=_FILE_WIDTH)).print(rows)


def _command(name: str) -> Callable[[Path, bool, bool], None]:
    def command(folder: Folder = FOLDER, as_json: AsJson = False, yes: Yes = False) -> None:
        _drill(find(name), folder, as_json, yes)

    return command


_CHAOS = "chaos"


def _chaos(
    minutes: Annotated[
        int, typer.Option("--minutes", min=1, max=240, help="Number of steps, one a minute.")
    ] = CHAOS_MINUTES,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Selects the faults; the same seed gives the same plan.")
    ] = CHAOS_SEED,
    folder: Folder = FOLDER,
    as_json: AsJson = False,
    yes: Yes = False,
) -> None:
    drill = find(_CHAOS)
    more = 60 * (minutes - CHAOS_MINUTES)
    lasting = replace(drill, seconds=drill.seconds + more, limit_s=drill.limit_s + 6 * more)
    _drill(lasting, folder, as_json, yes, variables(CHAOS_MINUTES=minutes, CHAOS_SEED=seed))


for _name, _shows in SHOWN.items():
    _help = f"{_shows[0].upper()}{_shows[1:]}."
    drill_app.command(_name, help=_help)(_chaos if _name == _CHAOS else _command(_name))


def _drill(drill: Drill, folder: Path, as_json: bool, yes: bool, changed: Mapping[str, str] | None = None) -> None:
    platform = platform_module.load()
    if not yes:
        _agreed(drill, f"{platform.platform} ({platform.region})")
    with (
        alone(drill.name),
        Context(platform, Kube.of(platform)) as context,
        DrillProgress(drill) as progress,
    ):
        progress.say("checking the steady state")
        if drill.looked_at and (wrong := wait_until_steady(lambda: steady_problems(context), BEFORE_S)):
            raise OpsError(f"no steady state, drill not started: {one_line('; '.join(wrong), 300)}")
        try:
            report = _carry_out(drill, context, progress, changed or {})
        except KeyboardInterrupt:
            typer.echo(f"interrupted: drill {drill.name} was asked to stop and to revert its fault", err=True)
            raise typer.Exit(_INTERRUPTED) from None
    written = record.write(report, folder)
    if as_json:
        typer.echo(json.dumps(report.as_json(), indent=2, ensure_ascii=False))
    else:
        typer.echo(record.markdown(report))
    typer.echo(f"report: {', '.join(map(str, written))}; `make docs` updates docs/dr.md from it", err=True)
    raise typer.Exit(0 if report.passed else 1)


def _carry_out(drill: Drill, context: Context, progress: DrillProgress, changed: Mapping[str, str]) -> Report:
    """Run the drill with changed variables, look meanwhile, wait until all is whole again, read what was told."""
    log = Path(tempfile.gettempdir()) / f"obs-drill-{os.getuid()}-{drill.name}.log"
    watcher = Watcher(context) if drill.watched else None
    started, after = datetime.now(UTC), list[str]()
    with watcher or nullcontext():
        progress.say(f"{drill.fault}; load: {drill.load}")
        outcome = run(
            command_of(drill),
            drill.limit_s,
            log,
            progress.beat,
            put_back_s=drill.put_back_s,
            variables={**changed, terminal.FILE: str(progress.steps)},
        )
        progress.beat(outcome.seconds)
        leave_evidence(drill, context, started, outcome)
        if watcher is not None:
            progress.say("waiting for the steady state")
            after = wait_until_steady(lambda: steady_problems(context), AFTER_S)
    watched, notes = (None, ()) if watcher is None else _with_alerts(watcher, context)
    return build_report(drill, context, started, outcome, watched, after, notes)


def leave_evidence(
    drill: Drill, context: Context, started: datetime, outcome: Outcome, folder: Path = evidence.FOLDER
) -> None:
    """Write the evidence of a failed drill that was ended before it could: no failed run disappears.

    Where the cluster does not say which it is, there is none, and the report says so.
    """
    if outcome.passed or _written(drill, started, folder) is not None:
        return
    with suppress(OpsError):
        evidence.write(
            drill.evidence,
            figures={},
            kube=context.kube,
            passed=False,
            problems=outcome.reasons,
            started=started,
            settings={"load": drill.load, "fault": drill.fault},
            folder=folder,
        )


def _written(drill: Drill, started: datetime, folder: Path) -> Evidence | None:
    """The evidence that a drill wrote since it was started."""
    written = evidence.newest(drill.evidence, folder)
    # Evidence has whole seconds.
    return None if written is None or written.time < started.replace(microsecond=0) else written


def build_report(
    drill: Drill,
    context: Context,
    started: datetime,
    outcome: Outcome,
    watched: Watched | None,
    after: list[str],
    notes: tuple[str, ...] = (),
    folder: Path = evidence.FOLDER,
) -> Report:
    """Put the report together; what is missing or not whole is a problem."""
    written = _written(drill, started, folder)
    problems = [*outcome.reasons] if not outcome.passed else []
    if not outcome.passed and not problems:
        problems.append("the drill failed")
    if not outcome.passed:
        problems.append(f"full output: {outcome.log}")
    if written is None:
        problems.append(f"the drill wrote no evidence {drill.evidence}")
    elif outcome.passed and not written.passed:
        problems.append(f"evidence {drill.evidence} reports a failure: {'; '.join(written.problems)}")
    problems += [f"no steady state {AFTER_S:.0f} s after the drill: {problem}" for problem in after]
    return Report(
        drill=drill,
        passed=not problems,
        platform=context.platform.platform,
        region=context.platform.region,
        started=started,
        seconds=outcome.seconds,
        problems=tuple(problems),
        evidence=written,
        watched=watched,
        steady="every pod ready, every partition fully replicated, every target up, no Critical alert"
        if drill.looked_at
        else "checked by the drill itself",
        notes=notes,
    )


def _with_alerts(watcher: Watcher, context: Context) -> tuple[Watched, tuple[str, ...]]:
    seen = watcher.seen()
    try:
        raised, notifications = watch.read(context.platform, watcher.began)
    except OpsError as error:
        return seen, (f"Alerts and notifications could not be read from Kafka: {one_line(error)}",)
    return replace(seen, alerts=raised, notifications=notifications), ()


def _agreed(drill: Drill, where: str) -> None:
    if not sys.stdin.isatty():
        raise OpsError(f"no terminal to confirm on: add --yes to run this on {where}: {drill.fault}")
    if not typer.confirm(f"On {where}: {drill.fault}. Continue?", err=True):
        raise OpsError("nothing was done")


def _data(drill: Drill) -> dict[str, object]:
    return {
        "name": drill.name,
        "shows": drill.shows,
        "requirements": list(drill.requirements),
        "carried_out_by": drill.procedure,
        "evidence": drill.evidence,
        "seconds": drill.seconds,
        "limit_s": drill.limit_s,
        "load": drill.load,
        "fault": drill.fault,
    }


def _newest(newest_evidence: Evidence | None) -> dict[str, object] | None:
    return (
        None
        if newest_evidence is None
        else {
            "passed": not evidence.problems(newest_evidence),
            "time": newest_evidence.time.isoformat(),
            "commit": newest_evidence.commit,
        }
    )
