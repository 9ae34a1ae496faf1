"""Alerts as they were agreed on (``policy/alerts.yaml``): none is gone, later, less urgent or about something else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from policy.documents import Format, documents
from policy.model import Finding, Node, Options, Resource, Rule
from policy.rules._agreed import agreed_alerts, unknown_keys
from policy.rules._alerting import Alert, all_alerts, metrics_of
from policy.rules._kubernetes import WORKLOADS, of_kind, template
from policy.rules._values import Unknowns, finding, seconds
from policy.rules.alerting_rules import SEVERITIES
from policy.rules.rights import family, role_name

_GROUP: Final = ("name", "interval", "rules", "partial_response_strategy")
_RULE: Final = ("alert", "expr", "for", "labels", "annotations", "record")
_FIX: Final = "leave it as it was, or have it agreed on: python -m tests.support.agreed_alerts, and commit"


def _alert(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.RULES):
        for group in document.node["groups"].elements():
            yield from unknown_keys(resource, group, _GROUP)
            for rule in group["rules"].elements():
                yield from unknown_keys(resource, rule, _RULE)
                alert = Alert(rule, group.path)
                known = agreed_alerts().get(alert.name)
                if known is not None:
                    yield from _weaker(resource, group, alert, known)


def _weaker(resource: Resource, group: Node, alert: Alert, known: Mapping[str, Any]) -> Iterator[Finding]:
    severity = alert.label("severity")
    ranks = {name: rank for rank, name in enumerate(SEVERITIES)}
    if ranks.get(severity.text(), len(ranks)) > ranks[known["severity"]]:
        problem = (
            f"the alert {alert.name} is less urgent: {severity.text() or 'nothing'} instead of {known['severity']}"
        )
        yield finding(resource, severity, problem, _FIX)
    interval = seconds(group["interval"].text()) if group["interval"].exists else 0.0
    for node, value, key in ((alert.node["for"], alert.hold, "for"), (group["interval"], interval or 0.0, "every")):
        if value > known[key]:
            problem = f"the alert {alert.name} comes later: {value:g} s instead of {known[key]:g} s"
            yield finding(resource, node, problem, _FIX)
    read = metrics_of(alert.node["expr"].text())
    if not any(read.issuperset(metrics) for metrics in known["reads"]):
        wanted = " or ".join(", ".join(metrics) for metrics in known["reads"])
        problem = f"the alert {alert.name} is about something else: it does not read {wanted}"
        yield finding(resource, alert.node["expr"], problem, _FIX)


def _there(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    unknown = Unknowns()
    there = {alert.name for alert in all_alerts(resources, unknown)}
    holders = [resource for resource in resources if any(unknown.known(documents(resource, Format.RULES)))]
    unknown.tell()
    missing = {name: known["with"] for name, known in agreed_alerts().items() if name not in there}
    here = parts(resources)
    gone = sorted(name for name, needed in missing.items() if needed == [] or here.intersection(needed or ()))
    if there and gone:
        more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
        yield finding(holders[0], "groups", f"alerts are gone that every such stack has: {gone[0]}{more}", _FIX)


def parts(resources: Sequence[Resource]) -> set[str]:
    """What a stack has that alerts are about: workloads, what runs beside them, and rights in the whole cluster."""
    names = {role_name(role, "metadata.name") for role in of_kind(resources, "ClusterRole")}
    for workload in of_kind(resources, *WORKLOADS):
        name, beside = family(workload.object_name), list(template(workload)["spec"]["containers"].elements())[1:]
        names |= {name, *(f"{name}/{container['name'].text()}" for container in beside)}
    return names


RULES: tuple[Rule, ...] = (
    Rule(
        id="alert-agreed",
        promise="No alert is less urgent, held back longer, looked at more rarely or about other metrics than agreed.",
        why="An alert that comes a day late, at night to nobody or never looks like health.",
        sources=("P3", "A2"),
        kinds=frozenset({"ConfigMap", "Secret"}),
        resource=_alert,
    ),
    Rule(
        id="alert-kept",
        promise="Every alert is there that all stacks have, or all with the same part.",
        why="What an alert that is gone would have told is told by nobody.",
        sources=("P3",),
        stack=_there,
    ),
)
