"""What pods may do (Pod Security "restricted" and more), which images they run, where, and how urgent they are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from policy.documents import Image
from policy.model import Finding, Level, Node, Option, Options, Resource, Rule
from policy.rules._agreed import ADD, agreed
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


_FIX: Final = "remove it, or say it in the stack file: scheduling"
_AGREED: Final = {"nodeSelector": "node_selectors", "priorityClassName": "priority_classes"}
"""Setting of a pod -> the option that has its values."""


def _placed(resource: Resource, options: Options) -> Iterator[Finding]:
    pod = template(resource)["spec"]
    for key, option in _AGREED.items():
        if pod[key].exists and pod[key].value not in options[option]:
            yield at(resource, pod[key], f"{key} is {shown(pod[key].raw)}, which the stack file does not say", _FIX)
    for node in pod["tolerations"].elements():
        if node.value not in options["tolerations"]:
            problem = f"{key_of(node)} is {shown(node.raw)}, which the stack file does not say"
            yield at(resource, node, problem, _FIX)


def _listed(kind: str, meaning: str) -> Option:
    return Option(default=[], schema={"type": "array", "items": {"type": kind}}, meaning=meaning)


_MOVING = frozenset({"latest", "main", "master", "edge", "nightly", "stable", "dev", "canary", "current"})
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def _images(resource: Resource) -> Iterator[tuple[Node, Node, Image]]:
    """Container, its image's node, and the image."""
    for container in containers(template(resource)["spec"]):
        node = container["image"]
        yield container, node, Image.of(node.text())


def _release(resource: Resource, options: Options) -> Iterator[Finding]:
    for container, node, image in _images(resource):
        if _DIGEST.fullmatch(image.digest):
            continue
        if not image.name:
            yield at(resource, node, f"{name_of(container)} has no image", "name one of components.versions")
        elif image.digest:
            yield at(resource, node, f"the digest of image {node.text()} is no SHA-256", "write the whole digest")
        elif not image.tag:
            yield at(resource, node, f"image {shown(node.raw)} of {name_of(container)} names no release", "add its tag")
        elif image.tag in _MOVING or not any(character.isdigit() for character in image.tag):
            yield at(resource, node, f'tag "{image.tag}" of {name_of(container)} moves', "name one release")


def _registry(resource: Resource, options: Options) -> Iterator[Finding]:
    for container, node, image in _images(resource):
        if image.name and not any(
            image.name.startswith(f"{registry.rstrip('/')}/") for registry in options["registries"]
        ):
            yield at(
                resource,
                node,
                f"image {shown(node.raw)} of {name_of(container)} comes from elsewhere",
                f"take it from {' or '.join(options['registries'])}",
            )


def _digest(resource: Resource, options: Options) -> Iterator[Finding]:
    for _, node, image in _images(resource):
        if not image.digest and any(
            image.name.startswith(f"{registry.rstrip('/')}/") for registry in options["registries"]
        ):
            yield at(
                resource, node, f"image {shown(node.raw)} has no digest", "add it to images.digests in the settings"
            )


def _agreed(resource: Resource, options: Options) -> Iterator[Finding]:
    known = {name: tag for name, _, tag in (image.partition(":") for image in agreed()["images"])}
    for _, node, image in _images(resource):
        name = image.name.rpartition("/")[2]
        if name and name not in known:
            yield at(resource, node, f"image {shown(node.raw)} is none that the platform runs", ADD)
        elif name and not image.digest and image.tag != known[name]:
            problem = f"image {shown(node.raw)} is not the release {known[name]} that settings are written for"
            yield at(resource, node, problem, ADD)


def _pull(resource: Resource, options: Options) -> Iterator[Finding]:
    for container, _, image in _images(resource):
        node = container["imagePullPolicy"]
        if node.value == "Always" and not image.digest:
            yield at(
                resource,
                node,
                f'imagePullPolicy is "Always" for a tag that somebody can move ({name_of(container)})',
                "use IfNotPresent, or name the digest",
            )


def _registries(default: list[str], meaning: str) -> Option:
    return Option(default=default, schema={"type": "array", "items": {"type": "string"}}, meaning=meaning)


RULES: tuple[Rule, ...] = (
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
    Rule(
        id="pod-placement-said",
        promise="Pods are bound to nodes, stand taints and have a priority as the stack file says, and not otherwise.",
        why="Pods that are bound to one node or pushed aside first fail together; those that stand every taint stay "
        "on nodes that are gone.",
        sources=("K1", "O1"),
        options={
            "node_selectors": _listed("object", "sets of labels of nodes that pods may ask for"),
            "priority_classes": _listed("string", "priority classes that pods may have"),
            "tolerations": _listed("object", "taints that pods may stand, as in a pod's specification"),
        },
        kinds=WORKLOADS,
        resource=_placed,
    ),
    Rule(
        id="image-release",
        promise="Every image names one release.",
        why="A tag that moves runs another program after the next restart, untested and on some of the pods only.",
        sources=("M4",),
        kinds=WORKLOADS,
        resource=_release,
    ),
    Rule(
        id="image-registry",
        promise="Every image comes from a registry of ours.",
        why="Somebody else's registry can change what runs here, or be away when a pod must start.",
        sources=("M4",),
        options={
            "registries": _registries(
                ["registry.lab.internal", "registry.example.com/observability"],
                "registries (with path) that may be used",
            )
        },
        kinds=WORKLOADS,
        resource=_registry,
    ),
    Rule(
        id="image-digest",
        promise="Images of the named registries are pinned by digest.",
        why="Whoever may push can put another image under the same tag.",
        sources=("M4",),
        level=Level.ADVISORY,
        options={"registries": _registries([], "registries whose images must have a digest")},
        kinds=WORKLOADS,
        resource=_digest,
    ),
    Rule(
        id="image-agreed",
        promise="Containers run agreed images, and their agreed release unless a digest names another.",
        why="An older release has holes that are known; an image of a like name is anybody's.",
        sources=("M4",),
        kinds=WORKLOADS,
        resource=_agreed,
    ),
    Rule(
        id="image-pull",
        promise="No pod fetches a tag again at each start.",
        why="A restarted pod would run another image than its neighbours, and could not start without the registry.",
        sources=("M4",),
        kinds=WORKLOADS,
        resource=_pull,
    ),
)
"""Rules of this concern."""
