"""Compares a revision with the working tree, stack by stack."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ops.core.errors import OpsError
from ops.review import owners, program
from ops.review.cost import cost
from ops.review.difference import Change, compare
from ops.review.explain import explain
from ops.review.impact import Cost
from ops.review.model import StackPlan
from ops.review.phrasing import Statement
from ops.review.revisions import Repository
from policy.model import Resource, UnknownValueError
from policy.rules.parity import comparable, fingerprint
from policy.runner import Verdict, check

Check = Callable[[Sequence[Resource], Mapping[str, Any]], list[Verdict]]
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Verdicts:
    """What the policies say about a stack after the change.

    Attributes:
        new: Violations that the change brings.
        old: Violations that were there before.
        solved: Violations that the change ends.
        agreed: Violations that an exception covers.
        unknown: What could not be looked at.
    """

    new: tuple[Verdict, ...] = ()
    old: tuple[Verdict, ...] = ()
    solved: tuple[Verdict, ...] = ()
    agreed: tuple[Verdict, ...] = ()
    unknown: tuple[Verdict, ...] = ()

    @property
    def stopping(self) -> list[Verdict]:
        """Those that stop an update."""
        return [verdict for verdict in (*self.new, *self.old) if verdict.stops]


@dataclass(frozen=True)
class StackReview:
    """One stack of a review."""

    name: str
    changes: Sequence[Change]
    statements: Sequence[Statement]
    costs: Sequence[Cost]
    verdicts: Verdicts
    resources: int


@dataclass(frozen=True)
class Review:
    """A whole review.

    Attributes:
        base: The revision that is compared with, in words.
        head: What is checked out, in words.
        stacks: One per stack file of either revision.
        files: Files that differ.
        owners: Owners -> files that they must approve; None where there is no ``CODEOWNERS``.
        parity: What differs between production and disaster recovery; None without both stacks.
        seconds: How long it took.
    """

    base: str
    head: str
    stacks: Sequence[StackReview]
    files: Sequence[str]
    owners: Mapping[tuple[str, ...], list[str]] | None
    parity: Sequence[str] | None
    seconds: float = 0.0

    @property
    def stopped(self) -> bool:
        """Whether a mandatory policy is violated."""
        return any(stack.verdicts.stopping for stack in self.stacks)


@dataclass
class _Plans:
    """Both plans of every stack."""

    before: dict[str, StackPlan] = field(default_factory=dict)
    after: dict[str, StackPlan] = field(default_factory=dict)


def run(
    root: Path,
    base_revision: str,
    config: Mapping[str, Any] | None = None,
    *,
    checker: Check = check,
    progress: Progress = lambda _: None,
) -> Review:
    """Review the working tree against the revision that it comes from.

    Args:
        root: The checkout.
        asked: Revision to compare with; the common ancestor counts.
        config: Configuration of the policy pack.
        checker: Runs the policies.
        progress: Told what happens next.

    Raises:
        OpsError: The revision cannot be used, or a program fails.
    """
    started = time.monotonic()
    repository = Repository(root)
    base = repository.base(base_revision)
    files = repository.changed(base)
    head = repository.head()
    plans = _Plans()
    with repository.checked_out(base) as place:
        for stack in sorted({*program.stacks(place), *program.stacks(root)}):
            progress(f"{stack} at {base.label}")
            plans.before[stack] = program.plan(place, stack, f"BASE {base.label}")
            progress(f"{stack} as it is now")
            plans.after[stack] = program.plan(root, stack, "the working tree")
        known_owners = _owners(repository, place)
    progress("policies")
    stacks = [
        stack_review(plans.before[stack], plans.after[stack], config or {}, checker=checker) for stack in plans.after
    ]
    return Review(
        base=base.label,
        head=head,
        stacks=stacks,
        files=files,
        owners=None if known_owners is None else owners.required(owners.parse(known_owners), files),
        parity=parity(plans.after),
        seconds=time.monotonic() - started,
    )


def stack_review(before: StackPlan, after: StackPlan, config: Mapping[str, Any], *, checker: Check) -> StackReview:
    """Everything about one stack."""
    changes = compare(before, after)
    return StackReview(
        name=after.name,
        changes=[change for change in changes if change.planned.custom and not change.planned.read],
        statements=explain(before, after),
        costs=cost(changes, before, after),
        verdicts=judged(_checked(before, config, checker), _checked(after, config, checker)),
        resources=len(after.resources),
    )


def _checked(plan: StackPlan, config: Mapping[str, Any], checker: Check) -> list[Verdict]:
    """Verdicts about a stack; none where there is no such stack."""
    if not plan.planned:
        return []
    try:
        return checker(plan.resources, config)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise OpsError(
            f"a policy cannot judge stack {plan.name}: {type(error).__name__}: {error} "
            f"({Path(place.filename).name}:{place.lineno}); mend the rule"
        ) from error


def judged(before: Sequence[Verdict], after: Sequence[Verdict]) -> Verdicts:
    """Verdicts of both revisions, told apart."""
    was, now = _violations(before), _violations(after)
    return Verdicts(
        new=tuple(verdict for key, verdict in now.items() if key not in was),
        old=tuple(verdict for key, verdict in now.items() if key in was),
        solved=tuple(verdict for key, verdict in was.items() if key not in now),
        agreed=tuple(verdict for verdict in after if verdict.agreed and not verdict.unknown),
        unknown=tuple(verdict for verdict in after if verdict.unknown),
    )


def _violations(verdicts: Sequence[Verdict]) -> dict[tuple[str, str], Verdict]:
    return {
        (verdict.rule.id, verdict.message): verdict
        for verdict in verdicts
        if not verdict.unknown and not verdict.agreed
    }


def parity(plans: Mapping[str, StackPlan], primary: str = "prod", standby: str = "dr") -> list[str] | None:
    """What differs between the regions, by the fingerprints of the parity rule; None without both stacks."""
    if not all(name in plans and plans[name].planned for name in (primary, standby)):
        return None
    try:
        first, second = (_flat(comparable(fingerprint(plans[name].resources))) for name in (primary, standby))
    except UnknownValueError as error:
        return [f"not known before the update: {error.path}"]
    different = [key for key in {**first, **second} if first.get(key) != second.get(key)]
    return [
        f"only in {primary}: {key}"
        if key not in second
        else f"only in {standby}: {key}"
        if key not in first
        else f"{key}: {first[key]} in {primary}, {second[key]} in {standby}"
        for key in different
    ]


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Nested mappings with dotted keys."""
    if not isinstance(value, Mapping):
        return {prefix: str(value)}
    flattened: dict[str, str] = {}
    for key, inner in value.items():
        flattened |= _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    return flattened


def _owners(repository: Repository, base: Path) -> str | None:
    """The owners before the change decide, so that no change can remove its own approver."""
    for place in (base, repository.root):
        for name in owners.FILES:
            if (place / name).is_file():
                return (place / name).read_text()
    return None
