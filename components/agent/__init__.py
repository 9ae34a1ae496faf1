"""The node agents: one collector on every node, in the place of Jaeger's retired agent (requirement J1).

They need nothing of the node itself: no host network, port or path, and no API access. Programs find the agent of
their own node by the name of one Service. What the kernel counts for the whole node is the same in every container, so
an agent tells that with its own metrics, each with the label ``node`` (docs/adr/0078).

An agent is the gateway's outpost: it takes the same protocols and the same passwords. Its processor ``attribution``
refuses what claims another layer than the one that signed in, and tells the client so where nothing else is in the
request; what names no layer gets its sender's. What is left goes to the gateway as the user ``agent``, which may send
for any layer.

Nothing is acknowledged before the gateway has acknowledged it: the queue gathers small requests into larger ones
(``wait_for_result``) and lives in memory, since a crash loses nothing that a client was told is safe. When it is full,
clients are refused and try again.

A layer's programs on one node have the layer's share of the platform's peak, as at a gateway. What is beyond it is
told to come again there, where the layer is known: a request of an agent may be of several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import pulumi

from components import naming
from components.collector.config import (
    BURST_S,
    CLIENT_LOGIN,
    METRICS_PORT,
    SCRAPE_HTPASSWD,
    SELF_EXPORTER,
    SELF_PIPELINE,
    TLS_DIRECTORY,
    Data,
    agent_clients,
    client_login,
    client_receiver,
    memory_limiter,
    merged,
    own_metrics,
    rendered,
    server_tls,
)
from components.collector.pods import client_file, collector_container
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
from components.telemetry.layers import Signal

GRPC_PORT = 4317
HTTP_PORT = 4318
CLIENT_HTPASSWD = "/etc/otelcol-auth/clients.htpasswd"
GATEWAY_PASSWORD = "/etc/otelcol-auth/gateway-password"  # noqa: S105  (a path)

GATEWAY_AUTH = "basicauth/gateway"
ATTRIBUTION = "attribution"
EXPORTER = "otlp/gateway"

NODE_RECEIVER: Final = "hostmetrics"
NODE_VARIABLE: Final = "NODE_NAME"
"""Environment variable with the node's name: the value of the label ``node``, as kube-state-metrics has it."""
_NODE_METRICS: Final[Mapping[str, Mapping[str, Data]]] = {
    # Summed over the processors: eight series however many a node has.
    "cpu": {"system.cpu.time": {"attributes": ["state"], "aggregation_strategy": "sum"}},
    "load": {"system.cpu.load_average.5m": {}},
    "memory": {"system.linux.memory.available": {}, "system.memory.limit": {}},
    "paging": {"system.paging.faults": {}},
    "disk": {"system.disk.io": {}, "system.disk.weighted_io_time": {}},
}
"""Source of the node's metrics -> those that rules and dashboards read, with what is set for each."""
_BY_DEFAULT: Final[Mapping[str, Sequence[str]]] = {
    "load": ["system.cpu.load_average.1m", "system.cpu.load_average.15m"],
    "memory": ["system.memory.usage"],
    "paging": ["system.paging.operations", "system.paging.usage"],
    "disk": [f"system.disk.{name}" for name in ("io_time", "merged", "operation_time", "operations")]
    + ["system.disk.pending_operations"],
}
"""Source -> what it would tell besides, which nobody reads."""
_NO_DISKS: Final = (
    r"^(loop|ram|zram|sr|fd|md|dm-)\d+$",
    r"^(s|h|v|xv)d[a-z]+\d+$",
    r"^(nvme\d+n|mmcblk|nbd|rbd)\d+p\d+$",
)
"""Devices that are memory or media, that lie on other devices, or that are a part of one."""

_MIB = 1024 * 1024
_CALLS = 64
"""Calls at once, of all programs of the node."""
_RECEIVED_BYTES = 32 * _MIB
"""What requests of HTTP may take at once, of all programs of the node."""
_CONNECTIONS = 256
"""Connections of gRPC at once, of all programs of the node."""


@dataclass(frozen=True, kw_only=True)
class AgentConfig:
    """What an agent's configuration depends on.

    Attributes:
        gateway: ``host:port`` of the gateway's OTLP over gRPC.
        user: User there.
        queue_bytes: Most that waits for the gateway, of each signal.
        request_limit: Largest request that the gateway takes, in bytes.
        peak: Items a second of all layers together, for a while, by signal.
        tls_directory: Folder with ``tls.crt``, ``tls.key`` and ``ca.crt``.
        client_htpasswd: Password file of the layers.
        gateway_password: File with the password for the gateway.
        scrape_htpasswd: Password file of the metrics endpoint.
    """

    gateway: str
    user: str
    queue_bytes: int
    request_limit: int
    peak: Mapping[Signal, float]
    tls_directory: str = TLS_DIRECTORY
    client_htpasswd: str = CLIENT_HTPASSWD
    gateway_password: str = GATEWAY_PASSWORD
    scrape_htpasswd: str = SCRAPE_HTPASSWD

    def __post_init__(self) -> None:
        if self.request_limit < _MIB:
            raise ValueError(f"request_limit is {self.request_limit}, must be at least {_MIB}")
        if self.queue_bytes < 2 * self.request_limit:
            raise ValueError(f"queue_bytes is {self.queue_bytes}, must hold two requests of {self.request_limit} bytes")


