"""The cluster: its provider, rights at the API server, and NetworkPolicies, without which nothing talks to anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policy.model import Finding, Node, Options, Resource, Rule
from policy.rules._kubernetes import (
    NETWORKS,
    at,
    empty,
    key_of,
    of_kind,
    open_ended,
    selects,
    shown,
    state,
    too_wide,
    workloads,
)

_PROVIDER = "pulumi:providers:kubernetes"
_ROLES = frozenset({"Role", "ClusterRole"})
_BINDINGS = frozenset({"RoleBinding", "ClusterRoleBinding"})
_READS = frozenset({"get", "list", "watch"})
_WAYS_IN = ("exec", "attach", "portforward", "proxy", "ephemeralcontainers")
_STRONG_VERBS = frozenset({"escalate", "bind", "impersonate"})
_STRONG_RESOURCES = frozenset(
    {"nodes/proxy", "serviceaccounts/token", *(f"{of}/{way}" for of in ("pods", "services") for way in _WAYS_IN)}
)
_STRONG_ROLES = frozenset({"cluster-admin", "admin", "edit"})
_CROWDS = frozenset({"system:authenticated", "system:unauthenticated", "system:anonymous", "system:masters"})


def _in_place(resource: Resource, options: Options) -> Iterator[Finding]:
    if resource.type != _PROVIDER:
        return
    for key in ("enableConfigMapMutable", "enableSecretMutable"):
        node = resource.node[key]
        if str(node.value).lower() != "true":
            yield at(resource, node, f"{key} {state(node.raw)}", "set it to true (ADR 0005)")


def _role(resource: Resource, options: Options) -> Iterator[Finding]:
    if not resource.kubernetes:
        return
    aggregated = resource.node["aggregationRule"]
    if aggregated.exists:
        yield at(resource, aggregated, "it takes the rights of every role with a label", "name what is needed")
    for rule in resource.node["rules"].elements():
        for field in ("apiGroups", "resources", "verbs", "nonResourceURLs"):
            if any("*" in text for text in rule[field].texts()):
                yield at(resource, rule[field], f"{field} are {shown(rule[field].raw)}", "name what is needed")
        verbs = rule["verbs"].texts()
        for text in rule["resources"].texts():
            if text in _STRONG_RESOURCES or (text == "secrets" and not set(verbs) <= _READS):
                problem = f"it may {', '.join(verbs)} {text}, which gives rights of others"
                yield at(resource, rule["resources"], problem, "remove it")
        if strong := sorted(_STRONG_VERBS & set(verbs)):
            yield at(resource, rule["verbs"], f"it may {', '.join(strong)}, which gives every other right", "remove it")
        if "secrets" in rule["resources"].texts() and _READS & set(verbs) and not rule["resourceNames"].texts():
            yield at(resource, rule["resources"], "it reads every Secret", "name the Secrets in resourceNames")


def _binding(resource: Resource, options: Options) -> Iterator[Finding]:
    if not resource.kubernetes:
        return
    role = resource.node["roleRef"]["name"]
    if role.text() in _STRONG_ROLES or role.text().startswith("system:"):
        yield at(resource, role, f"it gives the role {shown(role.raw)}", "bind a role with what is needed")
    for subject in resource.node["subjects"].elements():
        if subject["kind"].text() != "ServiceAccount" or _crowd(subject):
            name = subject["name"]
            yield at(resource, name, f"{key_of(name)} {shown(name.raw)} stands for many", "name one ServiceAccount")


def _crowd(subject: Node) -> bool:
    name = subject["name"].text()
    account = subject["kind"].text() == "ServiceAccount"
    return name in _CROWDS or name.startswith("system:serviceaccounts") or (account and name == "default")


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


RULES: tuple[Rule, ...] = (
    Rule(
        id="changes-in-place",
        promise="The Kubernetes provider changes ConfigMaps and Secrets in place.",
        why="Otherwise a changed file replaces every workload that mounts it, all pods at once.",
        sources=("M4", "K1"),
        kinds=frozenset({"kubernetes"}),
        resource=_in_place,
    ),
    Rule(
        id="role-narrow",
        promise="A role names what it allows and lets nobody gain more.",
        why="A wildcard gives rights that nobody reviewed, also on what is added to the cluster later.",
        sources=("M4", "M1"),
        kinds=_ROLES,
        resource=_role,
    ),
    Rule(
        id="role-binding-narrow",
        promise="Rights go to single accounts, and never those of an administrator.",
        why="Whoever takes over one pod or one account would own the namespace or the cluster.",
        sources=("M4", "M1"),
        kinds=_BINDINGS,
        resource=_binding,
    ),
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
