"""Files, containers, probes and volumes as data, and the hardened pod spec that they become; among them the probes of
servers that keep copies of data and must get them back after a start (requirements K1, T2; ADR 53).

ConfigMaps and Secrets that hold files have a checksum, so that a changed file rolls its pods.

A server that reads its volume is starting, and has the time that its volume takes. One that is up and gets copies from
the others is alive and not ready, for as long as that takes: a rolling update waits for it, nothing restarts it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import pulumi
import pulumi_kubernetes as k8s

from components import naming
from components.contracts import TlsIdentity
from components.k8s.deployment_context import DeploymentContext, Placement
from components.naming import size_of


@dataclass(frozen=True, kw_only=True)
class FileSet:
    """Files in one ConfigMap or Secret.

    Attributes:
        kind: Which of the two.
        name: Name of the object, known once it exists.
        checksum: SHA-256 over names and contents (not a secret: the contents have 32 random characters or are public).
    """

    kind: Literal["ConfigMap", "Secret"]
    name: pulumi.Output[str]
    checksum: pulumi.Output[str]


def checksum(files: Mapping[str, str]) -> str:
    """SHA-256 over file names and contents."""
    return hashlib.sha256(json.dumps(dict(files), sort_keys=True).encode()).hexdigest()


def metadata(context: DeploymentContext, name: str, workload: str) -> k8s.meta.v1.ObjectMetaArgs:
    """Metadata of an object: explicit name, the platform's namespace, the workload's labels."""
    return k8s.meta.v1.ObjectMetaArgs(name=name, namespace=context.namespace_ref, labels=naming.labels(workload))


def config_files(
    parent: pulumi.Resource,
    context: DeploymentContext,
    *,
    name: str,
    workload: str,
    files: Mapping[str, pulumi.Input[str]],
) -> FileSet:
    """Put public files into a ConfigMap."""
    config_map = k8s.core.v1.ConfigMap(
        name,
        metadata=metadata(context, name, workload),
        data=files,
        opts=pulumi.ResourceOptions(parent=parent),
    )
    contents: pulumi.Output[dict[str, str]] = pulumi.Output.all(**files)
    return FileSet(kind="ConfigMap", name=_name(config_map, name), checksum=contents.apply(checksum))


def secret_files(
    parent: pulumi.Resource,
    context: DeploymentContext,
    *,
    name: str,
    workload: str,
    files: Mapping[str, pulumi.Input[str]],
) -> FileSet:
    """Put files that hold a secret into a Secret."""
    contents: pulumi.Output[dict[str, str]] = pulumi.Output.secret(pulumi.Output.all(**files))
    secret = k8s.core.v1.Secret(
        name,
        metadata=metadata(context, name, workload),
        type="Opaque",
        string_data=contents,
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return FileSet(
        kind="Secret",
        name=_name(secret, name),
        checksum=pulumi.Output.unsecret(contents.apply(checksum)),
    )


def _name(resource: pulumi.Resource, name: str) -> pulumi.Output[str]:
    """The plain name, known already in a preview, which a pod gets only after the object exists."""
    return resource.urn.apply(lambda _: name)


UID = 65532
"""User, group and file system group of every container."""
TLS_MOUNT = "/etc/tls"
_TLS_VOLUME = "tls"
_TMP_VOLUME = "tmp"
_TOKEN_S = 3600
"""Life of a token; the kubelet renews it in time."""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a container asks for and may use; without ``cpu_limit`` it may use idle CPU."""

    cpu: str
    memory: str
    memory_limit: str
    cpu_limit: str | None = None


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One probe: exactly one of ``command``, ``tcp`` (port) and ``http`` (path on ``port``)."""

    command: tuple[str, ...] | None = None
    tcp: int | None = None
    http: str | None = None
    port: int | None = None
    https: bool = False
    initial_delay_s: int = 0
    period_s: int = 10
    timeout_s: int = 5
    failures: int = 3


@dataclass(frozen=True, kw_only=True)
class Mount:
    """Where a container sees a volume."""

    volume: str
    path: str
    sub_path: str | None = None
    writable: bool = False


@dataclass(frozen=True, kw_only=True)
class Volume:
    """A volume that is not a claim: files of a ConfigMap or Secret, or scratch space that dies with the pod.

    Attributes:
        name: Name that mounts refer to.
        files: The files, or None for scratch space.
        size: Limit of the scratch space.
        reloaded: Whether the program itself looks for changes of the files; else a change rolls the pods.
        api_token: Whether it holds, instead, ``token`` of the pod's ServiceAccount, which the kubelet renews, and the
            API server's authority ``ca.crt``.
    """

    name: str
    files: FileSet | None = None
    size: str = "64Mi"
    reloaded: bool = False
    api_token: bool = False


@dataclass(frozen=True, kw_only=True)
class Container:
    """One container.

    Attributes:
        name: Container name.
        image: Short image name of ``components.versions``.
        command: Program with arguments; never the image's own entrypoint.
        resources: Requests and limits.
        ports: Port name -> number.
        env: Plain variables (no secrets).
        env_labels: Variable -> pod label that it is read from.
        env_fields: Variable -> pod field, for example ``status.podIP``.
        mounts: Volumes and claims.
        startup, liveness, readiness: Probes (init containers have none).
        pre_stop: Command before SIGTERM.
        pre_stop_sleep_s: Or only a pause before SIGTERM, for load balancers to notice (images without a shell).
        pre_stop_port: Or a question over HTTPS at this port; SIGTERM follows its answer.
        working_dir: Working directory.
    """

    name: str
    image: str
    command: Sequence[str]
    resources: Resources
    ports: Mapping[str, int] = field(default_factory=dict)
    env: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    env_labels: Mapping[str, str] = field(default_factory=dict)
    env_fields: Mapping[str, str] = field(default_factory=dict)
    mounts: Sequence[Mount] = ()
    startup: Probe | None = None
    liveness: Probe | None = None
    readiness: Probe | None = None
    pre_stop: tuple[str, ...] | None = None
    pre_stop_sleep_s: int | None = None
    pre_stop_port: int | None = None
    working_dir: str | None = None


def pod_spec(
    *,
    workload: str,
    image: Callable[[str], str],
    containers: Sequence[Container],
    init_containers: Sequence[Container],
    volumes: Sequence[Volume],
    tls: TlsIdentity | None,
    grace_s: int,
    host_aliases: Mapping[str, str],
    placement: Placement,
    pull_secrets: Sequence[str],
) -> k8s.core.v1.PodSpecArgs:
    """The pod: Pod Security "restricted", no API token, spread over hosts and zones of the nodes that it may run on.

    Raises:
        ValueError: A container lacks its liveness or readiness probe.
    """
    for container in containers:
        if container.liveness is None or container.readiness is None:
            raise ValueError(f"{workload}/{container.name}: a container needs a liveness and a readiness probe")
    all_volumes = [_volume(volume) for volume in (*volumes, Volume(name=_TMP_VOLUME))]
    if tls is not None:
        all_volumes.append(
            k8s.core.v1.VolumeArgs(
                name=_TLS_VOLUME,
                secret=k8s.core.v1.SecretVolumeSourceArgs(secret_name=tls.secret_name, default_mode=0o440),
            )
        )
    common = [Mount(volume=_TMP_VOLUME, path="/tmp", writable=True)]
    if tls is not None:
        common.append(Mount(volume=_TLS_VOLUME, path=TLS_MOUNT))
    return k8s.core.v1.PodSpecArgs(
        service_account_name=workload,
        automount_service_account_token=False,
        image_pull_secrets=[k8s.core.v1.LocalObjectReferenceArgs(name=name) for name in pull_secrets] or None,
        node_selector=placement.node_selector or None,
        tolerations=[
            k8s.core.v1.TolerationArgs(
                key=toleration.key,
                operator=toleration.operator,
                value=toleration.value,
                effect=toleration.effect,
                toleration_seconds=toleration.seconds,
            )
            for toleration in placement.tolerations
        ]
        or None,
        priority_class_name=placement.priority_class,
        enable_service_links=False,
        termination_grace_period_seconds=grace_s,
        security_context=k8s.core.v1.PodSecurityContextArgs(
            run_as_non_root=True,
            run_as_user=UID,
            run_as_group=UID,
            fs_group=UID,
            fs_group_change_policy="OnRootMismatch",
            seccomp_profile=k8s.core.v1.SeccompProfileArgs(type="RuntimeDefault"),
        ),
        topology_spread_constraints=[
            k8s.core.v1.TopologySpreadConstraintArgs(
                max_skew=1,
                topology_key=key,
                when_unsatisfiable="ScheduleAnyway",
                label_selector=k8s.meta.v1.LabelSelectorArgs(match_labels=naming.selector(workload)),
            )
            for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
        ],
        host_aliases=[k8s.core.v1.HostAliasArgs(ip=address, hostnames=[host]) for host, address in host_aliases.items()]
        or None,
        init_containers=[_container(item, image, common) for item in init_containers] or None,
        containers=[_container(item, image, common) for item in containers],
        volumes=all_volumes,
    )


def _container(item: Container, image: Callable[[str], str], common: Sequence[Mount]) -> k8s.core.v1.ContainerArgs:
    """One hardened container."""
    env = [k8s.core.v1.EnvVarArgs(name=name, value=value) for name, value in item.env.items()]
    fields = {name: f"metadata.labels['{label}']" for name, label in item.env_labels.items()} | dict(item.env_fields)
    env += [
        k8s.core.v1.EnvVarArgs(
            name=name,
            value_from=k8s.core.v1.EnvVarSourceArgs(
                field_ref=k8s.core.v1.ObjectFieldSelectorArgs(api_version="v1", field_path=path)
            ),
        )
        for name, path in fields.items()
    ]
    limits = {"memory": item.resources.memory_limit}
    if item.resources.cpu_limit:
        limits["cpu"] = item.resources.cpu_limit
    return k8s.core.v1.ContainerArgs(
        name=item.name,
        image=image(item.image),
        image_pull_policy="IfNotPresent",
        command=list(item.command),
        working_dir=item.working_dir,
        env=env or None,
        ports=[
            k8s.core.v1.ContainerPortArgs(name=name, container_port=port, protocol="TCP")
            for name, port in item.ports.items()
        ]
        or None,
        resources=k8s.core.v1.ResourceRequirementsArgs(
            requests={"cpu": item.resources.cpu, "memory": item.resources.memory}, limits=limits
        ),
        security_context=k8s.core.v1.SecurityContextArgs(
            run_as_non_root=True,
            read_only_root_filesystem=True,
            allow_privilege_escalation=False,
            capabilities=k8s.core.v1.CapabilitiesArgs(drop=["ALL"]),
        ),
        volume_mounts=[
            k8s.core.v1.VolumeMountArgs(
                name=mount.volume, mount_path=mount.path, sub_path=mount.sub_path, read_only=not mount.writable
            )
            for mount in (*item.mounts, *common)
        ],
        startup_probe=_probe(item.startup),
        liveness_probe=_probe(item.liveness),
        readiness_probe=_probe(item.readiness),
        lifecycle=_lifecycle(item),
    )


def _lifecycle(item: Container) -> k8s.core.v1.LifecycleArgs | None:
    """What runs before SIGTERM."""
    if item.pre_stop is not None:
        return k8s.core.v1.LifecycleArgs(
            pre_stop=k8s.core.v1.LifecycleHandlerArgs(exec_=k8s.core.v1.ExecActionArgs(command=list(item.pre_stop)))
        )
    if item.pre_stop_sleep_s is not None:
        return k8s.core.v1.LifecycleArgs(
            pre_stop=k8s.core.v1.LifecycleHandlerArgs(sleep=k8s.core.v1.SleepActionArgs(seconds=item.pre_stop_sleep_s))
        )
    if item.pre_stop_port is not None:
        question = k8s.core.v1.HTTPGetActionArgs(path="/", port=item.pre_stop_port, scheme="HTTPS")
        return k8s.core.v1.LifecycleArgs(pre_stop=k8s.core.v1.LifecycleHandlerArgs(http_get=question))
    return None


def _probe(probe: Probe | None) -> k8s.core.v1.ProbeArgs | None:
    """A probe of the one kind that is set."""
    if probe is None:
        return None
    if sum(kind is not None for kind in (probe.command, probe.tcp, probe.http)) != 1:
        raise ValueError("a probe needs exactly one of command, tcp and http")
    http = None
    if probe.http is not None:
        if probe.port is None:
            raise ValueError(f"probe of {probe.http}: an HTTP probe needs a port")
        http = k8s.core.v1.HTTPGetActionArgs(
            path=probe.http, port=probe.port, scheme="HTTPS" if probe.https else "HTTP"
        )
    return k8s.core.v1.ProbeArgs(
        exec_=k8s.core.v1.ExecActionArgs(command=list(probe.command)) if probe.command else None,
        tcp_socket=k8s.core.v1.TCPSocketActionArgs(port=probe.tcp) if probe.tcp else None,
        http_get=http,
        initial_delay_seconds=probe.initial_delay_s or None,
        period_seconds=probe.period_s,
        timeout_seconds=probe.timeout_s,
        failure_threshold=probe.failures,
    )


def _api_token() -> k8s.core.v1.ProjectedVolumeSourceArgs:
    authority = k8s.core.v1.ConfigMapProjectionArgs(
        # Kubernetes puts it into every namespace.
        name="kube-root-ca.crt",
        items=[k8s.core.v1.KeyToPathArgs(key="ca.crt", path="ca.crt")],
        optional=True,
    )
    token = k8s.core.v1.ServiceAccountTokenProjectionArgs(path="token", expiration_seconds=_TOKEN_S)
    return k8s.core.v1.ProjectedVolumeSourceArgs(
        default_mode=0o440,
        sources=[
            k8s.core.v1.VolumeProjectionArgs(service_account_token=token),
            k8s.core.v1.VolumeProjectionArgs(config_map=authority),
        ],
    )


def _volume(volume: Volume) -> k8s.core.v1.VolumeArgs:
    """A volume of files, a token, or scratch space."""
    if volume.api_token:
        return k8s.core.v1.VolumeArgs(name=volume.name, projected=_api_token())
    if volume.files is None:
        return k8s.core.v1.VolumeArgs(
            name=volume.name, empty_dir=k8s.core.v1.EmptyDirVolumeSourceArgs(size_limit=volume.size)
        )
    if volume.files.kind == "Secret":
        return k8s.core.v1.VolumeArgs(
            name=volume.name,
            secret=k8s.core.v1.SecretVolumeSourceArgs(secret_name=volume.files.name, default_mode=0o440),
        )
    return k8s.core.v1.VolumeArgs(
        name=volume.name,
        config_map=k8s.core.v1.ConfigMapVolumeSourceArgs(name=volume.files.name, default_mode=0o444),
    )


SCRIPT: Final = "catching-up.sh"
"""Name of the readiness probe's program among the files of a server."""
RECOVERY_BYTES_PER_S: Final = 100 * 2**20
"""What a server reads of its volume while it recovers, at least: less than the slowest volumes of clouds give."""
LEAST_S: Final = 600
MOST_S: Final = LEAST_S * 2**7
"""A server that has not come up by then hangs: it reads only what was not closed in good order."""
_PERIOD_S: Final = 2
_READY_PERIOD_S: Final = 10
STATE: Final = "/tmp/caught-up"
"""Keeps when the server was started that has had its copies back."""


