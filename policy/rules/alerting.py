"""Alertmanager servers: gossip and web over TLS, a pair of them, and silences that outlive a pod."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence

from policy.documents import Format, parse
from policy.model import Finding, Node, Option, Options, Resource, Rule
from policy.rules._servers import WORKLOADS, Container, containers, persistent, replicas
from policy.rules._values import client_tls, each_known, finding, flag, seconds, server_tls, shown

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
    node = Node(parse("gossip.yml", file.text)[1], f"{file.name}:")
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
    if file is None or parse("web.yml", file.text)[0] is not Format.WEB:
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
)
