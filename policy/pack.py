"""The rules as policies of the Pulumi engine, and the engine's resources as rules see them: converted once, and the
same for resource and stack rules.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyConfigSchema,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError as EngineUnknownError

from policy.model import UNKNOWN, Level, Resource, Rule
from policy.rules import RULES
from policy.runner import EXCEPTIONS, Runner, Verdict
from policy.servicer import KindPolicy, Memoized, install
from policy.stack_config import stack_options


class ResourceView:
    """Remembers the inputs of every resource.

    At the stack's end the engine shows outputs, which a preview hardly knows; what the program asked for was shown
    before, resource by resource, and is what rules judge. The namespace of objects is unknown until their Namespace
    exists: where the program makes exactly one, it is that one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._plain = Memoized(plain)
        self._inputs: dict[str, Resource] = {}
        self._namespaces: set[str] = set()

    def resource(self, given: ResourceValidationArgs) -> Resource:
        """A resource that the program registers."""
        with self._lock:
            known = self._inputs.get(given.urn)
        props = self._plain(given.props)
        if known is not None and known.source is props:
            return known
        resource = self._made(given.resource_type, given.name, props, given.urn)
        with self._lock:
            self._inputs[given.urn] = resource
        return resource

    def stack(self, given: Sequence[PolicyResource]) -> list[Resource]:
        """All resources of the stack, as the program asked for them."""
        with self._lock:
            inputs = dict(self._inputs)
        return [
            inputs.get(policy_resource.urn)
            or self._made(
                policy_resource.resource_type,
                policy_resource.name,
                self._plain(policy_resource.props),
                policy_resource.urn,
            )
            for policy_resource in given
        ]

    def _made(self, type_: str, name: str, props: dict[str, Any], urn: str) -> Resource:
        metadata = props.get("metadata")
        if not isinstance(metadata, Mapping):
            return Resource(type_, name, props, urn, source=props)
        with self._lock:
            if type_ == "kubernetes:core/v1:Namespace" and isinstance(metadata.get("name"), str):
                self._namespaces.add(metadata["name"])
            only = next(iter(self._namespaces)) if len(self._namespaces) == 1 else None
        if metadata.get("namespace") is UNKNOWN and only:
            filled = {**props, "metadata": {**metadata, "namespace": only}}
            return Resource(type_, name, filled, urn, source=props)
        return Resource(type_, name, props, urn, source=props)


def plain(value: Any) -> Any:
    """The engine's properties as plain data, with ``UNKNOWN`` where it does not know."""
    if isinstance(value, Mapping):
        return {key: _inner(value, key) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_inner(value, index) for index in range(len(value))]
    return value


def _inner(value: Any, key: Any) -> Any:
    try:
        return plain(value[key])
    except EngineUnknownError:
        return UNKNOWN


NAME = "observability"
_LISTED = 4
_LEVELS = {Level.MANDATORY: EnforcementLevel.MANDATORY, Level.ADVISORY: EnforcementLevel.ADVISORY}


def policies() -> list[Policy]:
    """One policy per rule, and one that gathers what a preview could not know."""
    install()
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
            pack_policies.append(KindPolicy(rule.kinds, validate=_resource_check(runner, rule, seen, notes), **common))
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
