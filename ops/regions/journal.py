"""The journal of a failover or a failback, in the witness bucket: what is done, so that a repeated command goes on."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from ops.core.errors import OpsError, one_line
from ops.regions.region import witness_errors
from services.regions.records import OPERATIONS
from services.regions.witness import Witness

Kind = Literal["failover", "failback"]


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
            OpsError: The witness does not answer, or refuses.
        """
        with witness_errors():
            self.witness.write(key(self.operation.id), self.operation.model_dump(mode="json"))
        self.written += 1

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


def begin(witness: Witness, kind: Kind, *, target: str, source: str, planned: bool, by: str) -> tuple[Journal, bool]:
    """The operation that was interrupted, or a new one; and whether it goes on.

    An open operation towards the other region is over: its lease is taken from it.
    """
    known = operations(witness)
    for operation in reversed(known):
        if operation.open and operation.kind == kind and operation.target == target and operation.source == source:
            return Journal(witness, operation), True
    now = datetime.now(UTC)
    new_operation = Operation(
        id=f"{now:%Y%m%dT%H%M%SZ}-{kind}-{target}-{secrets.token_hex(2)}",
        kind=kind,
        target=target,
        source=source,
        planned=planned,
        by=by,
        began=now,
    )
    journal = Journal(witness, new_operation)
    journal.save()
    for operation in known:
        if operation.open:
            operation.superseded = new_operation.id
            Journal(witness, operation).save()
    return journal, False


def unfinished(known: Iterable[Operation], kind: Kind, target: str) -> Operation | None:
    """What a repeated command would go on with."""
    open_operations = [
        operation for operation in known if operation.open and operation.kind == kind and operation.target == target
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
