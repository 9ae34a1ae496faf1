"""What is probed: certificates of listeners, and how endpoints answer an unauthenticated request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from components import naming
from components.alertmanager.component import WORKLOAD as ALERTMANAGER
from components.alertmanager.process import WEB_PORT as ALERTMANAGER_PORT
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
from components.kafka.config import BROKERS
from components.kafka.config import CLIENT_PORT as KAFKA_PORT
from components.probes.component import WORKLOAD as PROBES
from components.probes.component import ProbesArgs
from components.probes.targets import Endpoint, Module, metrics_listener, pod_listener
from components.prometheus.config import WEB_PORT
from components.prometheus.query import WORKLOAD as QUERY
from components.prometheus.thanos import GRPC_PORT as STORE_PORT
from components.prometheus.thanos import QUERY_PORT
from components.reports.component import PORT as REPORT_SERVER_PORT
from components.reports.component import WORKLOAD as REPORT_SERVER
from components.search.config import HTTP_PORT as SEARCH_PORT
from components.search.config import WORKLOAD as SEARCH
from stacks.inputs import PlatformInputs
from stacks.scrapes import without_sidecars
from stacks.settings import Settings


def probes_args(inputs: PlatformInputs) -> ProbesArgs:
    """Everything that listens, for the prober, but for the prober itself."""
    settings, context, scrapes = inputs.settings, inputs.context, inputs.endpoints.scrapes
    replicas = [endpoint.workload for endpoint in inputs.endpoints.prometheus]
    return ProbesArgs(
        context=context,
        scrape=scrapes[PROBES],
        listeners=[
            *(metrics_listener(target) for target in without_sidecars(scrapes, settings) if target.job != PROBES),
            *(pod_listener(context, workload, "grpc", STORE_PORT) for workload in replicas),
            pod_listener(context, BROKERS, "client", KAFKA_PORT),
            pod_listener(context, SEARCH, "http", SEARCH_PORT),
        ],
        endpoints=_endpoints(settings, context, replicas),
        resources=inputs.sizing.alerting.probes,
    )


def _endpoints(settings: Settings, context: DeploymentContext, replicas: Sequence[str]) -> list[Endpoint]:
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
        endpoint(SEARCH, SEARCH_PORT, "/", Module.CLOSED),
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
