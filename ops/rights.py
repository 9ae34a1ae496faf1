"""What an account must be allowed to do to bring a platform up and to operate it, as manifests for an administrator.

The account is no administrator of the cluster: it changes one namespace. Whoever makes roles must have what is in them
(Kubernetes refuses more), so the rules of rendered roles are among its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import yaml

from ops import config
from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.preflight.demand import Cluster, Served, api_version, rendered
from policy.model import Resource
from stacks.check import read

_GROUP: Final = "rbac.authorization.k8s.io"
_API: Final = f"{_GROUP}/v1"
_ROLES: Final = ("Role", "ClusterRole")
_READ: Final = ("get", "list", "watch")
_ALL: Final = (*_READ, "create", "update", "patch", "delete")
_NAMELESS: Final = ("list", "watch", "create")
_OPERATED: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("", "pods"): (*_READ, "delete"),
    ("", "pods/log"): ("get",),
    ("", "pods/portforward"): ("get", "create"),
    ("", "pods/exec"): ("get", "create"),
    ("", "events"): (*_READ, "create"),
    ("", "endpoints"): _READ,
    ("discovery.k8s.io", "endpointslices"): _READ,
    ("", "persistentvolumeclaims"): (*_READ, "patch"),
    ("apps", "replicasets"): _READ,
    ("apps", "controllerrevisions"): _READ,
    ("apps", "statefulsets/scale"): ("get", "patch"),
    ("batch", "jobs"): (*_READ, "create", "delete"),
}
"""Group and resource -> verbs: what Pulumi waits by and `ops` works with, besides the objects that are rendered."""
_SEEN: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("", "nodes"): ("list",),
    ("", "pods"): ("list",),
    ("apps", "daemonsets"): ("list",),
    ("apps", "deployments"): ("list",),
    ("storage.k8s.io", "storageclasses"): ("get", "list"),
    ("storage.k8s.io", "csidrivers"): ("list",),
    ("scheduling.k8s.io", "priorityclasses"): ("list",),
}
"""What `ops preflight` looks at in the whole cluster; it says where it may not."""
_SERVICES: Final = ("kubernetes", "kube-dns")
_PLUGINS: Final = ("cilium-config", "amazon-vpc-cni")
"""ConfigMaps which say whether a network plug-in enforces policies."""
_SUBJECT: Final = re.compile(r"(?P<kind>user|group|account):(?P<name>\S+)")


def manifests(
    namespace: str, resources: Iterable[Resource], served: Mapping[tuple[str, str], Served], subject: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The namespace, a role in it, a role of the cluster, and a binding of each.

    Args:
        namespace: Where the platform is.
        resources: What the program makes.
        served: API version and kind -> what serves it.
        subject: Of the bindings, as RBAC writes it.

    Raises:
        OpsError: The cluster does not serve a kind that is rendered.
    """
    name = f"{namespace}-installer"
    inside: list[dict[str, Any]] = [_rule(*place, verbs) for place, verbs in _OPERATED.items()]
    outside: list[dict[str, Any]] = [_rule(*place, verbs) for place, verbs in _SEEN.items()]
    outside.append(_rule("", "namespaces", ("get",), ("kube-system",)))
    outside.append(_rule("", "services", ("get",), _SERVICES))
    outside.append(_rule("", "configmaps", ("get",), _PLUGINS))
    unknown = []
    for resource in resources:
        if not resource.kubernetes:
            continue
        version = api_version(resource)
        known = served.get((version, resource.kind))
        if known is None:
            unknown.append(f"{resource.kind} of {version}")
        elif known.namespaced:
            inside.append(_rule(known.group, known.resource, _ALL))
        else:
            # Who creates has no name yet, and who waits for an end watches all of a kind.
            outside.append(_rule(known.group, known.resource, _NAMELESS))
            changes = tuple(verb for verb in _ALL if verb not in _NAMELESS)
            outside.append(_rule(known.group, known.resource, changes, (resource.object_name,)))
        if resource.kind in _ROLES:
            rules = inside if resource.kind == "Role" else outside
            rules.extend(resource.props["rules"])
            # A preview binds it, without a change, before it is there to be compared with what the account may do.
            rules.append(_rule(_GROUP, f"{resource.kind.lower()}s", ("bind",), (resource.object_name,)))
    if unknown:
        raise OpsError(f"the cluster does not serve {', '.join(sorted(set(unknown)))}: install what serves it")
    metadata = {"name": name}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        _role("Role", metadata | {"namespace": namespace}, inside),
        _binding("Role", metadata | {"namespace": namespace}, subject),
        _role("ClusterRole", metadata, outside),
        _binding("ClusterRole", metadata, subject),
    ]


