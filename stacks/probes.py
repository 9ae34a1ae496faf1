"""What is probed: every listener for its certificate, and every entrance for its answer to a stranger."""

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
from components.identity.component import WORKLOAD as IDENTITY
from components.identity.config import PORT as IDENTITY_PORT
from components.jaeger.collector import ACCESS as JAEGER_ACCESS
from components.jaeger.collector import WORKLOAD as JAEGER_COLLECTOR
from components.jaeger.config import OTLP_PORT as JAEGER_OTLP_PORT
from components.jaeger.oauth import OAUTH_PORT
from components.jaeger.query import query_workload
from components.k8s import Site
from components.probes.component import WORKLOAD as PROBES
from components.probes.component import Probes, ProbesArgs
from components.probes.targets import Entrance, Listener, Module, metrics_listener, pod_listener
from components.prometheus.config import WEB_PORT
from components.prometheus.query import WORKLOAD as QUERY
from components.prometheus.thanos import GRPC_PORT as STORE_PORT
from components.prometheus.thanos import QUERY_PORT
from components.reports.shelf import PORT as SHELF_PORT
from components.reports.shelf import WORKLOAD as SHELF
from stacks.profile import Profile
from stacks.settings import Settings


def probes(
    parent: pulumi.Resource,
    settings: Settings,
    sizes: Profile,
    site: Site,
    *,
    kafka: KafkaEndpoint,
    search: SearchEndpoint,
    scrapes: Sequence[ScrapeTarget],
    replicas: Sequence[str],
) -> Probes:
    """The prober, told of everything that listens.

    Args:
        parent: Component that owns it.
        settings: Names of the entrances.
        sizes: Its size.
        site: Surroundings.
        kafka: Brokers.
        search: Search cluster.
        scrapes: Metrics of every workload but Prometheus.
        replicas: Workloads of Prometheus.
    """
    return Probes(
        PROBES,
        ProbesArgs(
            site=site,
            listeners=[
                *(metrics_listener(target) for target in scrapes),
                *(_own(site, workload) for workload in replicas),
                *(pod_listener(site, workload, "grpc", STORE_PORT) for workload in replicas),
                pod_listener(site, "kafka", "client", kafka.port, access_label=kafka.access_label),
                pod_listener(site, search.workload, "http", search.port, access_label=search.access_label),
            ],
            entrances=_entrances(settings, site, search, replicas),
            resources=sizes.alerting.probes,
        ),
        pulumi.ResourceOptions(parent=parent),
    )


def _own(site: Site, workload: str) -> Listener:
    return pod_listener(site, workload, naming.METRICS_PORT, WEB_PORT, access_label=naming.METRICS_ACCESS)


def _entrances(settings: Settings, site: Site, search: SearchEndpoint, replicas: Sequence[str]) -> list[Entrance]:
    def entrance(
        workload: str, port: int, path: str, module: Module, host: str = "", *, name: str = "", access: str = ""
    ) -> Entrance:
        return Entrance(
            name=name or workload,
            url=f"https://{site.host(workload)}:{port}{path}",
            module=module,
            workload=workload,
            port=port,
            access_label=access or naming.access_label(workload),
            host=host,
        )

    queries: Mapping[str, str] = {name: each.host for name, each in settings.traces.queries.items()}
    return [
        entrance(GATEWAY, GATEWAY_GRPC_PORT, "/", Module.HTTP2, settings.gateway.host),
        entrance(
            GATEWAY, GATEWAY_HTTP_PORT, "/v1/metrics", Module.CLOSED, settings.gateway.host, name=f"{GATEWAY}-http"
        ),
        entrance(JAEGER_COLLECTOR, JAEGER_OTLP_PORT, "/", Module.HTTP2, access=JAEGER_ACCESS),
        entrance(search.workload, search.port, "/", Module.CLOSED, access=search.access_label),
        entrance(ALERTMANAGER, ALERTMANAGER_PORT, "/api/v2/status", Module.CLOSED, settings.alerting.entrance.host),
        *(entrance(workload, WEB_PORT, "/api/v1/query?query=1", Module.CLOSED) for workload in replicas),
        entrance(QUERY, QUERY_PORT, "/api/v1/query?query=1", Module.CLOSED, settings.query.host),
        entrance(GRAFANA, GRAFANA_PORT, "/api/org", Module.CLOSED, settings.grafana.entrance.host),
        entrance(SHELF, SHELF_PORT, "/reports", Module.CLOSED),
        *(
            entrance(query_workload(name), OAUTH_PORT, "/api/services", Module.CLOSED, host)
            for name, host in queries.items()
        ),
        *(
            [entrance(IDENTITY, IDENTITY_PORT, "/.well-known/openid-configuration", Module.OPEN, double.host)]
            if (double := settings.traces.identity.double)
            else []
        ),
    ]
