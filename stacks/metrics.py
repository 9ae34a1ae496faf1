"""Metrics: from their topic into every Prometheus, into the object storage, and to who asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pulumi

from components.alerting.durations import milliseconds
from components.consumers.component import MetricsConsumer, MetricsConsumerArgs, consumer_name
from components.contracts import KafkaEndpoint, ObjectStorage, PrometheusEndpoint
from components.probes.component import WORKLOAD as PROBES
from components.probes.component import Probes
from components.prometheus.compactor import WORKLOAD as COMPACTOR
from components.prometheus.compactor import Compactor, CompactorArgs
from components.prometheus.component import Prometheus, PrometheusArgs
from components.prometheus.query import WORKLOAD as QUERY
from components.prometheus.query import ThanosQuery, ThanosQueryArgs
from components.prometheus.store import WORKLOAD as STORE
from components.prometheus.store import StoreEndpoint, StoreGateway, StoreGatewayArgs
from stacks import rules
from stacks.inputs import PlatformInputs
from stacks.object_storage import object_storage
from stacks.probes import probes_args
from stacks.scrapes import without_sidecars
from stacks.settings import Settings

TOKEN = "obs:platform:Metrics"  # noqa: S105  (a type token)
METRICS_PREFIX: Final = "metrics/"
ENCRYPTION: Final = "SSE-S3"
"""How the storage is asked to encrypt blocks of metrics; what we write ourselves is encrypted before it gets there."""


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
    """Consumers, prober, Prometheus replicas, and Thanos around them.

    Attributes:
        consumers: One per Prometheus.
    """

    consumers: tuple[MetricsConsumer, ...]

    def __init__(self, name: str, args: MetricsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        inputs, parent = args.inputs, pulumi.ResourceOptions(parent=self)
        objects = object_storage(inputs.settings, METRICS_PREFIX)
        self.consumers = tuple(
            MetricsConsumer(consumer_name(endpoint.replica), _consumer(inputs, args.kafka, endpoint), parent)
            for endpoint in inputs.endpoints.prometheus
        )
        probes = Probes(PROBES, probes_args(inputs), parent)
        Prometheus(
            "prometheus",
            _prometheus(inputs, probes, objects),
            pulumi.ResourceOptions(parent=self, depends_on=list(args.after)),
        )
        store = StoreGateway(STORE, _store(inputs, objects), parent)
        Compactor(COMPACTOR, _compactor(inputs, objects), parent)
        ThanosQuery(QUERY, _query(inputs, store.endpoint), parent)
        self.register_outputs({})


def _consumer(inputs: PlatformInputs, kafka: KafkaEndpoint, prometheus: PrometheusEndpoint) -> MetricsConsumerArgs:
    return MetricsConsumerArgs(
        context=inputs.context,
        kafka=kafka,
        prometheus=prometheus,
        scrape=inputs.endpoints.scrapes[consumer_name(prometheus.replica)],
        resources=inputs.sizing.consumer,
        max_message_bytes=inputs.sizing.max_message_bytes,
    )


def _prometheus(inputs: PlatformInputs, probes: Probes, objects: ObjectStorage) -> PrometheusArgs:
    settings, sizing, endpoints = inputs.settings, inputs.sizing, inputs.endpoints
    jobs = [target.job for target in without_sidecars(endpoints.scrapes, settings)]
    return PrometheusArgs(
        context=inputs.context,
        endpoints=endpoints.prometheus,
        scrapes=endpoints.scrapes,
        alert_receivers=[endpoints.alertmanager_receiver, endpoints.alert_events_receiver],
        probes=probes.jobs,
        rule_groups=rules.groups(jobs, settings, sizing, mirrored=inputs.mirrored),
        runbook_base=settings.runbook_base,
        resources=sizing.prometheus,
        sidecar_resources=sizing.sidecar,
        storage=settings.storage.prometheus,
        retention_time=settings.prometheus.retention_time,
        retention_size=settings.prometheus.retention_size,
        out_of_order_window=sizing.out_of_order_window,
        scrape_interval=sizing.scrape_interval,
        block_duration=settings.backups.metrics_block,
        objects=objects,
        encryption=ENCRYPTION,
    )


def _store(inputs: PlatformInputs, objects: ObjectStorage) -> StoreGatewayArgs:
    sizing = inputs.sizing.backups
    return StoreGatewayArgs(
        context=inputs.context,
        objects=objects,
        encryption=ENCRYPTION,
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
        encryption=ENCRYPTION,
        scrape=inputs.endpoints.scrapes[COMPACTOR],
        resources=sizing.compactor,
        storage=sizing.compactor_volume,
        keep_days=inputs.settings.backups.keep_days.metrics,
    )


def _query(inputs: PlatformInputs, store: StoreEndpoint) -> ThanosQueryArgs:
    settings, sizing = inputs.settings.query, inputs.sizing
    return ThanosQueryArgs(
        context=inputs.context,
        endpoint=inputs.endpoints.query,
        stores=inputs.endpoints.prometheus,
        gateways=[store],
        scrape=inputs.endpoints.scrapes[QUERY],
        replicas=sizing.query_replicas,
        resources=sizing.query,
        address=settings.address,
        client_cidrs=settings.client_cidrs,
        hosts=[settings.host],
    )
