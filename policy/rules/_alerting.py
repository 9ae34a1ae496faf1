"""Alerting as the rules read it: Alertmanager's routes and receivers, and the alerts of Prometheus' rule files."""

from __future__ import annotations

import functools
import ipaddress
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Final

from policy.documents import Format, files, parse
from policy.model import Node, Option, Resource
from policy.rules._servers import Container, Mounted, containers
from policy.rules._values import Unknowns, host_of, loopback, seconds

ALWAYS_FIRES: Final = Option(
    default="Watchdog", schema={"type": "string"}, meaning="Name of the alert that always fires."
)
TIMES: Final = {"group_wait": "30s", "group_interval": "5m", "repeat_interval": "4h"}
"""When a route tells, with Alertmanager's own values."""
CREDENTIAL_KEYS: Final = (
    ("basic_auth", "password_file"),
    ("authorization", "credentials_file"),
    ("oauth2", "client_secret_file"),
    ("tls_config", "key_file"),
)
"""Where an HTTP client of the Prometheus family names the file that it logs in with."""
SOURCE: Final = ("source_matchers", "source_match", "source_match_re")
TARGET: Final = ("target_matchers", "target_match", "target_match_re")
"""Where an inhibition has the conditions of each of its sides, for `matchers`."""
Labels = frozenset[tuple[str, str]]
_MATCHER = re.compile(r'"?(\w+)"?\s*(=~|!=|!~|=)\s*(?:"((?:[^"\\]|\\.)*)"|([^",}]*))')


@dataclass(frozen=True)
class Matcher:
    """One condition about a label."""

    label: str
    operator: str
    value: str

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Whether labels meet it; a label that is absent is empty."""
        given = labels.get(self.label, "")
        return self._same(given) is not self.operator.startswith("!")

    def names(self, value: str) -> bool:
        """Whether it asks for that very value, among others or alone."""
        return value == self.value if self.operator == "=" else self.operator == "=~" and value in self.value.split("|")

    def _same(self, given: str) -> bool:
        if self.operator in ("=", "!="):
            return given == self.value
        try:
            return re.fullmatch(self.value, given) is not None
        except re.error:
            return False


def matchers(node: Node, *keys: str) -> Iterator[Matcher]:
    """Conditions of a route, or of one side of an inhibition.

    Args:
        node: The route or inhibition.
        keys: Its list of conditions, and its older forms for equal and for matching labels.
    """
    listed, equal, matching = keys or ("matchers", "match", "match_re")
    for text in node[listed].texts():
        for label, operator, quoted, bare in _MATCHER.findall(text):
            yield Matcher(label, operator, quoted or bare.strip())
    for operator, key in (("=", equal), ("=~", matching)):
        for label, value in node[key].items():
            yield Matcher(label, operator, value.text())


@dataclass(frozen=True)
class Route:
    """A route, with the ones that lead to it.

    Attributes:
        node: The route.
        above: The routes above it, the first one first.
    """

    node: Node
    above: tuple[Node, ...] = ()

    def of(self, key: str) -> Node:
        """A setting: its own, else that of the nearest route above that has one."""
        nodes = (node[key] for node in (self.node, *reversed(self.above)) if node[key].exists)
        return next(nodes, self.node[key])

    def time(self, key: str) -> str:
        """One of `TIMES`, as it holds for the route."""
        return self.of(key).text() or TIMES[key]

    @property
    def matchers(self) -> list[Matcher]:
        """Its conditions and those of the routes above it."""
        return [matcher for node in (*self.above, self.node) for matcher in matchers(node)]

    @property
    def below(self) -> list[Route]:
        """The routes right below it."""
        return [Route(node, (*self.above, self.node)) for node in self.node["routes"].elements()]

    def all(self) -> Iterator[Route]:
        """It and every route below it."""
        yield self
        for route in self.below:
            yield from route.all()

    def taking(self, labels: Mapping[str, str]) -> list[Route]:
        """Where an alert arrives: the first route below that takes it, and the next ones while these say so."""
        if not all(matcher.fits(labels) for matcher in matchers(self.node)):
            return []
        taking_routes: list[Route] = []
        for route in self.below:
            taken = route.taking(labels)
            taking_routes += taken
            if taken and route.node["continue"].value is not True:
                break
        return taking_routes or [self]


@dataclass(frozen=True)
class Channel:
    """One entry of a receiver: a way to tell somebody.

    Attributes:
        receiver: Name of the receiver.
        kind: Kind of entry, for example ``webhook_configs``.
        node: The entry.
        common: What the file says for all (``global``).
    """

    receiver: str
    kind: str
    node: Node
    common: Node

    @property
    def address(self) -> Node:
        """Where it sends, as far as the file says; a node without value where a secret does."""
        named = [self.node[key] for key in ("url", "api_url", "smarthost")]
        shared = [self.common["smtp_smarthost"]] if self.mail else []
        return next((node for node in (*named, *shared) if node.text()), named[0])

    @property
    def mail(self) -> bool:
        """Whether it is mail."""
        return self.kind == "email_configs"

    @property
    def http(self) -> Node:
        """How it connects: its own settings in place of the common ones."""
        own = self.node["http_config"]
        return own if own.exists or not self.common["http_config"].exists else self.common["http_config"]

    @property
    def tls(self) -> Node:
        """How it verifies whom it sends to."""
        if not self.mail:
            return self.http["tls_config"]
        own, shared = self.node["tls_config"], self.common["smtp_tls_config"]
        return own if own.exists or not shared.exists else shared

    @property
    def inside(self) -> bool:
        """Whether it sends to a Service of the cluster."""
        address = self.address.text()
        return bool(address) and not loopback(address) and _service(host_of(address))

    @property
    def outside(self) -> bool:
        """Whether it leaves the cluster, and so may reach people."""
        return not self.inside and not loopback(self.address.text())


def _service(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(".svc") or ".svc." in host
    return False


@dataclass(frozen=True, eq=False)
class Routing:
    """One ``alertmanager.yml``.

    Attributes:
        resource: ConfigMap or Secret that holds it.
        name: Key in there.
        text: Content.
    """

    resource: Resource
    name: str
    text: str

    @property
    def node(self) -> Node:
        """Its content."""
        return Node(parse(self.name, self.text)[1], f"{self.name}:")

    @property
    def root(self) -> Route:
        """The first route."""
        return Route(self.node["route"])

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Every entry of every receiver."""
        return _channels(self.name, self.text)

    def people(self, receiver: str) -> list[str]:
        """Kinds of entries by which a receiver may reach people."""
        return list(
            dict.fromkeys(channel.kind for channel in self.channels if channel.receiver == receiver and channel.outside)
        )

    def taken(self, alerts: Sequence[Labels]) -> tuple[tuple[Route, ...], ...]:
        """Where each of some alerts arrives."""
        return _taken(self.name, self.text, tuple(alerts))


