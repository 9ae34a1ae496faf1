"""The gateway's pods, addresses and passwords (requirement O1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components import naming
from components.collector.config import METRICS_PORT, KafkaClient, rendered
from components.collector.passwords import htpasswd
from components.collector.pods import collector_container, size_bytes
from components.contracts import Credential, KafkaEndpoint, OtlpEndpoint, ScrapeTarget, TlsIdentity
from components.gateway.config import (
    AGENT,
    CATALOGUE_DIRECTORY,
    CATALOGUE_FILE,
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
    own_scrape,
    secret_files,
    stateful_set,
    with_access,
    workload_pods,
)
from components.telemetry.gate_catalogue import gate_catalogue
from components.telemetry.layers import LAYER_NAMES, LAYERS, Signal

TOKEN = "obs:gateway:Gateway"  # noqa: S105  (a type token)
WORKLOAD = "gateway"

IDS = "ids"
"""Name of the key of hashed ids among logins."""
_PORTS = {"otlp-grpc": GRPC_PORT, "otlp-http": HTTP_PORT}


@dataclass(frozen=True, kw_only=True)
class GatewayArgs:
    """What a gateway needs.

    Attributes:
        context: Deployment context.
        kafka: Where telemetry goes.
        replicas: Pods (at creation, where ``autoscale`` is set).
        resources: Of each pod.
        storage: Size of each pod's queue volume, e.g. ``4Gi``; `queue_bytes` says how much of it the queues take.
        max_message_bytes: Largest record that the topics take.
        partitions: Signal -> partitions of its topic.
        fsync: Whether what goes to the queue on disk is forced there before it is acknowledged.
        address: Load balancer address to ask for, or None.
        client_cidrs: Networks that may send.
        hosts: Host names of the load balancer, for the certificate.
        open_layers: Layers of which also names pass that the catalogue does not have, as free text.
        autoscale: Bounds of the autoscaler, or None.
        credentials: Layer -> password, and ``IDS`` -> key of the hashes, from another stack; None: made here.
    """

    context: DeploymentContext
    kafka: KafkaEndpoint
    replicas: int
    resources: Resources
    storage: str
    max_message_bytes: int
    partitions: Mapping[Signal, int]
    fsync: bool
    address: str | None
    client_cidrs: Sequence[str]
    hosts: Sequence[str] = ()
    open_layers: Sequence[str] = ()
    autoscale: Autoscale | None = None
    credentials: Mapping[str, pulumi.Output[str]] | None = None


class Gateway(pulumi.ComponentResource):
    """Collectors that authenticate, check, mask and hold all telemetry on its way to Kafka.

    Attributes:
        endpoint: Where and with which passwords the layers send.
        scrape: The gateway's own metrics.
        hash_key: With which ids are hashed, see `components.masking.pseudonyms`; secret.
        agent: The node agents' user: it may send for every layer, since agents check who sends to them.
        request_limit: Largest request, in bytes.
    """

    endpoint: OtlpEndpoint
    scrape: ScrapeTarget
    hash_key: pulumi.Output[str]
    agent: Credential
    request_limit: int

    def __init__(self, name: str, args: GatewayArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        context = args.context
        given = args.credentials or {}
        layers = {
            layer.name: _given(layer.user, given[layer.name])
            if layer.name in given
            else credential(self, name=f"{WORKLOAD}-{layer.name}", username=layer.user)
            for layer in LAYERS
        }
        self.agent = credential(self, name=f"{WORKLOAD}-{AGENT}", username=AGENT)
        self.scrape = own_scrape(self, context, WORKLOAD, METRICS_PORT)
        self.hash_key = given.get(IDS) or credential(self, name=f"{WORKLOAD}-hash-key", username=IDS).password
        tls = certificate(
            self,
            context,
            workload=WORKLOAD,
            hosts=[host for host in args.hosts if host != args.address],
            addresses=[args.address] if args.address else [],
        )
        headless_service(self, context, workload=WORKLOAD, ports={naming.METRICS_PORT: METRICS_PORT})
        self._network(args)
        pods = stateful_set(
            self,
            context,
            self._workload(args, tls, (*layers.values(), self.agent)),
            claims=[StorageClaim(name="queue", size=args.storage)],
        )
        service = load_balancer(
            self,
            context,
            workload=WORKLOAD,
            name=WORKLOAD,
            ports=_PORTS,
            address=args.address,
            source_ranges=args.client_cidrs,
        )
        host = args.hosts[0] if args.hosts else args.address or context.host(WORKLOAD)
        self.endpoint = OtlpEndpoint(grpc=f"{host}:{GRPC_PORT}", http=f"https://{host}:{HTTP_PORT}", credentials=layers)
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

    def _workload(self, args: GatewayArgs, tls: TlsIdentity, clients: Sequence[Credential]) -> Workload:
        context = args.context
        settings = GatewayConfig(
            kafka=KafkaClient(brokers=(args.kafka.bootstrap,), user=args.kafka.users[WORKLOAD].username),
            volume_bytes=size_bytes(args.storage),
            memory_bytes=size_bytes(args.resources.memory_limit),
            max_message_bytes=args.max_message_bytes,
            partitions=args.partitions,
            fsync=args.fsync,
        )
        self.request_limit = settings.request_limit
        config = gateway_config(settings)
        public = config_files(self, context, name=WORKLOAD, workload=WORKLOAD, files={"config.yaml": rendered(config)})
        catalogue = config_files(
            self,
            context,
            name=f"{WORKLOAD}-catalogue",
            workload=WORKLOAD,
            files={CATALOGUE_FILE: rendered(gate_catalogue(speakers(), open_layers=args.open_layers))},
        )
        secret = secret_files(
            self,
            context,
            name=f"{WORKLOAD}-auth",
            workload=WORKLOAD,
            files={
                "clients.htpasswd": pulumi.Output.all(**{client.username: client.password for client in clients}).apply(
                    htpasswd
                ),
                "scrape.htpasswd": pulumi.Output.all(
                    **{self.scrape.credential.username: self.scrape.credential.password}
                ).apply(htpasswd),
                "hash-key": self.hash_key,
                # Known only when topics, users and ACLs exist: until then a record would be refused for good.
                "kafka-password": pulumi.Output.all(args.kafka.users[WORKLOAD].password, args.kafka.ready).apply(
                    lambda both: str(both[0])
                ),
            },
        )
        return Workload(
            name=WORKLOAD,
            replicas=args.replicas,
            containers=[
                collector_container(
                    args.resources,
                    ports=_PORTS,
                    mounts=[
                        Mount(volume="queue", path=QUEUE_DIRECTORY, writable=True),
                        Mount(volume="catalogue", path=CATALOGUE_DIRECTORY),
                    ],
                    pre_stop_sleep_s=5,
                )
            ],
            volumes=[
                Volume(name="config", files=public),
                Volume(name="auth", files=secret),
                Volume(name="catalogue", files=catalogue, reloaded=True),
            ],
            tls=tls,
            access=[args.kafka.access_label],
            grace_s=60,
            autoscale=args.autoscale,
        )


def speakers() -> dict[str, tuple[str, ...]]:
    """User -> layers that it may speak for: each layer's own user, and the agents' for all."""
    return {**{layer.user: (layer.name,) for layer in LAYERS}, AGENT: LAYER_NAMES}


def _given(user: str, password: pulumi.Output[str]) -> Credential:
    """A user whose password was made elsewhere."""
    hashed = password.apply(lambda known: htpasswd({user: known}).rstrip("\n").partition(":")[2])
    return Credential(username=user, password=password, bcrypt=hashed)
