"""P1, P4 and L1..L5: what arrives in both Prometheus and through Thanos Query, and the layers' logs and traces."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

from components.search.config import HTTP_PORT, WORKLOAD
from components.search.indices import LOGS
from components.shards import REPLICA_LABEL, SHARD_LABEL, server_names
from components.telemetry.catalogue import METRICS
from components.telemetry.layers import LAYERS, Layer, Signal
from ops.checks.grace_period import grace_period_end
from ops.core import otlp
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import wait_until
from ops.core.rows import Check, Finding, lasting, listed
from ops.core.web import Query

WINDOW = "2m"
MARKER = "obs_verify_freshness"
FRESH_SECONDS = 60.0
POLL_SECONDS = 0.2
MOVING = 0.2
"""Part of the senders that may come or go between two questions, or be in two shards for a while after an update."""
LATE_SECONDS = 25.0
"""One scrape may come too late on a busy machine; two in a row say something."""


def layer_counts(query: Query) -> dict[str, int]:
    """Series of each layer that got a sample in the last two minutes."""
    counts: dict[str, int] = {}
    for layer in LAYERS:
        names = "|".join(sorted({name for metric in METRICS if metric.layer is layer for name in metric.series}))
        expression = f'count(last_over_time({{__name__=~"{names}",layer="{layer.name}"}}[{WINDOW}]))'
        counts[layer.name] = int(query.number(expression) or 0)
    return counts


def freshness(context: Context, query: Query | None = None) -> float:
    """Seconds from sending a point to the gateway until a query returns it."""
    query = query or context.thanos
    layer = LAYERS[0].name
    value = float(secrets.randbelow(10**9))
    resource = otlp.resource_of(layer, "ops-verify", "ops-verify", device="ops-verify")
    start = time.monotonic()
    status, rejected = context.otlp.metrics(otlp.gauge(resource, MARKER, [(time.time_ns(), value, {})]), layer)
    if status != 200 or rejected:
        raise OpsError(f"the gateway answered {status} to the marker, {rejected} points rejected")
    wait_until(
        lambda: any(sample.value == value for sample in query.instant(MARKER)),
        FRESH_SECONDS,
        f"a marker to be visible at {query.name}",
        POLL_SECONDS,
    )
    return time.monotonic() - start


def p1(context: Context) -> Finding:
    """Both hold all layers; readers have one address; how old the newest data is."""
    finding = Finding()
    replicas = context.platform.prometheus_replicas
    finding.expect(len(replicas) >= 2, f"only {listed(replicas)}")
    own = [context.replica(replica) for replica in replicas]
    for query in own:
        away = [f"{target}: {reason}" for target, reason in lasting(query.unreached, LATE_SECONDS).items()]
        finding.expect(not away, f"{query.name} does not reach {listed(away)}")
    for query in [*own, context.thanos]:
        counts = layer_counts(query)
        empty = [layer for layer, count in counts.items() if not count]
        finding.expect(not empty, f"{query.name} has no series of {listed(empty)}")
        finding.seen.append(f"{query.name}: {sum(counts.values())} series of {len(counts) - len(empty)} layers")
    finding.figures.append(f"device to query {freshness(context):.1f} s")
    doubled = context.thanos.instant(MARKER)
    finding.expect(
        not any({REPLICA_LABEL, SHARD_LABEL} & set(sample.labels) for sample in doubled),
        "Thanos Query does not remove duplicates",
    )
    finding.drill("five-layers", "prometheus-primary-down")
    return finding


def p4(context: Context) -> Finding:
    """Each shard holds its own part in every replica, the read address has all of it once; the drill added shards."""
    finding = Finding()
    platform = context.platform
    senders = f'count(last_over_time(target_info{{layer!=""}}[{WINDOW}]))'
    counts = {server: int(context.prometheus(server).number(senders) or 0) for server in platform.prometheus_servers}
    empty = [server for server, count in counts.items() if not count]
    finding.expect(not empty, f"shards without a sender: {listed(empty)}")
    read = int(context.thanos.number(senders) or 0)
    for replica in platform.prometheus_replicas:
        held = sum(counts[server] for server in server_names([replica], platform.prometheus_shards))
        finding.expect(
            abs(held - read) <= MOVING * read, f"{replica} has {held} senders in all, the read address {read}"
        )
    finding.figures.append(f"{platform.prometheus_shards} shards, {read} senders")
    finding.seen.append(f"senders of the last {WINDOW} by server: {counts}")
    finding.drill("shards-added")
    return finding


def layer_check(layer: Layer) -> Check:
    """Check that every metric of a layer's catalogue has a sample of the last two minutes."""

    def check(context: Context) -> Finding:
        finding = Finding()
        wanted = {metric.series[0] for metric in METRICS if metric.layer is layer}
        names = "|".join(sorted(wanted))
        expression = f'count by (__name__) (last_over_time({{__name__=~"{names}",layer="{layer.name}"}}[{WINDOW}]))'
        replicas = {sample.labels["__name__"]: int(sample.value) for sample in context.thanos.instant(expression)}
        missing = wanted - set(replicas)
        finding.expect(not missing, f"no sample in {WINDOW} of {listed(missing)}")
        finding.figures.append(f"{len(replicas)} of {len(wanted)} metrics, {sum(replicas.values())} series")
        finding.seen.append(f"samples of layer {layer.name} in the last {WINDOW} through Thanos Query")
        return finding

    return check


