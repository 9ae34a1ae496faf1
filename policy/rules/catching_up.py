"""Servers that keep copies: what a start may take, what a rolling update waits for, and in which zone they are."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy.model import Finding, Node, Option, Options, Resource, Rule
from policy.rules._kafka import servers
from policy.rules._kubernetes import at, name_of, number, state, template
from policy.rules._values import finding, shown, size

_SERVERS = ("obs/kafka", "obs/opensearch", "elasticsearch/elasticsearch")
_ASKS = ("exec", "httpGet", "grpc")
_KINDS = frozenset({"StatefulSet"})


def _servers(resource: Resource, options: Options) -> Iterator[tuple[Node, float]]:
    """Containers that run such a server, and the bytes of their largest volume."""
    if not resource.kubernetes:
        return
    claims = {
        claim["metadata"]["name"].text(): size(claim["spec"]["resources"]["requests"]["storage"].text()) or 0.0
        for claim in resource.node.at("spec.volumeClaimTemplates").elements()
    }
    for container in template(resource)["spec"]["containers"].elements():
        repository = re.split(r"@|:(?=[^/]*$)", container["image"].text(), maxsplit=1)[0]
        names = [mount["name"].text() for mount in container["volumeMounts"].elements()]
        mounted = [claims[name] for name in names if name in claims]
        if mounted and any(f"/{repository}".endswith(f"/{server}") for server in options["servers"]):
            yield container, max(mounted)


def _startup(resource: Resource, options: Options) -> Iterator[Finding]:
    for container, volume in _servers(resource, options):
        probe = container["startupProbe"]
        asks_more = next((probe[how] for how in _ASKS if probe[how].exists), None)
        if asks_more is not None:
            yield at(
                resource,
                asks_more,
                f"{name_of(container)} is killed when it takes long to answer more than an open port",
                "let startupProbe open the port, and readinessProbe ask for copies",
            )
            continue
        needed = min(options["most_s"], max(options["least_s"], volume / options["bytes_per_s"]))
        limit = (number(probe["failureThreshold"].value) or 3) * (number(probe["periodSeconds"].value) or 10)
        if not probe.exists or limit < needed:
            problem = f"{name_of(container)} has {limit if probe.exists else 0:g} s to read its volume"
            yield at(resource, probe, problem, f"give startupProbe at least {needed:.0f} s")


def _readiness(resource: Resource, options: Options) -> Iterator[Finding]:
    if resource.object_name in options["alone"]:
        return
    for container, _ in _servers(resource, options):
        command = container["readinessProbe"]["exec"]["command"]
        if not command.exists:
            problem = f"{name_of(container)} is ready before it has its copies: command {state(command.raw)}"
            yield at(resource, command, problem, "let readinessProbe run a command that asks for them")


def _zone(resource: Resource, options: Options) -> Iterator[Finding]:
    for server in servers(resource):
        rack = server["broker.rack"]
        if server.broker and rack.text() != f"${{env:{options['variable']}}}":
            problem = f"the broker does not say in which zone it is: broker.rack {shown(rack)}"
            yield finding(resource, rack, problem, f"set broker.rack to ${{env:{options['variable']}}}")
    if resource.kind not in _KINDS or resource.object_name in options["alone"]:
        return
    for container, _ in _servers(resource, options):
        named = [entry for entry in container["env"].elements() if entry["name"].text() == options["variable"]]
        paths = {entry.at("valueFrom.fieldRef.fieldPath").text() for entry in named}
        if paths != {f"metadata.labels['{options['label']}']"}:
            problem = f"{name_of(container)} is not told in which zone it is"
            fix = f"set variable {options['variable']} from the pod's label {options['label']}"
            yield at(resource, container["env"], problem, fix)


def _number(default: int, meaning: str) -> Option:
    return Option(default=default, schema={"type": "integer"}, meaning=meaning)


_WHICH = Option(
    default=list(_SERVERS),
    schema={"type": "array", "items": {"type": "string"}},
    meaning="images of servers that keep copies",
)
_ALONE = Option(
    default=["kafka-controller"],
    schema={"type": "array", "items": {"type": "string"}},
    meaning="workloads of these servers that a quorum, and no copy, waits for",
)


RULES = (
    Rule(
        id="startup-holds-volume",
        promise="A server that keeps copies is started once its port is open, and has the time to read its volume.",
        why="A broker or search node that is killed while it recovers begins again, for ever.",
        sources=("K1", "T2"),
        options={
            "servers": _WHICH,
            "bytes_per_s": _number(100 * 2**20, "bytes of a volume that a server reads in a second"),
            "least_s": _number(600, "seconds that every server gets"),
            "most_s": _number(76_800, "seconds after which a server may count as hanging"),
        },
        kinds=_KINDS,
        resource=_startup,
    ),
    Rule(
        id="readiness-waits-for-copies",
        promise="A server that keeps copies is ready once it has them back.",
        why="A rolling update would stop the next one while copies are missing.",
        sources=("K1", "T2"),
        options={
            "servers": _WHICH,
            "alone": _ALONE,
        },
        kinds=_KINDS,
        resource=_readiness,
    ),
    Rule(
        id="broker-knows-zone",
        promise="A broker is told the zone of the node that it runs on.",
        why="All copies of a partition may be in one zone, and are away together with it.",
        sources=("K1", "S1"),
        options={
            "servers": Option(
                default=["obs/kafka"],
                schema={"type": "array", "items": {"type": "string"}},
                meaning="images of brokers",
            ),
            "alone": _ALONE,
            "variable": Option(
                default="ZONE", schema={"type": "string"}, meaning="variable of a broker that says its zone"
            ),
            "label": Option(
                default="topology.kubernetes.io/zone",
                schema={"type": "string"},
                meaning="label of pods that says the zone of their node",
            ),
        },
        kinds=_KINDS | {"ConfigMap", "Secret"},
        resource=_zone,
    ),
)
"""Rules of this concern."""
