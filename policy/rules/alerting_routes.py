"""``alertmanager.yml``: no secrets in it, receivers over verified TLS, and routes that lose nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from policy.documents import Document, Format, documents, parse
from policy.model import Finding, Node, Option, Options, Resource, Rule
from policy.rules._reading import each_known, finding, flag, loopback, seconds
from policy.rules._servers import Container
from policy.rules.alerting import alertmanagers

_FILES = frozenset({"ConfigMap", "Secret"})
_SECRETS: Final = frozenset(
    {"smtp_auth_password", "smtp_auth_secret", "auth_password", "auth_secret", "slack_api_url", "slack_app_token"}
    | {"app_token", "service_key", "routing_key", "opsgenie_api_key", "api_key", "victorops_api_key", "user_key"}
    | {"wechat_api_secret", "api_secret", "telegram_bot_token", "bot_token", "rocketchat_token", "token", "token_id"}
    | {"rocketchat_token_id", "webhook_url", "password", "credentials", "bearer_token", "client_secret", "secret_key"}
    | {"alert_source_token", "client_certificate_key"}
)
_ADDRESSES: Final = re.compile(r"(^|_)(url|api_url)$")


def _configured(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    yield from each_known(
        _configured_of(container, resources) for each in resources for container in alertmanagers(each)
    )


def _configured_of(container: Container, stack: Sequence[Resource]) -> Iterator[Finding]:
    word = container.flag("config.file")
    mounted = container.mounted(stack)
    file = mounted.at(word.text) if word else None
    if file is None or parse("alertmanager.yml", file.text)[0] is not Format.ALERTMANAGER:
        mounted.missing()
        yield finding(
            container.resource,
            word.where if word else container.node.path,
            f"Alertmanager's configuration {word.text} is in no ConfigMap or Secret that is mounted there"
            if word
            else "Alertmanager starts without --config.file",
            "mount a file with route and receivers, and name it with --config.file",
        )


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


def _receivers(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.ALERTMANAGER):
        channels = {
            receiver["name"].text(): [
                key for key, value in receiver.items() if key.endswith("_configs") and any(value.each())
            ]
            for receiver in document.node["receivers"].each()
        }
        root = document.node["route"]["receiver"]
        if not root.text():
            yield finding(resource, root, "the first route has no receiver", "name a receiver that people watch")
        elif not channels.get(root.text()):
            known = root.text() in channels
            yield finding(
                resource,
                root,
                f"the first route's receiver {root.text()} {'tells nobody' if known else 'does not exist'}",
                "name a receiver with at least one channel: what no other route takes arrives there",
            )
        for node in _routes(document.node["route"]):
            name = node["receiver"]
            if name.text() and name.text() not in channels:
                yield finding(
                    resource,
                    name,
                    f"receiver {name.text()} does not exist",
                    "name one of the receivers in the same file",
                )


def _routes(route: Node) -> Iterator[Node]:
    for child in route["routes"].each():
        yield child
        yield from _routes(child)


@dataclass(frozen=True)
class _Timing:
    """What a route inherits from the ones above it."""

    node: Node
    values: Mapping[str, Node]
    critical: bool

    def of(self, key: str) -> Node:
        return self.values.get(key, self.node[key])


_TIMES: Final = {"group_wait": "30s", "group_interval": "5m", "repeat_interval": "4h"}
_MATCHER = re.compile(r'\s*"?(\w+)"?\s*(=~|!=|!~|=)\s*"?([^"]*)"?\s*')


def _urgent(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.ALERTMANAGER):
        for timing in _critical(document, options):
            yield from _prompt(resource, timing, options)


def _critical(document: Document, options: Options) -> list[_Timing]:
    root = document.node["route"]
    below = _inherited(root, {}, False, options)
    found = [timing for timing in below if timing.critical]
    return found or [next(iter(below))]


def _inherited(route: Node, above: Mapping[str, Node], critical: bool, options: Options) -> list[_Timing]:
    values = {**above, **{key: route[key] for key in _TIMES if route[key].exists}}
    critical = critical or any(_means_critical(matcher, options) for matcher in _matchers(route))
    found = [_Timing(route, values, critical)]
    for child in route["routes"].each():
        found += _inherited(child, values, critical, options)
    return found


def _matchers(route: Node) -> Iterator[tuple[str, str, str]]:
    for text in route["matchers"].texts():
        for part in text.strip().strip("{}").split(","):
            match = _MATCHER.fullmatch(part)
            if match:
                yield match[1], match[2], match[3]
    for operator, key in (("=", "match"), ("=~", "match_re")):
        for label, value in route[key].items():
            yield label, operator, value.text()


def _means_critical(matcher: tuple[str, str, str], options: Options) -> bool:
    label, operator, value = matcher
    if label not in options["labels"] or operator not in ("=", "=~"):
        return False
    if operator == "=":
        return value in options["values"]
    try:
        return any(re.fullmatch(value, wanted) for wanted in options["values"])
    except re.error:
        return False


def _prompt(resource: Resource, timing: _Timing, options: Options) -> Iterator[Finding]:
    for key, default in _TIMES.items():
        node, most = timing.of(key), str(options[key])
        value = node.text() or default
        given, bound = seconds(value), seconds(most)
        if given is None or bound is None or given > bound:
            told = f"{key} of Critical alerts is {value}" + ("" if node.exists else ", the default")
            yield finding(resource, node, f"{told}, more than {most}", f"set {key} to {most} or less on their route")
    for key in ("mute_time_intervals", "active_time_intervals"):
        if any(timing.node[key].each()):
            yield finding(
                resource,
                timing.node[key],
                f"Critical alerts are held back at times: {key} is {', '.join(timing.node[key].texts())}",
                f"remove {key} from their route",
            )


_TIME: Final = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$"}

RULES: tuple[Rule, ...] = (
    Rule(
        id="alertmanager-configured",
        promise="Every Alertmanager runs a configuration of the stack.",
        why="What is not in the stack is reviewed by nobody, and without its routes no alert reaches anybody.",
        sources=("A2",),
        stack=_configured,
    ),
    Rule(
        id="alertmanager-secrets",
        promise="No password, token or secret address of a receiver lies in a ConfigMap.",
        why="Everybody who may read ConfigMaps could send notices in our name.",
        sources=("A2", "P2"),
        kinds=_FILES,
        resource=_secrets,
    ),
    Rule(
        id="alertmanager-receivers-tls",
        promise="Notices leave over verified TLS only.",
        why="Alerts name hosts, people and weaknesses; on the way they could be read or dropped.",
        sources=("A1", "A2"),
        kinds=_FILES,
        resource=_encrypted,
    ),
    Rule(
        id="alertmanager-receivers",
        promise="Every alert reaches a receiver that tells somebody.",
        why="An alert that no route wants would be lost without a trace.",
        sources=("A2",),
        kinds=_FILES,
        resource=_receivers,
    ),
    Rule(
        id="alertmanager-critical-prompt",
        promise="Critical alerts are sent at once, at every hour, and again until somebody acts.",
        why="The promise is 30 seconds from fault to phone, and the second Alertmanager waits 15 s more by itself.",
        sources=("A2", "S2"),
        options={
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
            "group_wait": Option(default="5s", schema=_TIME, meaning="Longest wait before the first notice."),
            "group_interval": Option(default="1m", schema=_TIME, meaning="Longest wait before news of a group."),
            "repeat_interval": Option(default="1h", schema=_TIME, meaning="Longest time between two equal notices."),
        },
        kinds=_FILES,
        resource=_urgent,
    ),
)
