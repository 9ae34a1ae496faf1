"""A failover or failback under way: its journal in the witness bucket, so that a repeated command goes on, and what
every step works with.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from ops.core.errors import OpsError, one_line
from ops.regions import takeover
from ops.regions.region import ChangedError, Region, UnreadableError, witness_errors
from services.regions.witness import OPERATIONS, Lease, Witness

Kind = Literal["failover", "failback"]
_FENCE = "fence"
_PREPARED = ("both", "mirror-offsets", "return")
_CONFIG = ConfigDict(extra="allow")
"""What another revision has noted besides is kept when the journal is written again."""
_ATTEMPTS = 5


class Done(BaseModel):
    """A step: when, what was seen, and what was not as it should be without stopping it."""

    model_config = _CONFIG

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
        run: Which command goes on with it; two of them never write the same.
        steps: Name -> step, in their order.
    """

    model_config = _CONFIG

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
    run: str = ""
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
    """An operation, written after every change in the place of what this command wrote last, and of nothing else.

    Attributes:
        witness: The bucket.
        operation: The operation.
        etag: ETag of what is written of it; None as long as nothing is.
    """

    witness: Witness
    operation: Operation
    etag: str | None = None

    def save(self) -> None:
        """Write it.

        Raises:
            OpsError: The witness does not answer, or refuses; or another command has written it meanwhile.
        """
        content = self.operation.model_dump(mode="json")
        try:
            with witness_errors():
                self.etag = self.witness.write(key(self.operation.id), content, self.etag)
        except ChangedError:
            self.still_open()
            raise OpsError(
                f"another command goes on with {self.operation.id}: leave it to that one, or repeat this one"
            ) from None

    def still_open(self) -> None:
        """Stop when another command has given this operation up: two of them do not work against each other.

        Raises:
            OpsError: It has, or the witness does not answer.
        """
        with witness_errors():
            written = self.witness.read(key(self.operation.id))
        if written and written[0].get("superseded"):
            taken_by = written[0]["superseded"]
            raise OpsError(f"another command has given this operation up: {taken_by} has taken its place")

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


def operations(witness: Witness, tell: Callable[[str], None] | None = None) -> list[Operation]:
    """All operations, oldest first.

    Args:
        witness: The bucket.
        tell: Is told what is no journal of this revision, which is left out then.

    Raises:
        OpsError: The witness does not answer; or, where nobody is told, one of them is unreadable.
    """
    known = []
    with witness_errors():
        keys = witness.keys(OPERATIONS)
    for object_key in keys:
        try:
            if journal := _read(witness, object_key):
                known.append(journal.operation)
        except UnreadableError as error:
            if tell is None:
                raise
            tell(f"left out: {error}")
    return sorted(known, key=lambda operation: operation.id)


def _read(witness: Witness, object_key: str) -> Journal | None:
    with witness_errors():
        stored = witness.read(object_key)
    if stored is None:
        return None
    try:
        return Journal(witness, Operation.model_validate(stored[0]), stored[1])
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "its content"
        raise UnreadableError(f"{object_key} in the witness bucket: {where}: {one_line(first['msg'])}") from None


def _supersede(witness: Witness, identifier: str, by: str) -> None:
    """Note in an operation's journal that another one has taken its place, whatever else is written there meanwhile.

    Raises:
        OpsError: The witness does not answer, or the journal changes all the time.
    """
    for _ in range(_ATTEMPTS):
        with suppress(ChangedError), witness_errors():
            stored = witness.read(key(identifier))
            if stored and not stored[0].get("ended") and not stored[0].get("superseded"):
                witness.write(key(identifier), {**stored[0], "superseded": by}, stored[1])
            return
    raise OpsError(f"{identifier} is written all the time: another command is under way, wait until it has ended")


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

    Raises:
        OpsError: The target has the lease, and nothing is left to do; the witness does not answer; another command goes
            on with the same operation.
    """
    known = operations(witness, tell if kind == "failover" else None)
    goes_on = continuation(witness, known, kind, target=target, source=source, planned=planned)
    if goes_on.operation is not None:
        other = goes_on.operation.planned != planned
        how = f", {'planned' if goes_on.operation.planned else 'without the old region'} as it began" if other else ""
        tell(f"goes on with {goes_on.operation.id}{how}")
        resumed = _read(witness, key(goes_on.operation.id))
        if resumed is None:
            raise OpsError(f"the journal of {goes_on.operation.id} is gone")
        resumed.still_open()
        resumed.operation.run = secrets.token_hex(4)
        resumed.save()
        return resumed, True
    if kind == "failover":
        _something_to_do(witness, target, source)
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
        run=secrets.token_hex(4),
        steps=goes_on.kept,
    )
    journal = Journal(witness, new_operation)
    journal.save()
    for operation in known:
        if operation.open:
            _supersede(witness, operation.id, new_operation.id)
    return journal, False


def _something_to_do(witness: Witness, target: str, source: str) -> None:
    """Stop where the target has the lease already, and none later was seen: whatever else is under way goes on.

    Raises:
        OpsError: It has.
    """
    held_lease = takeover.current(witness)
    if (
        held_lease is not None
        and held_lease[0].may_notify(target)
        and held_lease[0].epoch >= takeover.passed(witness, (target, source))
    ):
        raise OpsError(f"{target} holds the lease already, epoch {held_lease[0].epoch}: there is nothing to do")


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
        other: The region that gives up, where it is there and may be called: in what is planned.
        accept_behind: Whether to go on although not everything is copied or read.
        names_by_hand: Whether people lead the names.
        problems: What was not as it should be in the step under way.
    """

    target: Region
    source: str
    witness: Witness
    journal: Journal
    by: str
    tell: Callable[[str], None]
    other: Region | None = None
    accept_behind: bool = False
    names_by_hand: bool = False
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

    def behind(self, text: str) -> None:
        """Tell what is not copied or read, and go on if that is accepted.

        Raises:
            OpsError: It is not.
        """
        if not self.accept_behind:
            raise OpsError(f"{text}; --accept-behind goes on all the same")
        self.problem(text)

    def problem(self, text: str) -> None:
        """Tell what is wrong and go on."""
        self.problems.append(text)
        self.tell(f"warning: {text}")
