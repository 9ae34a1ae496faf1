"""How a Kafka process is started, formatted, logged, measured and probed: commands and files as data."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import yaml

from components import java, naming
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
    pods,
    secret_files,
    stateful_set,
)
from components.kafka import config
from components.kafka.config import (
    ADMIN,
    CONFIG_DIRECTORY,
    INTERNAL_PORT,
    METRICS_PORT,
    TLS_DIRECTORY,
    KafkaCluster,
    Node,
)

CONTAINER = "kafka"
"""Container of a node's server."""
FORMAT_DIRECTORY = "/etc/kafka-format"
METRICS_DIRECTORY = "/etc/kafka-metrics"
KEYSTORE = f"{TLS_DIRECTORY}/keystore.p12"
_QUICK_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

REQUESTS = ("Produce", "FetchConsumer", "FetchFollower", "OffsetCommit")
QUOTAS = ("Produce", "Fetch", "Request")
"""What Kafka bounds for each user."""
METRIC_OBJECTS: tuple[str, ...] = (
    "kafka.server:type=ReplicaManager,*",
    "kafka.server:type=BrokerTopicMetrics,*",
    "kafka.server:type=KafkaServer,name=BrokerState",
    "kafka.server:type=ReplicaFetcherManager,*",
    "kafka.server:type=KafkaRequestHandlerPool,*",
    "kafka.server:type=raft-metrics",
    *(f"kafka.server:type={quota},user=*" for quota in QUOTAS),
    "kafka.server:type=socket-server-metrics,*",
    "kafka.controller:type=KafkaController,*",
    *(f"kafka.network:type=RequestMetrics,name=TotalTimeMs,request={request}" for request in REQUESTS),
    "kafka.network:type=SocketServer,*",
    "kafka.log:type=LogManager,*",
    "kafka.log:type=Log,name=Size,*",
)
"""JMX objects that become metrics."""


def server_command(file: str, heap: str, jvm_flags: tuple[str, ...]) -> list[str]:
    """Start one node with its metrics agent.

    Args:
        file: Its ``server.properties``.
        heap: Java heap, for example ``320m``.
        jvm_flags: Garbage collector and compiler flags.
    """
    return java.command(
        heap=heap,
        flags=jvm_flags,
        log_file=f"{CONFIG_DIRECTORY}/log4j2.yaml",
        properties=["-Dkafka.logs.dir=/tmp"],
        metrics=f"{METRICS_PORT}:{METRICS_DIRECTORY}/jmx-exporter.yaml",
        main=["kafka.Kafka", file],
    )


def format_command(file: str, arguments: str = "format.args") -> list[str]:
    """Format the data folder unless it is formatted.

    The arguments come from a file, since they hold the administrator's password; what the tool prints is not shown,
    since it prints the salted password.

    Args:
        file: Its ``server.properties``.
        arguments: Name of the file with the tool's arguments.
    """
    return ["bash", "-c", f"exec java @{java.ARGUMENTS} @{FORMAT_DIRECTORY}/{arguments} --config {file} >/dev/null"]


def format_arguments(cluster: KafkaCluster, *, votes: bool, password: str | None) -> str:
    """Java argument file of the storage tool.

    Args:
        cluster: The cluster.
        votes: Whether the nodes are voters; only those know the quorum and the first user from the start.
        password: The administrator's password (voters only).

    Raises:
        ValueError: A voter has no password, or the password has characters that the formats cannot carry.
    """
    words = [*_QUICK_JVM, f"-Dlog4j2.configurationFile={CONFIG_DIRECTORY}/log4j2.yaml"]
    words += ["kafka.tools.StorageTool", "format", "--ignore-formatted", "--cluster-id", cluster.cluster_id]
    if votes:
        if password is None or not password.isalnum():
            raise ValueError("the administrator's password must be letters and digits")
        words += ["--initial-controllers", cluster.initial_controllers]
        words += ["--add-scram", f"SCRAM-SHA-512=[name={ADMIN},password={password}]"]
    return "".join(f'"{word}"\n' for word in words)


