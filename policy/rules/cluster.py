"""The cluster and how the program talks to it: its provider, and rights at the API server."""

from __future__ import annotations

from collections.abc import Iterator

from policy.model import Finding, Node, Options, Resource, Rule
from policy.rules._kubernetes import at, key_of, shown, state

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


RULES = (
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
)
"""Rules of this concern."""
