"""One set of Kafka nodes as pods: brokers, or dedicated controllers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components import naming
from components.contracts import Credential
from components.k8s import (
    Container,
    DeploymentContext,
    FileSet,
    Mount,
    Probe,
    Resources,
    SecretKey,
    StorageClaim,
    Volume,
    Workload,
    certificate,
    config_files,
    credential,
    headless_service,
    secret_files,
    stateful_set,
)
from components.kafka import config, process
from components.kafka.config import KafkaCluster, Node

_POD_INDEX = "apps.kubernetes.io/pod-index"
_STARTUP_TRIES = 60
_STARTUP_PERIOD_S = 10


@dataclass(frozen=True, kw_only=True)
class NodeSize:
    """Size of every node of a set.

    Attributes:
        resources: Of the container.
        heap: Java heap, for example ``320m``.
        jvm_flags: Garbage collector and compiler flags.
        storage: Size of each volume.
        grace_s: Seconds that a node may take to hand over its partitions and close its files.
    """

    resources: Resources
    heap: str
    jvm_flags: tuple[str, ...]
    storage: str
    grace_s: int


@dataclass(frozen=True, kw_only=True)
class NodeSet:
    """What a set of nodes needs.

    Attributes:
        context: Deployment context.
        workload: ``kafka`` or ``kafka-controller``.
        cluster: The whole cluster.
        nodes: The nodes of this set.
        size: Their size.
        admin: First user of the cluster.
        scrape: May read the set's metrics.
        hosts: Host names outside the cluster.
        addresses: Addresses outside the cluster.
    """

    context: DeploymentContext
    workload: str
    cluster: KafkaCluster
    nodes: Sequence[Node]
    size: NodeSize
    admin: Credential
    scrape: Credential
    hosts: Sequence[str] = ()
    addresses: Sequence[str] = ()


def node_set(parent: pulumi.Resource, args: NodeSet) -> k8s.apps.v1.StatefulSet:
    """Make the pods of a set, with their files, certificate and headless Service."""
    context, name = args.context, args.workload
    keystore = credential(parent, name=f"{name}-keystore", username="keystore")
    keystore_secret = secret_files(
        parent, context, name=f"{name}-keystore", workload=name, files={"password": keystore.password}
    )
    tls = certificate(
        parent,
        context,
        workload=name,
        hosts=args.hosts,
        addresses=args.addresses,
        keystore_password=SecretKey(name=keystore_secret.name, key="password"),
    )
    ports = _ports(args.nodes[0])
    headless_service(parent, context, workload=name, ports=ports)
    volumes = [
        Volume(name="config", files=config_files(parent, context, name=name, workload=name, files=files(args))),
        Volume(name="format", files=_format(parent, args)),
        Volume(name="metrics", files=_metrics(parent, args, keystore)),
    ]
    return stateful_set(
        parent,
        context,
        Workload(
            name=name,
            replicas=len(args.nodes),
            containers=[_server(args, ports)],
            init_containers=[_formatter(args)],
            volumes=volumes,
            tls=tls,
            grace_s=args.size.grace_s,
            certificate_at_start=True,
        ),
        claims=[StorageClaim(name="data", size=args.size.storage)],
        timeout="15m",
    )


def files(args: NodeSet) -> dict[str, str]:
    """The public files: each node's properties, logging, the startup probe."""
    properties = {
        f"server-{index}.properties": config.render(config.server_properties(args.cluster, node))
        for index, node in enumerate(args.nodes)
    }
    return {
        **properties,
        "log4j2.yaml": process.log_configuration(),
        "log4j2-probe.yaml": process.probe_log_configuration(),
        "probe-client.properties": config.render(config.probe_client_properties()),
        "startup-probe.sh": process.startup_probe_script(),
    }


def _format(parent: pulumi.Resource, args: NodeSet) -> FileSet:
    """Arguments of the storage tool; a Secret, since voters are told the administrator's password."""
    votes = args.nodes[0].controller
    text = args.admin.password.apply(
        lambda password: process.format_arguments(args.cluster, votes=votes, password=password if votes else None)
    )
    name = f"{args.workload}-format"
    return secret_files(parent, args.context, name=name, workload=args.workload, files={"format.args": text})


def _metrics(parent: pulumi.Resource, args: NodeSet, keystore: Credential) -> FileSet:
    """Configuration of the metrics agent."""
    text = pulumi.Output.all(args.scrape.password, keystore.password).apply(
        lambda both: process.jmx_exporter(
            user=args.scrape.username, password=str(both[0]), keystore_password=str(both[1])
        )
    )
    name = f"{args.workload}-metrics"
    return secret_files(parent, args.context, name=name, workload=args.workload, files={"jmx-exporter.yaml": text})


def _ports(node: Node) -> dict[str, int]:
    """Named ports of a set's pods."""
    ports: dict[str, int] = {}
    if node.broker:
        ports |= {"client": config.CLIENT_PORT, "internal": config.INTERNAL_PORT, "external": config.EXTERNAL_PORT}
    if node.controller:
        ports["controller"] = config.CONTROLLER_PORT
    return {**ports, naming.METRICS_PORT: config.METRICS_PORT}


def _own_file() -> str:
    """The pod's own ``server.properties``; Kubernetes fills in its number."""
    return f"{config.CONFIG_DIRECTORY}/server-$(POD_INDEX).properties"


def _mounts() -> list[Mount]:
    """Volumes of both containers."""
    return [
        Mount(volume="config", path=config.CONFIG_DIRECTORY),
        Mount(volume="data", path="/var/lib/kafka", writable=True),
    ]


def _formatter(args: NodeSet) -> Container:
    """Formats an empty volume."""
    return Container(
        name="format",
        image="kafka",
        command=process.format_command(_own_file()),
        resources=args.size.resources,
        env_labels={"POD_INDEX": _POD_INDEX},
        mounts=[*_mounts(), Mount(volume="format", path=process.FORMAT_DIRECTORY)],
    )


def _server(args: NodeSet, ports: dict[str, int]) -> Container:
    """The node. Brokers count as started once they are in sync; controllers once they listen."""
    broker = args.nodes[0].broker
    port = config.CLIENT_PORT if broker else config.CONTROLLER_PORT
    script = f"{config.CONFIG_DIRECTORY}/startup-probe.sh"
    return Container(
        name="kafka",
        image="kafka",
        command=process.server_command(_own_file(), args.size.heap, args.size.jvm_flags),
        resources=args.size.resources,
        ports=ports,
        env_labels={"POD_INDEX": _POD_INDEX},
        mounts=[*_mounts(), Mount(volume="metrics", path=process.METRICS_DIRECTORY)],
        startup=Probe(
            command=("bash", script) if broker else None,
            tcp=None if broker else port,
            initial_delay_s=5,
            period_s=_STARTUP_PERIOD_S,
            timeout_s=30,
            failures=_STARTUP_TRIES,
        ),
        readiness=Probe(tcp=port, period_s=5),
        liveness=Probe(tcp=port, period_s=20, failures=6),
        pre_stop_sleep_s=3,
    )