def _rule(group: str, resource: str, verbs: Iterable[str], names: Iterable[str] = ()) -> dict[str, Any]:
    only = {"resourceNames": list(names)} if names else {}
    return {"apiGroups": [group], "resources": [resource], **only, "verbs": list(verbs)}


def _role(kind: str, metadata: Mapping[str, Any], rules: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """A role with each rule once, those of the same verbs together."""
    together: dict[tuple[Any, ...], set[str]] = {}
    for rule in rules:
        key = (tuple(rule["apiGroups"]), tuple(rule.get("resourceNames", ())), tuple(rule["verbs"]))
        together.setdefault(key, set()).update(rule["resources"])
    merged = [
        {"apiGroups": list(groups), "resources": sorted(resources), "verbs": list(verbs)}
        | ({"resourceNames": list(names)} if names else {})
        for (groups, names, verbs), resources in sorted(together.items())
    ]
    return {"apiVersion": _API, "kind": kind, "metadata": dict(metadata), "rules": merged}


def _binding(kind: str, metadata: Mapping[str, Any], subject: Mapping[str, str]) -> dict[str, Any]:
    role = {"apiGroup": _GROUP, "kind": kind, "name": metadata["name"]}
    return {
        "apiVersion": _API,
        "kind": f"{kind}Binding",
        "metadata": dict(metadata),
        "roleRef": role,
        "subjects": [dict(subject)],
    }


def subject_of(text: str) -> dict[str, str]:
    """``user:NAME``, ``group:NAME`` or ``account:NAMESPACE/NAME`` as RBAC writes it.

    Raises:
        OpsError: It is none of them.
    """
    named = _SUBJECT.fullmatch(text)
    if named and named["kind"] != "account":
        return {"apiGroup": _GROUP, "kind": named["kind"].capitalize(), "name": named["name"]}
    namespace, _, name = named["name"].partition("/") if named else ("", "", "")
    if not namespace or not name:
        raise OpsError(f"--subject is {text}: allowed is user:NAME, group:NAME, account:NAMESPACE/NAME")
    return {"kind": "ServiceAccount", "namespace": namespace, "name": name}


def rights(
    subject: Annotated[str, typer.Option("--subject", help="user:NAME, group:NAME or account:NAMESPACE/NAME.")],
    file: Annotated[Path | None, typer.Option("--file", help="Stack file.")] = None,
    stack: Annotated[str, typer.Option("--stack", help="Stack; default: the selected one.")] = "",
) -> None:
    """Print the roles with which an account that is no administrator brings the stack up, and operates it."""
    whose = subject_of(subject)
    configuration = config.chosen(file, stack)
    settings, problems = read(configuration.stack, configuration.values)
    if settings is None:
        raise OpsError(f"{problems[0]}: run `ops config check`")
    resources = rendered(configuration)
    kube = Kube.connect(settings.namespace, context=settings.cluster.context)
    try:
        served = served_kinds(Cluster(kube), resources)
    finally:
        kube.close()
    typer.echo(yaml.safe_dump_all(manifests(settings.namespace, resources, served, whose), sort_keys=False), nl=False)


def served_kinds(cluster: Cluster, resources: Iterable[Resource]) -> dict[tuple[str, str], Served]:
    """API version and kind -> what serves it, of every API version that is rendered."""
    versions = {api_version(resource) for resource in resources if resource.kubernetes}
    return {(version, kind): entry for version in sorted(versions) for kind, entry in cluster.served(version).items()}
