"""Kafka's own configuration, built as data and serialised once (requirements K1, K5).

Four listeners:

* ``CLIENT`` and ``EXTERNAL``: TLS, SCRAM-SHA-512. Inside and outside the cluster.
* ``INTERNAL`` and ``CONTROLLER``: mutual TLS. Between brokers, and to the quorum, which SCRAM cannot authenticate.

So no file here holds a password: the nodes know each other by their certificate's common name.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

CLIENT_PORT = 9092
INTERNAL_PORT = 9091
CONTROLLER_PORT = 9093
EXTERNAL_PORT = 9094
METRICS_PORT = 9404
SNAPSHOT_S = 300
"""Between two snapshots of the cluster's metadata, in seconds."""

BROKERS = "kafka"
"""Workload, Service and certificate name of the brokers; also their principal."""
CONTROLLERS = "kafka-controller"
"""The same for dedicated controllers."""
ADMIN = "admin"

CONFIG_DIRECTORY = "/etc/kafka"
DATA_DIRECTORY = "/var/lib/kafka/data"
TLS_DIRECTORY = "/etc/tls"

ZONE = "ZONE"
"""Variable of a broker's process that says its zone; empty where that is not known."""
_CONTROLLER_ID_BASE = 1000
_VOTERS = 3
_SCRAM = "SCRAM-SHA-512"
_NAMESPACE = uuid.UUID("6e3c8a52-6a6e-5b53-9d0e-1d9b0f5c7a10")

Properties = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Node:
    """One Kafka process.

    Attributes:
        identity: ``node.id``.
        host: DNS name of its pod.
        broker: Whether it keeps records.
        controller: Whether it votes in the quorum.
        external: ``host:port`` that it is reached at from outside (brokers only).
    """

    identity: int
    host: str
    broker: bool
    controller: bool
    external: str | None = None


@dataclass(frozen=True, kw_only=True)
class KafkaCluster:
    """What the nodes' configuration depends on.

    Attributes:
        platform: Name of the platform; cluster and directory ids follow from it.
        brokers: Brokers in order of their pods; the first three vote when ``controllers`` is empty.
        controllers: Dedicated controllers in order of their pods.
        replication_factor: Copies of internal topics, and of topics that do not say.
        min_insync_replicas: Copies that must have a record before it counts as written.
        max_message_bytes: Largest record batch.
        internal_partitions: Partitions of each internal topic.
        network_threads: Threads per listener.
        io_threads: Threads that do requests.
    """

    platform: str
    brokers: tuple[Node, ...]
    controllers: tuple[Node, ...]
    replication_factor: int
    min_insync_replicas: int
    max_message_bytes: int
    internal_partitions: int
    network_threads: int
    io_threads: int

    @property
    def quorum(self) -> tuple[Node, ...]:
        """The nodes that vote."""
        return self.controllers or tuple(node for node in self.brokers if node.controller)

    @property
    def cluster_id(self) -> str:
        """Cluster id, the same at every run."""
        return kafka_uuid(f"{self.platform}/cluster")

    @property
    def initial_controllers(self) -> str:
        """Value of ``--initial-controllers``: every voter with its directory id."""
        return ",".join(
            f"{node.identity}@{node.host}:{CONTROLLER_PORT}:{kafka_uuid(f'{self.platform}/{node.identity}')}"
            for node in self.quorum
        )


def external_service(index: int) -> str:
    """Name of the Service with the load balancer of one broker."""
    return f"{BROKERS}-external-{index}"


def broker_nodes(hosts: tuple[str, ...], external: tuple[str, ...], *, combined: bool) -> tuple[Node, ...]:
    """Brokers with node ids 0, 1, 2 ...

    Args:
        hosts: DNS names of their pods.
        external: ``host:port`` of each from outside.
        combined: Whether the first three vote. Those that come later do not: a quorum is set when it is made.

    Raises:
        ValueError: There is not one external address per broker.
    """
    if len(hosts) != len(external):
        raise ValueError(f"{len(hosts)} brokers need {len(hosts)} external addresses, there are {len(external)}")
    return tuple(
        Node(identity=index, host=host, broker=True, controller=combined and index < _VOTERS, external=outside)
        for index, (host, outside) in enumerate(zip(hosts, external, strict=True))
    )


def controller_nodes(hosts: tuple[str, ...]) -> tuple[Node, ...]:
    """Dedicated controllers with node ids 1000, 1001 ..."""
    return tuple(
        Node(identity=_CONTROLLER_ID_BASE + index, host=host, broker=False, controller=True)
        for index, host in enumerate(hosts)
    )


