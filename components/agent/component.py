"""The node agents: one collector on every node, in the place of Jaeger's retired agent (requirement J1).

They need nothing of the node itself: no host network, port or path, and no API access. Programs find the agent of
their own node by the name of one Service.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components import naming
from components.agent.config import GRPC_PORT, HTTP_PORT, AgentConfig, agent_config
from components.collector.config import METRICS_PORT, rendered
from components.collector.passwords import htpasswd
from components.collector.pods import collector_container
from components.contracts import Credential, OtlpEndpoint, ScrapeTarget
from components.k8s import (
    Allow,
    DeploymentContext,
    Resources,
    Volume,
    Workload,
    certificate,
    config_files,
    daemon_set,
    headless_service,
    namespaces_with,
    network_policy,
    node_service,
    secret_files,
    with_access,
    workload_pods,
)

TOKEN = "obs:agent:Agent"  # noqa: S105  (a type token)
WORKLOAD = "otel-agent"

_PORTS = {"otlp-grpc": GRPC_PORT, "otlp-http": HTTP_PORT}


@dataclass(frozen=True, kw_only=True)
class AgentArgs:
    """What the agents need.

    Attributes:
        context: Deployment context.
        scrape: Its metrics endpoint.
        gateway: Workload (and Service) of the gateway.
        gateway_port: Its port of OTLP over gRPC.
        login: The agents' user at the gateway, which may send for any layer.
        layers: Layer -> credential: the same as at the gateway.
        request_limit: Largest request that the gateway takes, in bytes.
        queue_bytes: Most that waits for the gateway in an agent, of each signal.
        resources: Of each agent.
    """

    context: DeploymentContext
    scrape: ScrapeTarget
    gateway: str
    gateway_port: int
    login: Credential
    layers: Mapping[str, Credential]
    request_limit: int
    queue_bytes: int
    resources: Resources


class Agent(pulumi.ComponentResource):
    """A collector on every node that authenticates, checks and gathers what the node's programs send.

    Attributes:
        endpoint: Where programs inside the cluster send; each reaches the agent of its own node.
        scrape: The agents' own metrics.
    """

    endpoint: OtlpEndpoint
    scrape: ScrapeTarget

    def __init__(self, name: str, args: AgentArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        context = args.context
        self.scrape = args.scrape
        tls = certificate(self, context, workload=WORKLOAD)
        headless_service(self, context, workload=WORKLOAD, ports={naming.METRICS_PORT: METRICS_PORT})
        node_service(self, context, workload=WORKLOAD, ports=_PORTS)
        network_policy(
            self,
            context,
            workload=WORKLOAD,
            ingress=[
                Allow(peers=[namespaces_with(naming.OTLP_ACCESS)], ports=list(_PORTS.values())),
                Allow(peers=[with_access(naming.METRICS_ACCESS)], ports=[METRICS_PORT]),
            ],
            egress=[Allow(peers=[workload_pods(args.gateway)], ports=[args.gateway_port])],
        )
        pods = daemon_set(
            self,
            context,
            Workload(
                name=WORKLOAD,
                replicas=1,
                containers=[collector_container(args.resources, ports=_PORTS, pre_stop_sleep_s=5)],
                volumes=self._volumes(args),
                tls=tls,
                access=[naming.access_label(args.gateway)],
                grace_s=45,
            ),
        )
        host = context.host(WORKLOAD)
        self.endpoint = OtlpEndpoint(
            grpc=f"{host}:{GRPC_PORT}", http=f"https://{host}:{HTTP_PORT}", credentials=args.layers
        )
        self.register_outputs({"pods": pods.id})

    def _volumes(self, args: AgentArgs) -> Sequence[Volume]:
        config = agent_config(
            AgentConfig(
                gateway=f"{args.context.host(args.gateway)}:{args.gateway_port}",
                user=args.login.username,
                queue_bytes=args.queue_bytes,
                request_limit=args.request_limit,
            )
        )
        public = config_files(
            self, args.context, name=WORKLOAD, workload=WORKLOAD, files={"config.yaml": rendered(config)}
        )
        scrape = self.scrape.credential
        clients = {layer.username: layer.password for layer in args.layers.values()}
        secret = secret_files(
            self,
            args.context,
            name=f"{WORKLOAD}-auth",
            workload=WORKLOAD,
            files={
                "clients.htpasswd": pulumi.Output.all(**clients).apply(htpasswd),
                "scrape.htpasswd": pulumi.Output.all(**{scrape.username: scrape.password}).apply(htpasswd),
                "gateway-password": args.login.password,
            },
        )
        return [Volume(name="config", files=public), Volume(name="auth", files=secret)]
