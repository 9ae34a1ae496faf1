"""Runs the pack over every mutation of the rendered platform; as a program it writes the evidence."""

from __future__ import annotations

import collections
import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ops.evidence import files as evidence
from policy.model import Level, Resource, Rule
from policy.rules import RULES
from policy.runner import Runner
from tests.support.engine import recorded
from tests.support.mutations import Mutation, mutations

NAME = "policy-mutations"
STACKS = ("local", "prod")
_MANDATORY = [rule for rule in RULES if rule.level is Level.MANDATORY]
_BY_ID = {rule.id: rule for rule in _MANDATORY}
_NUMBER = re.compile(r"\d+")
_AT_RESOURCE = [rule for rule in _MANDATORY if rule.resource is not None]
_AT_STACK = [rule for rule in _MANDATORY if rule.stack is not None]


@dataclass
class Run:
    """What came of one stack's mutations.

    Attributes:
        mutations: How many there were.
        survivors: Names of those that no mandatory rule noticed.
        by_rule: Rule id -> mutations that it noticed.
        by_kind: Kind of resource -> mutations.
    """

    mutations: int = 0
    survivors: list[str] = field(default_factory=list)
    by_rule: collections.Counter[str] = field(default_factory=collections.Counter)
    by_kind: collections.Counter[str] = field(default_factory=collections.Counter)

    def add(self, other: Run) -> None:
        """Sum up."""
        self.mutations += other.mutations
        self.survivors += other.survivors
        self.by_rule += other.by_rule
        self.by_kind += other.by_kind


def platform(stack: str) -> list[Resource]:
    """The rendered platform of a stack file."""
    return [
        Resource(resource.token, resource.name, resource.inputs)
        for resource in recorded(stack).resources
        if not resource.read
    ]


def run(stack: str, *, count: bool = True) -> Run:
    """Run every mutation of a stack.

    Args:
        stack: Name of the stack file.
        count: Whether every rule that notices a mutation is counted; else the first one is enough.
    """
    resources = platform(stack)
    runner = Runner(agreed=[])
    result = Run()
    known: dict[str, list[Rule]] = {}
    for mutation in mutations(resources):
        if count:
            noticed = _noticed(runner, mutation, resources, count)
        else:
            rules = known.setdefault(_sort(mutation, resources[mutation.index]), [])
            noticed = _noticed_again(runner, mutation, resources, rules)
            if not noticed:
                noticed = _noticed(runner, mutation, resources, count)
                rules += [_BY_ID[rule_id] for rule_id in noticed]
        result.mutations += 1
        result.by_kind[resources[mutation.index].kind] += 1
        result.by_rule.update(noticed)
        if not noticed:
            result.survivors.append(f"{stack}: {mutation.name}")
    return result


def _sort(mutation: Mutation, resource: Resource) -> str:
    """What mutations have in common that weaken the same setting of like resources."""
    place, equals, value = mutation.name.removeprefix(resource.label).partition(" = ")
    return f"{resource.kind} {place.rpartition('.')[2]}{equals}{_NUMBER.sub('', value)}"


def _noticed_again(runner: Runner, mutation: Mutation, resources: list[Resource], rules: list[Rule]) -> set[str]:
    """Id of the first of the rules that notices a mutation as it noticed others of its sort, if one does."""
    for rule in rules:
        if rule.stack is not None:
            verdicts = runner.at_stack(rule, mutation.applied(resources))
        elif mutation.changed is not None:
            verdicts = runner.at_resource(rule, mutation.changed)
        else:
            continue
        if any(verdict.stops for verdict in verdicts):
            _first(rules, rule)
            return {rule.id}
    return set()


def _noticed(runner: Runner, mutation: Mutation, resources: list[Resource], count: bool) -> set[str]:
    """Ids of the mandatory rules that notice a mutation: those at the changed resource, else the first at the
    stack."""
    rule_ids: set[str] = set()
    if mutation.changed is not None:
        for rule in tuple(_AT_RESOURCE):
            if any(verdict.stops for verdict in runner.at_resource(rule, mutation.changed)):
                rule_ids.add(rule.id)
                if not count:
                    _first(_AT_RESOURCE, rule)
                    return rule_ids
    if not rule_ids:
        changed = mutation.applied(resources)
        for rule in tuple(_AT_STACK):
            if any(verdict.stops for verdict in runner.at_stack(rule, changed)):
                _first(_AT_STACK, rule)
                return {rule.id}
    return rule_ids


def _first(rules: list[Rule], rule: Rule) -> None:
    """Neighbouring mutations are noticed by the same rule: let it look first."""
    rules.remove(rule)
    rules.insert(0, rule)


def main() -> None:
    """Run all stacks and write the evidence."""
    started, began = time.monotonic(), datetime.now(UTC)
    total = Run()
    for stack in STACKS:
        print(f"{stack}: every protective setting, one at a time", flush=True)
        part = run(stack)
        took = time.monotonic() - started
        print(f"{stack}: {part.mutations} mutations, survivors: {len(part.survivors)}, {took:.0f} s so far", flush=True)
        total.add(part)
    report: dict[str, Any] = {
        "stacks": list(STACKS),
        "rules": len(RULES),
        "mutations": total.mutations,
        "noticed": total.mutations - len(total.survivors),
        "survived": len(total.survivors),
        "survivors": total.survivors,
        "rules that were the first to notice nothing": len(RULES) - len(total.by_rule),
        "noticed_by_rule": dict(sorted(total.by_rule.items())),
        "mutations_by_kind": dict(sorted(total.by_kind.items())),
        "seconds": round(time.monotonic() - started, 1),
    }
    settings = {"stacks": list(STACKS), "level": Level.MANDATORY.value}
    written = evidence.write(NAME, figures=report, kube=None, started=began, settings=settings)
    print(f"{report['mutations']} mutations, {report['noticed']} noticed, survivors: {len(total.survivors)}")
    for name in total.survivors:
        print(f"  {name}")
    if not written.passed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