def routings(resource: Resource) -> Iterator[Routing]:
    """Alertmanager configurations of a ConfigMap or Secret.

    Raises:
        UnknownValueError: A file is not known yet; known ones come first.
    """
    for name, text in files(resource):
        if parse(name, text)[0] is Format.ALERTMANAGER:
            yield Routing(resource, name, text)


def all_routings(resources: Sequence[Resource], unknown: Unknowns) -> list[Routing]:
    """Alertmanager configurations of a stack; what is not known yet is noted."""
    return [routing for resource in resources for routing in unknown.known(routings(resource))]


@functools.lru_cache(maxsize=64)
def _channels(name: str, text: str) -> tuple[Channel, ...]:
    node = Node(parse(name, text)[1], f"{name}:")
    return tuple(
        Channel(receiver["name"].text(), kind, entry, node["global"])
        for receiver in node["receivers"].elements()
        for kind, entries in receiver.items()
        if kind.endswith("_configs")
        for entry in entries.elements()
    )


@functools.lru_cache(maxsize=64)
def _taken(name: str, text: str, alerts: tuple[Labels, ...]) -> tuple[tuple[Route, ...], ...]:
    root = Route(Node(parse(name, text)[1], f"{name}:")["route"])
    return tuple(tuple(root.taking(dict(alert))) for alert in alerts)


_NO_METRIC = re.compile(
    r'"(?:[^"\\]|\\.)*"|'
    r"'(?:[^'\\]|\\.)*'|\{[^}]*\}|\[[^\]]*\]|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)"
)
_NAME = re.compile(r"(?<![\w:.])[a-zA-Z_:][\w:]*(?![\w:]|\s*\()")
_KEYWORDS = frozenset({"and", "or", "unless", "bool", "offset", "atan2", "start", "end", "inf", "nan"})
_NAMED = re.compile(r'__name__\s*=~?\s*"([\w:|]+)"')