def agent_config(settings: AgentConfig) -> Data:
    """The complete configuration of an agent."""
    return merged(
        own_metrics(tls_directory=settings.tls_directory, htpasswd=settings.scrape_htpasswd),
        _node_metrics(),
        {
            "extensions": {
                CLIENT_LOGIN: client_login(
                    settings.client_htpasswd,
                    calls=_CALLS,
                    received_bytes=_RECEIVED_BYTES,
                    connections=_CONNECTIONS,
                    tls=server_tls(settings.tls_directory),
                    clients=agent_clients(settings.peak),
                    burst_s=BURST_S,
                    queues=dict.fromkeys((signal.value for signal in Signal), settings.queue_bytes),
                ),
                GATEWAY_AUTH: {"client_auth": {"username": settings.user, "password_file": settings.gateway_password}},
            },
            "receivers": {
                "otlp": client_receiver(
                    settings.tls_directory,
                    grpc_port=GRPC_PORT,
                    http_port=HTTP_PORT,
                    request_limit=settings.request_limit,
                    keepalive={"enforcement_policy": {"min_time": "10s", "permit_without_stream": True}},
                )
            },
            "processors": {
                "memory_limiter": memory_limiter(),
                ATTRIBUTION: {},
            },
            "exporters": {EXPORTER: _exporter(settings)},
            "service": {
                "extensions": [CLIENT_LOGIN, GATEWAY_AUTH],
                "pipelines": {
                    signal.value: {
                        "receivers": ["otlp"],
                        "processors": ["memory_limiter", ATTRIBUTION],
                        "exporters": [EXPORTER],
                    }
                    for signal in Signal
                },
            },
        },
    )


def _node_metrics() -> Data:
    """What the kernel counts of the node, beside the agent's own metrics at the same endpoint."""
    scrapers: dict[str, Data] = {
        source: {
            "metrics": {
                **{name: {"enabled": True, **options} for name, options in metrics.items()},
                **{name: {"enabled": False} for name in _BY_DEFAULT.get(source, ())},
            }
        }
        for source, metrics in _NODE_METRICS.items()
    }
    scrapers["disk"]["exclude"] = {"match_type": "regexp", "devices": list(_NO_DISKS)}
    return {
        "receivers": {NODE_RECEIVER: {"collection_interval": "30s", "scrapers": scrapers}},
        "exporters": {SELF_EXPORTER: {"const_labels": {"node": f"${{env:{NODE_VARIABLE}}}"}}},
        "service": {"pipelines": {SELF_PIPELINE: {"receivers": [NODE_RECEIVER]}}},
    }


def _exporter(settings: AgentConfig) -> Data:
    return {
        "endpoint": settings.gateway,
        "tls": {"ca_file": f"{settings.tls_directory}/ca.crt", "min_version": "1.2", "reload_interval": "5m"},
        "auth": {"authenticator": GATEWAY_AUTH},
        "compression": "gzip",
        "timeout": "10s",
        "retry_on_failure": {
            "enabled": True,
            "initial_interval": "500ms",
            "max_interval": "5s",
            "max_elapsed_time": "60s",
        },
        "sending_queue": {
            "enabled": True,
            "wait_for_result": True,
            "sizer": "bytes",
            "queue_size": settings.queue_bytes,
            "block_on_overflow": False,
            "num_consumers": 4,
            "batch": {
                "sizer": "bytes",
                "flush_timeout": "200ms",
                "min_size": settings.request_limit // 4,
                "max_size": settings.request_limit // 2,
            },
        },
    }


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
        former: The same with the password of before, which is taken as well; empty where there is none.
        request_limit: Largest request that the gateway takes, in bytes.
        queue_bytes: Most that waits for the gateway in an agent, of each signal.
        peak: Items a second of all layers together, for a while, by signal.
        resources: Of each agent.
    """

    context: DeploymentContext
    scrape: ScrapeTarget
    gateway: str
    gateway_port: int
    login: Credential
    layers: Mapping[str, Credential]
    former: Mapping[str, Credential]
    request_limit: int
    queue_bytes: int
    peak: Mapping[Signal, float]
    resources: Resources


class Agent(pulumi.ComponentResource):
    """A collector on every node that authenticates, checks and gathers what the node's programs send.

    Attributes:
        endpoint: Where programs inside the cluster send; each reaches the agent of its own node.
        scrape: The agents' own metrics.
        pods: They use another login once this has changed.
    """

    endpoint: OtlpEndpoint
    scrape: ScrapeTarget
    pods: pulumi.Resource

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
        self.pods = daemon_set(
            self,
            context,
            Workload(
                name=WORKLOAD,
                replicas=1,
                containers=[
                    replace(
                        collector_container(args.resources, ports=_PORTS, pre_stop_sleep_s=5),
                        env_fields={NODE_VARIABLE: "spec.nodeName"},
                    )
                ],
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
        self.register_outputs({"pods": self.pods.id})

    def _volumes(self, args: AgentArgs) -> Sequence[Volume]:
        config = agent_config(
            AgentConfig(
                gateway=f"{args.context.host(args.gateway)}:{args.gateway_port}",
                user=args.login.username,
                queue_bytes=args.queue_bytes,
                request_limit=args.request_limit,
                peak=args.peak,
            )
        )
        public = config_files(
            self, args.context, name=WORKLOAD, workload=WORKLOAD, files={"config.yaml": rendered(config)}
        )
        secret = secret_files(
            self,
            args.context,
            name=f"{WORKLOAD}-auth",
            workload=WORKLOAD,
            files={
                "clients.htpasswd": client_file(args.layers.values(), args.former.values()),
                "scrape.htpasswd": client_file([self.scrape.credential]),
                "gateway-password": args.login.password,
            },
        )
        return [Volume(name="config", files=public), Volume(name="auth", files=secret)]
