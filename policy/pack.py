"""The rules as policies of the Pulumi engine."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyConfigSchema,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)

from policy.model import Level, Rule
from policy.resource_view import ResourceView, install_cache
from policy.rules import RULES
from policy.runner import EXCEPTIONS, Runner, Verdict
from policy.stack_config import stack_options

NAME = "observability"
_LISTED = 4
_LEVELS = {Level.MANDATORY: EnforcementLevel.MANDATORY, Level.ADVISORY: EnforcementLevel.ADVISORY}


def policies() -> list[Policy]:
    """One policy per rule, and one that gathers what a preview could not know."""
    install_cache()
    runner = Runner()
    notes, seen = _Notes(), ResourceView()
    pack_policies: list[Policy] = []
    for rule in (*RULES, EXCEPTIONS):
        common: dict[str, Any] = {
            "name": rule.id,
            "description": rule.promise,
            "enforcement_level": _LEVELS[rule.level],
            "config_schema": _schema(rule),
        }
        if rule.resource is not None:
            pack_policies.append(
                ResourceValidationPolicy(validate=_resource_check(runner, rule, seen, notes), **common)
            )
        else:
            pack_policies.append(StackValidationPolicy(validate=_stack_check(runner, rule, seen, notes), **common))
    pack_policies.append(
        StackValidationPolicy(
            name="unknown-until-update",
            description="Some values are known only during the update, where these rules look again.",
            enforcement_level=EnforcementLevel.ADVISORY,
            validate=notes.report,
        )
    )
    return pack_policies


class _Notes:
    """What could not be looked at, gathered so that one line per resource says it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: dict[tuple[str, str], set[str]] = {}

    def add(self, verdict: Verdict) -> None:
        """Remember a rule that could not look."""
        label, _, rest = verdict.message.partition(":")
        with self._lock:
            self._rules.setdefault((label, rest and "not known"), set()).add(verdict.rule.id)

    def report(self, _args: StackValidationArgs, report: ReportViolation) -> None:
        """Report them, then forget them: one engine run is one report."""
        with self._lock:
            noted, self._rules = sorted(self._rules.items()), {}
        if noted:
            lines = [f"  {label}: {_counted(rules)}" for (label, _), rules in noted]
            report("\n".join(["not known before the update; rules that look again then:", *lines]), None)


def _counted(rules: set[str]) -> str:
    listed = ", ".join(sorted(rules)[:_LISTED])
    return listed if len(rules) <= _LISTED else f"{listed} and {len(rules) - _LISTED} more"


def _resource_check(runner: Runner, rule: Rule, seen: ResourceView, notes: _Notes) -> Any:
    def check(args: ResourceValidationArgs, report: ReportViolation) -> None:
        if rule.kinds and args.resource_type.rsplit(":", 1)[-1] not in rule.kinds:
            return
        _tell(runner.at_resource(rule, seen.resource(args), _options(rule, args.get_config(), args.urn)), report, notes)

    return check


def _stack_check(runner: Runner, rule: Rule, seen: ResourceView, notes: _Notes) -> Any:
    def check(args: StackValidationArgs, report: ReportViolation) -> None:
        _tell(
            runner.at_stack(rule, seen.stack(args.resources), _options(rule, args.get_config(), _urn(args))),
            report,
            notes,
        )

    return check


def _urn(args: StackValidationArgs) -> str:
    """URN of any resource of the stack."""
    return next((resource.urn for resource in args.resources), "")


def _tell(verdicts: Any, report: ReportViolation, notes: _Notes) -> None:
    for verdict in verdicts:
        if verdict.unknown:
            notes.add(verdict)
        elif not verdict.agreed:
            report(verdict.message, verdict.resource.urn if verdict.resource else None)


def _options(rule: Rule, given: Mapping[str, Any], urn: str = "") -> dict[str, Any]:
    """Options of a rule. The engine hands defaults over as if somebody had configured them: the stack goes before."""
    defaults = rule.defaults()
    chosen = {key: value for key, value in given.items() if key in rule.options and value != defaults[key]}
    return {**defaults, **stack_options(rule.id, urn), **chosen}


def _schema(rule: Rule) -> PolicyConfigSchema | None:
    if not rule.options:
        return None
    return PolicyConfigSchema(
        properties={
            name: {**option.schema, "description": option.meaning, "default": option.default}
            for name, option in rule.options.items()
        }
    )