@functools.lru_cache(maxsize=2048)
def metrics_of(expression: str) -> frozenset[str]:
    """Names of the series that an expression of PromQL reads."""
    bare = _NO_METRIC.sub(lambda match: " " if match[0][0] in "\"'{[" else "", expression)
    named = {name for names in _NAMED.findall(expression) for name in names.split("|")}
    return frozenset(named | {name for name in _NAME.findall(bare) if name.lower() not in _KEYWORDS})


@dataclass(frozen=True, eq=False)
class Alert:
    """One alerting rule.

    Attributes:
        node: The rule.
        group: Path of the group that it is in.
    """

    node: Node
    group: str

    @property
    def name(self) -> str:
        """Name of the alert."""
        return self.node["alert"].text()

    def label(self, name: str) -> Node:
        """One of its labels."""
        return self.node["labels"][name]

    @property
    def hold(self) -> float:
        """Seconds for which it has to be true before it fires."""
        return seconds(self.node["for"].text() or "0s") or 0.0

    @functools.cached_property
    def labels(self) -> Labels:
        """What Alertmanager routes it by, as far as the rule says; labels of the series come on top."""
        written = {name: value.text() for name, value in self.node["labels"].items()}
        return frozenset({**written, "alertname": self.name}.items())


def alerts(resource: Resource) -> Iterator[Alert]:
    """Alerting rules of a ConfigMap or Secret.

    Raises:
        UnknownValueError: A file is not known yet; known ones come first.
    """
    for name, text in files(resource):
        if parse(name, text)[0] is Format.RULES:
            yield from alerts_in(name, text)


@functools.lru_cache(maxsize=64)
def alerts_in(name: str, text: str) -> tuple[Alert, ...]:
    """Alerting rules of one file."""
    content = parse(name, text)[1]
    groups = Node(content, f"{name}:")["groups"] if isinstance(content, Mapping) else Node(None)
    return tuple(
        Alert(rule, group.path)
        for group in groups.elements()
        for rule in group["rules"].elements()
        if rule["alert"].text()
    )


def all_alerts(resources: Sequence[Resource], unknown: Unknowns) -> list[Alert]:
    """Alerting rules of a stack, those of several replicas once; what is not known yet is noted."""
    alerts_by_labels: dict[Labels, Alert] = {}
    for resource in resources:
        for alert in unknown.known(alerts(resource)):
            alerts_by_labels.setdefault(alert.labels, alert)
    return list(alerts_by_labels.values())


@dataclass(frozen=True, eq=False)
class Evaluator:
    """A Prometheus that sends alerts.

    Attributes:
        container: What runs.
        config: ConfigMap or Secret with its configuration.
        rule_files: Where the configuration names its rule files.
        alerts: What it evaluates.
        mounted: Its files.
    """

    container: Container
    config: Resource
    rule_files: Node
    alerts: tuple[Alert, ...]
    mounted: Mounted


def evaluators(resource: Resource, stack: Sequence[Resource]) -> Iterator[Evaluator]:
    """Every Prometheus of a workload that sends alerts.

    Raises:
        UnknownValueError: Its configuration is not known yet.
    """
    for container in containers(resource):
        word = container.flag("config.file")
        if not container.runs("prometheus") or word is None:
            continue
        mounted = container.mounted(stack)
        file = mounted.at(word.text)
        if file is None:
            mounted.missing()
        node = Node(parse(file.name, file.text)[1], f"{file.name}:") if file else Node(None)
        if file and any(node["alerting"]["alertmanagers"].elements()):
            folder = posixpath.dirname(file.path)
            patterns = [posixpath.join(folder, text) for text in node["rule_files"].texts()]
            yield Evaluator(container, file.resource, node["rule_files"], _loaded(mounted, patterns), mounted)


def _loaded(mounted: Mounted, patterns: Sequence[str]) -> tuple[Alert, ...]:
    held = [file for file in mounted.files if any(fnmatch(file.path, pattern) for pattern in patterns)]
    return tuple(alert for file in held for alert in alerts_in(file.name, file.text))


def evaluated(stack: Sequence[Resource], unknown: Unknowns) -> set[str] | None:
    """Names of the alerts that a Prometheus or a Thanos ruler of a stack loads; None where it has neither of them."""
    names: set[str] = set()
    loading = False
    for resource in stack:
        for evaluator in unknown.known(evaluators(resource, stack)):
            loading = True
            names |= {alert.name for alert in evaluator.alerts}
        for container in containers(resource):
            if patterns := [word.text for word in container.flags("rule-file")]:
                loading = True
                names |= {alert.name for alert in _loaded(container.mounted(stack), patterns)}
    return names if loading else None
