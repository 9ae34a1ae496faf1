"""The Kafka cluster: nodes, addresses, topics, users, and the lag exporter (requirements K1-K6, O5)."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pulumi
import pulumi_kubernetes as k8s

from components import naming
from components.contracts import Credential, KafkaEndpoint, ScrapeTarget
from components.k8s import (
    Allow,
    DeploymentContext,
    LoadBalancerOptions,
    Resources,
    cluster_service,
    credential,
    load_balancer,
    network,
    network_policy,
    with_access,
    workload_pods,
)
from components.k8s.programs import (
    CA_FILE,
    Program,
    PythonService,
    PythonServiceArgs,
    auth_folder,
    once,
    served,
)
from components.kafka import config
from components.kafka.access import Access, Quota, Topic, User, make_access, provider
from components.kafka.config import BROKERS, CLIENT_PORT, CONTROLLER_PORT, CONTROLLERS, EXTERNAL_PORT, INTERNAL_PORT
from components.kafka.nodes import NodeSet, NodeSize, node_set
from components.kafka.wait_for_brokers import Brokers
from services.kafka_lag import KafkaLagSettings, Selection

LAG_TOKEN = "obs:kafka:KafkaLag"  # noqa: S105  (a type token)
WORKLOAD = "kafka-lag"
PORT = 8080
_AUTH = auth_folder(WORKLOAD)


@dataclass(frozen=True, kw_only=True)
class KafkaLagArgs:
    """What the exporter needs.

    Attributes:
        context: Deployment context.
        scrape: Its metrics endpoint.
        kafka: The cluster that it watches; ``kafka-lag`` is one of its users.
        groups: Consumer groups to report.
        topics: Topics to report.
        interval_s: Seconds between polls.
        resources: Of the pod.
    """

    context: DeploymentContext
    scrape: ScrapeTarget
    kafka: KafkaEndpoint
    groups: Sequence[str]
    topics: Sequence[str]
    interval_s: int
    resources: Resources


class KafkaLag(pulumi.ComponentResource):
    """One exporter pod.

    Attributes:
        scrape: Its metrics.
    """

    scrape: ScrapeTarget

    def __init__(self, name: str, args: KafkaLagArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(LAG_TOKEN, name, None, opts)
        context, user = args.context, args.kafka.users[WORKLOAD]
        self.scrape = args.scrape
        settings = KafkaLagSettings(
            bootstrap=args.kafka.bootstrap,
            ca_file=CA_FILE,
            username=user.username,
            password_file=Path(f"{_AUTH}/kafka-password"),
            groups=Selection(tuple(args.groups)),
            topics=Selection(tuple(args.topics)),
            interval_s=args.interval_s,
            **served(PORT, self.scrape.credential.username, _AUTH),
        )
        service = PythonService(
            self,
            context,
            PythonServiceArgs(
                program=Program(module="kafka_lag", container="exporter", resources=args.resources),
                scrape=self.scrape,
                settings=settings,
                secrets={"kafka-password": user.password},
                egress=[Allow(peers=[workload_pods("kafka")], ports=[args.kafka.port])],
                access=[args.kafka.access_label],
            ),
        )
        self.register_outputs({"pods": service.pods.id})


TOKEN = "obs:kafka:Kafka"  # noqa: S105  (a type token)


@dataclass(frozen=True, kw_only=True)
class ExternalAddress:
    """How one broker is reached from outside.

    Attributes:
        host: Host name or address that clients are told.
        address: Address to ask the load balancer for, or None to take any.
        load_balancer: What the cloud's load balancer is told.
    """

    host: str
    address: str | None
    load_balancer: LoadBalancerOptions


@dataclass(frozen=True, kw_only=True)
class KafkaArgs:
    """What a Kafka cluster needs.

    Attributes:
        context: Deployment context.
        scrapes: Workload -> metrics endpoint, of brokers and dedicated controllers.
        brokers: One external address per broker; their number is the number of brokers.
        controllers: Dedicated controllers; 0 makes the brokers vote.
        client_cidrs: Networks that may use the external listeners.
        broker_size: Size of a broker.
        controller_size: Size of a dedicated controller.
        replication_factor: Copies of every record.
        min_insync_replicas: Copies that must have a record before it counts as written.
        max_message_bytes: Largest record batch.
        internal_partitions: Partitions of each internal topic.
        network_threads: Threads per listener.
        io_threads: Threads that do requests.
        topics: Topics.
        users: Clients; one with two logins uses the first.
        quotas: Client -> what it may take of each broker.
    """

    context: DeploymentContext
    scrapes: Mapping[str, ScrapeTarget]
    brokers: Sequence[ExternalAddress]
    controllers: int
    client_cidrs: Sequence[str]
    broker_size: NodeSize
    controller_size: NodeSize
    replication_factor: int
    min_insync_replicas: int
    max_message_bytes: int
    internal_partitions: int
    network_threads: int
    io_threads: int
    topics: Sequence[Topic]
    users: Sequence[User]
    quotas: Mapping[str, Quota]


class Kafka(pulumi.ComponentResource):
    """A Kafka cluster in KRaft mode.

    Attributes:
        endpoint: How clients reach it.
        admin: The administrator.
        authority: Certificate of the authority behind every certificate of the platform, known once the brokers run.
    """

    endpoint: KafkaEndpoint
    admin: Credential
    authority: pulumi.Output[str]

    def __init__(self, name: str, args: KafkaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        context, cluster = args.context, kafka_cluster(args)
        self.admin = credential(self, name=f"{BROKERS}-{config.ADMIN}", username=config.ADMIN)
        sets = {BROKERS: cluster.brokers} | ({CONTROLLERS: cluster.controllers} if cluster.controllers else {})
        pods: dict[str, k8s.apps.v1.StatefulSet] = {}
        for workload, nodes in sets.items():
            hosts, addresses = _outside(args.brokers) if workload == BROKERS else ([], [])
            pods[workload] = node_set(
                self,
                NodeSet(
                    context=context,
                    workload=workload,
                    cluster=cluster,
                    nodes=nodes,
                    size=args.broker_size if workload == BROKERS else args.controller_size,
                    admin=self.admin,
                    scrape=args.scrapes[workload].credential,
                    hosts=hosts,
                    addresses=addresses,
                ),
            )
        way_in = [pods[BROKERS], *self._addresses(args), *self._network(args)]
        self.authority = self._authority(context, pods[BROKERS])
        credentials = {
            user.login: credential(self, name=f"{BROKERS}-user-{user.login}", username=user.login)
            for user in args.users
        }
        external = tuple(f"{broker.host}:{EXTERNAL_PORT}" for broker in args.brokers)
        connection = provider(
            self, f"{name}-admin", bootstrap=external, admin=self.admin, authority=self.authority, after=way_in
        )
        access = Access(
            topics=args.topics,
            users=args.users,
            credentials=credentials,
            quotas=args.quotas,
            replication_factor=args.replication_factor,
            min_insync_replicas=args.min_insync_replicas,
            max_message_bytes=args.max_message_bytes,
        )
        ready = make_access(self, connection, Brokers(f"{name}-answer", external, self.admin, self.authority), access)
        usable = {
            login: replace(known, password=once(known.password, ready[login])) for login, known in credentials.items()
        }
        self.endpoint = KafkaEndpoint(
            bootstrap=f"{context.host(BROKERS)}:{CLIENT_PORT}",
            port=CLIENT_PORT,
            external=external,
            access_label=naming.access_label(BROKERS),
            users={user.name: usable[user.login] for user in reversed(args.users)},
        )
        self.register_outputs({"bootstrap": self.endpoint.bootstrap, "external": list(external)})

    def _addresses(self, args: KafkaArgs) -> list[pulumi.Resource]:
        """The Service inside the cluster, and one load-balanced Service per broker; the latter are returned."""
        cluster_service(self, args.context, workload=BROKERS, ports={"client": CLIENT_PORT})
        return [
            load_balancer(
                self,
                args.context,
                workload=BROKERS,
                name=config.external_service(index),
                ports={"external": EXTERNAL_PORT},
                address=broker.address,
                source_ranges=args.client_cidrs,
                extra_selector={"apps.kubernetes.io/pod-index": str(index)},
                options=broker.load_balancer,
                publish_not_ready=True,
            )
            for index, broker in enumerate(args.brokers)
        ]

    def _network(self, args: KafkaArgs) -> list[pulumi.Resource]:
        """Who may talk to whom."""
        nodes = [workload_pods(BROKERS)] + ([workload_pods(CONTROLLERS)] if args.controllers else [])
        scrape = Allow(peers=[with_access(naming.METRICS_ACCESS)], ports=[config.METRICS_PORT])
        quorum = Allow(peers=nodes, ports=[CONTROLLER_PORT])
        internal = Allow(peers=[workload_pods(BROKERS)], ports=[INTERNAL_PORT])
        of_brokers = network_policy(
            self,
            args.context,
            workload=BROKERS,
            ingress=[
                Allow(peers=[with_access(naming.access_label(BROKERS))], ports=[CLIENT_PORT]),
                Allow(peers=[network(cidr) for cidr in args.client_cidrs], ports=[EXTERNAL_PORT]),
                internal,
                *([] if args.controllers else [quorum]),
                scrape,
            ],
            egress=[internal, quorum],
        )
        if not args.controllers:
            return [of_brokers]
        return [
            of_brokers,
            network_policy(self, args.context, workload=CONTROLLERS, ingress=[quorum, scrape], egress=[quorum]),
        ]

    def _authority(self, context: DeploymentContext, brokers: k8s.apps.v1.StatefulSet) -> pulumi.Output[str]:
        """The authority's certificate, from the brokers' Secret, which exists once the brokers run."""
        secret = k8s.core.v1.Secret.get(
            f"{BROKERS}-authority",
            brokers.id.apply(lambda _: f"{context.namespace}/{BROKERS}-tls"),
            opts=pulumi.ResourceOptions(parent=self),
        )
        return pulumi.Output.unsecret(secret.data.apply(lambda data: base64.b64decode(data["ca.crt"]).decode()))


def kafka_cluster(args: KafkaArgs) -> config.KafkaCluster:
    """The cluster as its configuration sees it."""
    hosts = tuple(args.context.pod_host(BROKERS, index) for index in range(len(args.brokers)))
    external = tuple(f"{broker.host}:{EXTERNAL_PORT}" for broker in args.brokers)
    voters = tuple(args.context.pod_host(CONTROLLERS, index) for index in range(args.controllers))
    return config.KafkaCluster(
        platform=args.context.platform,
        brokers=config.broker_nodes(hosts, external, combined=args.controllers == 0),
        controllers=config.controller_nodes(voters),
        replication_factor=args.replication_factor,
        min_insync_replicas=args.min_insync_replicas,
        max_message_bytes=args.max_message_bytes,
        internal_partitions=args.internal_partitions,
        network_threads=args.network_threads,
        io_threads=args.io_threads,
    )


def _outside(brokers: Sequence[ExternalAddress]) -> tuple[list[str], list[str]]:
    """Host names and IP addresses among the brokers' outside addresses."""
    hosts: list[str] = []
    addresses: list[str] = []
    for broker in brokers:
        for text in (broker.host, broker.address):
            if text is None:
                continue
            try:
                ipaddress.ip_address(text)
            except ValueError:
                hosts.append(text)
            else:
                addresses.append(text)
    return list(dict.fromkeys(hosts)), list(dict.fromkeys(addresses))
