"""How the way of an alert can be weakened: its rule, its escalation, its route and those whom it tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Data = dict[str, Any]
Change = tuple[str, Any]
"""What was done, and the whole file as it would be."""

_RECORD = "webhook_configs"


def alertmanager(content: Data) -> Iterator[Change]:
    """Weaker ``alertmanager.yml`` files."""
    yield from _routes(content)
    yield from _receivers(content)
    quiet = {"source_matchers": ['severity="critical"'], "target_matchers": ['severity=~".+"']}
    yield "an inhibition of everything", {**content, "inhibit_rules": [*content.get("inhibit_rules", []), quiet]}


_EACH_WAY = ('severity="critical"', 'escalation="senior-manager"')


def _routes(content: Data) -> Iterator[Change]:
    for index, route in enumerate(content["route"]["routes"]):
        matchers = ",".join(route["matchers"])
        if "!=" in matchers:
            # A net below other routes: no rule of the stack raises what it catches.
            continue
        # Each way of Critical alerts is promised; of others, whose channels a stack chooses, that there is one.
        gone = [route] if route["matchers"][0] in _EACH_WAY else _of_matchers(content, route)
        if route is gone[0]:
            others = [child for child in content["route"]["routes"] if child not in gone]
            yield f"the route of {matchers} removed", _with_routes(content, others)
        changes: dict[str, Any] = {"receiver": "nobody"}
        if 'severity="low"' not in matchers:
            changes |= {"group_wait": "5h", "mute_time_intervals": ["night"]}
        if "Watchdog" in matchers or "critical" in matchers:
            changes |= {"repeat_interval": "5h", "group_interval": "5h"}
        for key, value in changes.items():
            routes = [*content["route"]["routes"]]
            routes[index] = {**route, key: value}
            yield f"{key} of the route of {matchers} = {value}", _with_routes(content, routes)


def _of_matchers(content: Data, route: Data) -> list[Data]:
    return [child for child in content["route"]["routes"] if child["matchers"] == route["matchers"]]


def _with_routes(content: Data, routes: list[Any]) -> Data:
    return {**content, "route": {**content["route"], "routes": routes}}


def _receivers(content: Data) -> Iterator[Change]:
    critical = {
        route["receiver"]
        for route in content["route"]["routes"]
        if any(matcher in route["matchers"] for matcher in _EACH_WAY)
    }
    for index, receiver in enumerate(content["receivers"]):
        kinds = [key for key in receiver if key.endswith("_configs")]
        people = [key for key in kinds if key != _RECORD]
        weaker = {f"{_RECORD} removed": [*people]}
        if people:
            weaker["told to programs only"] = [_RECORD]
        if receiver["name"] in critical:
            weaker |= {f"told by {kind} only": [kind, _RECORD] for kind in people if len(people) > 1}
        for label, kept in weaker.items():
            changed = {key: value for key, value in receiver.items() if key not in kinds or key in kept}
            receivers = [*content["receivers"]]
            receivers[index] = changed
            yield f"receiver {receiver['name']}: {label}", {**content, "receivers": receivers}


def rules(content: Data) -> Iterator[Change]:
    """Weaker rule files: one alert of every priority, and one of every escalation, is changed."""
    seen: set[tuple[Any, Any]] = set()
    for place, alert in _alerts(content):
        labels = alert["labels"]
        kind = (labels["severity"], labels.get("escalation"))
        if alert["alert"] == "Watchdog":
            yield "Watchdog removed", _replaced(content, place, None)
        if kind in seen:
            continue
        seen.add(kind)
        for label, changed in _weaker(alert):
            yield f"{alert['alert']}: {label}", _replaced(content, place, changed)


def _alerts(content: Data) -> Iterator[tuple[tuple[int, int], Data]]:
    for group_at, group in enumerate(content["groups"]):
        for at, rule in enumerate(group["rules"]) if isinstance(group, Mapping) else ():
            if "alert" in rule:
                yield (group_at, at), rule


def _weaker(alert: Data) -> Iterator[tuple[str, Data | None]]:
    labels, annotations = alert["labels"], alert["annotations"]
    for key in ("severity", "alert_id"):
        yield f"{key} removed", {**alert, "labels": {k: v for k, v in labels.items() if k != key}}
    yield 'severity = "page"', {**alert, "labels": {**labels, "severity": "page"}}
    yield "runbook_url removed", {**alert, "annotations": {k: v for k, v in annotations.items() if k != "runbook_url"}}
    yield "for = 12h", {**alert, "for": "12h"}
    yield "about something else", {**alert, "expr": "vector(0)"}
    if "escalation" in labels:
        yield "removed", None
        yield 'escalation = "somebody"', {**alert, "labels": {**labels, "escalation": "somebody"}}
    elif labels["severity"] != "low":
        yield 'severity = "low"', {**alert, "labels": {**labels, "severity": "low"}}


def _replaced(content: Data, place: tuple[int, int], changed: Data | None) -> Data:
    groups = [*content["groups"]]
    rest = [*groups[place[0]]["rules"]]
    rest[place[1] : place[1] + 1] = [changed] if changed else []
    groups[place[0]] = {**groups[place[0]], "rules": rest}
    return {**content, "groups": groups}