FOUND_SECONDS = 15.0
"""From writing a log record to its being found."""
LOGS_WINDOW = "15m"
"""The slowest layers write a log record every few minutes."""


def search_logs(context: Context, body: dict[str, Any]) -> dict[str, Any]:
    """Answer of the search cluster to a search in all logs.

    Raises:
        OpsError: There is no reader of logs, or the cluster does not answer as it should.
    """
    reader = context.platform.log_reader
    if reader is None:
        raise OpsError("the stack has no login for reading logs: deploy a version of the platform with one")
    url = f"{context.tunnels.url(context.kube.ready_pod(WORKLOAD).name, HTTP_PORT)}/{LOGS}-read/_search"
    headers = {"Content-Type": "application/json"}
    with context.web.call("POST", url, auth=reader.pair, data=json.dumps(body).encode(), headers=headers) as response:
        if response.status_code != 200:
            raise OpsError(f"the search cluster answered {response.status_code} to a search in the logs")
        answer: dict[str, Any] = response.json()
    return answer


def layers_with_logs(context: Context, window: str = LOGS_WINDOW) -> dict[str, int]:
    """Layer -> log records of the last ``window``."""
    body = {
        "size": 0,
        "query": {"range": {"@timestamp": {"gte": f"now-{window}"}}},
        "aggs": {"layers": {"terms": {"field": "layer", "size": 2 * len(LAYERS)}}},
    }
    buckets = search_logs(context, body)["aggregations"]["layers"]["buckets"]
    return {str(bucket["key"]): int(bucket["doc_count"]) for bucket in buckets}


def spans(context: Context, layer: Layer, window: str = "5m") -> float:
    """Spans of a layer in the last minutes, before sampling."""
    return context.thanos.number(f'increase(traces_span_metrics_calls_total{{layer="{layer.name}"}}[{window}])') or 0.0


def signals_check(layer: Layer) -> Check:
    """Check of a layer's metrics, and of its logs and traces as far as it may send them."""

    def check(context: Context) -> Finding:
        finding = layer_check(layer)(context)
        if layer.may_send(Signal.LOGS):
            records = layers_with_logs(context).get(layer.name, 0)
            finding.expect_by(
                grace_period_end(context),
                records > 0,
                f"first log record of layer {layer.name}",
                f"no log record of layer {layer.name} in the last {LOGS_WINDOW}",
            )
            finding.figures.append(f"{records} log records in {LOGS_WINDOW}")
        if layer.may_send(Signal.TRACES):
            count = spans(context, layer)
            finding.expect_by(
                grace_period_end(context),
                count > 0,
                f"first span of layer {layer.name}",
                f"no span of layer {layer.name} in the last 5m",
            )
            finding.figures.append(f"{count:.0f} spans in 5m")
        return finding

    return check


CHECKS: dict[str, Check] = {"P1": p1, "P4": p4, **{layer.source: signals_check(layer) for layer in LAYERS}}
