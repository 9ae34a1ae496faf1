"""The alert that always fires, and its way to the dead man's switch outside the platform (requirement D4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from policy.model import Finding, Option, Options, Resource, Rule
from policy.rules._alerting import ALWAYS_FIRES, Alert, Labels, Route, Routing, all_alerts, all_routings, matchers
from policy.rules._values import Unknowns, finding, seconds

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
        aims = list(matchers(node, "target_matchers", "target_match", "target_match_re"))
        if all(aim.fits(dict(labels)) for aim in aims):
            problem = f"other alerts may keep {name} quiet"
            fix = "name the alerts that it is for in target_matchers"
            yield finding(routing.resource, node["target_matchers"], problem, fix)


RULES: tuple[Rule, ...] = (
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
