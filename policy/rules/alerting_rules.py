"""Prometheus' alerts: complete, as agreed on, and on their way to people.

Each has priority, runbook and identity, and every Prometheus evaluates it (requirement P3). None is gone, later, less
urgent or about something else than in ``policy/alerts.yaml``. Each matches a route that notifies on-call in time
(requirements A2, S2); one that nobody acknowledges is raised again for somebody else, also after a restart
(requirement A2); and one always fires for the dead man's switch outside the platform (requirement D4).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from policy.documents import Format, documents
from policy.model import Finding, Node, Option, Options, Resource, Rule
from policy.rules._agreed import agreed_alerts, unknown_keys
from policy.rules._alerting import (
    ALWAYS_FIRES,
    TARGET,
    Alert,
    Evaluator,
    Labels,
    Route,
    Routing,
    alerts,
    all_alerts,
    all_routings,
    evaluated,
    evaluators,
    matchers,
    metrics_of,
)
from policy.rules._kubernetes import WORKLOADS, of_kind, template
from policy.rules._values import FILES, Unknowns, each_known, finding, seconds, shown
from policy.rules.rights import family, role_name


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
    exactly = known.get("exactly")
    if exactly and alert.node["expr"].text() not in exactly:
        problem = f"the alert {alert.name}, which keeps more urgent ones quiet, is true at other times than agreed on"
        yield finding(resource, alert.node["expr"], problem, _FIX)


def _there(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    unknown = Unknowns()
    loaded = evaluated(resources, unknown)
    there = {alert.name for alert in all_alerts(resources, unknown)} if loaded is None else loaded
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


def _reached(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    unknown = Unknowns()
    alerts = all_alerts(resources, unknown)
    for routing in all_routings(resources, unknown):
        yield from _by(routing, alerts, options["within"])
    unknown.tell()


def _by(routing: Routing, alerts: Sequence[Alert], within: Mapping[str, str]) -> Iterator[Finding]:
    told: dict[tuple[str, str, str], list[str]] = {}
    for alert, routes in zip(alerts, routing.taken([alert.labels for alert in alerts]), strict=True):
        severity = alert.label("severity").text() or "other"
        for route in routes:
            for where, problem, fix in _problems(routing, route, severity, within.get(severity)):
                told.setdefault((where.path, problem, fix), []).append(alert.name)
    for (path, problem, fix), names in told.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield finding(routing.resource, path, f"{problem} ({names[0]}{more})", fix)


def _problems(routing: Routing, route: Route, severity: str, most: str | None) -> Iterator[tuple[Node, str, str]]:
    if not route.above:
        fix = "add a route for them: the first one is for what nobody foresaw"
        yield routing.root.node["routes"], f"no route takes {severity} alerts", fix
        return
    if most is None:
        return
    receiver, wait = route.of("receiver"), route.of("group_wait")
    if not routing.people(receiver.text()):
        problem = f"{severity} alerts arrive at {receiver.text() or 'nobody'}, which tells no people"
        yield receiver, problem, "give it a channel that leaves the cluster"
    given = seconds(route.time("group_wait"))
    if given is None or given > (seconds(most) or 0):
        problem = f"{severity} alerts wait for {route.time('group_wait')} before anybody is told, more than {most}"
        yield wait, problem, f"set group_wait to {most} or less on their route"
    for key in ("mute_time_intervals", "active_time_intervals"):
        if any(route.node[key].elements()):
            problem = f"{severity} alerts are held back at times: {key} is {', '.join(route.node[key].texts())}"
            yield route.node[key], problem, f"remove {key} from their route"


_MUTED: Final = ("mute_time_intervals", "active_time_intervals")


def _watchdogs(resources: Sequence[Resource], name: str, unknown: Unknowns) -> list[Alert]:
    return [alert for alert in all_alerts(resources, unknown) if alert.name == name]


def _fires(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    unknown = Unknowns()
    alerts = _watchdogs(resources, str(options["alert"]), unknown)
    told = all_routings(resources, unknown)
    unknown.tell()
    for routing in told if not alerts else ():
        yield finding(
            routing.resource,
            routing.root.node["routes"],
            f"no rule of the stack has the alert {options['alert']}, whose silence calls people",
            f"add a rule {options['alert']} that is always true",
        )


def _leaves(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    unknown = Unknowns()
    name = str(options["alert"])
    known: list[Labels] = [watchdog.labels for watchdog in _watchdogs(resources, name, unknown)]
    for routing in all_routings(resources, unknown):
        for labels in known or [frozenset({("alertname", name)})]:
            [taken] = routing.taken([labels])
            for route in taken:
                yield from _beats(routing, route, name, options)
            yield from _quiet(routing, labels, name)
    unknown.tell()


def _beats(routing: Routing, route: Route, name: str, options: Options) -> Iterator[Finding]:
    most = str(options["longest"])
    if not route.above:
        problem = f"no route is for {name}, so it goes where on-call is notified, and the switch hears nothing"
        yield finding(
            routing.resource, route.node["routes"], problem, f'add a first route with the matcher alertname="{name}"'
        )
        return
    receiver = route.of("receiver")
    if not options["switch"]:
        return
    if not routing.people(receiver.text()):
        problem = f"{name} goes to {receiver.text() or 'nobody'}, which tells nobody outside the platform"
        yield finding(routing.resource, receiver, problem, "give it a webhook to the switch outside")
    for key in ("group_wait", "group_interval", "repeat_interval"):
        given = seconds(route.time(key))
        if given is None or given > (seconds(most) or 0):
            problem = f"{name} leaves too seldom: {key} is {route.time(key)}, more than {most}"
            yield finding(routing.resource, route.of(key), problem, f"set {key} to {most} or less on its route")
    for key in _MUTED:
        if any(route.node[key].elements()):
            problem = f"{name} is held back at times: {key} is {', '.join(route.node[key].texts())}"
            yield finding(routing.resource, route.node[key], problem, f"remove {key} from its route")


def _quiet(routing: Routing, labels: Labels, name: str) -> Iterator[Finding]:
    for node in routing.node["inhibit_rules"].elements():
        aims = list(matchers(node, *TARGET))
        if all(aim.fits(dict(labels)) for aim in aims):
            problem = f"other alerts may keep {name} quiet"
            fix = "name the alerts that it is for in target_matchers"
            yield finding(routing.resource, node["target_matchers"], problem, fix)


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
        kinds=FILES,
        resource=_severity,
    ),
    Rule(
        id="alert-runbook",
        promise="Every alert leads to a runbook.",
        why="Who is woken by an alert nobody has explained loses the time in which it could be mended.",
        sources=("P3",),
        kinds=FILES,
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
        kinds=FILES,
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
    Rule(
        id="alert-agreed",
        promise="No alert is less urgent, later, rarer or about other metrics than agreed, nor true at other times if "
        "it keeps more urgent ones quiet.",
        why="An alert that comes a day late, at night to nobody or never looks like health.",
        sources=("P3", "A2"),
        kinds=frozenset({"ConfigMap", "Secret"}),
        resource=_alert,
    ),
    Rule(
        id="alert-kept",
        promise="Every alert that all stacks have, or all with the same part, is there, in a rule file that is loaded.",
        why="What an alert that is gone would have told is told by nobody.",
        sources=("P3",),
        stack=_there,
    ),
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
        kinds=FILES,
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
    Rule(
        id="alert-reaches-people",
        promise="Every alert of the rules matches a route of its own, which notifies on-call in its priority's time.",
        why="An alert that waits, or that only programs read, is found by those who suffer from it.",
        sources=("A2", "P3", "S2"),
        options={
            "within": Option(
                default={"critical": "5s", "high": "2m", "medium": "1h"},
                schema={"type": "object", "additionalProperties": _TIME},
                meaning="Longest wait before the first notification, by priority; others need no people, only a route.",
            )
        },
        stack=_reached,
    ),
    Rule(
        id="watchdog-fires",
        promise="Where there is an Alertmanager, a rule always fires.",
        why="When the monitoring itself is down, nothing but its silence can tell.",
        sources=("D4",),
        options={"alert": ALWAYS_FIRES},
        stack=_fires,
    ),
    Rule(
        id="watchdog-leaves",
        promise="The alert that always fires leaves the platform every minute, and nothing keeps it quiet.",
        why="A heartbeat that stays away wakes people; one that never left wakes nobody when it should.",
        sources=("D4", "A1"),
        options={
            "alert": ALWAYS_FIRES,
            "switch": Option(
                default=True,
                schema={"type": "boolean"},
                meaning="Whether there is a switch outside; with another profile than production there may be none.",
            ),
            "longest": Option(
                default="1m",
                schema={"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$"},
                meaning="Longest time between two heartbeats.",
            ),
        },
        stack=_leaves,
    ),
)
