"""``python -m ops review BASE``: a review as one Markdown comment."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ops.core.errors import OpsError
from ops.core.platform import PROJECT
from ops.review.cost import Cost, Impact
from ops.review.difference import Change, Entry, Kind
from ops.review.explain import together
from ops.review.model import ABSENT, code, is_placeholder
from ops.review.review import Review, StackReview, Verdicts
from policy.model import UNKNOWN, Level
from policy.runner import Verdict

MARKER = "<!-- obs-platform review -->"
"""First line of the comment, by which the next run finds it."""
LIMIT = 60_000
"""Characters; the forge refuses comments of more than 65,536."""
_DETAILS = (12, 3, 0)
"""Values shown per resource; the next fewer when the comment would be too long."""
_LONGEST_VALUE = 160
_FILES_SHOWN = 12
_HIDDEN = re.compile(r"password|passwd|token|secret|credential|(^|[._-])key$|hash", re.IGNORECASE)
_CHECKSUM = re.compile(r"checksum")
"""Follows from files that are told themselves."""
_SIGNS = {Kind.ADDED: "+", Kind.CHANGED: "~", Kind.REMOVED: "-"}


def render(review: Review, limit: int = LIMIT) -> str:
    """The comment; shortened where it would be too long for the forge."""
    for values in _DETAILS:
        text = "\n".join(_lines(review, values)) + "\n"
        if len(text) <= limit:
            return text
    note = "\n\n*Shortened: too long for a comment; `make review` shows all of it.*\n"
    cut = text[: limit - len(note) - 200]
    cut = cut[: cut.rfind("\n")]
    return cut + "\n</details>" * (cut.count("<details>") - cut.count("</details>")) + note


def _lines(review: Review, values: int) -> Iterator[str]:
    yield MARKER
    yield f"## Review: {escaped(review.head)} against {escaped(review.base)}"
    yield ""
    yield _verdict(review)
    yield ""
    yield from _table(review)
    yield from _policies(review)
    yield from _meaning(review)
    yield from _costs(review)
    yield from _owners(review)
    yield from _parity(review)
    yield from _resources(review, values)
    yield ""
    amounts = f"{len(review.files)} files differ; {len(review.stacks)} stacks"
    yield f"*{amounts}, both revisions evaluated without a cluster in {review.seconds:.0f} s.*"


def _verdict(review: Review) -> str:
    stopping = {(verdict.rule.id, verdict.message) for stack in review.stacks for verdict in stack.verdicts.stopping}
    if stopping:
        count = (
            "1 mandatory policy violation stops"
            if len(stopping) == 1
            else f"{len(stopping)} mandatory policy violations stop"
        )
        return f"**❌ {count} this change.**"
    if not any(stack.changes for stack in review.stacks):
        return "**✅ No resource of any stack changes.**"
    return "**✅ No mandatory policy is violated.**"


def _table(review: Review) -> Iterator[str]:
    yield "| stack | added | changed | removed | policies: new | before | solved | agreed | not known |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|"
    for stack in review.stacks:
        counts = [
            sum(change.kind is kind for change in stack.changes) for kind in (Kind.ADDED, Kind.CHANGED, Kind.REMOVED)
        ]
        verdicts = stack.verdicts
        counts += [
            len(group) for group in (verdicts.new, verdicts.old, verdicts.solved, verdicts.agreed, verdicts.unknown)
        ]
        yield f"| {stack.name} | " + " | ".join(map(str, counts)) + " |"


def _policies(review: Review) -> Iterator[str]:
    pick: Sequence[tuple[str, Callable[[Verdicts], Iterable[Verdict]], bool]] = (
        ("New violations", lambda verdicts: verdicts.new, False),
        ("Violations that were there before", lambda verdicts: verdicts.old, False),
        ("Solved", lambda verdicts: verdicts.solved, True),
        ("Agreed exceptions", lambda verdicts: verdicts.agreed, True),
    )
    for title, chosen, folded in pick:
        stacks_by_line: dict[str, list[str]] = {}
        for stack in review.stacks:
            for verdict in chosen(stack.verdicts):
                stacks_by_line.setdefault(_told(verdict), []).append(stack.name)
        if stacks_by_line:
            lines = [
                f"- {line}{_stacks(names, review)}"
                for line, names in sorted(stacks_by_line.items(), key=_mandatory_first)
            ]
            yield from _section(f"{title} ({len(stacks_by_line)})", lines, folded=folded)
    unseen: dict[str, set[str]] = {}
    for stack in review.stacks:
        for verdict in stack.verdicts.unknown:
            label = verdict.resource.label if verdict.resource else "the stack as a whole"
            unseen.setdefault(label, set()).add(verdict.rule.id)
    if unseen:
        lines = [f"- {escaped(label)}: {_rules(rules)}" for label, rules in sorted(unseen.items())]
        yield from _section(f"Not known before the update, so not checked yet ({len(unseen)})", lines, folded=True)


def _rules(rules: Iterable[str]) -> str:
    return ", ".join(f"`{rule}`" for rule in sorted(rules))


def _mandatory_first(item: tuple[str, list[str]]) -> bool:
    return not item[0].startswith(f"**{Level.MANDATORY}**")


def _told(verdict: Verdict) -> str:
    agreed = f" *Agreed: {escaped(verdict.agreed)}*" if verdict.agreed else ""
    return f"**{verdict.level}** `{verdict.rule.id}`: {escaped(verdict.message)}{agreed}"


def _meaning(review: Review) -> Iterator[str]:
    stacks_by_statement = together({stack.name: stack.statements for stack in review.stacks})
    if not stacks_by_statement:
        return
    lines: list[str] = []
    for subject, items in groupby(stacks_by_statement.items(), key=lambda item: item[0].subject):
        lines += ["", f"**{subject}**", ""]
        lines += [
            f"- {'⚠️ ' if statement.weakens else ''}{escaped(statement.text)}{_stacks(names, review)}"
            for statement, names in items
        ]
    yield from _section("What changes, in plain words", lines[1:])


def _costs(review: Review) -> Iterator[str]:
    stacks_by_cost: dict[Cost, list[str]] = {}
    for stack in review.stacks:
        for cost in stack.costs:
            stacks_by_cost.setdefault(cost, []).append(stack.name)
    lines: list[str] = []
    for impact in Impact:
        chosen = {cost: names for cost, names in stacks_by_cost.items() if cost.impact is impact}
        if chosen:
            lines += ["", f"**{impact}**", ""]
            ordered = (
                sorted(chosen.items(), key=lambda item: item[0].text) if impact is Impact.RESTARTS else chosen.items()
            )
            lines += [f"- {escaped(cost.text)}{_stacks(names, review)}" for cost, names in ordered]
    yield from _section("What it costs", lines[1:] or ["No pod restarts, nothing is replaced, no data is at risk."])


def _owners(review: Review) -> Iterator[str]:
    if review.owners is None:
        yield from _section("Who must approve", ["There is no CODEOWNERS file."])
        return
    lines = []
    for who, files in review.owners.items():
        names = ", ".join(f"`{owner}`" for owner in who) or "nobody in particular"
        shown = ", ".join(code(file) for file in files[:_FILES_SHOWN])
        more = f" and {len(files) - _FILES_SHOWN} more" if len(files) > _FILES_SHOWN else ""
        lines.append(f"- {names}: {shown}{more}")
    yield from _section("Who must approve", lines or ["No file differs."])


def _parity(review: Review) -> Iterator[str]:
    if review.parity is None:
        return
    lines = [f"- {escaped(line)}" for line in review.parity] or ["The standby region would do the same as production."]
    yield from _section(
        f"Parity of the regions{f' ({len(review.parity)} differences)' if review.parity else ''}", lines
    )


def _resources(review: Review, values: int) -> Iterator[str]:
    changed = [stack for stack in review.stacks if stack.changes]
    if changed:
        yield ""
        yield "### Resources"
    for stack in changed:
        yield from _fold(
            f"{stack.name}: {len(stack.changes)} of {stack.resources} resources", list(_stack(stack, values))
        )


def _stack(stack: StackReview, values: int) -> Iterator[str]:
    for component, changes in groupby(stack.changes, key=lambda change: change.planned.component):
        yield ""
        yield f"**{component}**"
        yield ""
        for change in changes:
            yield f"- `{_SIGNS[change.kind]}` {escaped(change.planned.resource.label)}"
            yield from _values(change, values)


def _values(change: Change, values: int) -> Iterator[str]:
    told = [entry for entry in change.entries if not _CHECKSUM.search(str(entry.path[-1:]))]
    for entry in told[:values]:
        yield f"  - {code(entry.where)}: {_transition(entry)}"
    left = len(told) - values
    if left > 0:
        yield f"  - {'and ' if values else ''}{left} {'more ' if values else ''}{'value' if left == 1 else 'values'}"


def _transition(entry: Entry) -> str:
    hidden = entry.secret or any(_HIDDEN.search(str(part)) for part in entry.path[-1:])
    before, after = (_shown(value, hidden=hidden) for value in (entry.before, entry.after))
    if before == after and entry.secret:
        return "changes (secret, not shown)"
    if entry.before is ABSENT:
        return f"added {after}"
    if entry.after is ABSENT:
        return f"removed {before}"
    return f"{before} → {after}"


def _shown(value: Any, *, hidden: bool) -> str:
    """A value for people; a secret one never, except on and off, which are no secret in themselves."""
    if value is ABSENT:
        return "(absent)"
    if value is UNKNOWN:
        return "(known after the update)"
    if hidden and not isinstance(value, bool):
        return "(secret)"
    text = " ".join(str(value).split()) if isinstance(value, str) else _plain(value)
    if is_placeholder(text):
        return "(secret)"
    return code(text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}...")


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_plain(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_plain, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)


def _section(title: str, lines: Sequence[str], *, folded: bool = False) -> Iterator[str]:
    if folded:
        yield from _fold(title, lines)
        return
    yield ""
    yield f"### {title}"
    yield ""
    yield from lines


def _fold(title: str, lines: Sequence[str]) -> Iterator[str]:
    yield ""
    yield "<details>"
    yield f"<summary>{html.escape(title)}</summary>"
    yield ""
    yield from lines
    yield ""
    yield "</details>"


def _stacks(names: Sequence[str], review: Review) -> str:
    """Which stacks a line holds for; nothing when for all."""
    return "" if len(names) == len(review.stacks) else f" *({', '.join(names)})*"


def escaped(text: str) -> str:
    """Text that the forge shows as it is: no HTML, no mention of people; code in backticks stays code."""
    pieces = re.split(r"(`+[^`]+`+)", " ".join(text.split()))
    return "".join(
        piece if index % 2 else html.escape(piece, quote=False).replace("@", "@<!-- -->").replace("*", "\\*")
        for index, piece in enumerate(pieces)
    )


def review(
    base: Annotated[str, typer.Argument(metavar="BASE", help="Revision that the change goes into.")] = "main",
    output: Annotated[Path | None, typer.Option("--output", help="Write the comment into this file.")] = None,
    config: Annotated[Path | None, typer.Option("--config", help="Configuration of the policy pack (JSON).")] = None,
) -> None:
    """Say what a change does to every stack: explanation, cost, policies, owners. Exit code 1: a policy stops it."""
    # Here, since the policies and the Pulumi SDK are slow to load and no other command needs them.
    from ops.review.review import run
    from policy.analyze import PolicyInputError, load_config

    try:
        settings = load_config(config)
    except PolicyInputError as error:
        raise OpsError(str(error)) from None
    with Console(stderr=True).status("review") as status:
        outcome = run(PROJECT, base, settings, progress=lambda text: status.update(f"review: {text}"))
    text = render(outcome)
    if output is None:
        typer.echo(text, nl=False)
    else:
        try:
            output.write_text(text)
        except OSError as error:
            raise OpsError(f"--output is {output}: it cannot be written ({error.strerror}); choose another") from None
    raise typer.Exit(1 if outcome.stopped else 0)
