"""Rules and routes fit together: each alert matches a route that notifies on-call in time (requirements A2, S2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from policy.model import Finding, Node, Option, Options, Resource, Rule
from policy.rules._alerting import Alert, Route, Routing, all_alerts, all_routings
from policy.rules._values import Unknowns, finding, seconds


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


_TIME: Final = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$"}

RULES: tuple[Rule, ...] = (
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
)