def log_configuration() -> str:
    """Log4j2 to standard output, one line per event; what brokers refuse is in it, for the audit log."""
    return java.log_configuration({"kafka.authorizer.logger": "info"})


def _jmx_rules() -> list[dict[str, Any]]:
    """Names and labels of metrics; the first pattern that fits an attribute wins."""
    return [
        {
            "pattern": r"kafka.(\w+)<type=(.+), name=(.+)PerSec, topic=(.+)><>Count",
            "name": "kafka_$1_$2_$3_total",
            "type": "COUNTER",
            "labels": {"topic": "$4"},
        },
        {
            "pattern": r"kafka.(\w+)<type=(.+), name=(.+)PerSec><>Count",
            "name": "kafka_$1_$2_$3_total",
            "type": "COUNTER",
        },
        {
            "pattern": r"kafka.log<type=Log, name=Size, topic=(.+), partition=(.+)><>Value",
            "name": "kafka_log_size_bytes",
            "type": "GAUGE",
            "labels": {"topic": "$1", "partition": "$2"},
        },
        {
            "pattern": r"kafka.network<type=RequestMetrics, name=TotalTimeMs, request=(.+)><>(99thPercentile|Mean)",
            "name": "kafka_network_request_time_milliseconds",
            "type": "GAUGE",
            "labels": {"request": "$1", "statistic": "$2"},
        },
        {
            "pattern": r"kafka.network<type=RequestMetrics, name=TotalTimeMs, request=(.+)><>Count",
            "name": "kafka_network_requests_total",
            "type": "COUNTER",
            "labels": {"request": "$1"},
        },
        {
            "pattern": r"kafka.server<type=socket-server-metrics, listener=(\w+), networkProcessor=(\d+)>"
            r"<>(successful|failed)-authentication-total:",
            "name": "kafka_server_authentications_total",
            "type": "COUNTER",
            "labels": {"listener": "$1", "processor": "$2", "result": "$3"},
        },
        {
            "pattern": rf"kafka.server<type=({'|'.join(QUOTAS)}), user=([^,>]+)><>throttle-time:",
            "name": "kafka_server_quota_throttle_milliseconds",
            "type": "GAUGE",
            "labels": {"quota": "$1", "user": "$2"},
        },
        {
            "pattern": r"kafka.server<type=(Produce|Fetch), user=([^,>]+)><>byte-rate:",
            "name": "kafka_server_quota_bytes_per_second",
            "type": "GAUGE",
            "labels": {"quota": "$1", "user": "$2"},
        },
        {
            "pattern": r"kafka.server<type=Request, user=([^,>]+)><>request-time:",
            "name": "kafka_server_quota_request_percent",
            "type": "GAUGE",
            "labels": {"user": "$1"},
        },
        {
            "pattern": r"kafka.server<type=raft-metrics><>([a-z-]+):",
            "name": "kafka_server_raft_$1",
            "type": "GAUGE",
        },
        {
            "pattern": r"kafka.server<type=KafkaRequestHandlerPool, name=(.+)><>OneMinuteRate",
            "name": "kafka_server_requesthandlerpool_$1",
            "type": "GAUGE",
        },
        {
            "pattern": r"kafka.(\w+)<type=(\w+), name=(\w+)><>Value",
            "name": "kafka_$1_$2_$3",
            "type": "GAUGE",
        },
    ]


jmx_exporter = partial(java.jmx_exporter, keystore=KEYSTORE, objects=METRIC_OBJECTS, rules=_jmx_rules())
"""Configuration of the metrics agent, from its user, that one's password and the password of the key store."""


class _Script(string.Template):
    """Bash with ``%{name}`` for values, since ``$`` is its own."""

    delimiter = "%"