def script() -> str:
    """Bash: runs the costly question only until it has been answered well once since the server's start."""
    return Path(__file__).with_name("catching_up.sh").read_text()


def startup_s(volume: str) -> int:
    """Seconds that a server may take until its port is open; in doublings, so that a volume that grows rolls no pods,
    or seldom.

    Args:
        volume: Size of its volume, for example ``2Ti``.
    """
    limit = LEAST_S
    while limit < min(MOST_S, size_of(volume) / RECOVERY_BYTES_PER_S):
        limit *= 2
    return limit


def startup_probe(port: int, volume: str) -> Probe:
    """Started once its port is open; the limit follows from the volume."""
    return Probe(tcp=port, initial_delay_s=5, period_s=_PERIOD_S, failures=startup_s(volume) // _PERIOD_S)


def readiness_probe(port: int, directory: str, question: tuple[str, ...], timeout_s: int) -> Probe:
    """Ready once it has its copies back; from then on while its port is open.

    Args:
        port: Of the server.
        directory: Folder of its files, with `SCRIPT`.
        question: Command that succeeds once the copies are back. ``RUNNING_S`` tells it for how long the server runs.
        timeout_s: Limit of it.
    """
    command = ("bash", f"{directory}/{SCRIPT}", str(port), STATE, *question)
    return Probe(command=command, period_s=_READY_PERIOD_S, timeout_s=timeout_s)
