"""Prometheus as the sender of alerts: to every Alertmanager, over verified TLS, with one identity per alert."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from policy.documents import Document, Format, documents
from policy.model import Finding, Node, Option, Options, Resource, Rule
from policy.rules._alerting import CREDENTIAL_KEYS
from policy.rules._mounts import known_documents
from policy.rules._values import client_tls, each_known, finding, shown
from policy.rules.alerting import alertmanagers

_FILES = frozenset({"ConfigMap", "Secret"})
_KEPT = ("severity", "alertname", "escalation", "alert_id")
"""Labels by which an alert finds its receivers and its escalation."""


def _alertmanagers(document: Document) -> list[Node]:
    return list(document.node["alerting"]["alertmanagers"].elements())


def _delivery(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.PROMETHEUS):
        for node in _alertmanagers(document):
            yield from secured(resource, node, node, who="Prometheus")


def secured(resource: Resource, node: Node, client: Node, *, who: str) -> Iterator[Finding]:
    """Whether alerts go to one group of Alertmanagers over verified TLS and with a login.

    Args:
        resource: Holds the file.
        node: The group.
        client: Where its TLS and login are.
        who: Sends the alerts.
    """
    if node["scheme"].text() != "https":
        yield finding(
            resource,
            node["scheme"],
            f"alerts leave {who} in clear text: scheme {shown(node['scheme'])}",
            "set scheme to https",
        )
    yield from client_tls(resource, client["tls_config"], what="Alertmanager")
    if not client["tls_config"]["server_name"].text() and any(key.endswith("_sd_configs") for key, _ in node.items()):
        yield finding(
            resource,
            client["tls_config"]["server_name"],
            "alerts go to any host of the platform that discovery names",
            "set server_name to the name in the certificates of those that are told",
        )
    if not any(client[section][key].text() for section, key in CREDENTIAL_KEYS):
        yield finding(
            resource,
            client,
            f"{who} shows Alertmanager no login that comes from a file",
            "set basic_auth with username and password_file",
        )
    elif client["basic_auth"].exists and not any(
        client["basic_auth"][key].text() for key in ("username", "username_file")
    ):
        yield finding(
            resource, client["basic_auth"]["username"], "the login at Alertmanager has no user name", "set username"
        )


def _targets(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.PROMETHEUS):
        nodes = _alertmanagers(document)
        groups = [group for node in nodes for group in node["static_configs"].elements()]
        static = {target for group in groups for target in group["targets"].texts() if target}
        discovered = any(key.endswith("_sd_configs") for node in nodes for key, _ in node.items())
        if nodes and not discovered and len(static) < options["minimum"]:
            yield finding(
                resource,
                document.node["alerting"]["alertmanagers"],
                f"Prometheus sends alerts to {len(static)} Alertmanager, not {options['minimum']}",
                "list every Alertmanager: they agree among themselves who notifies",
            )


def _wired(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    if any(any(alertmanagers(resource)) for resource in resources):
        yield from each_known(_wired_at(resource) for resource in resources if resource.kind in _FILES)


def _wired_at(resource: Resource) -> Iterator[Finding]:
    for document in documents(resource, Format.PROMETHEUS):
        if not _alertmanagers(document) and not _holds_a_shard_alone(document):
            yield finding(
                resource,
                document.node["alerting"]["alertmanagers"],
                "this Prometheus sends its alerts nowhere although the stack has an Alertmanager",
                "list every Alertmanager under alerting.alertmanagers",
            )


def _holds_a_shard_alone(document: Document) -> bool:
    """Whether it is a further shard, which scrapes nothing: rules about what it holds are the rulers'."""
    labels, jobs = document.node.at("global.external_labels"), document.node["scrape_configs"]
    return bool(labels["prometheus_shard"].text()) and not list(jobs.elements())


