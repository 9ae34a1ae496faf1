"""Jaeger's collectors: they take the traces that are kept, and write each class to its own store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import pulumi

from components import naming
from components.collector.config import METRICS_PORT, rendered
from components.collector.pods import htpasswd
from components.contracts import ScrapeTarget, SearchEndpoint, TracesEndpoint
from components.jaeger.config import (
    OTLP_PORT,
    SAMPLING_GRPC_PORT,
    SAMPLING_PORT,
    STRATEGIES_DIRECTORY,
    STRATEGIES_FILE,
    CollectorConfig,
    SearchClient,
    Strategies,
    collector_config,
    jaeger_container,
)
from components.k8s import (
    Allow,
    Autoscale,
    DeploymentContext,
    Mount,
    Resources,
    Volume,
    Workload,
    certificate,
    cluster_service,
    config_files,
    credential,
    deployment,
    headless_service,
    namespaces_with,
    network_policy,
    secret_files,
    with_access,
    workload_pods,
)

TOKEN = "obs:jaeger:JaegerCollector"  # noqa: S105  (a type token)
WORKLOAD = "jaeger-collector"
SAMPLING_SERVICE = "jaeger-sampling"
ACCESS = naming.access_label("jaeger")

_OTLP = {"otlp-grpc": OTLP_PORT}
_SAMPLING = {"sampling": SAMPLING_PORT, "sampling-grpc": SAMPLING_GRPC_PORT}


@dataclass(frozen=True, kw_only=True)
class JaegerCollectorArgs:
    """What Jaeger's collectors need.

    Attributes:
        context: Deployment context.
        endpoint: Where samplers write, and SDKs ask for their sampling: `traces_endpoint`.
        scrape: Its metrics endpoint.
        search: Where spans are written to; its users include the collectors'.
        replicas: Pods (at creation, where ``autoscale`` is set).
        resources: Of each pod.
        strategies: Head sampling offered to SDKs.
        autoscale: Bounds of the autoscaler, or None.
    """

    context: DeploymentContext
    endpoint: TracesEndpoint
    scrape: ScrapeTarget
    search: SearchEndpoint
    replicas: int
    resources: Resources
    strategies: Strategies = field(default_factory=Strategies)
    autoscale: Autoscale | None = None


def traces_endpoint(parent: pulumi.Resource, context: DeploymentContext) -> TracesEndpoint:
    """Where the collectors will be, with the password of who asks for sampling.

    Args:
        parent: Component that owns the password.
        context: Deployment context.
    """
    return TracesEndpoint(
        grpc=f"{context.host(WORKLOAD)}:{OTLP_PORT}",
        server_name=context.host(WORKLOAD),
        port=OTLP_PORT,
        workload=WORKLOAD,
        access_label=ACCESS,
        sampling_url=f"https://{context.host(SAMPLING_SERVICE)}:{SAMPLING_PORT}",
        sampling_user=credential(parent, name=SAMPLING_SERVICE, username="sampling"),
    )


class JaegerCollector(pulumi.ComponentResource):
    """Collectors for the samplers, and the remote sampling endpoint for SDKs.

    Attributes:
        endpoint: Where samplers write, and SDKs ask for their sampling.
        scrape: Its own metrics.
    """

    endpoint: TracesEndpoint
    scrape: ScrapeTarget

    def __init__(self, name: str, args: JaegerCollectorArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        context = args.context
        self.scrape = args.scrape
        self.endpoint = args.endpoint
        tls = certificate(self, context, workload=WORKLOAD, services=[SAMPLING_SERVICE])
        headless_service(self, context, workload=WORKLOAD, ports={naming.METRICS_PORT: METRICS_PORT, **_OTLP})
        cluster_service(self, context, workload=WORKLOAD, ports=_OTLP)
        cluster_service(self, context, workload=WORKLOAD, ports=_SAMPLING, name=SAMPLING_SERVICE)
        network_policy(
            self,
            context,
            workload=WORKLOAD,
            ingress=[
                Allow(peers=[with_access(ACCESS)], ports=[OTLP_PORT]),
                Allow(peers=[namespaces_with(naming.OTLP_ACCESS)], ports=list(_SAMPLING.values())),
                Allow(peers=[with_access(naming.METRICS_ACCESS)], ports=[METRICS_PORT]),
            ],
            egress=[Allow(peers=[workload_pods(args.search.workload)], ports=[args.search.port])],
        )
        pods = deployment(
            self,
            context,
            Workload(
                name=WORKLOAD,
                replicas=args.replicas,
                containers=[
                    jaeger_container(
                        "jaeger",
                        args.resources,
                        {**_OTLP, **_SAMPLING},
                        (Mount(volume="strategies", path=STRATEGIES_DIRECTORY),),
                    )
                ],
                volumes=self._volumes(args),
                tls=tls,
                access=[args.search.access_label],
                grace_s=45,
                autoscale=args.autoscale,
            ),
            after=args.search.after,
        )
        self.register_outputs({"pods": pods.id})

    def _volumes(self, args: JaegerCollectorArgs) -> Sequence[Volume]:
        search = SearchClient(url=args.search.url, user=args.search.users[WORKLOAD].username)
        config = rendered(collector_config(CollectorConfig(search=search)))
        public = config_files(self, args.context, name=WORKLOAD, workload=WORKLOAD, files={"config.yaml": config})
        strategies = config_files(
            self,
            args.context,
            name=SAMPLING_SERVICE,
            workload=WORKLOAD,
            files={STRATEGIES_FILE: json.dumps(args.strategies.data(), indent=2)},
        )
        scrape, sampling = self.scrape.credential, args.endpoint.sampling_user
        secret = secret_files(
            self,
            args.context,
            name=f"{WORKLOAD}-auth",
            workload=WORKLOAD,
            files={
                "scrape.htpasswd": pulumi.Output.all(**{scrape.username: scrape.password}).apply(htpasswd),
                "sampling.htpasswd": pulumi.Output.all(**{sampling.username: sampling.password}).apply(htpasswd),
                "search-password": args.search.users[WORKLOAD].password,
            },
        )
        return [
            Volume(name="config", files=public),
            Volume(name="strategies", files=strategies),
            Volume(name="auth", files=secret),
        ]
