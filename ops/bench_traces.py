"""Throughput of the trace path: spans per second that the gateway acknowledges, and when all traces are decided.

The load goes the way of every client: OTLP over gRPC, TLS, the layers' passwords, from this machine, whose cores it
shares with the platform. It ends by itself after the given seconds; the waits after it are bounded.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions

from components.sampler.component import WORKLOAD as SAMPLER
from components.sampler.config import POLICIES
from components.telemetry.layers import TOPIC_OF_SIGNAL, Signal
from ops.bench_cpu import READ, NodeUsage, of_nodes, of_processes
from ops.bench_journeys import STEPS, TRACES_PER_REQUEST, Connection, Sender
from ops.context import Context
from ops.errors import OpsError
from ops.kafka import TIMEOUT_SECONDS, errors
from ops.kube import wait_until

WORKLOADS = ("gateway", "kafka", SAMPLER, "jaeger-collector", "search", "service-graph")
"""Workloads that the spans pass; their CPU times are told."""
BUSY_SHARE = 0.9
"""Share of the nodes' cores above which they are what bounds the throughput."""

_TOPIC = TOPIC_OF_SIGNAL[Signal.TRACES]
_QUIET_SECONDS = 120.0
_QUIET_RECORDS = 500
_CATCH_UP_SECONDS = 300.0
_SCRAPE_SECONDS = 20.0
_TAIL = "otelcol_processor_tail_sampling"
_IN_KAFKA = 'sum(otelcol_exporter_sent_spans_total{job="gateway",exporter="kafka/traces"})'
_DECIDED = f'sum({_TAIL}_global_count_traces_sampled_total{{job="{SAMPLER}"}})'
_KEPT = f'sum by (policy) ({_TAIL}_count_traces_sampled_total{{job="{SAMPLER}",sampled="true"}})'
_JAEGER = 'job="jaeger-collector"'
_COUNTERS = {
    "Jaeger: spans accepted": f"sum(otelcol_receiver_accepted_spans_total{{{_JAEGER}}})",
    "Jaeger: spans refused": f"sum(otelcol_receiver_refused_spans_total{{{_JAEGER}}})",
    "Jaeger: documents written": f"sum(jaeger_storage_bulk_index_inserts_total{{{_JAEGER}}})",
    "Jaeger: documents refused": f"sum(jaeger_storage_bulk_index_errors_total{{{_JAEGER}}})",
    "traces dropped undecided": f'sum({_TAIL}_sampling_trace_dropped_too_early_total{{job="{SAMPLER}"}})',
}


@dataclass(frozen=True)
class _Counts:
    """Counters of the platform at one moment."""

    in_kafka: float
    decided: float
    kept: dict[str, float]
    others: dict[str, float]
    processes: dict[str, float]

    @classmethod
    def of(cls, context: Context) -> _Counts:
        """Read them from the query address."""
        return cls(
            in_kafka=_number(context, _IN_KAFKA),
            decided=_number(context, _DECIDED),
            kept={each.labels.get("policy", ""): each.value for each in context.thanos.instant(_KEPT)},
            others={name: _number(context, expression) for name, expression in _COUNTERS.items()},
            processes=of_processes(context),
        )


def measure(context: Context, seconds: float, senders: int, progress: Callable[[str], None]) -> dict[str, Any]:
    """Run the load and wait until the samplers have decided about all of it.

    Args:
        context: Clients of the platform.
        seconds: Length of the load.
        senders: Parallel clients.
        progress: Told what is going on.

    Returns:
        Figures: spans per second acknowledged, seconds until everything was in Kafka, read and decided, traces kept by
        policy, what Jaeger took, CPU seconds per million spans and workload, and what bounds it.

    Raises:
        OpsError: The platform is not quiet before, takes nothing, or does not catch up in time.
    """
    progress("waiting for the samplers to have read what is there")
    wait_until(
        lambda: sum(context.kafka.lag(SAMPLER).values()) < _QUIET_RECORDS,
        _QUIET_SECONDS,
        f"a lag of group {SAMPLER} under {_QUIET_RECORDS} records before the load",
    )
    before, nodes_before = _Counts.of(context), _nodes(context)
    progress(f"{senders} clients send for {seconds:.0f} s")
    clients, took, ended = _load(context, seconds, senders)
    nodes_loaded = _nodes(context)
    spans, traces = sum(client.spans for client in clients), sum(client.traces for client in clients)
    if not spans:
        raise OpsError("the gateway took no spans: look at `ops health` and the gateway's alerts")
    figures: dict[str, Any] = {
        "seconds": round(took, 1),
        "spans acknowledged": spans,
        "spans/s acknowledged": round(spans / took),
        "traces": traces,
        "spans per trace": len(STEPS),
        "traces per request": TRACES_PER_REQUEST,
        "clients": senders,
        "requests refused": sum(client.refused for client in clients),
        "requests given up": sum(client.given_up for client in clients),
    }
    _await_decisions(context, before, spans, traces, ended, figures, progress)
    figures["spans/s from the first sent to the last read"] = round(
        spans / (took + figures["samplers had read all after s"])
    )
    progress("waiting for the next scrape")
    threading.Event().wait(_SCRAPE_SECONDS)
    after, nodes_after = _Counts.of(context), _nodes(context)
    figures["traces decided, others' included"] = round(after.decided - before.decided)
    for policy in POLICIES:
        figures[f"kept by {policy}"] = round(after.kept.get(policy, 0.0) - before.kept.get(policy, 0.0))
    for name, value in after.others.items():
        figures[name] = round(value - before.others[name])
    figures |= cpu_figures(before.processes, after.processes, nodes_before, nodes_after, spans)
    if nodes_before and nodes_loaded:
        figures |= bound(nodes_before, nodes_loaded)
    return figures


