"""What each signal passes, and how many items have arrived at each end of it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from components.consumers import consumer_name
from components.gateway.component import WORKLOAD as GATEWAY
from components.logs import WORKLOAD as LOG_INDEXER
from components.sampler import POLICIES
from components.sampler import WORKLOAD as SAMPLER
from components.search.indices import LOGS_REFRESH_S
from components.telemetry.layers import Signal
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import wait_until
from ops.loadtest.bench_requests import ENVIRONMENT, Batch, samples_query
from ops.telemetry.logs import SEARCH, SEARCH_PORT, LogReader, of_origin

_TAIL = "otelcol_processor_tail_sampling"
_READ = f'otelcol_receiver_accepted_spans_total{{job="{SAMPLER}"}}'
_TAKEN = f'otelcol_receiver_accepted_spans_total{{job="{GATEWAY}",receiver="otlp"}}'
_DECIDED = f'{_TAIL}_global_count_traces_sampled_total{{job="{SAMPLER}"}}'
_KEPT = f'sum by (policy) ({_TAIL}_count_traces_sampled_total{{job="{SAMPLER}",sampled="true"}})'
_JAEGER = 'job="jaeger-collector"'
_COUNTERS = {
    "traces decided": f"sum({_DECIDED})",
    "traces dropped undecided": f'sum({_TAIL}_sampling_trace_dropped_too_early_total{{job="{SAMPLER}"}})',
    "Jaeger: spans accepted": f"sum(otelcol_receiver_accepted_spans_total{{{_JAEGER}}})",
    "Jaeger: spans refused": f"sum(otelcol_receiver_refused_spans_total{{{_JAEGER}}})",
    "Jaeger: documents written": f"sum(jaeger_storage_bulk_index_inserts_total{{{_JAEGER}}})",
    "Jaeger: documents refused": f"sum(jaeger_storage_bulk_index_errors_total{{{_JAEGER}}})",
}
_SCRAPED_S = 60.0
_GONE_S = 60
"""Seconds before a mark in which a gateway that is gone may have been scraped for the last time."""


@dataclass(frozen=True)
class Mark:
    """A moment from which arrivals are counted: seconds since 1970, and counters that were read then."""

    at: float
    counters: Mapping[str, float]


class Path(Protocol):
    """The way of one signal."""

    item: str
    """What is counted, plural."""
    workloads: tuple[str, ...]
    """Workloads that it passes, in this order."""
    groups: tuple[str, ...]
    """Consumer groups that read it on its way to its ends."""
    delay_s: float
    """How old an answer of `arrived` may be: it must not be taken for a lag of the platform."""

    def mark(self) -> Mark:
        """Begin to count."""

    def arrived(self, mark: Mark, acknowledged: int, ended: float) -> dict[str, float]:
        """Items of a load that have arrived since the mark, by end of the path.

        Args:
            mark: From before the load.
            acknowledged: Items that the server took.
            ended: When the load ended, seconds since 1970.
        """

    def tolerance(self) -> float:
        """Items by which a count may be wrong, since others send, too, and counters are read one after the other."""

    def more(self, mark: Mark) -> dict[str, Any]:
        """Further figures since the mark."""


def backlogs(context: Context, groups: Iterable[str]) -> dict[str, int]:
    """Records that wait for each group, as the lag exporter saw them last.

    Raises:
        OpsError: Nobody knows of one of them.
    """
    wanted = sorted(groups)
    expression = (
        f'sum by (consumergroup) (kafka_consumergroup_lag{{job="kafka-lag",consumergroup=~"{"|".join(wanted)}"}})'
    )
    lags = {sample.labels["consumergroup"]: int(sample.value) for sample in context.thanos.instant(expression)}
    if unknown := [group for group in wanted if group not in lags]:
        raise OpsError(f"nobody knows what waits for {', '.join(unknown)}: does kafka-lag answer? see `ops verify K1`")
    return lags


def path_of(context: Context, batch: Batch) -> Path:
    """The path of a batch's signal.

    Raises:
        OpsError: The stack has no such path.
    """
    if batch.signal is Signal.METRICS:
        return MetricsPath(context, batch)
    return TracesPath(context) if batch.signal is Signal.TRACES else LogsPath(context)


class MetricsPath:
    """Both consumer groups and both Prometheus: samples of the sequence numbers that each Prometheus holds."""

    item = "points"
    delay_s = 0.5

    def __init__(self, context: Context, batch: Batch) -> None:
        self._replicas = context.platform.prometheus_replicas
        self._queries = {replica: context.replica(replica) for replica in self._replicas}
        self._per_sample = batch.items / batch.units
        consumers = tuple(map(consumer_name, context.platform.prometheus_servers))
        servers = tuple(f"prometheus-{server}" for server in context.platform.prometheus_servers)
        self.groups = tuple(map(consumer_name, self._replicas))
        self.workloads = ("gateway", "kafka", *consumers, *servers, "kafka-archive")

    def mark(self) -> Mark:
        return Mark(time.time(), {})

    def arrived(self, mark: Mark, acknowledged: int, ended: float) -> dict[str, float]:
        def held(replica: str) -> float:
            now = time.time()
            samples = self._queries[replica].instant(samples_query(now - mark.at), now)
            return sum(sample.value for sample in samples) * self._per_sample

        with ThreadPoolExecutor(len(self._replicas)) as pool:
            counts = pool.map(held, self._replicas)
            return {f"prometheus-{replica}": count for replica, count in zip(self._replicas, counts, strict=True)}

    def tolerance(self) -> float:
        return 0.0

    def more(self, mark: Mark) -> dict[str, Any]:
        return {}


class TracesPath:
    """The samplers, which read all spans, and what they keep on its way through Jaeger.

    Others send spans, too. What the gateways have taken since a mark and the samplers have not read is missing, whoever
    sent it; both are counters, which are read when they have been scraped since.
    """

    item = "spans"
    delay_s = 16.0
    groups: tuple[str, ...] = (SAMPLER,)
    workloads: tuple[str, ...] = (
        "gateway",
        "kafka",
        SAMPLER,
        "jaeger-collector",
        "search",
        "service-graph",
        "kafka-archive",
    )

    def __init__(self, context: Context) -> None:
        # One server: between two, a value and the time at which it was scraped may be of different scrapes.
        self._query = context.replica(context.platform.prometheus_replicas[0])
        self._background, self._others = math.nan, 0.0

    def mark(self) -> Mark:
        if math.isnan(self._background):
            # The platform was watched idle until now; what came before may be the rest of another run.
            self._background = self._number(f"sum(rate({_READ}[30s]))")
        since = time.time()
        wait_until(lambda: self._scraped(_TAKEN, _READ) > since, _SCRAPED_S, "gateways and samplers to be scraped")
        return Mark(
            time.time(), {"taken": self._taken(0.0), "read": self._number(f"sum({_READ})"), **self._decisions()}
        )

    def arrived(self, mark: Mark, acknowledged: int, ended: float) -> dict[str, float]:
        scraped, taken = self._scraped(_TAKEN), self._taken(time.time() - mark.at) - mark.counters["taken"]
        read = self._number(f"sum({_READ})") - mark.counters["read"]
        if scraped < ended:
            # What the gateways had taken in the end is not known yet.
            return {SAMPLER: max(0.0, min(read, acknowledged - self.tolerance() - 1))}
        self._others = max(0.0, taken - acknowledged)
        return {SAMPLER: max(0.0, acknowledged - max(0.0, taken - read))}

    def tolerance(self) -> float:
        return self._background * self.delay_s

    def more(self, mark: Mark) -> dict[str, Any]:
        """Others' traces included: decisions by policy, what Jaeger took and wrote."""
        now = self._decisions()
        names = (*(f"kept by {policy}" for policy in POLICIES), *_COUNTERS)
        return {
            "spans of others": round(self._others),
            "spans by which a count may be wrong": round(self.tolerance()),
            **{name: round(now.get(name, 0.0) - mark.counters.get(name, 0.0)) for name in names},
        }

    def _decisions(self) -> dict[str, float]:
        kept = {f"kept by {sample.labels.get('policy', '')}": sample.value for sample in self._query.instant(_KEPT)}
        return kept | {name: self._number(expression) for name, expression in _COUNTERS.items()}

    def _taken(self, since_s: float) -> float:
        """Spans that the gateways have taken so far, those included that are gone since then."""
        return self._number(f"sum(max_over_time({_TAKEN}[{math.ceil(since_s) + _GONE_S}s]))")

    def _scraped(self, *counters: str) -> float:
        """When the oldest value of some counters was scraped, seconds since 1970; 0: never."""
        return min(self._number(f"min(timestamp({counter}))") for counter in counters)

    def _number(self, expression: str) -> float:
        return self._query.number(expression) or 0.0


