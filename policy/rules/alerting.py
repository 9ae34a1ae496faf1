"""Alertmanager's servers, and Prometheus as the sender of alerts.

Gossip, web and sending over TLS, a pair of servers, silences that outlive a pod, and one identity per alert.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence

from policy.documents import Document, Format, documents, parse
from policy.model import Finding, Node, Option, Options, Resource, Rule
from policy.rules._alerting import CREDENTIAL_KEYS
from policy.rules._kubernetes import WORKLOADS
from policy.rules._servers import Container, containers, known_documents, persistent, replicas
from policy.rules._values import FILES, client_tls, each_known, finding, flag, seconds, server_tls, shown

_MUTUAL = "RequireAndVerifyClientCert"


def alertmanagers(resource: Resource) -> Iterator[Container]:
    """Containers of a workload that run Alertmanager."""
    return (container for container in containers(resource) if container.runs("alertmanager"))


def _command(container: Container) -> Node:
    return container.node["args"] if container.node["args"].exists else container.node["command"]


def _cluster(resource: Resource, options: Options) -> Iterator[Finding]:
    for container in alertmanagers(resource):
        where = _command(container)
        listen = container.flag("cluster.listen-address")
        if listen and not listen.text.strip("\"'"):
            yield finding(
                resource,
                listen.where,
                "--cluster.listen-address is empty, which switches the cluster off",
                "listen on 0.0.0.0:9094",
            )
        if not any(word.text for word in container.flags("cluster.peer")):
            yield finding(
                resource,
                where,
                "Alertmanager starts without --cluster.peer, so it finds no other one",
                "name the peers with --cluster.peer=<host>:9094",
            )
        gossip = container.flag("cluster.tls-config")
        if not gossip or not gossip.text:
            yield finding(
                resource,
                where,
                "Alertmanager starts without --cluster.tls-config, so gossip is clear text that anybody may join",
                "add --cluster.tls-config with a file that demands certificates on both sides",
            )


def _gossip(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    yield from each_known(
        _gossip_of(container, resources) for resource in resources for container in alertmanagers(resource)
    )


def _gossip_of(container: Container, stack: Sequence[Resource]) -> Iterator[Finding]:
    flag_word = container.flag("cluster.tls-config")
    if not flag_word or not flag_word.text:
        return
    mounted = container.mounted(stack)
    file = mounted.at(flag_word.text)
    if file is None:
        mounted.missing()
        yield finding(
            container.resource,
            flag_word.where,
            f"the gossip TLS file {flag_word.text} is in no ConfigMap or Secret that is mounted there",
            "mount a file with tls_server_config and tls_client_config at that path",
        )
        return
    node = Node(parse(file.name, file.text)[1], f"{file.name}:")
    server, client = node["tls_server_config"], node["tls_client_config"]
    demand = server["client_auth_type"]
    yield from server_tls(file.resource, server, what="Alertmanager's gossip")
    if demand.text() != _MUTUAL:
        yield finding(
            file.resource,
            demand,
            f"gossip does not demand a certificate from its peers: client_auth_type {shown(demand)}",
            f"set client_auth_type to {_MUTUAL}",
        )
    if not server["client_ca_file"].text() and not server["client_ca"].text():
        yield finding(
            file.resource,
            server["client_ca_file"],
            "gossip has no authority to check its peers' certificates with",
            "set client_ca_file to the platform's CA",
        )
    yield from client_tls(file.resource, client, what="the other Alertmanager")
    for key in ("cert_file", "key_file"):
        if client.exists and not client[key].text():
            yield finding(
                file.resource,
                client[key],
                f"gossip shows its peers no certificate: {key} is not set",
                f"set {key} to the workload's certificate",
            )


def _web(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    yield from each_known(
        _web_of(container, resources) for resource in resources for container in alertmanagers(resource)
    )


def _web_of(container: Container, stack: Sequence[Resource]) -> Iterator[Finding]:
    flag_word = container.flag("web.config.file")
    if not flag_word or not flag_word.text:
        yield finding(
            container.resource,
            _command(container),
            "Alertmanager starts without --web.config.file, so its API has neither TLS nor a login",
            "add --web.config.file with tls_server_config and basic_auth_users",
        )
        return
    mounted = container.mounted(stack)
    file = mounted.at(flag_word.text)
    if file is None or parse(file.name, file.text)[0] is not Format.WEB:
        mounted.missing()
        yield finding(
            container.resource,
            flag_word.where,
            f"the web file {flag_word.text} is in no ConfigMap or Secret that is mounted there",
            "mount a file with tls_server_config and basic_auth_users at that path",
        )


def _pair(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    alertmanager_resources = [resource for resource in resources if any(alertmanagers(resource))]
    count = sum(replicas(resource) for resource in alertmanager_resources)
    if alertmanager_resources and count < options["minimum"]:
        yield finding(
            alertmanager_resources[0],
            "spec.replicas",
            f"the stack has {count} Alertmanager, not {options['minimum']}",
            f"run {options['minimum']} of them in one gossip cluster",
        )


def _storage(resource: Resource, options: Options) -> Iterator[Finding]:
    for container in alertmanagers(resource):
        word = container.flag("storage.path")
        path = posixpath.normpath(
            posixpath.join(container.node["workingDir"].text() or "/", word.text if word else "data")
        )
        if not persistent(container, path):
            yield finding(
                resource,
                word.where if word else _command(container),
                f"silences and the log of notifications lie in {path}, which is lost with the pod",
                "point --storage.path into a volume of a PersistentVolumeClaim",
            )
        kept = container.flag("data.retention")
        if kept and (seconds(kept.text) or 0) < (seconds(options["retention"]) or 0):
            yield finding(
                resource,
                kept.where,
                f"silences and the log of notifications are kept for {kept.text}, less than {options['retention']}",
                f"set --data.retention to {options['retention']} or more",
            )


def _turn(resource: Resource, options: Options) -> Iterator[Finding]:
    most = str(options["longest"])
    for container in alertmanagers(resource):
        word = container.flag("cluster.peer-timeout")
        value = word.text if word else "15s"
        given = seconds(value)
        if given is None or given > (seconds(most) or 0):
            told = f"an Alertmanager waits for {value} before it tells in place of another one"
            yield finding(
                resource,
                word.where if word else _command(container),
                told + ("" if word else ", which is what it does by itself"),
                f"set --cluster.peer-timeout to {most} or less",
            )


def _plain_gossip(resource: Resource, options: Options) -> Iterator[Finding]:
    for container in alertmanagers(resource):
        for name in ("cluster.allow-insecure-public-advertise-address-discovery",):
            word = container.flag(name)
            if word and flag(Node(word.text)) is not False:
                yield finding(
                    resource,
                    word.where,
                    f"--{name} lets gossip leave by a public address",
                    "remove it and set --cluster.advertise-address to the pod's address",
                )


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
        yield from each_known(_wired_at(resource) for resource in resources if resource.kind in FILES)


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
        id="alertmanager-cluster",
        promise="Every Alertmanager joins a gossip cluster over TLS.",
        why="Alone, it notifies twice and forgets silences; without TLS anybody in the network may silence alerts.",
        sources=("A1",),
        kinds=WORKLOADS,
        resource=_cluster,
    ),
    Rule(
        id="alertmanager-gossip-tls",
        promise="Gossip between Alertmanagers is mutual TLS: both sides show a certificate and check the other's.",
        why="Whoever can join the gossip can silence every alert.",
        sources=("A1",),
        stack=_gossip,
    ),
    Rule(
        id="alertmanager-gossip-private",
        promise="Gossip never picks a public address by itself.",
        why="The cluster's traffic would leave the private network.",
        sources=("A1",),
        kinds=WORKLOADS,
        resource=_plain_gossip,
    ),
    Rule(
        id="alertmanager-web",
        promise="Alertmanager's API runs a web configuration of the stack, with TLS and users.",
        why="Whoever reaches an open API can silence alerts and read them all.",
        sources=("A1", "P2"),
        stack=_web,
    ),
    Rule(
        id="alertmanager-pair",
        promise="There are at least two Alertmanagers.",
        why="With one, its restart is a time without notifications.",
        sources=("A1", "N-004"),
        options={
            "minimum": Option(
                default=2, schema={"type": "integer", "minimum": 2}, meaning="Alertmanagers in a stack, at least."
            )
        },
        stack=_pair,
    ),
    Rule(
        id="alertmanager-turn",
        promise="The second Alertmanager does not wait long for the first one to tell.",
        why="The promise is 30 seconds from fault to phone, also when the first one has just been lost.",
        sources=("A1", "S2"),
        options={
            "longest": Option(
                default="5s",
                schema={"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$"},
                meaning="Longest --cluster.peer-timeout.",
            )
        },
        kinds=WORKLOADS,
        resource=_turn,
    ),
    Rule(
        id="alertmanager-storage",
        promise="Silences and the log of notifications outlive the pod.",
        why="After a restart silenced alerts would wake people and sent notifications would be sent again.",
        sources=("A1",),
        options={
            "retention": Option(
                default="120h",
                schema={"type": "string"},
                meaning="How long silences and notifications are kept, at least.",
            )
        },
        kinds=WORKLOADS,
        resource=_storage,
    ),
    Rule(
        id="alert-delivery-tls",
        promise="Prometheus sends alerts over verified TLS and with a login.",
        why="Alerts could be read, forged or dropped on the way.",
        sources=("A1", "P2"),
        kinds=FILES,
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
        kinds=FILES,
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
        kinds=FILES,
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