def in_sync_script() -> str:
    """Bash: succeeds once the broker in ``$POD_INDEX`` is in sync for every partition that it has a copy of.

    This is what a rolling update waits for before it stops the next broker. A question costs a Java start.
    """
    return _Script(Path(__file__).with_name("in_sync.sh").read_text()).substitute(
        internal_port=INTERNAL_PORT,
        configuration=CONFIG_DIRECTORY,
        arguments=java.ARGUMENTS,
        flags=" ".join((*_QUICK_JVM, "-Xmx96m")),
    )


def probe_log_configuration() -> str:
    """Log4j2 for the probe: errors only, on standard error, so that its output stays readable for the script."""
    configuration: dict[str, Any] = {
        "Configuration": {
            "status": "error",
            "Appenders": {"Console": {"name": "stderr", "target": "SYSTEM_ERR"}},
            "Loggers": {"Root": {"level": "error", "AppenderRef": {"ref": "stderr"}}},
        }
    }
    return yaml.safe_dump(configuration, sort_keys=True)


_POD_INDEX = "apps.kubernetes.io/pod-index"
_ZONE = "topology.kubernetes.io/zone"
"""Label that a pod gets from its node (Kubernetes 1.35, before that on demand); without it the variable is empty."""
_QUESTION_S = 30


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
    """The public files: each node's properties, logging, the readiness probe."""
    properties = {
        f"server-{index}.properties": config.render(config.server_properties(args.cluster, node))
        for index, node in enumerate(args.nodes)
    }
    return {
        **properties,
        "log4j2.yaml": log_configuration(),
        "log4j2-probe.yaml": probe_log_configuration(),
        "probe-client.properties": config.render(config.probe_client_properties()),
        "in-sync.sh": in_sync_script(),
        pods.SCRIPT: pods.script(),
    }


def _format(parent: pulumi.Resource, args: NodeSet) -> FileSet:
    """Arguments of the storage tool; a Secret, since voters are told the administrator's password."""

    def text(votes: bool) -> pulumi.Output[str]:
        return args.admin.password.apply(
            lambda password: format_arguments(args.cluster, votes=votes, password=password if votes else None)
        )

    arguments = {f"format-{index}.args": text(node.controller) for index, node in enumerate(args.nodes)}
    return secret_files(parent, args.context, name=f"{args.workload}-format", workload=args.workload, files=arguments)


def _metrics(parent: pulumi.Resource, args: NodeSet, keystore: Credential) -> FileSet:
    """Configuration of the metrics agent."""
    text = pulumi.Output.all(args.scrape.password, keystore.password).apply(
        lambda both: jmx_exporter(user=args.scrape.username, password=str(both[0]), keystore_password=str(both[1]))
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
        command=format_command(_own_file(), "format-$(POD_INDEX).args"),
        resources=args.size.resources,
        env_labels={"POD_INDEX": _POD_INDEX},
        mounts=[*_mounts(), Mount(volume="format", path=FORMAT_DIRECTORY)],
    )


def _server(args: NodeSet, ports: dict[str, int]) -> Container:
    """The node. Brokers are ready once they are in sync; controllers once they listen."""
    broker = args.nodes[0].broker
    port = config.CLIENT_PORT if broker else config.CONTROLLER_PORT
    in_sync = ("bash", f"{config.CONFIG_DIRECTORY}/in-sync.sh")
    return Container(
        name=CONTAINER,
        image="kafka",
        command=server_command(_own_file(), args.size.heap, args.size.jvm_flags),
        resources=args.size.resources,
        ports=ports,
        env_labels={"POD_INDEX": _POD_INDEX, **({config.ZONE: _ZONE} if broker else {})},
        mounts=[*_mounts(), Mount(volume="metrics", path=METRICS_DIRECTORY)],
        startup=pods.startup_probe(port, args.size.storage),
        readiness=pods.readiness_probe(port, CONFIG_DIRECTORY, in_sync, _QUESTION_S)
        if broker
        else Probe(tcp=port, period_s=5),
        liveness=Probe(tcp=port, period_s=20, failures=6),
        pre_stop_sleep_s=3,
    )
