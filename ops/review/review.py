"""Compares a revision with the working tree, stack by stack.

What git says about both, a place where the older one can run, every stack of a revision evaluated in a process of its
own, and who must approve: ``CODEOWNERS`` read as the forge reads it (the last line that fits a file decides).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ops.core.errors import OpsError, one_line
from ops.review import evaluate
from ops.review.cost import Cost, cost
from ops.review.difference import Change, compare
from ops.review.explain import explain
from ops.review.model import StackPlan, Statement, stack_plan
from policy.model import Resource, UnknownValueError
from policy.rules.parity import comparable, fingerprint
from policy.runner import Verdict, check
from policy.stack_config import left_out

_LIMIT_S = 300


@dataclass(frozen=True)
class Revision:
    """A commit.

    Attributes:
        requested: What the user wrote.
        commit: The whole hash.
    """

    requested: str
    commit: str

    @property
    def short(self) -> str:
        """Hash to show."""
        return self.commit[:10]

    @property
    def label(self) -> str:
        """What messages call it."""
        return self.requested if self.commit.startswith(self.requested) else f"{self.requested} ({self.short})"


class Repository:
    """A git checkout."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def base(self, requested: str) -> Revision:
        """Where the change began: the common ancestor of ``asked`` and what is checked out.

        Raises:
            OpsError: There is no such revision, or no common ancestor, or a merge is not finished.
        """
        if self._run("rev-parse", "--is-inside-work-tree").returncode:
            raise OpsError(f"{self.root} is not a git checkout: run the review inside one")
        conflicts = sorted(set(self._lines("diff", "--name-only", "--diff-filter=U")))
        if conflicts:
            raise OpsError(
                f"a merge is not finished: conflicts in {', '.join(conflicts)}; resolve them, then repeat the review"
            )
        if (
            requested.startswith("-")
            or self._run("rev-parse", "--verify", "--quiet", f"{requested}^{{commit}}").returncode
        ):
            raise OpsError(
                f"BASE is {requested!r}: git knows no such revision; name a commit, branch or tag (in a shallow clone "
                "fetch it first: git fetch --unshallow)"
            )
        common = self._run("merge-base", requested, "HEAD")
        if common.returncode:
            raise OpsError(
                f"BASE is {requested!r}: it has no commit in common with HEAD; name one that HEAD comes from"
            )
        return Revision(requested, common.stdout.strip())

    def head(self) -> str:
        """What is checked out, in words."""
        name = self._lines("rev-parse", "--short=10", "HEAD")[0]
        changed = self._lines("status", "--porcelain", "--untracked-files=normal")
        return f"{name} with {len(changed)} uncommitted files" if changed else name

    def changed(self, base: Revision) -> list[str]:
        """Files that differ from ``base``, new ones included."""
        tracked = self._lines("diff", "--name-only", "--no-renames", base.commit)
        new = self._lines("ls-files", "--others", "--exclude-standard")
        return sorted(set(tracked) | set(new))

    def text(self, base: Revision, file: str) -> str | None:
        """Content of a file at a revision, or None when it had none."""
        shown = self._run("show", f"{base.commit}:{file}")
        return None if shown.returncode else shown.stdout

    @contextlib.contextmanager
    def checked_out(self, base: Revision) -> Iterator[Path]:
        """A temporary worktree of a revision, gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="obs-review-") as folder:
            place = Path(folder) / "base"
            self._must("worktree", "add", "--quiet", "--detach", "--force", str(place), base.commit)
            try:
                yield place
            finally:
                self._run("worktree", "remove", "--force", str(place))

    def _lines(self, *arguments: str) -> list[str]:
        return [line for line in self._must(*arguments).splitlines() if line]

    def _must(self, *arguments: str) -> str:
        done = self._run(*arguments)
        if done.returncode:
            raise OpsError(f"git {arguments[0]} failed: {one_line(done.stderr)}")
        return done.stdout

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        # No hooks: those of a worktree (post-checkout) are for people.
        command: Sequence[str] = ["git", "-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=false", *arguments]
        try:
            return subprocess.run(
                command, cwd=self.root, capture_output=True, text=True, timeout=_LIMIT_S, stdin=subprocess.DEVNULL
            )
        except FileNotFoundError:
            raise OpsError("git is not installed: the review compares two revisions with it; install git") from None
        except subprocess.TimeoutExpired:
            raise OpsError(f"git {arguments[0]} took over {_LIMIT_S} s and was ended") from None


FILES = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
"""Where the forge looks, in this order."""


@dataclass(frozen=True)
class OwnerRule:
    """One line: a pattern and its owners (none: nobody needs to approve)."""

    pattern: str
    owners: tuple[str, ...]

    def fits(self, file: str) -> bool:
        """Whether the pattern names a file."""
        return _expression(self.pattern).fullmatch(file) is not None


def owner_rules(text: str) -> list[OwnerRule]:
    """Rules of a file, in its order."""
    rules: list[OwnerRule] = []
    for line in text.splitlines():
        words = re.split(r"(?<!\\)\s+", line.partition(" #")[0].strip())
        if words[0] and not words[0].startswith("#"):
            rules.append(OwnerRule(words[0].replace("\\ ", " "), tuple(words[1:])))
    return rules


def required_owners(rules: Iterable[OwnerRule], files: Iterable[str]) -> Mapping[tuple[str, ...], list[str]]:
    """Owners -> the changed files that they must approve; files that nobody owns under ``()``."""
    ordered = list(rules)[::-1]
    result: dict[tuple[str, ...], list[str]] = {}
    for file in files:
        owners = next((rule.owners for rule in ordered if rule.fits(file)), ())
        result.setdefault(owners, []).append(file)
    return dict(sorted(result.items()))


def _expression(pattern: str) -> re.Pattern[str]:
    """The pattern as a regular expression over a whole path."""
    anchored = "/" in pattern.rstrip("/")
    body = pattern.strip("/")
    parts = {r"**/": "(?:.*/)?", r"/**": "(?:/.*)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    translated = "".join(
        parts[piece] if piece in parts else re.escape(piece) for piece in re.split(r"(\*\*/|/\*\*|\*\*|\*|\?)", body)
    )
    start = "" if anchored else "(?:.*/)?"
    # A name is a file or a folder with everything in it; `folder/*` is only what lies directly in the folder.
    end = "/.*" if pattern.endswith("/") else "" if body.endswith("*") and anchored else "(?:/.*)?"
    return re.compile(start + translated + end)


_LONGEST = 300


def stacks_of(root: Path) -> list[str]:
    """Names of the stacks that a checkout has files for."""
    return sorted(file.name.split(".")[1] for file in root.glob("Pulumi.*.yaml") if file.name.count(".") == 2)


def plan(root: Path, stack: str, called: str) -> StackPlan:
    """Run the program of a checkout for a stack; empty when it has no such stack.

    Args:
        root: The checkout.
        stack: Name of the stack.
        called: What a message calls the checkout.

    Raises:
        OpsError: The program fails, or does not end.
    """
    if not (root / f"Pulumi.{stack}.yaml").exists():
        return StackPlan(stack)
    command = [sys.executable, "-P", evaluate.__file__, stack, "--root", str(root)]
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
    try:
        done = subprocess.run(
            command,
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise OpsError(f"the program of {called} did not end within {_LIMIT_S} s for stack {stack}") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
        reason = next((line for line in reversed(lines) if line.startswith("error: ")), lines[-1])
        raise OpsError(
            f"the program of {called} fails for stack {stack}: {one_line(reason.removeprefix('error: '), _LONGEST)}"
        )
    return stack_plan(json.loads(done.stdout))


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
        base_revision: Revision to compare with; the common ancestor counts.
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
        for stack in sorted({*stacks_of(place), *stacks_of(root)}):
            progress(f"{stack} at {base.label}")
            plans.before[stack] = plan(place, stack, f"BASE {base.label}")
            progress(f"{stack} as it is now")
            plans.after[stack] = plan(root, stack, "the working tree")
        known_owners = _owners(repository, place)
    progress("policies")
    stacks = [
        stack_review(
            plans.before[stack], plans.after[stack], {**left_out(stack, root), **(config or {})}, checker=checker
        )
        for stack in plans.after
    ]
    return Review(
        base=base.label,
        head=head,
        stacks=stacks,
        files=files,
        owners=None if known_owners is None else required_owners(owner_rules(known_owners), files),
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
        for name in FILES:
            if (place / name).is_file():
                return (place / name).read_text()
    return None
