"""Traces and logs: from their topics through samplers, service graph and log indexer to who reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from components.backups.config import USER as BACKUP_USER
from components.contracts import KafkaEndpoint, OidcEndpoint, SearchEndpoint, TraceReaderEndpoint
from components.grafana.process import WORKLOAD as GRAFANA
from components.jaeger.collector import WORKLOAD as JAEGER_COLLECTOR
from components.jaeger.collector import JaegerCollector, JaegerCollectorArgs
from components.jaeger.query import JaegerQuery, JaegerQueryArgs, query_workload
from components.jaeger.reader import WORKLOAD as TRACE_READER
from components.jaeger.reader import JaegerReader, JaegerReaderArgs
from components.logs import WORKLOAD as LOG_INDEXER
from components.logs import LogIndexer, LogIndexerArgs
from components.sampler import WORKLOAD as SAMPLER
from components.sampler import Sampler, SamplerArgs
from components.search.access import (
    INDEX_MANAGER,
    SearchUser,
    backup_reader,
    dependency_writer,
    log_reader,
    log_writer,
    trace_reader,
    trace_writer,
)
from components.search.component import Search, SearchArgs
from components.search.config import Engine
from components.search.indices import DEPENDENCIES, LOGS, IndexPolicy, trace_alias
from components.servicegraph import WORKLOAD as SERVICE_GRAPH
from components.servicegraph import ServiceGraph, ServiceGraphArgs
from components.telemetry.attributes import CLASSES
from stacks.backups import EXPORTED
from stacks.endpoints import PlatformInputs, load_balancer_options
from stacks.secrets import IdentitySecrets, identity_secrets
from stacks.settings import Settings
from stacks.stage_settings import Identity

TOKEN = "obs:platform:Traces"  # noqa: S105  (a type token)
LOG_READER = "log-reader"
_MAP_CLASS = "internal"
"""Class of the dependency map: how services hang together is not for the public."""


@dataclass(frozen=True, kw_only=True)
class TracesArgs:
    """What traces and logs need.

    Attributes:
        inputs: What every part is built from.
        kafka: Where spans and logs come from.
    """

    inputs: PlatformInputs
    kafka: KafkaEndpoint


class Traces(pulumi.ComponentResource):
    """Everything between the topics of traces and logs and the people who read them.

    Attributes:
        search: Search cluster, also of the logs. It comes first: who writes into it waits for it.
        queries: Clearance -> where its traces are read.
        oidc: Where people sign in, or None.
        login: How the command line tools sign in, where they have a client of their own.
    """

    search: Search
    queries: Mapping[str, JaegerQuery]
    oidc: OidcEndpoint | None
    login: Mapping[str, pulumi.Input[str]] | None

    def __init__(self, name: str, args: TracesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        inputs, parent = args.inputs, pulumi.ResourceOptions(parent=self)
        settings = inputs.settings
        provider = settings.traces.identity
        self.oidc, self.login = None, None
        if provider:
            secrets = identity_secrets(tool=provider.tool_client_id is not None)
            self.oidc, self.login = _provider(provider, secrets), _login(provider, secrets)
        self.search = Search("search", _search(inputs), parent)
        search = self.search.endpoint
        Sampler(SAMPLER, _sampler(inputs, args.kafka), parent)
        JaegerCollector(JAEGER_COLLECTOR, _collector(inputs, search), parent)
        ServiceGraph(SERVICE_GRAPH, _graph(inputs, args.kafka, search), parent)
        LogIndexer(LOG_INDEXER, _indexer(inputs, args.kafka, search), parent)
        self.queries = {
            clearance: JaegerQuery(query_workload(clearance), _query(inputs, search, self.oidc, clearance), parent)
            for clearance in settings.traces.queries
            if self.oidc
        }
        if settings.grafana.trace_clearance and inputs.endpoints.trace_reader:
            reader = _reader(inputs, inputs.endpoints.trace_reader, search, settings.grafana.trace_clearance)
            JaegerReader(TRACE_READER, reader, parent)
        self.register_outputs({})


def _login(provider: Identity, secrets: IdentitySecrets) -> Mapping[str, pulumi.Input[str]] | None:
    if provider.tool_client_id is None:
        return None
    return {
        "issuer": provider.issuer,
        "client_id": provider.tool_client_id,
        "client_secret": secrets.tool_secret,
        "authority": secrets.authority,
    }


def _search(inputs: PlatformInputs) -> SearchArgs:
    settings, sizing = inputs.settings, inputs.sizing.traces
    return SearchArgs(
        context=inputs.context,
        scrape=inputs.endpoints.scrapes[INDEX_MANAGER],
        engine=Engine(settings.search.engine),
        nodes=sizing.search_nodes,
        size=sizing.search_node(settings.storage.search),
        users=_search_users(settings),
        traces=IndexPolicy(
            shards=sizing.span_shards, replicas=sizing.index_replicas, retention_days=settings.search.trace_days
        ),
        logs=IndexPolicy(
            shards=sizing.log_shards, replicas=sizing.index_replicas, retention_days=settings.search.log_days
        ),
        index_manager=sizing.index_manager,
        index_manager_interval_s=sizing.index_manager_interval_s,
    )


def _search_users(settings: Settings) -> tuple[SearchUser, ...]:
    """Every client of the search cluster, with the least that it needs; Grafana reads traces up to a class."""
    clearance = settings.grafana.trace_clearance
    return (
        trace_writer(JAEGER_COLLECTOR),
        *(trace_reader(query_workload(name), name) for name in CLASSES if name in settings.traces.queries),
        dependency_writer(SERVICE_GRAPH),
        log_writer(LOG_INDEXER),
        log_reader(LOG_READER, people=True),
        log_reader(GRAFANA),
        *([trace_reader(TRACE_READER, clearance)] if clearance else []),
        *([backup_reader(BACKUP_USER, EXPORTED)] if settings.backups.search else []),
    )


def _sampler(inputs: PlatformInputs, kafka: KafkaEndpoint) -> SamplerArgs:
    return SamplerArgs(
        context=inputs.context,
        scrape=inputs.endpoints.scrapes[SAMPLER],
        kafka=kafka,
        traces=inputs.endpoints.traces,
        replicas=inputs.sizing.traces.samplers,
        resources=inputs.sizing.traces.sampler,
        policy=inputs.sizing.traces.sampling,
    )


def _collector(inputs: PlatformInputs, search: SearchEndpoint) -> JaegerCollectorArgs:
    return JaegerCollectorArgs(
        context=inputs.context,
        endpoint=inputs.endpoints.traces,
        scrape=inputs.endpoints.scrapes[JAEGER_COLLECTOR],
        search=search,
        replicas=inputs.sizing.traces.collectors,
        resources=inputs.sizing.traces.collector,
        autoscale=inputs.sizing.traces.collector_autoscale,
    )


def _graph(inputs: PlatformInputs, kafka: KafkaEndpoint, search: SearchEndpoint) -> ServiceGraphArgs:
    return ServiceGraphArgs(
        context=inputs.context,
        scrape=inputs.endpoints.scrapes[SERVICE_GRAPH],
        kafka=kafka,
        search=search,
        index=trace_alias(_MAP_CLASS, DEPENDENCIES, "write"),
        resources=inputs.sizing.traces.graph,
    )


def _indexer(inputs: PlatformInputs, kafka: KafkaEndpoint, search: SearchEndpoint) -> LogIndexerArgs:
    return LogIndexerArgs(
        context=inputs.context,
        scrape=inputs.endpoints.scrapes[LOG_INDEXER],
        kafka=kafka,
        search=search,
        index=f"{LOGS}-write",
        replicas=inputs.sizing.traces.indexers,
        resources=inputs.sizing.traces.indexer,
    )


def _provider(provider: Identity, secrets: IdentitySecrets) -> OidcEndpoint:
    """The provider that people sign in at."""
    return OidcEndpoint(
        issuer=provider.issuer,
        port=provider.port,
        client_id=provider.client_id,
        client_secret=secrets.client_secret,
        networks=provider.networks,
        authority=secrets.authority,
    )


def _query(inputs: PlatformInputs, search: SearchEndpoint, oidc: OidcEndpoint, clearance: str) -> JaegerQueryArgs:
    settings, sizing = inputs.settings.traces, inputs.sizing.traces
    external_endpoint = settings.queries[clearance]
    return JaegerQueryArgs(
        context=inputs.context,
        scrape=inputs.endpoints.scrapes[query_workload(clearance)],
        clearance=clearance,
        search=search,
        oidc=oidc,
        groups=settings.groups,
        replicas=sizing.queries,
        resources=sizing.query,
        proxy_resources=sizing.proxy,
        address=external_endpoint.address,
        client_cidrs=external_endpoint.client_cidrs,
        load_balancer=load_balancer_options(inputs.settings, external_endpoint),
        hosts=[external_endpoint.host],
        autoscale=sizing.query_autoscale,
    )


def _reader(
    inputs: PlatformInputs, endpoint: TraceReaderEndpoint, search: SearchEndpoint, clearance: str
) -> JaegerReaderArgs:
    return JaegerReaderArgs(
        context=inputs.context,
        endpoint=endpoint,
        scrape=inputs.endpoints.scrapes[TRACE_READER],
        clearance=clearance,
        search=search,
        replicas=inputs.sizing.visualization.trace_readers,
        resources=inputs.sizing.visualization.trace_reader,
    )
