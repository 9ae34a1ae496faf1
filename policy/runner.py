"""Runs rules over resources, with levels, options and exceptions; the engine's adapter and every report use it."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from policy import exceptions
from policy.model import Finding, Level, Options, Resource, Rule, UnknownValueError
from policy.rules import RULES

EXCEPTIONS_RULE = "exceptions-current"
Config = Mapping[str, Any]
"""The pack's configuration: rule id -> level text, or mapping of ``enforcementLevel`` and options."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A violation, or a rule that could not look.

    Attributes:
        rule: Whose verdict it is.
        resource: Whose fault it is; None for the stack as a whole.
        finding: What is wrong; None when a value was not known.
        level: What it does; what is unknown never stops.
        message: The whole sentence for people.
        unknown: Whether a value was not known, so that the rule could not look.
        agreed: Reason of the exception that covers it; empty otherwise.
    """

    rule: Rule
    resource: Resource | None
    finding: Finding | None
    level: Level
    message: str
    unknown: bool = False
    agreed: str = ""

    @property
    def stops(self) -> bool:
        """Whether it stops a preview or update."""
        return self.level is Level.MANDATORY and not self.unknown and not self.agreed


class Runner:
    """Rules with their configuration on one day."""

    def __init__(
        self,
        config: Config | None = None,
        *,
        rules: Sequence[Rule] = RULES,
        agreed: Sequence[exceptions.ExceptionEntry] | None = None,
        today: datetime.date | None = None,
    ) -> None:
        self.rules = rules
        self._config = config or {}
        self._mistakes: tuple[Finding, ...] = ()
        if agreed is None:
            agreed, self._mistakes = exceptions.load()
        self._agreed = tuple(agreed)
        self._today = today or datetime.datetime.now(tz=datetime.UTC).date()

    def level(self, rule: Rule) -> Level | None:
        """Level of a rule under the configuration; None when it is switched off."""
        entry = self._config.get(rule.id, rule.level)
        chosen = entry.get("enforcementLevel", rule.level) if isinstance(entry, Mapping) else entry
        return None if chosen == "disabled" else Level(chosen)

    def options(self, rule: Rule) -> Options:
        """Options of a rule: defaults overlaid by the configuration."""
        entry = self._config.get(rule.id)
        given = entry if isinstance(entry, Mapping) else {}
        return {**rule.defaults(), **{key: value for key, value in given.items() if key in rule.options}}

    def at_resource(self, rule: Rule, resource: Resource, options: Options | None = None) -> Iterator[Verdict]:
        """Verdicts of a resource rule at one resource."""
        if rule.resource is None or (rule.kinds and resource.kind not in rule.kinds):
            return
        try:
            for finding in rule.resource(resource, self.options(rule) if options is None else options):
                yield self._verdict(rule, finding)
        except UnknownValueError as error:
            yield self._unknown(rule, resource, error)

    def at_stack(self, rule: Rule, resources: Sequence[Resource], options: Options | None = None) -> Iterator[Verdict]:
        """Verdicts of a stack rule."""
        if rule.stack is None:
            return
        try:
            for finding in rule.stack(resources, self.options(rule) if options is None else options):
                yield self._verdict(rule, finding)
        except UnknownValueError as error:
            yield self._unknown(rule, None, error)

    def all(self, resources: Sequence[Resource]) -> list[Verdict]:
        """Verdicts of every rule that is not switched off."""
        verdicts: list[Verdict] = []
        for rule in self.rules:
            if self.level(rule) is None:
                continue
            if rule.stack is not None:
                verdicts += self.at_stack(rule, resources)
                continue
            options = self.options(rule)
            for resource in resources:
                verdicts += self.at_resource(rule, resource, options)
        verdicts += [self._verdict(EXCEPTIONS, finding) for finding in self.stale(resources)]
        return verdicts

    def stale(self, resources: Sequence[Resource]) -> list[Finding]:
        """What is wrong with the exceptions themselves."""
        known = frozenset(rule.id for rule in self.rules)
        return [*self._mistakes, *exceptions.stale(self._agreed, known, resources, self._today)]

    def _verdict(self, rule: Rule, finding: Finding) -> Verdict:
        label = finding.resource.label if finding.resource else "stack"
        message = f"{label}, {finding.where}: {finding.problem}. {rule.why} Fix: {finding.fix}."
        covering = next((entry for entry in self._agreed if entry.covers(rule.id, finding.resource, self._today)), None)
        agreed = f"{covering.reason} ({covering.owner}, until {covering.expires})" if covering else ""
        return Verdict(
            rule=rule,
            resource=finding.resource,
            finding=finding,
            level=self.level(rule) or Level.ADVISORY,
            message=message,
            agreed=agreed,
        )

    def _unknown(self, rule: Rule, resource: Resource | None, error: UnknownValueError) -> Verdict:
        label = resource.label if resource else "stack"
        message = f"{label}, {error.path}: not known before the update, so {rule.id} could not look at it yet"
        return Verdict(rule=rule, resource=resource, finding=None, level=Level.ADVISORY, message=message, unknown=True)


def check(resources: Sequence[Resource], config: Config | None = None) -> list[Verdict]:
    """Every verdict about a stack, exceptions of ``policy/exceptions.yaml`` considered."""
    return Runner(config).all(resources)


def _exceptions_stack(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    yield from Runner().stale(resources)


EXCEPTIONS = Rule(
    id=EXCEPTIONS_RULE,
    promise="Every exception names a rule, a resource, a reason, an owner and a day not yet over.",
    why="An exception that nobody ends becomes the rule.",
    sources=("M4",),
    stack=_exceptions_stack,
)
"""The rule about the exceptions themselves; the pack adds it to ``RULES``."""
