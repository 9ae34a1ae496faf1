"""Alertmanager's configuration: whom it sends to, and the routes to them.

Receivers: no secrets in the file, verified TLS, logins, and a record of every notification. Routes lose nothing, and
Critical alerts leave at once and by two ways.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from policy.documents import Format, documents, parse
from policy.model import Finding, Node, Option, Options, Resource, Rule
from policy.rules._alerting import ALWAYS_FIRES, CREDENTIAL_KEYS, TIMES, Matcher, Route, Routing, matchers, routings
from policy.rules._servers import Container
from policy.rules._values import FILES, client_tls, each_known, finding, flag, host_of, loopback, old_versions, seconds
from policy.rules.alerting import alertmanagers

_SECRETS: Final = frozenset(
    {"smtp_auth_password", "smtp_auth_secret", "auth_password", "auth_secret", "slack_api_url", "slack_app_token"}
    | {"app_token", "service_key", "routing_key", "opsgenie_api_key", "api_key", "victorops_api_key", "user_key"}
    | {"wechat_api_secret", "api_secret", "telegram_bot_token", "bot_token", "rocketchat_token", "token", "token_id"}
    | {"rocketchat_token_id", "webhook_url", "password", "credentials", "bearer_token", "client_secret", "secret_key"}
    | {"alert_source_token", "client_certificate_key"}
)
_ADDRESSES: Final = re.compile(r"(^|_)(url|api_url)$")
_PAGERS: Final = frozenset({"opsgenie_configs", "pagerduty_configs", "victorops_configs"})
"""Ring for a new incident, of which each group of alerts has one."""
_EACH: Final = ["..."]
_TLS: Final = ("tls_config", "smtp_tls_config")


def _secrets(resource: Resource, options: Options) -> Iterator[Finding]:
    if resource.kind != "ConfigMap":
        return
    for document in documents(resource, Format.ALERTMANAGER):
        for key, node in _entries(document.node):
            secret = key in _SECRETS or (key == "api_url" and "slack_configs" in node.path)
            if not secret and key == "url" and isinstance(node.value, str):
                secret = bool(urlsplit(node.value).password)
            if secret and node.text():
                yield finding(
                    resource,
                    node,
                    f"{key} is written into a ConfigMap",
                    f"put it into a Secret and name its file with {_file_key(key)}",
                )


def _file_key(key: str) -> str:
    return {"token": "token_file", "token_id": "token_id_file"}.get(key, f"{key}_file")


def _entries(node: Node) -> Iterator[tuple[str, Node]]:
    for inner in node.walk():
        if isinstance(inner.raw, Mapping):
            yield from inner.items()


def _encrypted(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.ALERTMANAGER):
        for key, node in _entries(document.node):
            if key in ("require_tls", "smtp_require_tls") and node.exists and flag(node) is not True:
                yield finding(
                    resource, node, f"mail leaves without TLS: {key} is {node.text().lower()}", f"remove {key}"
                )
            elif key == "insecure_skip_verify" and node.exists and flag(node) is not False:
                yield finding(
                    resource,
                    node,
                    f"a receiver's certificate is not verified: {key} is {node.text().lower()}",
                    f"remove {key} and set ca_file where the receiver has a CA of its own",
                )
            elif _ADDRESSES.search(key) and node.text().startswith("http://") and not loopback(node.text()):
                yield finding(
                    resource, node, f"alerts go to {node.text()} in clear text", "give the receiver an https address"
                )
            elif key in _TLS:
                yield from old_versions(resource, node)


def _inside(resource: Resource, options: Options) -> Iterator[Finding]:
    for routing in routings(resource):
        for channel in routing.channels:
            if not channel.inside:
                continue
            host = host_of(channel.address.text())
            yield from client_tls(resource, channel.tls, what=host)
            if not channel.mail and not any(channel.http[section][key].text() for section, key in CREDENTIAL_KEYS):
                yield finding(
                    resource,
                    channel.http["basic_auth"],
                    f"{host} is shown no login that comes from a file",
                    "set basic_auth with username and password_file",
                )


def _authority(resource: Resource, options: Options) -> Iterator[Finding]:
    for routing in routings(resource):
        outside = [channel for channel in routing.channels if channel.outside]
        named = sorted({address.tls["ca_file"].text() for address in outside} - {""})
        for channel in outside:
            if named and not any(channel.tls[key].text() for key in ("ca_file", "ca")):
                yield finding(
                    resource,
                    channel.tls["ca_file"],
                    f"others of the file are verified by {', '.join(named)}, and this one of {channel.receiver} by "
                    "every public authority",
                    f"set ca_file to {named[0]}",
                )


def _recorded(resource: Resource, options: Options) -> Iterator[Finding]:
    for routing in routings(resource):
        recorded = {channel.receiver for channel in routing.channels if channel.inside}
        for channel in routing.channels:
            resolved = channel.node["send_resolved"]
            if channel.inside and channel.kind == "webhook_configs" and flag(resolved) is False:
                yield finding(
                    resource, resolved, f"the end of what {channel.receiver} is told is not recorded", "remove it"
                )
        silent = _receivers_of(routing, str(options["heartbeat"]))
        for receiver in routing.node["receivers"].elements() if recorded else ():
            name = receiver["name"].text()
            if name not in recorded and name not in silent:
                yield finding(
                    resource,
                    receiver["webhook_configs"],
                    f"what {name} is told is not recorded: others tell a Service of the cluster, too",
                    "give it the same webhook",
                )


def _rings(resource: Resource, options: Options) -> Iterator[Finding]:
    for routing in routings(resource):
        pagers = {channel.receiver for channel in routing.channels if channel.kind in _PAGERS}
        for route in routing.root.all():
            named = any(matcher.operator == "=" for matcher in route.matchers)
            grouped = route.of("group_by").texts()
            if named and route.node["receiver"].text() in pagers and grouped != _EACH:
                by = ", ".join(grouped) or "nothing"
                problem = f"the pager rings for the first of several alerts alone: they are one incident by {by}"
                yield finding(resource, route.node["group_by"], problem, 'set group_by to ["..."]')


def _receivers_of(routing: Routing, alert: str) -> set[str]:
    """Receivers of an alert that is no news."""
    [taken] = routing.taken([frozenset({("alertname", alert)})])
    return {route.of("receiver").text() for route in taken if route.above}


_ESCALATION: Final = "escalation"
_NAME: Final = re.compile(r"\w+")


def _configured(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    yield from each_known(
        _configured_of(container, resources) for resource in resources for container in alertmanagers(resource)
    )


def _configured_of(container: Container, stack: Sequence[Resource]) -> Iterator[Finding]:
    word = container.flag("config.file")
    mounted = container.mounted(stack)
    file = mounted.at(word.text) if word else None
    if file is None or parse(file.name, file.text)[0] is not Format.ALERTMANAGER:
        mounted.missing()
        yield finding(
            container.resource,
            word.where if word else container.node.path,
            f"Alertmanager's configuration {word.text} is in no ConfigMap or Secret that is mounted there"
            if word
            else "Alertmanager starts without --config.file",
            "mount a file with route and receivers, and name it with --config.file",
        )


def _receivers(resource: Resource, options: Options) -> Iterator[Finding]:
    for routing in routings(resource):
        names = {receiver["name"].text() for receiver in routing.node["receivers"].elements()}
        root = routing.root.node["receiver"]
        if not root.text():
            yield finding(resource, root, "the first route has no receiver", "name a receiver that people watch")
        elif root.text() not in names or (options["people"] and not routing.people(root.text())):
            state = "tells nobody" if root.text() in names else "does not exist"
            yield finding(
                resource,
                root,
                f"the first route's receiver {root.text()} {state}",
                "name a receiver with at least one channel: what no other route takes arrives there",
            )
        for route in routing.root.all():
            name = route.node["receiver"]
            if route.above and name.text() and name.text() not in names:
                yield finding(
                    resource,
                    name,
                    f"receiver {name.text()} does not exist",
                    "name one of the receivers in the same file",
                )


def _urgent(resource: Resource, options: Options) -> Iterator[Finding]:
    for routing in routings(resource):
        for route in _critical(routing, options):
            yield from _prompt(resource, route, options)


def _critical(routing: Routing, options: Options) -> list[Route]:
    """Routes for Critical alerts; without any the first one, which then takes them."""
    routes = [
        route for route in routing.root.all() if any(_means_critical(matcher, options) for matcher in route.matchers)
    ]
    return routes or [routing.root]


def _means_critical(matcher: Matcher, options: Options) -> bool:
    meanings = (
        *((label, value) for label in options["labels"] for value in options["values"]),
        *((_ESCALATION, level) for level in options["escalations"]),
    )
    return matcher.operator in ("=", "=~") and any(
        matcher.label == label and matcher.fits({label: value}) for label, value in meanings
    )


def _prompt(resource: Resource, route: Route, options: Options) -> Iterator[Finding]:
    for key in TIMES:
        node, value, most = route.of(key), route.time(key), str(options[key])
        given, bound = seconds(value), seconds(most)
        if given is None or bound is None or given > bound:
            told = f"{key} of Critical alerts is {value}" + ("" if node.exists else ", the default")
            yield finding(resource, node, f"{told}, more than {most}", f"set {key} to {most} or less on their route")
    for key in ("mute_time_intervals", "active_time_intervals"):
        if any(route.node[key].elements()):
            yield finding(
                resource,
                route.node[key],
                f"Critical alerts are held back at times: {key} is {', '.join(route.node[key].texts())}",
                f"remove {key} from their route",
            )


def _two_ways(resource: Resource, options: Options) -> Iterator[Finding]:
    for routing in routings(resource):
        critical = _critical(routing, options)
        for route in critical:
            together = _together(route, critical)
            if route is not together[0]:
                continue
            receiver = route.of("receiver")
            ways = dict.fromkeys(way for route in together for way in routing.people(route.of("receiver").text()))
            if len(ways) < options["least"]:
                yield finding(
                    resource,
                    receiver,
                    f"Critical alerts go to {receiver.text() or 'nobody'}, which notifies by "
                    f"{', '.join(ways) or 'no channel'}",
                    f"give the receiver {options['least']} channels of different kinds",
                )


def _inhibitions(resource: Resource, options: Options) -> Iterator[Finding]:
    for routing in routings(resource):
        for node in routing.node["inhibit_rules"].elements():
            for side in ("source", "target"):
                keys = (f"{side}_matchers", f"{side}_match", f"{side}_match_re")
                names = [name for matcher in matchers(node, *keys) for name in _alert_names(matcher)]
                if names and not (side == "source" and options["alert"] in names):
                    continue
                problem = f"{options['alert']}, which always fires, keeps alerts quiet"
                if not names:
                    problem = f"the {side} of an inhibition names no alerts, so that any may keep others quiet"
                yield finding(resource, node[keys[0]], problem, "name alerts by alertname, without a pattern")


def _alert_names(matcher: Matcher) -> list[str]:
    """The alerts that a condition names one by one; none where it is a pattern or about another label."""
    if matcher.label != "alertname" or matcher.operator not in ("=", "=~"):
        return []
    names = matcher.value.split("|")
    return names if all(_NAME.fullmatch(name) for name in names) else []


def _together(route: Route, routes: Sequence[Route]) -> list[Route]:
    """The routes with the same conditions and place that Alertmanager takes together: each but the last goes on."""
    group: list[Route] = []
    for other in routes:
        if other.above == route.above and other.matchers == route.matchers:
            group.append(other)
            if other.node["continue"].value is not True:
                break
    return group if route in group else [route]


_TIME: Final = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$"}
_CRITICAL: Final = {
    "labels": Option(
        default=["severity", "priority"],
        schema={"type": "array", "items": {"type": "string"}},
        meaning="Labels that carry the priority.",
    ),
    "values": Option(
        default=["critical", "Critical"],
        schema={"type": "array", "items": {"type": "string"}},
        meaning="Values that mean Critical.",
    ),
    "escalations": Option(
        default=["senior-manager"],
        schema={"type": "array", "items": {"type": "string"}},
        meaning="Escalation levels of Critical alerts.",
    ),
}


RULES: tuple[Rule, ...] = (
    Rule(
        id="alertmanager-secrets",
        promise="No password, token or secret address of a receiver lies in a ConfigMap.",
        why="Everybody who may read ConfigMaps could send notifications in our name.",
        sources=("A2", "P2"),
        kinds=FILES,
        resource=_secrets,
    ),
    Rule(
        id="alertmanager-receivers-tls",
        promise="Notifications leave over verified TLS of an unbroken version only.",
        why="Alerts name hosts, people and weaknesses; on the way they could be read or dropped.",
        sources=("A1", "A2"),
        kinds=FILES,
        resource=_encrypted,
    ),
    Rule(
        id="alertmanager-receivers-inside",
        promise="Services of the cluster that are told of alerts are verified by an authority, and shown a login.",
        why="No public authority signs their names, and whoever may post without a login can make up alerts.",
        sources=("A1", "A3"),
        kinds=FILES,
        resource=_inside,
    ),
    Rule(
        id="alertmanager-receivers-authority",
        promise="A file that names who signs the receivers outside names it for each of them.",
        why="One that is left out is believed with a certificate of any public authority, or cannot be told at all.",
        sources=("A1", "A2"),
        kinds=FILES,
        resource=_authority,
    ),
    Rule(
        id="alertmanager-notifications-recorded",
        promise="Where a Service of the cluster records notifications, every receiver posts to it but the heartbeat.",
        why="Who was notified of what, and when, could not be shown afterwards.",
        sources=("A3",),
        options={
            "heartbeat": Option(
                default="Watchdog",
                schema={"type": "string"},
                meaning="The alert that always fires; its notifications are no news.",
            )
        },
        kinds=FILES,
        resource=_recorded,
    ),
    Rule(
        id="alertmanager-pager-rings",
        promise="The pager opens an incident for each alert of a priority or of a contact.",
        why="It rings for a new incident only: a second alert in that of another one would ring nobody.",
        sources=("A2",),
        kinds=FILES,
        resource=_rings,
    ),
    Rule(
        id="alertmanager-configured",
        promise="Every Alertmanager runs a configuration of the stack.",
        why="What is not in the stack is reviewed by nobody, and without its routes no alert reaches anybody.",
        sources=("A2",),
        stack=_configured,
    ),
    Rule(
        id="alertmanager-receivers",
        promise="Every alert reaches a receiver that tells somebody.",
        why="An alert that no route wants would be lost without a trace.",
        sources=("A2",),
        options={
            "people": Option(
                default=True,
                schema={"type": "boolean"},
                meaning="Whether anybody is notified; a stack file of another profile than production may have nobody.",
            )
        },
        kinds=FILES,
        resource=_receivers,
    ),
    Rule(
        id="alertmanager-critical-prompt",
        promise="Critical alerts are sent at once, at every hour, and again until somebody acts.",
        why="The promise is 30 seconds from fault to phone, and the second Alertmanager waits some by itself.",
        sources=("A2", "S2"),
        options={
            **_CRITICAL,
            "group_wait": Option(default="5s", schema=_TIME, meaning="Longest wait before the first notification."),
            "group_interval": Option(default="1m", schema=_TIME, meaning="Longest wait before news of a group."),
            "repeat_interval": Option(
                default="1h", schema=_TIME, meaning="Longest time between two equal notifications."
            ),
        },
        kinds=FILES,
        resource=_urgent,
    ),
    Rule(
        id="alertmanager-inhibitions",
        promise="Only named alerts keep named alerts quiet, and never the one that always fires.",
        why="One inhibition with a pattern silences every Critical alert for as long as anything fires.",
        sources=("A1", "A2"),
        options={
            "alert": ALWAYS_FIRES,
        },
        kinds=FILES,
        resource=_inhibitions,
    ),
    Rule(
        id="alertmanager-critical-ways",
        promise="Critical alerts and their escalations go out by at least three kinds of channels.",
        why="Phone, SMS and Slack are promised: with fewer, one outage or an unread mail is a night without help.",
        sources=("A2",),
        options={
            **_CRITICAL,
            "least": Option(
                default=3,
                schema={"type": "integer", "minimum": 1},
                meaning="Kinds of channels to people, at least; a stack file of another profile than production may "
                "have fewer.",
            ),
        },
        kinds=FILES,
        resource=_two_ways,
    ),
)
