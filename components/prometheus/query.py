"""Thanos Query: the one read address over all Prometheus replicas (requirement P1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components import naming
from components.contracts import PrometheusEndpoint, QueryEndpoint, ScrapeTarget
from components.k8s import (
    Allow,
    Container,
    DeploymentContext,
    LoadBalancerOptions,
    Mount,
    Probe,
    Resources,
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
    secret_files,
    with_access,
    workload_pods,
)
from components.prometheus.config import rendered
from components.prometheus.read_limits import heap_limit, queries_at_once
from components.prometheus.store import StoreEndpoint
from components.prometheus.thanos import GRPC_PORT, QUERY_DIRECTORY, QUERY_PORT, endpoints_config, query_command
from components.web_access import web_file

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
) -> QueryEndpoint:
    """Where metrics will be read, with the reader's password.

    Args:
        parent: Component that owns the password.
        context: Deployment context.
        address: Load balancer address to ask for, or None.
        hosts: Host names of the load balancer.
        ruled: Whether rulers ask it.
    """
    host = hosts[0] if hosts else address or context.host(WORKLOAD)
    return QueryEndpoint(
        url=f"https://{host}:{QUERY_PORT}",
        internal_url=f"https://{context.host(WORKLOAD)}:{QUERY_PORT}",
        server_name=context.host(WORKLOAD),
        access_label=naming.access_label(WORKLOAD),
        reader=credential(parent, name=f"{WORKLOAD}-reader", username="reader"),
        ruler=credential(parent, name=f"{WORKLOAD}-ruler", username="ruler") if ruled else None,
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
        env=heap_limit(resources),
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
