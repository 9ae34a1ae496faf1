"""Traces and logs: the search cluster, Jaeger, the samplers and the dependency map, in the order of the flow."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi

from components.contracts import Credential, KafkaEndpoint, OidcEndpoint, ScrapeTarget
from components.grafana.process import WORKLOAD as GRAFANA
from components.jaeger.collector import WORKLOAD as JAEGER_COLLECTOR
from components.jaeger.collector import JaegerCollector, JaegerCollectorArgs
from components.jaeger.query import JaegerQuery, JaegerQueryArgs, query_workload
from components.jaeger.reader import WORKLOAD as TRACE_READER
from components.jaeger.reader import JaegerReader, JaegerReaderArgs
from components.k8s import DeploymentContext
from components.logs.component import WORKLOAD as LOG_INDEXER
from components.logs.component import LogIndexer, LogIndexerArgs
from components.sampler.component import WORKLOAD as SAMPLER
from components.sampler.component import Sampler, SamplerArgs
from components.search.access import (
    SearchUser,
    dependency_writer,
    log_reader,
    log_writer,
    trace_reader,
    trace_writer,
)
from components.search.component import Search, SearchArgs
from components.search.config import Engine
from components.search.indices import DEPENDENCIES, LOGS, IndexPolicy, trace_alias
from components.servicegraph.component import WORKLOAD as SERVICE_GRAPH
from components.servicegraph.component import ServiceGraph, ServiceGraphArgs
from components.telemetry.classification import CLASSES
from components.telemetry.layers import Signal
from stacks.recovery import search_users
from stacks.secrets import identity_secrets
from stacks.settings import Settings
from stacks.sizing import Sizing

LOG_READER = "log-reader"
_MAP_CLASS = "internal"
"""Class of the dependency map: how services hang together is not for the public."""
GROUPS = {SAMPLER: Signal.TRACES, SERVICE_GRAPH: Signal.TRACES, LOG_INDEXER: Signal.LOGS}
"""Consumer group -> the signal that it reads."""


class Traces:
    """Everything between the topics of traces and logs and the people who read them.

    Attributes:
        search: Search cluster, also of the logs.
        collector: Writes the kept traces.
        queries: Clearance -> where its traces are read.
        reader: Where Grafana reads traces, or None.
        scrapes: Metrics of all of these.
    """

    def __init__(
        self,
        parent: pulumi.Resource,
        settings: Settings,
        sizing: Sizing,
        context: DeploymentContext,
        kafka: KafkaEndpoint,
    ) -> None:
        self._options = pulumi.ResourceOptions(parent=parent)
        self._settings, self._sizing, self._context = settings, sizing, context
        self.search = self._search()
        self.collector = JaegerCollector(
            JAEGER_COLLECTOR,
            JaegerCollectorArgs(
                context=context,
                search=self.search.endpoint,
                replicas=sizing.traces.collectors,
                resources=sizing.traces.collector,
                autoscale=sizing.traces.collector_autoscale,
            ),
            self._options,
        )
        sampler = Sampler(
            SAMPLER,
            SamplerArgs(
                context=context,
                kafka=kafka,
                traces=self.collector.endpoint,
                replicas=sizing.traces.samplers,
                resources=sizing.traces.sampler,
                max_message_bytes=sizing.max_message_bytes,
                policy=sizing.traces.sampling,
            ),
            self._options,
        )
        graph = ServiceGraph(
            SERVICE_GRAPH,
            ServiceGraphArgs(
                context=context,
                kafka=kafka,
                search=self.search.endpoint,
                index=trace_alias(_MAP_CLASS, DEPENDENCIES, "write"),
                resources=sizing.traces.graph,
            ),
            self._options,
        )
        indexer = LogIndexer(
            LOG_INDEXER,
            LogIndexerArgs(
                context=context,
                kafka=kafka,
                search=self.search.endpoint,
                index=f"{LOGS}-write",
                replicas=sizing.traces.indexers,
                resources=sizing.traces.indexer,
            ),
            self._options,
        )
        self.reader = self._reader()
        self._identity = identity_secrets(tool=settings.traces.identity.tool_client_id is not None)
        self.queries = self._queries(self._provider())
        self.scrapes: tuple[ScrapeTarget, ...] = (
            self.search.scrape,
            self.collector.scrape,
            sampler.scrape,
            graph.scrape,
            indexer.scrape,
            *(query.scrape for query in self.queries.values()),
            *([self.reader.scrape] if self.reader else []),
        )

    @property
    def log_reader(self) -> Credential:
        """May read the logs."""
        return self.search.endpoint.users[LOG_READER]

    @property
    def login(self) -> Mapping[str, pulumi.Input[str]] | None:
        """How the command line tools sign in, where they have a client of their own."""
        provider = self._settings.traces.identity
        if provider.tool_client_id is None:
            return None
        return {
            "issuer": provider.issuer,
            "client_id": provider.tool_client_id,
            "client_secret": self._identity.tool_secret,
            "authority": self._identity.authority,
        }

    def _search(self) -> Search:
        sizing, kept = self._sizing.traces, self._settings.search
        return Search(
            "search",
            SearchArgs(
                context=self._context,
                engine=Engine(kept.engine),
                nodes=sizing.search_nodes,
                size=sizing.search_node(self._settings.storage.search),
                users=(*_search_users(self._settings.grafana.trace_clearance), *search_users(self._settings)),
                traces=IndexPolicy(
                    shards=sizing.span_shards, replicas=sizing.index_replicas, retention_days=kept.trace_days
                ),
                logs=IndexPolicy(
                    shards=sizing.log_shards, replicas=sizing.index_replicas, retention_days=kept.log_days
                ),
                snapshots=None,
                index_manager=sizing.index_manager,
                index_manager_interval_s=sizing.index_manager_interval_s,
            ),
            self._options,
        )

    def _reader(self) -> JaegerReader | None:
        clearance = self._settings.grafana.trace_clearance
        if clearance is None:
            return None
        return JaegerReader(
            TRACE_READER,
            JaegerReaderArgs(
                context=self._context,
                clearance=clearance,
                search=self.search.endpoint,
                replicas=self._sizing.visualization.trace_readers,
                resources=self._sizing.visualization.trace_reader,
            ),
            self._options,
        )

    def _provider(self) -> OidcEndpoint:
        provider = self._settings.traces.identity
        return OidcEndpoint(
            issuer=provider.issuer,
            port=provider.port,
            client_id=provider.client_id,
            client_secret=self._identity.client_secret,
            networks=provider.networks,
            authority=self._identity.authority,
        )

    def _queries(self, oidc: OidcEndpoint) -> dict[str, JaegerQuery]:
        sizing = self._sizing.traces
        return {
            clearance: JaegerQuery(
                query_workload(clearance),
                JaegerQueryArgs(
                    context=self._context,
                    clearance=clearance,
                    search=self.search.endpoint,
                    oidc=oidc,
                    groups=self._settings.traces.groups,
                    replicas=sizing.queries,
                    resources=sizing.query,
                    proxy_resources=sizing.proxy,
                    address=external_endpoint.address,
                    client_cidrs=external_endpoint.client_cidrs,
                    hosts=[external_endpoint.host],
                    autoscale=sizing.query_autoscale,
                ),
                self._options,
            )
            for clearance, external_endpoint in self._settings.traces.queries.items()
        }


def _search_users(grafana_clearance: str | None) -> tuple[SearchUser, ...]:
    """Every client of the search cluster, with the least that it needs; Grafana reads traces up to a class."""
    return (
        trace_writer(JAEGER_COLLECTOR),
        *(trace_reader(query_workload(clearance), clearance) for clearance in CLASSES),
        dependency_writer(SERVICE_GRAPH),
        log_writer(LOG_INDEXER),
        log_reader(LOG_READER),
        log_reader(GRAFANA),
        *([trace_reader(TRACE_READER, grafana_clearance)] if grafana_clearance else []),
    )