class LogsPath:
    """The index of logs: documents of the load test that a search finds."""

    item = "log records"
    delay_s = LOGS_REFRESH_S + 0.5
    groups: tuple[str, ...] = (LOG_INDEXER,)
    workloads: tuple[str, ...] = ("gateway", "kafka", LOG_INDEXER, "search", "kafka-archive")

    def __init__(self, context: Context) -> None:
        login = context.platform.log_reader
        if login is None:
            raise OpsError("the stack has no reader of logs: bring up a version that has the log indexer")
        self._context, self._auth = context, login.pair

    def mark(self) -> Mark:
        return Mark(time.time(), {"search": self._documents()})

    def arrived(self, mark: Mark, acknowledged: int, ended: float) -> dict[str, float]:
        return {"search": self._documents() - mark.counters["search"]}

    def _documents(self) -> float:
        """All of every load test: times of records lie before the moment at which they are sent."""
        query = of_origin("deployment.environment.name", ENVIRONMENT)
        body = {"query": query, "size": 0, "track_total_hits": True}
        url = self._context.tunnels.url(self._context.kube.ready_pod(SEARCH).name, SEARCH_PORT)
        return float(LogReader(self._context.web, url, self._auth).search(body)["total"]["value"])

    def tolerance(self) -> float:
        return 0.0

    def more(self, mark: Mark) -> dict[str, Any]:
        return {}
