"""Alerts of Prometheus' rule files, as rules of the pack read them."""

from __future__ import annotations

import functools
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property

from policy.documents import Format, files, parse
from policy.model import Node, Resource
from policy.rules._mounts import Mounted
from policy.rules._routes import Labels
from policy.rules._servers import Container, containers
from policy.rules._values import Unknowns, seconds

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

    @cached_property
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
            held = [
                mounted_file
                for mounted_file in mounted.files
                if any(fnmatch(mounted_file.path, pattern) for pattern in patterns)
            ]
            alerts = tuple(alert for rule_file in held for alert in alerts_in(rule_file.name, rule_file.text))
            yield Evaluator(container, file.resource, node["rule_files"], alerts, mounted)
