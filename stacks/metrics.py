"""Metrics: from their topic into every Prometheus, into the object storage, and to who asks for them.

And what is probed: certificates of listeners, and how endpoints answer an unauthenticated request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components import naming
from components.alerting.escalation import milliseconds
from components.alertmanager.component import WORKLOAD as ALERTMANAGER
from components.alertmanager.config import WEB_PORT as ALERTMANAGER_PORT
from components.consumers import MetricsConsumer, MetricsConsumerArgs, consumer_name
from components.contracts import Credential, KafkaEndpoint, ObjectStorage, PrometheusEndpoint
from components.gateway.component import WORKLOAD as GATEWAY
from components.gateway.config import GRPC_PORT as GATEWAY_GRPC_PORT
from components.gateway.config import HTTP_PORT as GATEWAY_HTTP_PORT
from components.grafana.process import PORT as GRAFANA_PORT
from components.grafana.process import WORKLOAD as GRAFANA
from components.jaeger.collector import ACCESS as JAEGER_ACCESS
from components.jaeger.collector import WORKLOAD as JAEGER_COLLECTOR
from components.jaeger.config import OTLP_PORT as JAEGER_OTLP_PORT
from components.jaeger.query import query_workload
from components.k8s import DeploymentContext
from components.kafka.config import BROKERS
from components.kafka.config import CLIENT_PORT as KAFKA_PORT
from components.login_proxy import OAUTH_PORT, PORT_NAME
from components.probes import WORKLOAD as PROBES
from components.probes import Endpoint, Module, Probes, ProbesArgs, metrics_listener, pod_listener
from components.prometheus.component import Prometheus, PrometheusArgs
from components.prometheus.config import WEB_PORT
from components.prometheus.query import (
    COMPACTOR,
    STORE,
    Compactor,
    CompactorArgs,
    StoreEndpoint,
    StoreGateway,
    StoreGatewayArgs,
    ThanosQuery,
    ThanosQueryArgs,
)
from components.prometheus.query import WORKLOAD as QUERY
from components.prometheus.ruler import Ruler, RulerArgs
from components.prometheus.thanos import GRPC_PORT as STORE_PORT
from components.prometheus.thanos import QUERY_PORT
from components.reports import PORT as REPORT_SERVER_PORT
from components.reports import WORKLOAD as REPORT_SERVER
from components.rules import Reads, RuleGroup
from components.search.config import HTTP_PORT as SEARCH_PORT
from components.search.config import WORKLOAD as SEARCH
from components.shards import ruler_name
from components.signin import ALERTS_LOGIN, LOGINS, METRICS_LOGIN
from components.storage_roles import METRICS_PREFIX, StorageRole
from stacks import rules
from stacks.endpoints import PlatformInputs, load_balancer_options
from stacks.scrapes import without_sidecars
from stacks.secrets import object_storage
from stacks.settings import Settings

TOKEN = "obs:platform:Metrics"  # noqa: S105  (a type token)


def block_s(settings: Settings) -> int:
    """Seconds that a block of metrics covers."""
    return milliseconds(settings.backups.metrics_block) // 1000


@dataclass(frozen=True, kw_only=True)
class MetricsArgs:
    """What metrics need.

    Attributes:
        inputs: What every part is built from.
        kafka: Where metrics come from.
        after: What is there before a Prometheus raises its first alert.
    """

    inputs: PlatformInputs
    kafka: KafkaEndpoint
    after: tuple[pulumi.Resource, ...]


class Metrics(pulumi.ComponentResource):
    """Consumers, prober, Prometheus servers, and Thanos around them.

    Attributes:
        consumers: One per Prometheus.
    """

    consumers: tuple[MetricsConsumer, ...]

    def __init__(self, name: str, args: MetricsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        inputs, parent = args.inputs, pulumi.ResourceOptions(parent=self)
        written, read, compacted = (
            object_storage(inputs.settings, METRICS_PREFIX, role)
            for role in (StorageRole.METRICS_WRITER, StorageRole.METRICS_READER, StorageRole.METRICS_COMPACTOR)
        )
        probes = Probes(PROBES, probes_args(inputs), parent)
        by_reader = rules.divided(_rule_groups(inputs), inputs.settings.prometheus.shards)
        rulers = self._rulers(inputs, by_reader[Reads.LAYERS], written, args.after)
        prometheus = Prometheus(
            "prometheus",
            _prometheus(inputs, probes, by_reader, written),
            # Where shards are added, the rulers have taken over before Prometheus gives rules away.
            pulumi.ResourceOptions(parent=self, depends_on=[*args.after, *(ruler.pods for ruler in rulers)]),
        )
        self.consumers = self._consumers(inputs, args.kafka, prometheus)
        store = StoreGateway(STORE, _store(inputs, read), parent)
        Compactor(COMPACTOR, _compactor(inputs, compacted), parent)
        ThanosQuery(QUERY, _query(inputs, (store.endpoint, *(ruler.endpoint for ruler in rulers))), parent)
        self.register_outputs({})

    def _consumers(
        self, inputs: PlatformInputs, kafka: KafkaEndpoint, prometheus: Prometheus
    ) -> tuple[MetricsConsumer, ...]:
        """The consumers; those of the first shard wait for the others, and for what these write to.

        By their word partitions are divided anew, so that nothing has to wait for anybody then.
        """
        consumers: list[MetricsConsumer] = []
        for endpoint in reversed(inputs.endpoints.prometheus):
            others = [one for one in consumers if one.shard] if endpoint.shard == 0 else []
            consumer = MetricsConsumer(
                consumer_name(endpoint.server),
                _consumer(inputs, kafka, endpoint),
                pulumi.ResourceOptions(parent=self, depends_on=[*others, *([prometheus] if others else [])]),
            )
            consumers.insert(0, consumer)
        return tuple(consumers)

    def _rulers(
        self,
        inputs: PlatformInputs,
        groups: Sequence[RuleGroup],
        objects: ObjectStorage,
        after: Sequence[pulumi.Resource],
    ) -> tuple[Ruler, ...]:
        """One for each replica where there are rules for them, updated one after the other."""
        rulers: list[Ruler] = []
        user = inputs.endpoints.query.ruler
        if user is None:
            return ()
        for replica in inputs.settings.prometheus.replicas:
            before = tuple(ruler.pods for ruler in rulers[-1:])
            rulers.append(
                Ruler(
                    ruler_name(replica),
                    _ruler(inputs, replica, user, groups, objects, before),
                    pulumi.ResourceOptions(parent=self, depends_on=list(after)),
                )
            )
        return tuple(rulers)


def _rule_groups(inputs: PlatformInputs) -> tuple[RuleGroup, ...]:
    jobs = [target.job for target in without_sidecars(inputs.endpoints.scrapes, inputs.settings)]
    ruled = inputs.settings.prometheus.shards > 1
    return rules.groups(jobs, inputs.settings, inputs.sizing, mirrored=inputs.mirrored, ruled=ruled)


def _ruler(
    inputs: PlatformInputs,
    replica: str,
    user: Credential,
    groups: Sequence[RuleGroup],
    objects: ObjectStorage,
    after: Sequence[pulumi.Resource],
) -> RulerArgs:
    settings, endpoints = inputs.settings, inputs.endpoints
    return RulerArgs(
        context=inputs.context,
        replica=replica,
        query=endpoints.query,
        user=user,
        alert_receivers=[endpoints.alertmanager_receiver, endpoints.alert_events_receiver],
        rule_groups=groups,
        runbook_base=settings.runbook_base,
        scrape=endpoints.scrapes[ruler_name(replica)],
        resources=inputs.sizing.ruler,
        storage=inputs.sizing.ruler_volume,
        objects=objects,
        encryption=settings.object_storage.encryption,
        block_duration=settings.backups.metrics_block,
        after=after,
    )


def _consumer(inputs: PlatformInputs, kafka: KafkaEndpoint, prometheus: PrometheusEndpoint) -> MetricsConsumerArgs:
    return MetricsConsumerArgs(
        context=inputs.context,
        kafka=kafka,
        prometheus=prometheus,
        shards=inputs.settings.prometheus.shards,
        scrape=inputs.endpoints.scrapes[consumer_name(prometheus.server)],
        resources=inputs.sizing.consumer,
    )


def _prometheus(
    inputs: PlatformInputs, probes: Probes, by_reader: Mapping[Reads, tuple[RuleGroup, ...]], objects: ObjectStorage
) -> PrometheusArgs:
    settings, sizing, endpoints = inputs.settings, inputs.sizing, inputs.endpoints
    return PrometheusArgs(
        context=inputs.context,
        endpoints=endpoints.prometheus,
        scrapes=endpoints.scrapes,
        alert_receivers=[endpoints.alertmanager_receiver, endpoints.alert_events_receiver],
        probes=probes.jobs,
        rule_groups=by_reader[Reads.PLATFORM],
        shard_rule_groups=by_reader[Reads.SHARD],
        runbook_base=settings.runbook_base,
        resources=sizing.prometheus,
        sidecar_resources=sizing.sidecar,
        storage=settings.storage.prometheus,
        retention_time=settings.prometheus.retention_time,
        retention_size=settings.prometheus.retention_size,
        out_of_order_window=sizing.out_of_order_window,
        scrape_interval=sizing.scrape_interval,
        gogc=sizing.prometheus_gogc,
        block_duration=settings.backups.metrics_block,
        objects=objects,
        encryption=settings.object_storage.encryption,
    )


def _store(inputs: PlatformInputs, objects: ObjectStorage) -> StoreGatewayArgs:
    sizing = inputs.sizing.backups
    return StoreGatewayArgs(
        context=inputs.context,
        objects=objects,
        encryption=inputs.settings.object_storage.encryption,
        scrape=inputs.endpoints.scrapes[STORE],
        replicas=sizing.stores,
        resources=sizing.store,
        storage=sizing.store_volume,
        index_cache=sizing.index_cache,
        chunk_pool=sizing.chunk_pool,
        serves_after=sizing.serves_after,
    )


def _compactor(inputs: PlatformInputs, objects: ObjectStorage) -> CompactorArgs:
    sizing = inputs.sizing.backups
    return CompactorArgs(
        context=inputs.context,
        objects=objects,
        encryption=inputs.settings.object_storage.encryption,
        scrape=inputs.endpoints.scrapes[COMPACTOR],
        resources=sizing.compactor,
        storage=sizing.compactor_volume,
        keep_days=inputs.settings.backups.keep_days.metrics,
    )


def _query(inputs: PlatformInputs, gateways: Sequence[StoreEndpoint]) -> ThanosQueryArgs:
    settings, sizing = inputs.settings.query, inputs.sizing
    return ThanosQueryArgs(
        context=inputs.context,
        endpoint=inputs.endpoints.query,
        stores=inputs.endpoints.prometheus,
        gateways=gateways,
        scrape=inputs.endpoints.scrapes[QUERY],
        replicas=sizing.query_replicas,
        resources=sizing.query,
        address=settings.address,
        client_cidrs=settings.client_cidrs,
        load_balancer=load_balancer_options(inputs.settings, settings),
        hosts=[settings.host],
    )


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
            *(pod_listener(context, login, PORT_NAME, OAUTH_PORT) for login in LOGINS if settings.sign_in),
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

    sign_in = settings.sign_in
    logins = (
        (
            (METRICS_LOGIN, "/api/v1/query?query=1", sign_in.metrics.host),
            (ALERTS_LOGIN, "/api/v2/status", sign_in.alerts.host),
        )
        if sign_in
        else ()
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
        *(endpoint(name, OAUTH_PORT, path, Module.CLOSED, host) for name, path, host in logins),
        *(
            endpoint(query_workload(name), OAUTH_PORT, "/api/services", Module.CLOSED, host)
            for name, host in queries.items()
        ),
    ]
