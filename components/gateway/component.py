"""The gateway's pods and addresses (requirement O1), who may send to it, and the key with which it hashes ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components import naming
from components.collector.config import METRICS_PORT, KafkaClient, rendered
from components.collector.pods import client_file, collector_container, htpasswd
from components.contracts import Credential, KafkaEndpoint, OtlpEndpoint, ScrapeTarget, TlsIdentity
from components.gateway.config import (
    AGENT,
    CATALOGUE_DIRECTORY,
    CATALOGUE_FILE,
    DRAIN_LIMIT_S,
    DRAIN_PORT,
    GRPC_PORT,
    HTTP_PORT,
    QUEUE_DIRECTORY,
    GatewayConfig,
    gateway_config,
)
from components.k8s import (
    Allow,
    Autoscale,
    DeploymentContext,
    LoadBalancerOptions,
    Mount,
    Resources,
    StorageClaim,
    Volume,
    Workload,
    certificate,
    config_files,
    credential,
    headless_service,
    load_balancer,
    namespaces_with,
    network,
    network_policy,
    secret_files,
    stateful_set,
    with_access,
    workload_pods,
)
from components.naming import size_of
from components.telemetry.gate_catalogue import gate_catalogue
from components.telemetry.layers import LAYER_NAMES, LAYERS, Signal

_FIRST = 1
"""Generation of the passwords that a new stack has."""
_GATEWAY = "gateway"


@dataclass(frozen=True, kw_only=True)
class GatewayLogins:
    """Passwords of the gateway.

    Attributes:
        layers: Layer -> its user.
        former: Layer -> its user with the password of before, which is taken as well; empty where there is none.
        agent: The node agents' user, with the password of the oldest generation: they change in the update that ends
            it, before the gateways do. It may send for every layer, since agents check who sends to them.
        next_agent: The same with the newer password, which is taken as well, or None.
        hash_key: With which ids are hashed, see `components.masking`; secret.
    """

    layers: Mapping[str, Credential]
    former: Mapping[str, Credential]
    agent: Credential
    next_agent: Credential | None
    hash_key: pulumi.Output[str]

    @property
    def users(self) -> tuple[Credential, ...]:
        """Everybody, with the password that is to be used."""
        return (*self.layers.values(), self.agent)

    @property
    def others(self) -> tuple[Credential, ...]:
        """Everybody of whom another password is taken as well, with that."""
        return (*self.former.values(), *((self.next_agent,) if self.next_agent else ()))


@dataclass(frozen=True, kw_only=True)
class GivenLogins:
    """Passwords that another stack made.

    Attributes:
        layers: Generation -> layer -> password.
        hash_key: With which ids are hashed.
    """

    layers: Mapping[int, Mapping[str, pulumi.Output[str]]]
    hash_key: pulumi.Output[str]


def gateway_logins(parent: pulumi.Resource, generations: Sequence[int], given: GivenLogins | None) -> GatewayLogins:
    """Every password; what is not given is made.

    Args:
        parent: Component that owns the passwords.
        generations: Of the passwords that are taken; the first one is given to clients, the last one to agents.
        given: What another stack made, or None: all are made.
    """

    def generated(user: str, generation: int) -> Credential:
        suffix = "" if generation == _FIRST else f"-g{generation}"
        return credential(parent, name=f"{_GATEWAY}-{user}{suffix}", username=user)

    def layers(generation: int) -> dict[str, Credential]:
        if given is None:
            return {layer.name: generated(layer.user, generation) for layer in LAYERS}
        return {layer.name: _given(layer.user, given.layers[generation][layer.name]) for layer in LAYERS}

    newest, *rest = generations
    return GatewayLogins(
        layers=layers(newest),
        former=layers(rest[0]) if rest else {},
        agent=generated(AGENT, generations[-1]),
        next_agent=generated(AGENT, newest) if rest else None,
        hash_key=given.hash_key if given else credential(parent, name=f"{_GATEWAY}-hash-key", username="ids").password,
    )


def speakers() -> dict[str, tuple[str, ...]]:
    """User -> layers that it may speak for: each layer's own user, and the agents' for all."""
    return {**{layer.user: (layer.name,) for layer in LAYERS}, AGENT: LAYER_NAMES}


def _given(user: str, password: pulumi.Output[str]) -> Credential:
    """A user whose password was made elsewhere."""
    hashed = password.apply(lambda known: htpasswd({user: known}).rstrip("\n").partition(":")[2])
    return Credential(username=user, password=password, bcrypt=hashed)


TOKEN = "obs:gateway:Gateway"  # noqa: S105  (a type token)
WORKLOAD = "gateway"
_PORTS = {"otlp-grpc": GRPC_PORT, "otlp-http": HTTP_PORT}


@dataclass(frozen=True, kw_only=True)
class GatewayArgs:
    """What a gateway needs.

    Attributes:
        context: Deployment context.
        scrape: Its metrics endpoint.
        logins: Who may send, and the key of hashed ids.
        kafka: Where telemetry goes.
        after: Resources that have changed before the gateways do: who uses a password that is to end.
        replicas: Pods (at creation, where ``autoscale`` is set).
        resources: Of each pod.
        storage: Size of each pod's queue volume, e.g. ``4Gi``; `queue_bytes` says how much of it the queues take.
        max_message_bytes: Largest record that the topics take.
        peak: Items a second of all layers together, for a while, by signal.
        partitions: Signal -> partitions of its topic.
        fsync: Whether what goes to the queue on disk is forced there before it is acknowledged.
        address: Load balancer address to ask for, or None.
        client_cidrs: Networks that may send.
        load_balancer: What the cloud's load balancer is told.
        hosts: Host names of the load balancer, for the certificate.
        open_layers: Layers of which also names pass that the catalogue does not have, as free text.
        oldest_point: How old a point of a metric may be; Prometheus takes older ones, for the time of its own outages.
        autoscale: Bounds of the autoscaler, or None.
    """

    context: DeploymentContext
    scrape: ScrapeTarget
    logins: GatewayLogins
    kafka: KafkaEndpoint
    after: Sequence[pulumi.Resource]
    replicas: int
    resources: Resources
    storage: str
    max_message_bytes: int
    peak: Mapping[Signal, float]
    partitions: Mapping[Signal, int]
    fsync: bool
    address: str | None
    client_cidrs: Sequence[str]
    load_balancer: LoadBalancerOptions
    hosts: Sequence[str] = ()
    oldest_point: str
    open_layers: Sequence[str] = ()
    autoscale: Autoscale | None = None


class Gateway(pulumi.ComponentResource):
    """Collectors that authenticate, check, mask and hold all telemetry on its way to Kafka.

    Attributes:
        endpoint: Where and with which passwords the layers send.
        scrape: The gateway's own metrics.
    """

    endpoint: OtlpEndpoint
    scrape: ScrapeTarget

    def __init__(self, name: str, args: GatewayArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        context = args.context
        self.scrape = args.scrape
        tls = certificate(self, context, workload=WORKLOAD, hosts=args.hosts, addresses=[args.address])
        headless_service(self, context, workload=WORKLOAD, ports={naming.METRICS_PORT: METRICS_PORT})
        self._network(args)
        pods = stateful_set(
            self,
            context,
            self._workload(args, tls),
            claims=[StorageClaim(name="queue", size=args.storage)],
            after=args.after,
        )
        service = load_balancer(
            self,
            context,
            workload=WORKLOAD,
            name=WORKLOAD,
            ports=_PORTS,
            address=args.address,
            source_ranges=args.client_cidrs,
            options=args.load_balancer,
        )
        host = args.hosts[0] if args.hosts else args.address or context.host(WORKLOAD)
        self.endpoint = OtlpEndpoint(
            grpc=f"{host}:{GRPC_PORT}", http=f"https://{host}:{HTTP_PORT}", credentials=args.logins.layers
        )
        self.register_outputs({"pods": pods.id, "service": service.id})

    def _network(self, args: GatewayArgs) -> None:
        network_policy(
            self,
            args.context,
            workload=WORKLOAD,
            ingress=[
                Allow(
                    peers=[namespaces_with(naming.OTLP_ACCESS), *(network(cidr) for cidr in args.client_cidrs)],
                    ports=list(_PORTS.values()),
                ),
                Allow(peers=[with_access(naming.access_label(WORKLOAD))], ports=list(_PORTS.values())),
                Allow(peers=[with_access(naming.METRICS_ACCESS)], ports=[METRICS_PORT]),
            ],
            egress=[Allow(peers=[workload_pods("kafka")], ports=[args.kafka.port])],
        )

    def _workload(self, args: GatewayArgs, tls: TlsIdentity) -> Workload:
        context = args.context
        settings = GatewayConfig(
            kafka=KafkaClient(brokers=(args.kafka.bootstrap,), user=args.kafka.users[WORKLOAD].username, name=WORKLOAD),
            volume_bytes=size_of(args.storage),
            memory_bytes=size_of(args.resources.memory_limit),
            max_message_bytes=args.max_message_bytes,
            peak=args.peak,
            gateways=args.autoscale.minimum if args.autoscale else args.replicas,
            partitions=args.partitions,
            fsync=args.fsync,
        )
        config = gateway_config(settings)
        public = config_files(self, context, name=WORKLOAD, workload=WORKLOAD, files={"config.yaml": rendered(config)})
        catalogue = config_files(
            self,
            context,
            name=f"{WORKLOAD}-catalogue",
            workload=WORKLOAD,
            files={
                CATALOGUE_FILE: rendered(
                    gate_catalogue(speakers(), open_layers=args.open_layers, oldest_point=args.oldest_point)
                )
            },
        )
        secret = secret_files(
            self,
            context,
            name=f"{WORKLOAD}-auth",
            workload=WORKLOAD,
            files={
                "clients.htpasswd": client_file(args.logins.users, args.logins.others),
                "scrape.htpasswd": client_file([self.scrape.credential]),
                "hash-key": args.logins.hash_key,
                "kafka-password": args.kafka.users[WORKLOAD].password,
            },
        )
        return Workload(
            name=WORKLOAD,
            replicas=args.replicas,
            containers=[
                collector_container(
                    args.resources,
                    ports={**_PORTS, "drain": DRAIN_PORT},
                    mounts=[
                        Mount(volume="queue", path=QUEUE_DIRECTORY, writable=True),
                        Mount(volume="catalogue", path=CATALOGUE_DIRECTORY),
                    ],
                    pre_stop_port=DRAIN_PORT,
                )
            ],
            volumes=[
                Volume(name="config", files=public),
                Volume(name="auth", files=secret),
                Volume(name="catalogue", files=catalogue, reloaded=True),
            ],
            tls=tls,
            access=[args.kafka.access_label],
            grace_s=DRAIN_LIMIT_S + 60,
            autoscale=args.autoscale,
        )
