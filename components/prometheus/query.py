"""Thanos Query, the one read address over all Prometheus replicas (requirement P1), and what keeps blocks in the object
storage (requirement D1).

The store gateway answers from them, for as long as they are kept; the compactor merges them into longer ones, and
removes what is too old.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components import naming
from components.contracts import ObjectStorage, PrometheusEndpoint, QueryEndpoint, ScrapeTarget
from components.k8s import (
    Allow,
    Container,
    DeploymentContext,
    LoadBalancerOptions,
    Mount,
    Probe,
    Resources,
    StorageClaim,
    Volume,
    Workload,
    certificate,
    config_files,
    credential,
    deployment,
    headless_service,
    load_balancer,
    network,
    network_policy,
    personal_login,
    secret_files,
    stateful_set,
    to_storage,
    with_access,
    workload_pods,
)
from components.prometheus.config import WEB_DIRECTORY, queries_at_once, rendered
from components.prometheus.thanos import (
    GRPC_PORT,
    QUERY_DIRECTORY,
    QUERY_PORT,
    STORE_DIRECTORY,
    STORE_HTTP_PORT,
    STORE_NAME,
    Encryption,
    compact_command,
    endpoints_config,
    objects_files,
    objects_mount,
    objects_volume,
    query_command,
    store_command,
)
from components.web_access import web_file

STORE_TOKEN = "obs:prometheus:StoreGateway"  # noqa: S105  (a type token)
STORE = "thanos-store"


@dataclass(frozen=True, kw_only=True)
class StoreEndpoint:
    """A store that is no Prometheus, as Thanos Query sees it.

    Attributes:
        workload: Workload name.
        grpc: ``host:port`` of the StoreAPI (mutual TLS); the name stands for every pod.
        store_name: Name to verify in the certificate; the same for every store.
        access_label: Label that a client pod needs.
    """

    workload: str
    grpc: str
    store_name: str
    access_label: str


@dataclass(frozen=True, kw_only=True)
class StoreGatewayArgs:
    """What the store gateway needs.

    Attributes:
        context: Deployment context.
        objects: Where the blocks are.
        encryption: As it is given to the Prometheus replicas.
        scrape: Its own metrics.
        replicas: Pods; each answers for all blocks.
        resources: Of each pod.
        storage: Size of each volume. It holds the heads of indices, about a hundredth of the blocks, and can be lost.
        index_cache: Most memory for parts of indices, for example ``64MB``.
        chunk_pool: Most memory for samples of questions that run, for example ``128MB``.
        serves_after: Age from which it answers, for example ``3d``; ``0s``: of any age. Less than what Prometheus
            keeps, and more than the out-of-order window and an hour: of late samples that lie between others, Thanos
            Query finds all only when the compactor has merged their blocks. And dashboards of today never wait for the
            object storage.
    """

    context: DeploymentContext
    objects: ObjectStorage
    encryption: Encryption | None
    scrape: ScrapeTarget
    replicas: int
    resources: Resources
    storage: str
    index_cache: str
    chunk_pool: str
    serves_after: str


class StoreGateway(pulumi.ComponentResource):
    """Thanos Store: one more store for Thanos Query.

    Attributes:
        endpoint: How Thanos Query reaches it.
        scrape: Its own metrics.
    """

    endpoint: StoreEndpoint
    scrape: ScrapeTarget

    def __init__(self, name: str, args: StoreGatewayArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(STORE_TOKEN, name, None, opts)
        context = args.context
        self.scrape = args.scrape
        access = naming.access_label(STORE)
        tls = certificate(self, context, workload=STORE, services=[STORE_NAME])
        headless_service(self, context, workload=STORE, ports={naming.METRICS_PORT: STORE_HTTP_PORT, "grpc": GRPC_PORT})
        network_policy(
            self,
            context,
            workload=STORE,
            ingress=[
                Allow(peers=[with_access(access)], ports=[GRPC_PORT]),
                Allow(peers=[with_access(naming.METRICS_ACCESS)], ports=[STORE_HTTP_PORT]),
            ],
            egress=[to_storage(args.objects)],
        )
        objects = objects_files(self, context, workload=STORE, storage=args.objects, encryption=args.encryption)
        web = secret_files(
            self,
            context,
            name=f"{STORE}-web",
            workload=STORE,
            files={"web.yml": web_file([args.scrape.credential])},
        )
        pods = stateful_set(
            self,
            context,
            Workload(
                name=STORE,
                replicas=args.replicas,
                containers=[_store_container(args)],
                volumes=[Volume(name="web", files=web), objects_volume(objects)],
                tls=tls,
                grace_s=60,
            ),
            claims=[StorageClaim(name="data", size=args.storage)],
        )
        self.endpoint = StoreEndpoint(
            workload=STORE,
            grpc=f"{context.host(naming.headless(STORE))}:{GRPC_PORT}",
            store_name=context.host(STORE_NAME),
            access_label=access,
        )
        self.register_outputs({"pods": pods.id})


def _store_container(args: StoreGatewayArgs) -> Container:
    return Container(
        name=STORE,
        image="thanos",
        command=store_command(serves_after=args.serves_after, index_cache=args.index_cache, chunk_pool=args.chunk_pool),
        resources=args.resources,
        ports={naming.METRICS_PORT: STORE_HTTP_PORT, "grpc": GRPC_PORT},
        mounts=[
            Mount(volume="web", path=WEB_DIRECTORY),
            Mount(volume="data", path=STORE_DIRECTORY, writable=True),
            objects_mount(),
        ],
        # It opens the StoreAPI when it has seen every block; the first time that may take minutes.
        startup=Probe(tcp=GRPC_PORT, period_s=3, failures=200),
        liveness=Probe(tcp=STORE_HTTP_PORT, period_s=15, failures=6),
        readiness=Probe(tcp=GRPC_PORT, period_s=10),
        working_dir=STORE_DIRECTORY,
    )


COMPACTOR_TOKEN = "obs:prometheus:Compactor"  # noqa: S105  (a type token)
COMPACTOR = "thanos-compact"


@dataclass(frozen=True, kw_only=True)
class CompactorArgs:
    """What the compactor needs.

    Attributes:
        context: Deployment context.
        objects: Where the blocks are.
        encryption: As it is given to the Prometheus replicas.
        scrape: Its own metrics.
        resources: Of the pod.
        storage: Size of its volume: three times the blocks that one replica ships in two weeks. Can be lost.
        keep_days: Age at which samples go from the object storage.
    """

    context: DeploymentContext
    objects: ObjectStorage
    encryption: Encryption | None
    scrape: ScrapeTarget
    resources: Resources
    storage: str
    keep_days: int


class Compactor(pulumi.ComponentResource):
    """Thanos Compact, once.

    Two at work on one bucket would destroy blocks. So it is a StatefulSet: no pod starts before the one of the same
    name is known to have ended, also when a node is lost.

    Attributes:
        scrape: Its own metrics.
    """

    scrape: ScrapeTarget

    def __init__(self, name: str, args: CompactorArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(COMPACTOR_TOKEN, name, None, opts)
        context = args.context
        self.scrape = args.scrape
        tls = certificate(self, context, workload=COMPACTOR)
        headless_service(self, context, workload=COMPACTOR, ports={naming.METRICS_PORT: STORE_HTTP_PORT})
        network_policy(
            self,
            context,
            workload=COMPACTOR,
            ingress=[Allow(peers=[with_access(naming.METRICS_ACCESS)], ports=[STORE_HTTP_PORT])],
            egress=[to_storage(args.objects)],
        )
        objects = objects_files(self, context, workload=COMPACTOR, storage=args.objects, encryption=args.encryption)
        web = secret_files(
            self,
            context,
            name=f"{COMPACTOR}-web",
            workload=COMPACTOR,
            files={"web.yml": web_file([args.scrape.credential])},
        )
        pods = stateful_set(
            self,
            context,
            Workload(
                name=COMPACTOR,
                replicas=1,
                containers=[_compactor_container(args)],
                volumes=[Volume(name="web", files=web), objects_volume(objects)],
                tls=tls,
                grace_s=120,
            ),
            claims=[StorageClaim(name="data", size=args.storage)],
        )
        self.register_outputs({"pods": pods.id})


def _compactor_container(args: CompactorArgs) -> Container:
    return Container(
        name=COMPACTOR,
        image="thanos",
        command=compact_command(keep_days=args.keep_days),
        resources=args.resources,
        ports={naming.METRICS_PORT: STORE_HTTP_PORT},
        mounts=[
            Mount(volume="web", path=WEB_DIRECTORY),
            Mount(volume="data", path=STORE_DIRECTORY, writable=True),
            objects_mount(),
        ],
        startup=Probe(tcp=STORE_HTTP_PORT, period_s=2, failures=60),
        liveness=Probe(tcp=STORE_HTTP_PORT, period_s=15, failures=6),
        readiness=Probe(tcp=STORE_HTTP_PORT, period_s=10),
        working_dir=STORE_DIRECTORY,
    )


TOKEN = "obs:prometheus:ThanosQuery"  # noqa: S105  (a type token)
WORKLOAD = "thanos-query"


@dataclass(frozen=True, kw_only=True)
class ThanosQueryArgs:
    """What the query layer needs.

    Attributes:
        context: Deployment context.
        endpoint: Where it answers: `query_endpoint`.
        stores: The Prometheus servers.
        gateways: What else has samples: of the past, or recorded by rulers.
        scrape: Its own metrics.
        replicas: Pods.
        resources: Of each pod.
        address: Load balancer address to ask for, or None.
        client_cidrs: Networks that may ask.
        load_balancer: What the cloud's load balancer is told.
        hosts: Host names of the load balancer, for the certificate.
    """

    context: DeploymentContext
    endpoint: QueryEndpoint
    stores: Sequence[PrometheusEndpoint]
    scrape: ScrapeTarget
    replicas: int
    resources: Resources
    address: str | None
    client_cidrs: Sequence[str]
    load_balancer: LoadBalancerOptions
    hosts: Sequence[str] = ()
    gateways: Sequence[StoreEndpoint] = ()


def query_endpoint(
    parent: pulumi.Resource,
    context: DeploymentContext,
    *,
    address: str | None,
    hosts: Sequence[str] = (),
    ruled: bool = False,
    people_url: str | None = None,
) -> QueryEndpoint:
    """Where metrics will be read, with the reader's password.

    Args:
        parent: Component that owns the password.
        context: Deployment context.
        address: Load balancer address to ask for, or None.
        hosts: Host names of the load balancer.
        ruled: Whether rulers ask it.
        people_url: Where people come in by accounts of their own, or None.
    """
    host = hosts[0] if hosts else address or context.host(WORKLOAD)
    return QueryEndpoint(
        url=f"https://{host}:{QUERY_PORT}",
        internal_url=f"https://{context.host(WORKLOAD)}:{QUERY_PORT}",
        server_name=context.host(WORKLOAD),
        access_label=naming.access_label(WORKLOAD),
        reader=credential(parent, name=f"{WORKLOAD}-reader", username="reader"),
        ruler=credential(parent, name=f"{WORKLOAD}-ruler", username="ruler") if ruled else None,
        people=personal_login(parent, server=WORKLOAD, url=people_url),
    )


class ThanosQuery(pulumi.ComponentResource):
    """Answers from whichever replicas are there, without duplicates.

    Attributes:
        endpoint: Where and with which password to read.
        scrape: Its own metrics.
    """

    endpoint: QueryEndpoint
    scrape: ScrapeTarget

    def __init__(self, name: str, args: ThanosQueryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        context = args.context
        stores: tuple[PrometheusEndpoint | StoreEndpoint, ...] = (*args.stores, *args.gateways)
        self.scrape = args.scrape
        self.endpoint = args.endpoint
        tls = certificate(self, context, workload=WORKLOAD, hosts=args.hosts, addresses=[args.address])
        headless_service(self, context, workload=WORKLOAD, ports={naming.METRICS_PORT: QUERY_PORT})
        network_policy(
            self,
            context,
            workload=WORKLOAD,
            ingress=[
                Allow(
                    peers=[
                        with_access(args.endpoint.access_label),
                        with_access(naming.METRICS_ACCESS),
                        *(network(cidr) for cidr in args.client_cidrs),
                    ],
                    ports=[QUERY_PORT],
                )
            ],
            egress=[Allow(peers=[workload_pods(store.workload) for store in stores], ports=[GRPC_PORT])],
        )
        public = config_files(
            self,
            context,
            name=WORKLOAD,
            workload=WORKLOAD,
            files={
                "endpoints.yml": rendered(endpoints_config([store.grpc for store in stores], args.stores[0].store_name))
            },
        )
        secret = secret_files(
            self,
            context,
            name=f"{WORKLOAD}-web",
            workload=WORKLOAD,
            files={"web.yml": web_file([*args.endpoint.users, args.scrape.credential])},
        )
        pods = deployment(
            self,
            context,
            Workload(
                name=WORKLOAD,
                replicas=args.replicas,
                containers=[_container(args.resources)],
                volumes=[Volume(name="config", files=public), Volume(name="web", files=secret)],
                tls=tls,
                access=[store.access_label for store in stores],
                grace_s=60,
            ),
        )
        service = load_balancer(
            self,
            context,
            workload=WORKLOAD,
            name=WORKLOAD,
            ports={"https": QUERY_PORT},
            address=args.address,
            source_ranges=args.client_cidrs,
            options=args.load_balancer,
        )
        self.register_outputs({"pods": pods.id, "service": service.id, "url": self.endpoint.url})


def _container(resources: Resources) -> Container:
    return Container(
        name="thanos-query",
        image="thanos",
        command=query_command(queries_at_once=queries_at_once(resources)),
        resources=resources,
        env=naming.heap_limit(resources.memory_limit),
        ports={naming.METRICS_PORT: QUERY_PORT},
        mounts=[
            Mount(volume="config", path=f"{QUERY_DIRECTORY}/endpoints"),
            Mount(volume="web", path=f"{QUERY_DIRECTORY}/web"),
        ],
        startup=Probe(tcp=QUERY_PORT, period_s=2, failures=60),
        liveness=Probe(tcp=QUERY_PORT, period_s=15, failures=4),
        readiness=Probe(tcp=QUERY_PORT, period_s=5, failures=2),
        pre_stop_sleep_s=5,
    )
