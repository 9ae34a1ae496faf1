"""A failover or failback under way: its journal in the witness bucket, so that a repeated command goes on, what every
step works with, and the report from it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from ops.core.errors import OpsError, one_line
from ops.core.report_files import write_report
from ops.regions.region import Region, witness_errors
from services.regions.witness import OPERATIONS, Lease, Witness

Kind = Literal["failover", "failback"]
_FENCE = "fence"
_PREPARED = ("both", "mirror-offsets", "return")


class Done(BaseModel):
    """A step: when, what was seen, and what was not as it should be without stopping it."""

    model_config = ConfigDict(extra="forbid")

    began: AwareDatetime
    ended: AwareDatetime | None = None
    figures: dict[str, Any] = {}
    problems: list[str] = []

    @property
    def seconds(self) -> float:
        """Seconds that it took; 0 while it has not ended."""
        return (self.ended - self.began).total_seconds() if self.ended else 0.0


class Operation(BaseModel):
    """A failover or a failback.

    Attributes:
        id: Its id, which sorts by time.
        kind: Which of both.
        target: Region that takes over.
        source: Region that gives up.
        planned: Whether the other region is there and asked to be silent first.
        by: Who began it.
        began, ended: When.
        superseded: Id of the operation that took its place before it had ended.
        steps: Name -> step, in their order.
    """

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    id: str
    kind: Kind
    target: str
    source: str
    planned: bool
    by: str
    began: AwareDatetime
    ended: AwareDatetime | None = None
    superseded: str | None = None
    steps: dict[str, Done] = {}

    @property
    def open(self) -> bool:
        """Whether something is left to do."""
        return self.ended is None and self.superseded is None

    def figures(self, step: str) -> dict[str, Any]:
        """What a step has seen; empty when it is not done."""
        step_state = self.steps.get(step)
        return step_state.figures if step_state and step_state.ended else {}

    def has(self, step: str) -> bool:
        """Whether a step is done."""
        step_state = self.steps.get(step)
        return step_state is not None and step_state.ended is not None


@dataclass
class Journal:
    """An operation, written after every change."""

    witness: Witness
    operation: Operation
    written: int = field(default=0, init=False)

    def save(self) -> None:
        """Write it.

        Raises:
            OpsError: The witness does not answer, or refuses; or another command has begun anew meanwhile.
        """
        self.still_open()
        with witness_errors():
            self.witness.write(key(self.operation.id), self.operation.model_dump(mode="json"))
        self.written += 1

    def still_open(self) -> None:
        """Stop when another command has given this operation up: two of them do not work against each other.

        Raises:
            OpsError: It has, or the witness does not answer.
        """
        with witness_errors():
            written = self.witness.read(key(self.operation.id)) or {}
        if written.get("superseded") and not self.operation.superseded:
            raise OpsError(f"another command has given this operation up: {written['superseded']} has taken its place")

    def begin(self, step: str) -> None:
        """A step begins."""
        before = self.operation.steps.pop(step, None)
        # A step that was interrupted began when it began first.
        self.operation.steps[step] = Done(began=before.began if before and not before.ended else datetime.now(UTC))
        self.save()

    def end(self, step: str, figures: dict[str, Any], problems: Iterable[str]) -> None:
        """A step has ended."""
        done = self.operation.steps[step]
        done.ended, done.figures, done.problems = datetime.now(UTC), figures, list(problems)
        self.save()

    def close(self) -> None:
        """Everything is done."""
        self.operation.ended = datetime.now(UTC)
        self.save()


def key(identifier: str) -> str:
    """Where an operation is."""
    return f"{OPERATIONS}{identifier}.json"


def operations(witness: Witness) -> list[Operation]:
    """All operations, oldest first.

    Raises:
        OpsError: The witness does not answer, or one of them is unreadable.
    """
    operations = []
    with witness_errors():
        for object_key in witness.keys(OPERATIONS):
            content = witness.read(object_key)
            if content is None:
                continue
            try:
                operations.append(Operation.model_validate(content))
            except ValidationError as error:
                first = error.errors(include_input=False, include_url=False)[0]
                where = ".".join(map(str, first["loc"])) or "its content"
                raise OpsError(f"{object_key} in the witness bucket: {where}: {one_line(first['msg'])}") from None
    return sorted(operations, key=lambda operation: operation.id)


@dataclass(frozen=True, kw_only=True)
class Continuation:
    """What a command would do with the operation that was not ended.

    Attributes:
        operation: The operation that goes on; None: a new one begins.
        given_up: What is given up and why, in one line; empty when nothing is.
        kept: Steps that the new operation does not repeat.
    """

    operation: Operation | None = None
    given_up: str = ""
    kept: dict[str, Done] = field(default_factory=dict)

    def has(self, step: str) -> bool:
        """Whether a step is done already."""
        return self.operation.has(step) if self.operation else step in self.kept


def continuation(
    witness: Witness, known: Iterable[Operation], kind: Kind, *, target: str, source: str, planned: bool
) -> Continuation:
    """What a command would go on with: an operation that has taken the lease, and nothing else.

    What was noted before the lease was taken is not true any more when the command is given again: the other region
    has gone on meanwhile, and may be gone.

    Raises:
        OpsError: The witness does not answer, or has something else there.
    """
    operation = unfinished(known, kind, target, source)
    if operation is None:
        return Continuation()
    with witness_errors():
        held_lease = witness.lease()
    lease = held_lease[0] if held_lease else None
    why = _why_not(operation, lease, planned)
    if not why:
        return Continuation(operation=operation)
    how = "planned " if operation.planned and kind == "failover" else ""
    return Continuation(
        given_up=f"the {how}{kind} of {operation.began:%Y-%m-%d %H:%M:%S} UTC is given up: {why}",
        kept=_kept(operation, lease),
    )


def _why_not(operation: Operation, lease: Lease | None, planned: bool) -> str:
    """Why an operation does not go on; empty: it does."""
    if operation.has(_FENCE):
        epoch = operation.figures(_FENCE).get("epoch")
        if lease is not None and lease.holder == operation.target and lease.epoch == epoch:
            return ""
        return f"the lease that it took, epoch {epoch}, is {operation.target}'s no more"
    stopped = next(reversed(operation.steps), "its beginning")
    if not _in_first_phase(operation, lease):
        return f"it stopped at {stopped}, before it had the lease"
    if operation.planned != planned:
        return f"it stopped at {stopped}, and this one is {'planned' if planned else 'without the old region'}"
    return ""


def _kept(operation: Operation, lease: Lease | None) -> dict[str, Done]:
    """Steps of an operation that is given up which are as true as they were.

    Once the lease is taken nothing is noted anew. A returning region that was prepared is so as long as nobody has
    taken the lease: its mirror runs, and must not be set back to where it began.
    """
    if _in_first_phase(operation, lease):
        names: tuple[str, ...] = ("offsets",)
    elif lease is not None and operation.figures("both").get("epoch") == lease.epoch:
        names = _PREPARED
    else:
        names = ()
    return {name: operation.steps[name] for name in names if operation.has(name)}


def _in_first_phase(operation: Operation, lease: Lease | None) -> bool:
    """Whether an operation was interrupted between taking the lease and noting that it had it."""
    return (
        _FENCE in operation.steps
        and not operation.has(_FENCE)
        and lease is not None
        and lease.holder == operation.target
        and not lease.notify
    )


def begin(
    witness: Witness,
    kind: Kind,
    *,
    target: str,
    source: str,
    planned: bool,
    by: str,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[Journal, bool]:
    """The operation that was interrupted after it had taken the lease, or a new one; and whether it goes on.

    Every other open operation is over: one that never had the lease, and one towards the other region, whose lease is
    taken from it.
    """
    known = operations(witness)
    goes_on = continuation(witness, known, kind, target=target, source=source, planned=planned)
    if goes_on.operation is not None:
        other = goes_on.operation.planned != planned
        how = f", {'planned' if goes_on.operation.planned else 'without the old region'} as it began" if other else ""
        tell(f"goes on with {goes_on.operation.id}{how}")
        return Journal(witness, goes_on.operation), True
    if goes_on.given_up:
        tell(goes_on.given_up)
    now = datetime.now(UTC)
    new_operation = Operation(
        id=f"{now:%Y%m%dT%H%M%SZ}-{kind}-{target}-{secrets.token_hex(2)}",
        kind=kind,
        target=target,
        source=source,
        planned=planned,
        by=by,
        began=now,
        steps=goes_on.kept,
    )
    journal = Journal(witness, new_operation)
    journal.save()
    for operation in known:
        if operation.open:
            operation.superseded = new_operation.id
            Journal(witness, operation).save()
    return journal, False


def unfinished(known: Iterable[Operation], kind: Kind, target: str, source: str) -> Operation | None:
    """The newest operation of that kind that was not ended."""
    open_operations = [
        operation
        for operation in known
        if operation.open and (operation.kind, operation.target, operation.source) == (kind, target, source)
    ]
    return open_operations[-1] if open_operations else None


def promotion(known: Iterable[Operation], holder: str) -> Operation | None:
    """The operation by which a region became the active one."""
    promotions = [
        operation
        for operation in known
        if operation.target == holder and operation.has("offsets") and operation.has("fence")
    ]
    return promotions[-1] if promotions else None


Figures = dict[str, Any]
"""What a step has seen, as JSON has it."""


@dataclass
class FailoverContext:
    """A failover under way.

    Attributes:
        target: Region that takes over.
        source: Name of the region that gives up.
        witness: The bucket in neither.
        journal: What is done.
        by: Who does it.
        tell: Tells what is waited for.
        other: The region that gives up, where it may be called: in a failback only.
        problems: What was not as it should be in the step under way.
    """

    target: Region
    source: str
    witness: Witness
    journal: Journal
    by: str
    tell: Callable[[str], None]
    other: Region | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def planned(self) -> bool:
        """Whether the region that gives up is there."""
        return self.journal.operation.planned

    @property
    def epoch(self) -> int:
        """Epoch of the lease that this failover took."""
        return int(self.journal.operation.figures("fence")["epoch"])

    @property
    def reason(self) -> str:
        """Why the lease changes."""
        operation = self.journal.operation
        return f"{operation.kind} from {operation.source} to {operation.target}, {operation.id}"

    def problem(self, text: str) -> None:
        """Tell what is wrong and go on."""
        self.problems.append(text)
        self.tell(f"warning: {text}")


def as_json(operation: Operation) -> dict[str, Any]:
    """The report for machines."""
    return {
        "operation": operation.kind,
        "id": operation.id,
        "target": operation.target,
        "source": operation.source,
        "planned": operation.planned,
        "by": operation.by,
        "began": operation.began.isoformat(timespec="seconds"),
        "ended": operation.ended.isoformat(timespec="seconds") if operation.ended else None,
        "figures": figures(operation),
        "problems": problems(operation),
        "handed_over": list(operation.figures("silence-handover").get("handed_over", ())),
        "notified_again": list(operation.figures("silence-handover").get("again", ())),
        "silences": list(operation.figures("silence-handover").get("silences", ())),
        "steps": {
            name: {"seconds": round(step.seconds, 1), "figures": step.figures, "problems": step.problems}
            for name, step in operation.steps.items()
        },
    }


def figures(operation: Operation) -> dict[str, float | int | None]:
    """What counts.

    * ``rto_s``: from the last sign of life of the old region until the new one is active and has shown a point, by the
      clock of who gave the command;
    * ``silent_s``: how long neither region told anybody, by the lease;
    * ``copied_behind_s``: how much older than that sign the newest copied record was, both by the old region's clock:
      about what is lost of each topic;
    * ``seconds``: of the whole command.
    """
    noticed, probed = _end(operation, "notify"), _end(operation, "probe")
    fence = operation.figures("fence")
    last, alive = (
        None if fence.get("confirmed") or not fence.get(name) else datetime.fromisoformat(fence[name])
        for name in ("source_last_seen", "source_last_alive")
    )
    up = max(noticed, probed) if noticed and probed else None
    newest: Mapping[str, str] = operation.figures("check").get("newest_copied", {})
    behind = [(last - datetime.fromisoformat(at)).total_seconds() for at in newest.values()] if last else []
    fenced = operation.steps["fence"].began if operation.has("fence") else None
    return {
        "rto_s": _seconds(alive, up),
        "silent_s": _seconds(fenced, noticed),
        "copied_behind_s": max(0.0, round(min(behind), 1)) if behind else None,
        "left_behind": operation.figures("mirror-offsets-back").get("left_behind"),
        "handed_over": len(operation.figures("silence-handover").get("handed_over", ())),
        "notified_again": len(operation.figures("silence-handover").get("again", ())),
        "seconds": _seconds(operation.began, operation.ended),
    }


def problems(operation: Operation) -> list[str]:
    """What was not as it should be, step by step."""
    return [f"{name}: {problem}" for name, step in operation.steps.items() for problem in step.problems]


def markdown(operation: Operation) -> str:
    """The report for people."""
    kind = operation.kind.capitalize()
    lines = [f"# {kind} from {operation.source} to {operation.target}", ""]
    how = "planned" if operation.planned else "without the old region"
    lines += [f"{operation.began:%Y-%m-%d %H:%M:%S} UTC, {how}, by {operation.by}, `{operation.id}`.", ""]
    lines += ["| figure | value |", "|---|---|"]
    lines += [f"| {name} | {'-' if value is None else value} |" for name, value in figures(operation).items()]
    lines += ["", "| step | seconds | seen |", "|---|---|---|"]
    for name, step in operation.steps.items():
        shown = {key: value for key, value in step.figures.items() if not isinstance(value, dict | list)}
        lines.append(f"| {name} | {step.seconds:.1f} | {_cell(', '.join(f'{k} {v}' for k, v in shown.items()))} |")
    for title, entries in (
        ("Problems", problems(operation)),
        ("Silences handed over: not notified again", operation.figures("silence-handover").get("handed_over", ())),
        ("Notified again, in doubt", operation.figures("silence-handover").get("again", ())),
        ("Silences of operators", operation.figures("silence-handover").get("silences", ())),
    ):
        if entries:
            lines += ["", f"## {title}", "", *(f"- {_cell(str(entry))}" for entry in entries)]
    ages = operation.figures("check").get("newest_copied_age_s", {})
    if ages:
        lines += ["", "## Newest copied record when it was checked", "", "| topic | seconds old |", "|---|---|"]
        lines += [f"| {topic} | {age} |" for topic, age in ages.items()]
    return "\n".join(lines) + "\n"


def write(operation: Operation, folder: Path) -> tuple[Path, Path]:
    """Write both files, each whole or not at all.

    Raises:
        OpsError: The folder cannot be made, or a file cannot be written.
    """
    return write_report(folder, operation.id, markdown(operation), as_json(operation))


def _end(operation: Operation, step: str) -> datetime | None:
    step_state = operation.steps.get(step)
    return step_state.ended if step_state else None


def _seconds(begin: datetime | None, end: datetime | None) -> float | None:
    return round((end - begin).total_seconds(), 1) if begin and end else None


def _cell(text: str) -> str:
    return text.replace("<", "&lt;").replace("|", "\\|")
