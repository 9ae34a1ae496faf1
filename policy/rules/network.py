"""NetworkPolicies: nothing talks to anything unless a policy says so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policy.model import Finding, Node, Options, Resource, Rule
from policy.rules._kubernetes import (
    NETWORKS,
    at,
    empty,
    of_kind,
    open_ended,
    selects,
    shown,
    state,
    too_wide,
    workloads,
)

_BOTH = {"Ingress", "Egress"}
_DIRECTIONS = (("ingress", "from"), ("egress", "to"))


def _default_deny(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    namespaces = of_kind(resources, "Namespace")
    closed = {resource.namespace for resource in of_kind(resources, "NetworkPolicy") if _refuses_all(resource)}
    homes = {namespace.object_name: namespace for namespace in namespaces}
    for workload in workloads(resources):
        homes.setdefault(workload.namespace, workload)
    for namespace, resource in homes.items():
        if namespace not in closed:
            yield Finding(
                resource=resource,
                where="metadata.name" if resource.kind == "Namespace" else "metadata.namespace",
                problem=f"no NetworkPolicy refuses everything in namespace {namespace or 'default'}",
                fix="make one with an empty podSelector, both policyTypes and no rules",
            )


def _refuses_all(policy: Resource) -> bool:
    spec = policy.node["spec"]
    rules = any(spec[direction].value for direction, _ in _DIRECTIONS)
    return empty(spec["podSelector"]) and set(spec["policyTypes"].texts()) >= _BOTH and not rules


def _own(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    policies = of_kind(resources, "NetworkPolicy")
    for workload in workloads(resources):
        kinds = {
            kind
            for policy in policies
            if policy.namespace == workload.namespace and not empty(policy.node.at("spec.podSelector"))
            if selects(policy.node.at("spec.podSelector"), workload)
            for kind in policy.node.at("spec.policyTypes").texts()
        }
        if not kinds >= _BOTH:
            lacking = " and ".join(sorted(_BOTH - kinds)).lower()
            yield Finding(
                resource=workload,
                where="spec.template.metadata.labels",
                problem=f"no NetworkPolicy of its own is about the {lacking} of these pods",
                fix="make one that selects them, with both policyTypes and the connections that they need",
            )


def _rules(resource: Resource, options: Options) -> Iterator[Finding]:
    if not resource.kubernetes:
        return
    spec = resource.node["spec"]
    types = spec["policyTypes"]
    if set(types.texts()) != _BOTH:
        yield at(resource, types, f"policyTypes {state(types.raw)}", 'set it to ["Ingress", "Egress"]')
    for direction, peers in _DIRECTIONS:
        for rule in spec[direction].elements():
            if open_ended(spec["podSelector"]):
                yield at(
                    resource,
                    rule,
                    f"it allows {direction} for every pod of the namespace",
                    "select one workload's pods",
                )
            yield from _peers(resource, direction, rule[peers], options)
            yield from _ports(resource, direction, rule["ports"])


_METADATA = frozenset({"169.254.169.254/32", "fd00:ec2::254/128"})
"""Where clouds tell a machine who it is and what it may do."""


def _peers(resource: Resource, direction: str, peers: Node, options: Options) -> Iterator[Finding]:
    other = "anybody" if direction == "ingress" else "anywhere"
    if not peers.value:
        yield at(
            resource,
            peers,
            f"{peers.path.rsplit('.', 1)[-1]} is empty: {direction} is open to {other}",
            "name the peers",
        )
    for peer in peers.elements():
        cidr = peer["ipBlock"]["cidr"]
        if peer["ipBlock"].exists:
            if cidr.text() in _METADATA and cidr.text() not in options["open_networks"]:
                yield at(resource, cidr, f"{direction} reaches the logins of the node at {cidr.text()}", "remove it")
            if too_wide(cidr.text(), options):
                yield at(
                    resource, cidr, f"{direction} is open to the network {shown(cidr.raw)}", "name a smaller network"
                )
        elif open_ended(peer["namespaceSelector"]):
            yield at(
                resource, peer, f"{direction} is open to every namespace", "give namespaceSelector the labels of one"
            )
        elif not peer["namespaceSelector"].exists and (
            not peer["podSelector"].exists or open_ended(peer["podSelector"])
        ):
            yield at(
                resource,
                peer,
                f"{direction} is open to every pod of the namespace",
                "give podSelector the labels of one",
            )


def _ports(resource: Resource, direction: str, ports: Node) -> Iterator[Finding]:
    if not ports.value:
        yield at(resource, ports, f"{direction} is open on every port", "name the ports")
    for port in ports.elements():
        if not port["port"].exists:
            yield at(resource, port["port"], f"{direction} is open on every port of a protocol", "name the port")
        elif port["endPort"].exists:
            yield at(
                resource,
                port["endPort"],
                f"{direction} is open up to port {shown(port['endPort'].raw)}",
                "name each port",
            )


RULES = (
    Rule(
        id="network-default-deny",
        promise="Every namespace refuses connections that no policy allows, in both directions.",
        why="A pod without a policy of its own could be reached by everybody and could send data anywhere.",
        sources=("M4", "K5"),
        stack=_default_deny,
    ),
    Rule(
        id="network-own-policy",
        promise="Every workload has a NetworkPolicy about what it receives and what it sends.",
        why="Only a policy of its own says who may call it and what it may call; without one it is cut off or open.",
        sources=("M4", "K5"),
        stack=_own,
    ),
    Rule(
        id="network-policy-rules",
        promise="Every rule of a NetworkPolicy names peers and ports.",
        why="A rule that allows everybody or every port undoes the default.",
        sources=("M4", "K5"),
        options=NETWORKS,
        kinds=frozenset({"NetworkPolicy"}),
        resource=_rules,
    ),
)
"""Rules of this concern."""
