"""What is probed: certificates of listeners, and how endpoints answer an unauthenticated request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi

from components import naming
from components.alertmanager.component import WORKLOAD as ALERTMANAGER
from components.alertmanager.process import WEB_PORT as ALERTMANAGER_PORT
from components.contracts import KafkaEndpoint, ScrapeTarget, SearchEndpoint
from components.gateway.component import WORKLOAD as GATEWAY
from components.gateway.config import GRPC_PORT as GATEWAY_GRPC_PORT
from components.gateway.config import HTTP_PORT as GATEWAY_HTTP_PORT
from components.grafana.process import PORT as GRAFANA_PORT
from components.grafana.process import WORKLOAD as GRAFANA
from components.jaeger.collector import ACCESS as JAEGER_ACCESS
from components.jaeger.collector import WORKLOAD as JAEGER_COLLECTOR
from components.jaeger.config import OTLP_PORT as JAEGER_OTLP_PORT
from components.jaeger.oauth import OAUTH_PORT
from components.jaeger.query import query_workload
from components.k8s import DeploymentContext
from components.probes.component import WORKLOAD as PROBES
from components.probes.component import Probes, ProbesArgs
from components.probes.targets import Endpoint, Listener, Module, metrics_listener, pod_listener
from components.prometheus.config import WEB_PORT
from components.prometheus.query import WORKLOAD as QUERY
from components.prometheus.thanos import GRPC_PORT as STORE_PORT
from components.prometheus.thanos import QUERY_PORT
from components.reports.component import PORT as REPORT_SERVER_PORT
from components.reports.component import WORKLOAD as REPORT_SERVER
from stacks.settings import Settings
from stacks.sizing import Sizing


def probes(
    parent: pulumi.Resource,
    settings: Settings,
    sizing: Sizing,
    context: DeploymentContext,
    *,
    kafka: KafkaEndpoint,
    search: SearchEndpoint,
    scrapes: Sequence[ScrapeTarget],
    replicas: Sequence[str],
) -> Probes:
    """The prober, told of everything that listens.

    Args:
        parent: Component that owns it.
        settings: Names of the endpoints.
        sizing: Its size.
        context: Deployment context.
        kafka: Brokers.
        search: Search cluster.
        scrapes: Metrics of every workload but Prometheus.
        replicas: Workloads of Prometheus.
    """
    return Probes(
        PROBES,
        ProbesArgs(
            context=context,
            listeners=[
                *(metrics_listener(target) for target in scrapes),
                *(_own(context, workload) for workload in replicas),
                *(pod_listener(context, workload, "grpc", STORE_PORT) for workload in replicas),
                pod_listener(context, "kafka", "client", kafka.port, access_label=kafka.access_label),
                pod_listener(context, search.workload, "http", search.port, access_label=search.access_label),
            ],
            endpoints=_endpoints(settings, context, search, replicas),
            resources=sizing.alerting.probes,
        ),
        pulumi.ResourceOptions(parent=parent),
    )


def _own(context: DeploymentContext, workload: str) -> Listener:
    return pod_listener(context, workload, naming.METRICS_PORT, WEB_PORT, access_label=naming.METRICS_ACCESS)


def _endpoints(
    settings: Settings, context: DeploymentContext, search: SearchEndpoint, replicas: Sequence[str]
) -> list[Endpoint]:
    def endpoint(
        workload: str, port: int, path: str, module: Module, host: str = "", *, name: str = "", access: str = ""
    ) -> Endpoint:
        return Endpoint(
            name=name or workload,
            url=f"https://{context.host(workload)}:{port}{path}",
            module=module,
            workload=workload,
            port=port,
            access_label=access or naming.access_label(workload),
            host=host,
        )

    queries: Mapping[str, str] = {name: query.host for name, query in settings.traces.queries.items()}
    return [
        endpoint(GATEWAY, GATEWAY_GRPC_PORT, "/", Module.HTTP2, settings.gateway.host),
        endpoint(
            GATEWAY, GATEWAY_HTTP_PORT, "/v1/metrics", Module.CLOSED, settings.gateway.host, name=f"{GATEWAY}-http"
        ),
        endpoint(JAEGER_COLLECTOR, JAEGER_OTLP_PORT, "/", Module.HTTP2, access=JAEGER_ACCESS),
        endpoint(search.workload, search.port, "/", Module.CLOSED, access=search.access_label),
        endpoint(
            ALERTMANAGER, ALERTMANAGER_PORT, "/api/v2/status", Module.CLOSED, settings.alerting.external_endpoint.host
        ),
        *(endpoint(workload, WEB_PORT, "/api/v1/query?query=1", Module.CLOSED) for workload in replicas),
        endpoint(QUERY, QUERY_PORT, "/api/v1/query?query=1", Module.CLOSED, settings.query.host),
        endpoint(GRAFANA, GRAFANA_PORT, "/api/org", Module.CLOSED, settings.grafana.external_endpoint.host),
        endpoint(REPORT_SERVER, REPORT_SERVER_PORT, "/reports", Module.CLOSED),
        *(
            endpoint(query_workload(name), OAUTH_PORT, "/api/services", Module.CLOSED, host)
            for name, host in queries.items()
        ),
    ]
