"""Which pods restart, how, and in which order; and what is replaced.

Some changes a provider cannot make in place: the resource is deleted and made anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ops.review.difference import Change, Entry, Kind
from ops.review.model import WORKLOADS, Path, Planned, at, replicas, short
from ops.review.phrasing import listed

_WORKLOAD_SELECTOR = ("spec.selector",)
_FORCE_NEW: Mapping[str, tuple[str, ...]] = {
    "kubernetes:apps/v1:StatefulSet": (
        "spec.podManagementPolicy",
        "spec.revisionHistoryLimit",
        "spec.selector",
        "spec.serviceName",
        "spec.volumeClaimTemplates",
    ),
    "kubernetes:apps/v1:Deployment": _WORKLOAD_SELECTOR,
    "kubernetes:apps/v1:DaemonSet": _WORKLOAD_SELECTOR,
    "kubernetes:batch/v1:Job": ("spec.completions", "spec.parallelism", "spec.selector", "spec.template"),
    "kubernetes:core/v1:PersistentVolumeClaim": (
        "spec.accessModes",
        "spec.selector",
        "spec.storageClassName",
        "spec.volumeName",
    ),
    "kubernetes:core/v1:Secret": ("type",),
    "kubernetes:core/v1:Service": ("spec.clusterIP",),
    "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding": ("roleRef",),
    "kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding": ("roleRef",),
    "kubernetes:storage.k8s.io/v1:StorageClass": ("parameters", "provisioner"),
    "kafka:index/topic:Topic": ("name",),
    "kafka:index/acl:Acl": ("",),
    "kafka:index/quota:Quota": ("",),
    "kafka:index/userScramCredential:UserScramCredential": ("username", "scramMechanism"),
    "random:index/randomPassword:RandomPassword": ("",),
    "pulumi:providers:kubernetes": ("context", "cluster", "kubeconfig"),
}
"""Type -> properties, as the Kubernetes provider (its ``diff.go``) and the Kafka and random providers have them."""
_FILES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "kubernetes:core/v1:ConfigMap": ("enableConfigMapMutable", ("data", "binaryData")),
    "kubernetes:core/v1:Secret": ("enableSecretMutable", ("data", "stringData")),
}
"""Type -> option of the provider without which changed files replace the object (ADR 0005)."""


def replaced_by(change: Change, planned: Mapping[str, Planned]) -> list[str]:
    """The properties that make a provider replace the resource; none when it changes in place.

    Args:
        change: A change of a resource.
        planned: Everything after the change: the provider's options are among it.
    """
    if change.kind is not Kind.CHANGED or change.after is None:
        return []
    resource = change.after.resource
    fixed = [
        *_FORCE_NEW.get(resource.type, ()),
        *(("metadata.name", "metadata.namespace") if resource.kubernetes else ()),
    ]
    option, held = _FILES.get(resource.type, ("", ()))
    if option and (not _allows(planned.get(change.after.provider), option) or resource.props.get("immutable") is True):
        fixed += held
    entries = [entry for entry in change.entries if not ignored(change.after, entry)]
    properties = [property_path for entry in entries for property_path in fixed if _below(entry.path, property_path)]
    return list(dict.fromkeys(property_path or "any change" for property_path in properties))


def ignored(planned: Planned, entry: Entry) -> bool:
    """Whether Pulumi leaves the property as it is; ``[*]`` in what it ignores stands for any element."""
    return any(
        len(parts) <= len(entry.path)
        and all(part in ("[*]", str(at)) for part, at in zip(parts, entry.path, strict=False))
        for parts in (ignore.replace("[*]", ".[*]").split(".") for ignore in planned.ignore_changes)
    )


def _below(path: Path, prefix: str) -> bool:
    parts = tuple(prefix.split(".")) if prefix else ()
    return path[: len(parts)] == parts and not (path and str(path[0]).startswith("("))


def _allows(provider: Planned | None, option: str) -> bool:
    return provider is not None and str(provider.resource.props.get(option)).lower() == "true"


_TEMPLATE = ("spec", "template")
_REASONS = (
    ("checksum", "files"),
    ("image", "image"),
    ("resources", "resources"),
    ("command", "command line"),
    ("args", "command line"),
    ("env", "environment"),
    ("Probe", "probes"),
    ("securityContext", "security"),
    ("volume", "volumes"),
    ("labels", "labels"),
)


def restarts(changes: Sequence[Change], planned: Mapping[str, Planned], replaced: frozenset[str]) -> Iterator[str]:
    """One sentence per workload whose pods restart, in the order of the update.

    Args:
        changes: All changes of the stack.
        planned: Everything after the change.
        replaced: URNs of what is replaced as a whole, and is told elsewhere.
    """
    rolled = {
        change.planned.urn: change
        for change in changes
        if change.kind is Kind.CHANGED
        and change.planned.resource.kind in WORKLOADS
        and change.planned.urn not in replaced
        and change.touches(*_TEMPLATE)
    }
    steps = _steps(rolled, planned)
    for urn in sorted(rolled, key=lambda workload: (steps[workload], workload)):
        change = rolled[urn]
        yield f"step {steps[urn]}: {short(change.planned.resource)}: {_way(change.planned)} ({_reasons(change)})"


def _steps(rolled: Mapping[str, Change], planned: Mapping[str, Planned]) -> dict[str, int]:
    """Step of each workload: one later than the last of those that it depends on."""
    steps: dict[str, int] = {}

    def step(urn: str) -> int:
        if urn not in steps:
            earlier = [other for other in _needs(urn, planned) if other in rolled and other != urn]
            steps[urn] = 1 + max((step(other) for other in earlier), default=0)
        return steps[urn]

    for urn in rolled:
        step(urn)
    return steps


def _needs(urn: str, planned: Mapping[str, Planned]) -> set[str]:
    """Everything that a resource depends on, however indirectly."""
    seen: set[str] = set()
    pending = [urn]
    while pending:
        current = planned.get(pending.pop())
        for other in (*current.dependencies, current.provider) if current else ():
            if other and other not in seen:
                seen.add(other)
                pending.append(other)
    return seen - {urn}


def _way(planned: Planned) -> str:
    """How the pods are replaced."""
    resource = planned.resource
    count = replicas(resource)
    if "spec.replicas" in planned.ignore_changes:
        count = None
    pods = "pods" if count is None else "its pod" if count == 1 else f"{count} pods"
    if resource.kind == "StatefulSet":
        return _one_by_one(planned, pods, count)
    strategy = at(resource.props, "spec", "strategy") or {}
    if at(strategy, "type") == "Recreate":
        return f"{pods} {'stops' if count == 1 else 'stop'} before the new one starts: away meanwhile"
    missing = at(strategy, "rollingUpdate", "maxUnavailable")
    if missing in (0, "0", "0%"):
        return "its pod goes after the new one is ready" if count == 1 else f"{pods} go, each after a new one is ready"
    return f"{pods} {'is' if count == 1 else 'are'} replaced, at most {missing or '25%'} of them away at a time"


def _one_by_one(planned: Planned, pods: str, count: int | None) -> str:
    resource = planned.resource
    strategy = at(resource.props, "spec", "updateStrategy") or {}
    if at(strategy, "type") == "OnDelete":
        return f"{pods} {'keeps' if count == 1 else 'keep'} running as before until deleted by hand (OnDelete)"
    if count == 1:
        return "its pod restarts: away meanwhile"
    first = at(strategy, "rollingUpdate", "partition") or 0
    if count is None:
        return "its pods restart one by one, the last one first"
    names = [f"{resource.object_name}-{index}" for index in range(count - 1, int(first) - 1, -1)]
    rest = f"; {first} stay as they are (partition)" if first else ""
    return f"{len(names)} pods restart one by one, each after the one before is ready: {listed(names)}{rest}"


def _reasons(change: Change) -> str:
    """What in the pod template differs, in a few words."""
    reasons = [_reason(entry) for entry in change.entries if entry.path[:2] == _TEMPLATE]
    return listed(dict.fromkeys(reasons))


def _reason(entry: Entry) -> str:
    inner = ".".join(str(part) for part in entry.path[2:])
    return next((words for mark, words in _REASONS if mark in inner), inner.rpartition(".")[2])
