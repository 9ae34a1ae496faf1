"""Prometheus' alerts themselves: priority, runbook and identity, and that every Prometheus evaluates them (P3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from policy.model import Finding, Option, Options, Resource, Rule
from policy.rules._alerting import Evaluator, Labels, alerts, evaluators
from policy.rules._values import Unknowns, each_known, finding, shown

_FILES = frozenset({"ConfigMap", "Secret"})


def _severity(resource: Resource, options: Options) -> Iterator[Finding]:
    allowed = [str(allowed) for allowed in options["values"]]
    for alert in alerts(resource):
        where = alert.label("severity")
        if where.text() not in allowed:
            problem = f"the alert {alert.name} has no priority that routes know: severity {shown(where)}"
            yield finding(resource, where, problem, f"set it to one of {', '.join(allowed)}")


def _runbook(resource: Resource, options: Options) -> Iterator[Finding]:
    for alert in alerts(resource):
        where = alert.node["annotations"]["runbook_url"]
        if not where.text().startswith("https://"):
            problem = f"the alert {alert.name} has no runbook: runbook_url {shown(where)}"
            yield finding(resource, where, problem, "set it to the https address of the alert's runbook")


def _identity(resource: Resource, options: Options) -> Iterator[Finding]:
    label = str(options["label"])
    for alert in alerts(resource):
        where = alert.label(label)
        if not where.text():
            problem = f"the alert {alert.name} cannot be acknowledged: {label} {shown(where)}"
            yield finding(resource, where, problem, f"set the label {label}, made of the alert's own labels")


def _loaded(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    yield from each_known(_loaded_by(resource, resources) for resource in resources)


def _loaded_by(workload: Resource, stack: Sequence[Resource]) -> Iterator[Finding]:
    for evaluator in evaluators(workload, stack):
        if not evaluator.alerts:
            evaluator.mounted.missing()
            yield finding(
                evaluator.config,
                evaluator.rule_files,
                "this Prometheus knows Alertmanagers and evaluates no alert: rule_files names no mounted file with one",
                "mount the rule file and name it in rule_files",
            )


def _alike(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    unknown = Unknowns()
    all_evaluators = [
        evaluator for workload in resources for evaluator in unknown.known(evaluators(workload, resources))
    ]
    everything = {alert.labels for evaluator in all_evaluators for alert in evaluator.alerts}
    for evaluator in all_evaluators:
        yield from unknown.known(_lacking(evaluator, everything))
    unknown.tell()


def _lacking(prometheus: Evaluator, everything: AbstractSet[Labels]) -> Iterator[Finding]:
    own = {alert.labels for alert in prometheus.alerts}
    names = sorted({dict(labels)["alertname"] for labels in everything - own})
    if names:
        prometheus.mounted.missing()
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield finding(
            prometheus.config,
            prometheus.rule_files,
            f"another Prometheus of the stack evaluates {names[0]}{more}, and this one does not, or with other labels",
            "give every Prometheus the same rule files",
        )


SEVERITIES: Final = ("critical", "high", "medium", "low")

RULES: tuple[Rule, ...] = (
    Rule(
        id="alert-severity",
        promise="Every alert has one of the four priorities.",
        why="Alertmanager routes by it: an alert without one is told late, to the wrong people, and never escalates.",
        sources=("P3", "A2"),
        options={
            "values": Option(
                default=list(SEVERITIES),
                schema={"type": "array", "items": {"type": "string"}},
                meaning="Values of the label severity.",
            )
        },
        kinds=_FILES,
        resource=_severity,
    ),
    Rule(
        id="alert-runbook",
        promise="Every alert leads to a runbook.",
        why="Who is woken by an alert nobody has explained loses the time in which it could be mended.",
        sources=("P3",),
        kinds=_FILES,
        resource=_runbook,
    ),
    Rule(
        id="alert-acknowledged",
        promise="Every alert carries the identity by which it is acknowledged.",
        why="An acknowledgement silences that identity; without it the alert escalates although somebody has it.",
        sources=("A2",),
        options={
            "label": Option(default="alert_id", schema={"type": "string"}, meaning="Label with the identity."),
        },
        kinds=_FILES,
        resource=_identity,
    ),
    Rule(
        id="alert-rules-loaded",
        promise="Every Prometheus that knows Alertmanagers evaluates alerts of the stack.",
        why="Nothing would ever fire, and the silence would look like health.",
        sources=("P3",),
        stack=_loaded,
    ),
    Rule(
        id="alert-rules-alike",
        promise="Every Prometheus that knows Alertmanagers evaluates the same alerts.",
        why="An alert that only one of them evaluates is gone while that one is down.",
        sources=("P1", "P3"),
        stack=_alike,
    ),
)
