"""Alerts that nobody acknowledges are raised again for somebody else, also after a restart (requirement A2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from policy.model import Finding, Option, Options, Resource, Rule
from policy.rules._alerting import Alert, Routing, alerts, all_alerts, all_routings, evaluators
from policy.rules._values import Unknowns, each_known, finding, seconds

_FILES = frozenset({"ConfigMap", "Secret"})
_PROMETHEUS_GRACE: Final = "10m"


def _raised_again(resource: Resource, options: Options) -> Iterator[Finding]:
    label, identity = str(options["label"]), str(options["identity"])
    twins: dict[tuple[str, str], list[Alert]] = {}
    for alert in alerts(resource):
        if alert.label(label).text():
            twins.setdefault((alert.group, alert.label(identity).text()), []).append(alert)
    for alert in alerts(resource):
        severity = alert.label("severity").text()
        delay = options["delays"].get(severity)
        if delay is None or alert.label(label).text():
            continue
        escalated = twins.get((alert.group, alert.label(identity).text()), [])
        if not escalated:
            problem = f"nobody else is ever notified of {alert.name}, which is {severity}"
            fix = f"raise it again in its group after {delay}, with the same {identity} and the label {label}"
            yield finding(resource, alert.node, problem, fix)
        for twin in escalated:
            yield from _same(resource, alert, twin, severity, delay)


def _same(resource: Resource, alert: Alert, twin: Alert, severity: str, delay: str) -> Iterator[Finding]:
    if twin.node["expr"].text() != alert.node["expr"].text():
        problem = f"{twin.name} is about something else than {alert.name}, which it raises again"
        yield finding(resource, twin.node["expr"], problem, "give both the same expression")
    if twin.label("severity").text() != severity:
        problem = f"{twin.name} has another priority than {alert.name}, which it raises again"
        yield finding(resource, twin.label("severity"), problem, f"set it to {severity}")
    if twin.hold - alert.hold > (seconds(delay) or 0):
        problem = f"{alert.name} is raised again later than {delay} after it fires: {twin.name} waits for "
        problem += f"{twin.node['for'].text()}, and {alert.name} for {alert.node['for'].text() or '0s'}"
        yield finding(resource, twin.node["for"], problem, f"set it to {delay} more than that of {alert.name}")


def _routed(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    unknown = Unknowns()
    label = str(options["label"])
    escalating = [alert for alert in all_alerts(resources, unknown) if alert.label(label).text()]
    for routing in all_routings(resources, unknown):
        yield from _contacts(routing, escalating, label)
    unknown.tell()


def _contacts(routing: Routing, escalating: Sequence[Alert], label: str) -> Iterator[Finding]:
    lost: dict[str, str] = {}
    for alert, routes in zip(escalating, routing.taken([alert.labels for alert in escalating]), strict=True):
        contact = alert.label(label).text()
        if not all(any(m.label == label and m.names(contact) for m in route.matchers) for route in routes):
            lost.setdefault(contact, alert.name)
    for contact, name in lost.items():
        yield finding(
            routing.resource,
            routing.root.node["routes"],
            f"no route is for {contact}, whom {name} is raised for",
            f'add a route with the matcher {label}="{contact}" before those that go by priority',
        )


def _remembered(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    yield from each_known(_remembered_by(resource, resources, options) for resource in resources)


def _remembered_by(workload: Resource, stack: Sequence[Resource], options: Options) -> Iterator[Finding]:
    for evaluator in evaluators(workload, stack):
        word = evaluator.container.flag("rules.alert.for-grace-period")
        value, most = word.text if word else _PROMETHEUS_GRACE, str(options["grace"])
        given = seconds(value)
        if any(alert.label(str(options["label"])).text() for alert in evaluator.alerts) and (
            given is None or given > (seconds(most) or 0)
        ):
            yield finding(
                workload,
                word.where if word else evaluator.container.node["command"].path,
                f"a restart forgets how long alerts with a shorter wait than {value} have been true"
                + ("" if word else ", which is what Prometheus does by itself"),
                f"set --rules.alert.for-grace-period to {most} or less",
            )


_LABEL: Final = Option(
    default="escalation", schema={"type": "string"}, meaning="Label with whom an alert is raised again for."
)
_TIME: Final = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$"}

RULES: tuple[Rule, ...] = (
    Rule(
        id="alert-escalates",
        promise="Critical, High and Medium alerts that nobody acknowledges are raised again for somebody else in time.",
        why="The first one who is notified may be asleep, ill or gone.",
        sources=("A2",),
        options={
            "label": _LABEL,
            "identity": Option(
                default="alert_id", schema={"type": "string"}, meaning="Label that an alert and its escalation share."
            ),
            "delays": Option(
                default={"critical": "5m", "high": "30m", "medium": "4h"},
                schema={"type": "object", "additionalProperties": _TIME},
                meaning="Longest time from an alert to its escalation, by priority; others need none.",
            ),
        },
        kinds=_FILES,
        resource=_raised_again,
    ),
    Rule(
        id="alert-escalation-routed",
        promise="Everybody whom alerts are raised for has a route of their own.",
        why="The escalation would go to those who have not answered yet.",
        sources=("A2",),
        options={"label": _LABEL},
        stack=_routed,
    ),
    Rule(
        id="alert-escalation-remembered",
        promise="A Prometheus that restarts goes on counting the time of escalations.",
        why="Its own grace period leaves out all waits below 10 minutes, those of Critical alerts among them.",
        sources=("A2", "P1"),
        options={
            "label": _LABEL,
            "grace": Option(default="1m", schema=_TIME, meaning="Longest grace period."),
        },
        stack=_remembered,
    ),
)
