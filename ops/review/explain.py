"""What a change means, in sentences that need no Kubernetes, Kafka or PromQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ops.review.explain_alerts import alerts, thresholds
from ops.review.explain_catalogue import catalogue
from ops.review.explain_dashboards import dashboards
from ops.review.explain_kafka import access, brokers
from ops.review.explain_surface import surface
from ops.review.model import StackPlan
from ops.review.phrasing import Statement, Subject, came_and_went, listed

_RULES_SHOWN = 8


def explain(before: StackPlan, after: StackPlan) -> list[Statement]:
    """Every sentence about a stack; a stack that comes or goes as a whole is one sentence."""
    if not before.planned or not after.planned:
        return []
    old, new = before.resources, after.resources
    statements = [
        *policies(before, after),
        *thresholds(before.thresholds, after.thresholds),
        *alerts(old, new),
        *catalogue(old, new),
        *access(old, new),
        *brokers(old, new),
        *surface(old, new),
        *dashboards(old, new),
    ]
    return list(dict.fromkeys(statements))


def policies(before: StackPlan, after: StackPlan) -> Iterator[Statement]:
    """Changes of the rules themselves, and of agreed exceptions."""
    added, gone, changed = came_and_went(before.rules, after.rules)
    if added:
        more = f" and {len(added) - _RULES_SHOWN} more" if len(added) > _RULES_SHOWN else ""
        yield _about(f"{len(added)} new {'rule' if len(added) == 1 else 'rules'}: {listed(added[:_RULES_SHOWN])}{more}")
    for rule in gone:
        yield _about(f"rule {rule} is gone", weakens=True)
    for rule in changed:
        weaker = after.rules[rule] != "mandatory"
        yield _about(f"rule {rule} is now {after.rules[rule]} instead of {before.rules[rule]}", weakens=weaker)
    old, new = (
        {(exception["rule"], exception["resource"]): exception for exception in plan.exceptions}
        for plan in (before, after)
    )
    added_exceptions, gone_exceptions, changed_exceptions = came_and_went(old, new)
    for key in (*added_exceptions, *changed_exceptions):
        entry = new[key]
        which = "new exception" if key not in old else "changed exception"
        yield _about(
            f"{which} from {entry['rule']} for {entry['resource']} until {entry['expires']}: {entry['reason']}",
            weakens=True,
        )
    for rule, resource in gone_exceptions:
        yield _about(f"the exception from {rule} for {resource} has ended")


def together(by_stack: Mapping[str, Sequence[Statement]]) -> dict[Statement, list[str]]:
    """Every sentence once, with the stacks that it holds for, in the order of subjects."""
    stacks_by_statement: dict[Statement, list[str]] = {}
    for stack, statements in by_stack.items():
        for statement in statements:
            stacks_by_statement.setdefault(statement, []).append(stack)
    order = list(Subject)
    return dict(
        sorted(stacks_by_statement.items(), key=lambda item: (order.index(item[0].subject), not item[0].weakens))
    )


def _about(text: str, *, weakens: bool = False) -> Statement:
    return Statement(Subject.POLICY, text, weakens)