def _identity(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    prometheus_files, unknown = known_documents(resources, Format.PROMETHEUS)
    senders = [prometheus_file for prometheus_file in prometheus_files if _alertmanagers(prometheus_file)]
    for label in _own_labels(senders):
        for document in senders:
            external = document.node["global"]["external_labels"][label]
            if external.exists and not _dropped(document, label):
                yield finding(
                    document.resource,
                    document.node["alerting"]["alert_relabel_configs"],
                    f"alerts leave with the label {label} ({external.text()}), which differs from replica to replica",
                    f"drop it: {{action: labeldrop, regex: {label}}}",
                )
    if unknown:
        raise unknown


def _relabelled(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.PROMETHEUS):
        places = [document.node["alerting"], *_alertmanagers(document)]
        steps = [step for place in places for step in place["alert_relabel_configs"].elements()]
        for step in steps:
            if step["action"].text() != "labeldrop" or any(_drops(step, label) for label in _KEPT):
                yield finding(
                    resource, step, "alerts may be dropped or changed on their way", "only drop a replica's own label"
                )
        for place in _alertmanagers(document):
            if place["relabel_configs"].exists:
                problem = "Alertmanagers may be dropped before they are notified"
                yield finding(resource, place["relabel_configs"], problem, "list those that are notified")


def _own_labels(senders: Sequence[Document]) -> list[str]:
    """External labels that tell replicas apart: their values differ between files, or come from the environment."""
    values: dict[str, set[str]] = {}
    for document in senders:
        for name, node in document.node["global"]["external_labels"].items():
            values.setdefault(name, set()).add(node.text())
    return sorted(
        name
        for name, label_values in values.items()
        if len(label_values) > 1 or any("$" in value for value in label_values)
    )


def _dropped(document: Document, label: str) -> bool:
    alerting = document.node["alerting"]
    if any(_drops(node, label) for node in alerting["alert_relabel_configs"].elements()):
        return True
    own = [list(node["alert_relabel_configs"].elements()) for node in _alertmanagers(document)]
    return bool(own) and all(any(_drops(node, label) for node in steps) for steps in own)


def _drops(step: Node, label: str) -> bool:
    action, pattern = step["action"].text() or "replace", step["regex"].text() or "(.*)"
    try:
        matches = re.fullmatch(pattern, label) is not None
    except re.error:
        return False
    if action == "labeldrop":
        return matches
    if action == "labelkeep":
        return not matches
    emptied = step["replacement"].exists and not step["replacement"].text()
    return action == "replace" and step["target_label"].text() == label and emptied and pattern == "(.*)"


RULES: tuple[Rule, ...] = (
    Rule(
        id="alert-delivery-tls",
        promise="Prometheus sends alerts over verified TLS and with a login.",
        why="Alerts could be read, forged or dropped on the way.",
        sources=("A1", "P2"),
        kinds=_FILES,
        resource=_delivery,
    ),
    Rule(
        id="alert-delivery-pair",
        promise="Every Prometheus sends to every Alertmanager.",
        why="With the only one that it knows down, its alerts are lost.",
        sources=("A1",),
        options={
            "minimum": Option(
                default=2,
                schema={"type": "integer", "minimum": 2},
                meaning="Alertmanagers that a Prometheus knows, at least.",
            )
        },
        kinds=_FILES,
        resource=_targets,
    ),
    Rule(
        id="alert-delivery-wired",
        promise="A Prometheus beside an Alertmanager sends it alerts.",
        why="Its rules would fire and nobody would hear.",
        sources=("A1", "P3"),
        stack=_wired,
    ),
    Rule(
        id="alert-delivery-whole",
        promise="Alerts reach every Alertmanager as rules raised them, but for a replica's own label.",
        why="An alert that is dropped or loses its priority on the way wakes nobody.",
        sources=("A1", "P3"),
        kinds=_FILES,
        resource=_relabelled,
    ),
    Rule(
        id="alert-identity",
        promise="The same alert of two Prometheus replicas looks the same to Alertmanager.",
        why="With the replica's label in it, every alert is notified twice and silences fit only half of them.",
        sources=("A1", "P1"),
        stack=_identity,
    ),
)