def kafka_uuid(name: str) -> str:
    """A UUID in Kafka's notation (22 characters) that depends on the name alone and does not look like an option."""
    for attempt in range(64):
        text = base64.urlsafe_b64encode(uuid.uuid5(_NAMESPACE, f"{name}/{attempt}").bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text
    raise AssertionError("unreachable: one in 64 identifiers starts with a dash")


def server_properties(cluster: KafkaCluster, node: Node) -> Properties:
    """The complete ``server.properties`` of one node."""
    return {
        **_identity(cluster, node),
        **_listeners(node),
        **_tls(),
        **_authorisation(),
        **(_broker(cluster) if node.broker else {}),
        **_durability(cluster),
    }


def _identity(cluster: KafkaCluster, node: Node) -> Properties:
    """Who the node is, and where the quorum is."""
    duties = [duty for duty, has in (("broker", node.broker), ("controller", node.controller)) if has]
    return {
        "node.id": str(node.identity),
        "process.roles": ",".join(duties),
        "controller.quorum.bootstrap.servers": ",".join(f"{voter.host}:{CONTROLLER_PORT}" for voter in cluster.quorum),
        "log.dirs": DATA_DIRECTORY,
        # Kafka 4.3 starts without any login where it has to read removed ones from a log without a snapshot before it
        # (ADR 0062); its own interval is an hour.
        "metadata.log.max.snapshot.interval.ms": str(SNAPSHOT_S * 1000),
        "num.network.threads": str(cluster.network_threads),
        "num.io.threads": str(cluster.io_threads),
    }


def _listeners(node: Node) -> Properties:
    """Ports, advertised addresses and what each listener asks of its clients."""
    bound: list[tuple[str, int, str]] = []
    if node.broker:
        if node.external is None:
            raise ValueError(f"broker {node.identity} has no external address")
        outside = node.external
        bound += [
            ("CLIENT", CLIENT_PORT, f"{node.host}:{CLIENT_PORT}"),
            ("INTERNAL", INTERNAL_PORT, f"{node.host}:{INTERNAL_PORT}"),
            ("EXTERNAL", EXTERNAL_PORT, outside),
        ]
    if node.controller:
        bound.append(("CONTROLLER", CONTROLLER_PORT, f"{node.host}:{CONTROLLER_PORT}"))
    properties = {
        "listeners": ",".join(f"{name}://:{port}" for name, port, _ in bound),
        "advertised.listeners": ",".join(f"{name}://{address}" for name, _, address in bound),
        "listener.security.protocol.map": "CLIENT:SASL_SSL,INTERNAL:SSL,EXTERNAL:SASL_SSL,CONTROLLER:SSL",
        "controller.listener.names": "CONTROLLER",
        "listener.name.controller.ssl.client.auth": "required",
    }
    if node.broker:
        properties |= {
            "inter.broker.listener.name": "INTERNAL",
            "listener.name.internal.ssl.client.auth": "required",
        }
        for listener in ("client", "external"):
            properties |= {
                f"listener.name.{listener}.ssl.client.auth": "none",
                f"listener.name.{listener}.sasl.enabled.mechanisms": _SCRAM,
                f"listener.name.{listener}.scram-sha-512.sasl.jaas.config": (
                    "org.apache.kafka.common.security.scram.ScramLoginModule required;"
                ),
            }
    return properties


def _tls() -> Properties:
    """The certificate of the workload, as cert-manager writes it."""
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": f"{TLS_DIRECTORY}/tls-combined.pem",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": f"{TLS_DIRECTORY}/ca.crt",
        "ssl.enabled.protocols": "TLSv1.3,TLSv1.2",
        "ssl.endpoint.identification.algorithm": "https",
        "ssl.principal.mapping.rules": f"RULE:^CN=({BROKERS}|{CONTROLLERS})$/$1/,DEFAULT",
    }


def _authorisation() -> Properties:
    """Nobody may do anything unless an access rule says so; nodes and the administrator may do everything."""
    return {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        "super.users": ";".join(f"User:{user}" for user in (ADMIN, BROKERS, CONTROLLERS)),
    }


def _durability(cluster: KafkaCluster) -> Properties:
    """What keeps a record that was acknowledged."""
    return {
        "auto.create.topics.enable": "false",
        "unclean.leader.election.enable": "false",
        "default.replication.factor": str(cluster.replication_factor),
        "min.insync.replicas": str(cluster.min_insync_replicas),
        "message.max.bytes": str(cluster.max_message_bytes),
    }


def _broker(cluster: KafkaCluster) -> Properties:
    """Zone, internal topics and shutdown."""
    copies, in_sync = str(cluster.replication_factor), str(cluster.min_insync_replicas)
    partitions = str(cluster.internal_partitions)
    return {
        "config.providers": "env",
        "config.providers.env.class": "org.apache.kafka.common.config.provider.EnvVarConfigProvider",
        "config.providers.env.param.allowlist.pattern": ZONE,
        "broker.rack": f"${{env:{ZONE}}}",
        "offsets.topic.replication.factor": copies,
        "offsets.topic.num.partitions": partitions,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": partitions,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": in_sync,
        "share.coordinator.state.topic.num.partitions": partitions,
        "replica.fetch.max.bytes": str(cluster.max_message_bytes),
        "num.recovery.threads.per.data.dir": "2",
        "controlled.shutdown.enable": "true",
        "broker.session.timeout.ms": "9000",
    }


def probe_client_properties() -> Properties:
    """Client configuration of the readiness probe: the node's own certificate on the internal listener."""
    tls = _tls()
    return {
        "security.protocol": "SSL",
        **{key: tls[key] for key in tls if key.startswith(("ssl.keystore", "ssl.truststore", "ssl.endpoint"))},
        "request.timeout.ms": "5000",
        "default.api.timeout.ms": "8000",
    }


def render(properties: Mapping[str, str]) -> str:
    """Serialise as a Java properties file.

    Raises:
        ValueError: A value would not survive: it holds a line break or a backslash.
    """
    for key, value in properties.items():
        if "\n" in value or "\\" in value:
            raise ValueError(f"Kafka property {key} holds a line break or a backslash")
    return "".join(f"{key}={value}\n" for key, value in properties.items())
