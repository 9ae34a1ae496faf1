"""Every metrics endpoint of the platform: the one list that Prometheus scrapes, rules watch and the prober probes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pulumi

from components import naming
from components.agent import WORKLOAD as AGENT
from components.alertevents import PORT as ALERT_EVENTS_PORT
from components.alertevents import WORKLOAD as ALERT_EVENTS
from components.alertmanager.component import WORKLOAD as ALERTMANAGER
from components.alertmanager.config import CLOSER, CLOSER_PORT, CLOSER_PORT_NAME
from components.alertmanager.config import WEB_PORT as ALERTMANAGER_PORT
from components.audit import PORT as AUDIT_PORT
from components.audit import WORKLOAD as AUDIT
from components.backups.component import ARCHIVE_PORT, ARCHIVE_WORKLOAD, EXPORTER_PORT, EXPORTER_WORKLOAD
from components.clusterstate import PORT as CLUSTER_STATE_PORT
from components.clusterstate import VOLUMES, VOLUMES_PORT
from components.clusterstate import WORKLOAD as CLUSTER_STATE
from components.collector.config import METRICS_PORT as COLLECTOR_PORT
from components.consumers import consumer_name
from components.contracts import ScrapeTarget
from components.gateway.component import WORKLOAD as GATEWAY
from components.grafana.process import PORT as GRAFANA_PORT
from components.grafana.process import WORKLOAD as GRAFANA
from components.jaeger.collector import WORKLOAD as JAEGER_COLLECTOR
from components.jaeger.query import query_workload
from components.jaeger.reader import WORKLOAD as TRACE_READER
from components.k8s import DeploymentContext, scrape_target
from components.kafka.component import PORT as KAFKA_LAG_PORT
from components.kafka.component import WORKLOAD as KAFKA_LAG
from components.kafka.config import BROKERS, CONTROLLERS
from components.kafka.config import METRICS_PORT as KAFKA_PORT
from components.logs import PORT as LOG_INDEXER_PORT
from components.logs import WORKLOAD as LOG_INDEXER
from components.mirror.config import METRICS_PORT as MIRROR_PORT
from components.mirror.config import WORKLOAD as MIRROR
from components.postgres.component import EXPORTER_PORT as POSTGRES_PORT
from components.postgres.config import WORKLOAD as POSTGRES
from components.probes import PORT as PROBES_PORT
from components.probes import WORKLOAD as PROBES
from components.prometheus.component import SIDECAR_PORT_NAME
from components.prometheus.config import WEB_PORT as PROMETHEUS_PORT
from components.prometheus.query import COMPACTOR, STORE
from components.prometheus.query import WORKLOAD as QUERY
from components.prometheus.thanos import QUERY_PORT, SIDECAR_HTTP_PORT, STORE_HTTP_PORT, sidecar_name, workload_name
from components.regions import PORT as FAILOVER_AGENT_PORT
from components.regions import WORKLOAD as FAILOVER_AGENT
from components.reports import PORT as REPORT_SERVER_PORT
from components.reports import WORKLOAD as REPORT_SERVER
from components.sampler import WORKLOAD as SAMPLER
from components.search.access import INDEX_MANAGER
from components.search.component import PORT as INDEX_MANAGER_PORT
from components.servicegraph import PORT as SERVICE_GRAPH_PORT
from components.servicegraph import WORKLOAD as SERVICE_GRAPH
from components.shards import ruler_name, server_names
from stacks.settings import Role, Settings
from stacks.sizing import Sizing


@dataclass(frozen=True, kw_only=True)
class _Metrics:
    """Where a workload serves metrics; ``job`` is its own name unless it has several endpoints."""

    workload: str
    port: int
    job: str | None = None
    port_name: str = naming.METRICS_PORT


def scrape_targets(
    parent: pulumi.Resource, context: DeploymentContext, settings: Settings, sizing: Sizing, role: Role
) -> dict[str, ScrapeTarget]:
    """Job -> metrics endpoint of everything that runs, each with a password of its own.

    Args:
        parent: Component that owns the passwords.
        context: Deployment context.
        settings: Which optional parts there are.
        sizing: Whether there are dedicated controllers.
        role: Whether there is a mirror.
    """
    targets = (
        scrape_target(parent, context, metrics.workload, metrics.port, job=metrics.job, port_name=metrics.port_name)
        for metrics in _metrics(settings, sizing, role)
    )
    return {target.job: target for target in targets}


def without_sidecars(scrapes: Mapping[str, ScrapeTarget], settings: Settings) -> list[ScrapeTarget]:
    """Endpoints of workloads: a Thanos sidecar is part of its Prometheus, which is there too."""
    sidecars = {sidecar_name(server) for server in _servers(settings)}
    return [target for job, target in scrapes.items() if job not in sidecars]


def _servers(settings: Settings) -> tuple[str, ...]:
    return server_names(settings.prometheus.replicas, settings.prometheus.shards)


def _metrics(settings: Settings, sizing: Sizing, role: Role) -> Iterator[_Metrics]:
    def on(port: int, *workloads: str) -> Iterator[_Metrics]:
        return (_Metrics(workload=workload, port=port) for workload in workloads)

    servers = _servers(settings)
    yield from on(KAFKA_PORT, BROKERS, *([CONTROLLERS] if sizing.controllers else []))
    yield from on(KAFKA_LAG_PORT, KAFKA_LAG)
    yield from on(COLLECTOR_PORT, GATEWAY, AGENT)
    yield from on(INDEX_MANAGER_PORT, INDEX_MANAGER)
    yield from on(COLLECTOR_PORT, JAEGER_COLLECTOR, SAMPLER)
    yield from on(SERVICE_GRAPH_PORT, SERVICE_GRAPH)
    yield from on(LOG_INDEXER_PORT, LOG_INDEXER)
    yield from on(COLLECTOR_PORT, *map(query_workload, settings.traces.queries))
    yield from on(COLLECTOR_PORT, *([TRACE_READER] if settings.grafana.trace_clearance else []))
    yield from on(ALERTMANAGER_PORT, ALERTMANAGER)
    if settings.alerting.pages:
        yield _Metrics(workload=ALERTMANAGER, port=CLOSER_PORT, job=CLOSER, port_name=CLOSER_PORT_NAME)
    yield from on(ALERT_EVENTS_PORT, ALERT_EVENTS)
    yield from on(AUDIT_PORT, AUDIT)
    yield from on(CLUSTER_STATE_PORT, *([CLUSTER_STATE] if settings.cluster.state else []))
    yield from on(VOLUMES_PORT, *([VOLUMES] if settings.cluster.kubelets else []))
    yield from on(POSTGRES_PORT, *([POSTGRES] if settings.database.embedded else []))
    yield from on(GRAFANA_PORT, GRAFANA)
    yield from on(REPORT_SERVER_PORT, REPORT_SERVER)
    yield from on(ARCHIVE_PORT, ARCHIVE_WORKLOAD)
    yield from on(EXPORTER_PORT, EXPORTER_WORKLOAD)
    yield from on(STORE_HTTP_PORT, STORE, COMPACTOR)
    yield from on(FAILOVER_AGENT_PORT, *([FAILOVER_AGENT] if settings.regions.witness else []))
    yield from on(MIRROR_PORT, *([MIRROR] if settings.mirrored(role) else []))
    yield from on(COLLECTOR_PORT, *map(consumer_name, servers))
    yield from on(QUERY_PORT, QUERY)
    yield from on(PROBES_PORT, PROBES)
    if settings.prometheus.shards > 1:
        yield from on(STORE_HTTP_PORT, *map(ruler_name, settings.prometheus.replicas))
    for server in servers:
        workload = workload_name(server)
        yield _Metrics(workload=workload, port=PROMETHEUS_PORT)
        yield _Metrics(workload=workload, port=SIDECAR_HTTP_PORT, job=sidecar_name(server), port_name=SIDECAR_PORT_NAME)
