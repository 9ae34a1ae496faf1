"""What pods may do: Pod Security "restricted" and more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from policy.model import Finding, Option, Options, Resource, Rule
from policy.rules._kubernetes import (
    WORKLOADS,
    Want,
    at,
    containers,
    key_of,
    name_of,
    number,
    of_kind,
    shown,
    state,
    template,
    wanted,
    workloads,
)

_KINDS = frozenset(WORKLOADS)
_SECCOMP = ("RuntimeDefault", "Localhost")
_LEVEL_LABELS = tuple(f"pod-security.kubernetes.io/{mode}" for mode in ("enforce", "audit", "warn"))
_VOLUMES = frozenset(
    {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
)
_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
    }
)


def _absent_or(value: Any) -> Any:
    return lambda actual: actual is None or actual == value


def _user(resource: Resource, options: Options) -> Iterator[Finding]:
    pod = template(resource)["spec"]
    if not pod.exists:
        return
    least = options["lowest_id"]

    def own(user_id: Any) -> bool:
        return bool((number(user_id) or 0) >= least)

    def own_or_absent(user_id: Any) -> bool:
        return user_id is None or own(user_id)

    fix = f"set it to an id of at least {least}"
    yield from wanted(
        resource,
        pod["securityContext"],
        (
            Want("runAsNonRoot", lambda non_root: non_root is True, "set it to true"),
            Want("runAsUser", own, fix),
            Want("runAsGroup", own, fix),
            Want("fsGroup", own_or_absent, fix),
            Want("supplementalGroups", lambda groups: all(map(own, groups or [])), f"only use ids of at least {least}"),
        ),
    )
    for container in containers(pod):
        yield from wanted(
            resource,
            container["securityContext"],
            (
                Want("runAsNonRoot", _absent_or(True), "remove it or set it to true"),
                Want("runAsUser", own_or_absent, fix),
                Want("runAsGroup", own_or_absent, fix),
            ),
        )


def _seccomp(resource: Resource, options: Options) -> Iterator[Finding]:
    pod = template(resource)["spec"]
    if not pod.exists:
        return
    fix = 'set it to "RuntimeDefault"'
    yield from wanted(
        resource,
        pod["securityContext"],
        (
            Want("seccompProfile.type", lambda profile: profile in _SECCOMP, fix),
            Want("appArmorProfile.type", lambda profile: profile != "Unconfined", fix),
        ),
    )
    for container in containers(pod):
        yield from wanted(
            resource,
            container["securityContext"],
            (
                Want("seccompProfile.type", lambda profile: profile is None or profile in _SECCOMP, fix),
                Want("appArmorProfile.type", lambda profile: profile != "Unconfined", fix),
                Want("procMount", _absent_or("Default"), "remove it"),
            ),
        )


def _privileges(resource: Resource, options: Options) -> Iterator[Finding]:
    for container in containers(template(resource)["spec"]):
        context = container["securityContext"]
        wants = (
            Want("privileged", lambda privileged: not privileged, "remove it"),
            Want("allowPrivilegeEscalation", lambda escalation: escalation is False, "set it to false"),
        )
        yield from wanted(resource, context, wants)
        dropped, added = context["capabilities"]["drop"], context["capabilities"]["add"]
        if "ALL" not in dropped.texts():
            yield at(
                resource,
                dropped,
                f"{name_of(container)} keeps Linux capabilities: drop {state(dropped.raw)}",
                'set drop to ["ALL"]',
            )
        if added.texts():
            yield at(
                resource, added, f"{name_of(container)} gets the Linux capabilities {shown(added.raw)}", "remove add"
            )


def _root(resource: Resource, options: Options) -> Iterator[Finding]:
    want = Want(
        "readOnlyRootFilesystem",
        lambda read_only: read_only is True,
        "set it to true and mount an emptyDir to write to",
    )
    for container in containers(template(resource)["spec"]):
        yield from wanted(resource, container["securityContext"], (want,))


def _host(resource: Resource, options: Options) -> Iterator[Finding]:
    pod = template(resource)["spec"]
    fields = ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace")
    yield from wanted(resource, pod, (Want(key, lambda host_access: not host_access, "remove it") for key in fields))
    for volume in pod["volumes"].elements():
        for kind, node in volume.items():
            if kind != "name" and node.exists and kind not in _VOLUMES:
                yield at(
                    resource,
                    node,
                    f"volume {volume['name'].text()} is a {kind}, outside the pod's own files",
                    "use a ConfigMap, a Secret, an emptyDir or a claim",
                )
    for sysctl in pod["securityContext"]["sysctls"].elements():
        if sysctl["name"].text() not in _SYSCTLS:
            yield at(resource, sysctl, f"sysctl {sysctl['name'].text()} changes the node", "remove it")
    for container in containers(pod):
        for port in container["ports"].elements():
            if port["hostPort"].value:
                yield at(
                    resource, port["hostPort"], f"{key_of(port['hostPort'])} {state(port['hostPort'].raw)}", "remove it"
                )


def _homes(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    namespaces = {resource.object_name for resource in of_kind(resources, "Namespace")}
    for workload in workloads(resources):
        if workload.namespace not in namespaces:
            yield Finding(
                resource=workload,
                where="metadata.namespace",
                problem=f"namespace {workload.namespace or 'default'} is not part of the stack",
                fix="make it with the labels of Pod Security",
            )


def _namespace(resource: Resource, options: Options) -> Iterator[Finding]:
    if not resource.kubernetes:
        return
    labels = resource.node["metadata"]["labels"]
    for label in _LEVEL_LABELS:
        node = labels[label]
        if node.value != "restricted":
            yield at(resource, node, f"label {label} {state(node.raw)}", 'set it to "restricted"')
        version = labels[f"{label}-version"]
        if version.exists and version.value != "latest":
            yield at(
                resource, version, f"label {label}-version {state(version.raw)}, less than is known today", "remove it"
            )


RULES = (
    Rule(
        id="pod-user",
        promise="Every process runs as a user of its own, never as root.",
        why="A process that breaks out of its container as root owns the node and everything on it.",
        sources=("M4", "K5"),
        options={
            "lowest_id": Option(
                default=1000, schema={"type": "integer"}, meaning="lowest user and group id of a process"
            )
        },
        kinds=_KINDS,
        resource=_user,
    ),
    Rule(
        id="pod-seccomp",
        promise="Every pod has the runtime's system call filter and no unmasked kernel files.",
        why="Without the filter every system call is open to a process that was taken over.",
        sources=("M4",),
        kinds=_KINDS,
        resource=_seccomp,
    ),
    Rule(
        id="pod-privileges",
        promise="No container has or can gain a privilege.",
        why="A privilege turns a taken-over process into a taken-over node.",
        sources=("M4",),
        kinds=_KINDS,
        resource=_privileges,
    ),
    Rule(
        id="pod-read-only-root",
        promise="No container writes to its own image.",
        why="What can write to its image can replace the program that runs next.",
        sources=("M4",),
        kinds=_KINDS,
        resource=_root,
    ),
    Rule(
        id="pod-host",
        promise="No pod reaches into its node: its network, processes, files, ports and kernel settings.",
        why="NetworkPolicies and volumes do not hold for what goes past them through the node.",
        sources=("M4",),
        kinds=_KINDS,
        resource=_host,
    ),
    Rule(
        id="namespace-pod-security",
        promise="Every namespace refuses pods that are not restricted.",
        why="The labels are what stops a pod that this program does not know of.",
        sources=("M4",),
        kinds=frozenset({"Namespace"}),
        resource=_namespace,
    ),
    Rule(
        id="namespace-made",
        promise="Every workload lives in a namespace that the stack makes.",
        why="What a foreign namespace allows, nobody reviews here.",
        sources=("M4",),
        stack=_homes,
    ),
)
"""Rules of this concern."""