def _load(context: Context, seconds: float, senders: int) -> tuple[list[Sender], float, float]:
    """Send; the clients, the seconds that it took, and when it ended."""
    connections = [Connection(context.platform) for _ in range(senders)]
    try:
        clients = [Sender(number, connection.send) for number, connection in enumerate(connections)]
        started = time.monotonic()
        with ThreadPoolExecutor(senders) as pool:
            for done in [pool.submit(client.run, started + seconds) for client in clients]:
                done.result()
        ended = time.monotonic()
    finally:
        for connection in connections:
            connection.close()
    return clients, ended - started, ended


def _await_decisions(
    context: Context,
    before: _Counts,
    spans: int,
    traces: int,
    ended: float,
    figures: dict[str, Any],
    progress: Callable[[str], None],
) -> None:
    """Wait for Kafka, for the samplers to read and to decide; writes how long each took."""
    progress("waiting for the gateways to have everything in Kafka")
    wait_until(
        lambda: _number(context, _IN_KAFKA) - before.in_kafka >= spans,
        _CATCH_UP_SECONDS,
        "the gateways to have everything in Kafka",
        0.5,
    )
    figures["all in Kafka after s"] = round(time.monotonic() - ended, 1)
    ends = context.kafka.end_offsets(_TOPIC)
    progress("waiting for the samplers to read it")
    wait_until(
        lambda: _has_read(context, ends), _CATCH_UP_SECONDS, f"group {SAMPLER} to read {_TOPIC} to its end of now", 0.5
    )
    figures["samplers had read all after s"] = round(time.monotonic() - ended, 1)
    progress("waiting for the samplers to decide")
    wait_until(
        lambda: _number(context, _DECIDED) - before.decided >= traces,
        _CATCH_UP_SECONDS,
        f"the samplers to decide about {traces} traces",
        0.5,
    )
    figures["all decided after s"] = round(time.monotonic() - ended, 1)


def _has_read(context: Context, ends: dict[int, int]) -> bool:
    """Whether the samplers have committed all records before ``ends``."""
    with errors(f"cannot read the offsets of group {SAMPLER}"):
        request = [ConsumerGroupTopicPartitions(SAMPLER)]
        found = context.kafka.client.list_consumer_group_offsets(request)[SAMPLER].result(timeout=TIMEOUT_SECONDS)
    committed = {each.partition: each.offset for each in found.topic_partitions if each.topic == _TOPIC}
    return all(committed.get(partition, -1) >= end for partition, end in ends.items() if end)


def cpu_figures(
    before: dict[str, float],
    after: dict[str, float],
    nodes_before: NodeUsage | None,
    nodes_after: NodeUsage | None,
    spans: int,
) -> dict[str, Any]:
    """CPU seconds per million spans: as processes tell it; of pods that tell nothing (Java search), as nodes see it."""
    figures: dict[str, Any] = {}
    for workload in WORKLOADS:
        if workload in after:
            used: float | None = after[workload] - before.get(workload, 0.0)
        else:
            used = nodes_after.seconds(nodes_before, workload) if nodes_before and nodes_after else None
        figures[f"CPU s per million spans, {workload}"] = "unknown" if used is None else round(used / spans * 1e6, 1)
    return figures


def bound(before: NodeUsage, loaded: NodeUsage) -> dict[str, Any]:
    """Who used the cores while the load ran, and what that says about the bound."""
    busy, there = loaded.busy(before), loaded.cores
    shares = loaded.by_workload(before)
    largest = sorted(shares.items(), key=lambda each: -each[1])
    figures: dict[str, Any] = {"cores busy during the load": f"{busy:.2f} of {there:g}"}
    for name in WORKLOADS:
        figures[f"cores during the load, {name}"] = round(shares.get(name, 0.0), 2)
    generator = (loaded.generator - before.generator) / max(loaded.at[READ] - before.at[READ], 1.0)
    others = sum(cores for name, cores in shares.items() if name not in WORKLOADS)
    figures["cores during the load, other pods"] = round(others, 2)
    figures["cores during the load, this generator"] = round(generator, 2)
    top = ", ".join(f"{name} {value:.2f}" for name, value in largest[:3])
    if busy >= BUSY_SHARE * there:
        figures["bound by"] = f"the cores, {busy / there:.0%} of them busy; most of it: {top}"
    else:
        figures["bound by"] = f"not the cores, of which {busy / there:.0%} were busy (most: {top}): waiting of clients"
    return figures


def _nodes(context: Context) -> NodeUsage | None:
    """What the nodes tell; nothing where the user may not ask them."""
    try:
        return of_nodes(context)
    except OpsError:
        return None


def _number(context: Context, expression: str) -> float:
    return context.thanos.number(expression) or 0.0
