"""Sends every forgery through the live gateway, and looks for what it left in Kafka, Prometheus, traces and logs."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from components.telemetry.attributes import CLASSES, LAYER
from components.telemetry.layers import LAYERS, TOPIC_OF_SIGNAL, Signal
from components.telemetry.registry import REGISTRY, metric_reserved, service_reserved
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import wait_until
from ops.core.terminal import say
from ops.drills.gate_forgery import (
    KNOWN_METRIC,
    MARKER,
    REFUSED_KINDS,
    SERVICE,
    VALUE,
    Forgery,
    Kind,
    arrivals,
    control,
    forgeries,
    layer_of,
    marker,
    new_run,
)
from ops.drills.gate_target import Target, connect, own_target, post
from ops.telemetry.logs import SEARCH, SEARCH_PORT, LogReader
from ops.telemetry.traces import fetch_token

ACCEPTED, REFUSED = "200", "400"
ARRIVAL_S: Final = 180.0
_TARGET_INFO: Final = "target_info"
_TRACES_AT_ONCE: Final = 40
_ALERT: Final = "KafkaOfflinePartitions"
_MOST_NAMED: Final = 20


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A forgery and what its client was told."""

    forgery: Forgery
    answer: str
    reason: str

    @property
    def told(self) -> bool:
        """Whether the client was told what it must be told."""
        return self.answer == (REFUSED if self.forgery.kind in REFUSED_KINDS else ACCEPTED)


def send(target: Target, attempts: Iterable[Forgery], connections: int = 8) -> list[Answered]:
    """Send each as its layer, on so many connections."""
    wanted = list(attempts)

    def some(own: Sequence[Forgery]) -> list[Answered]:
        answers = []
        connection = connect(target, target.http)
        try:
            for forgery in own:
                answer, told = post(
                    target,
                    f"/v1/{forgery.signal.value}",
                    forgery.body,
                    authorization=target.header(forgery.layer),
                    connection=connection,
                )
                answers.append(Answered(forgery=forgery, answer=answer, reason=told.decode(errors="replace")[-200:]))
                if not answer.isdigit():
                    connection.close()
                    connection = connect(target, target.http)
        finally:
            connection.close()
        return answers

    with ThreadPoolExecutor(connections) as pool:
        return [
            answered
            for part in pool.map(some, (wanted[n::connections] for n in range(connections)))
            for answered in part
        ]


def by_kind(answers: Sequence[Answered]) -> dict[str, Any]:
    """Counts for evidence: tried, refused, accepted without the forged part."""
    counts: dict[str, Any] = {}
    for kind in Kind:
        own = [answered for answered in answers if answered.forgery.kind is kind]
        counts[kind.value] = {
            "tried": len(own),
            "refused": sum(answered.answer == REFUSED for answered in own),
            "let in without it": sum(answered.answer == ACCEPTED for answered in own),
            "in signals": dict(Counter(answered.forgery.signal.value for answered in own)),
        }
    return counts


def forge_platform(context: Context, figures: dict[str, Any]) -> list[str]:
    """Try every forgery on the platform; what did not hold.

    Args:
        context: The platform.
        figures: Filled with what was seen.

    Raises:
        OpsError: The platform's address is not its own, a server does not answer, or what had to arrive did not.
    """
    target, run = own_target(context), new_run()
    start = {signal: context.kafka.end_offsets(TOPIC_OF_SIGNAL[signal]) for signal in Signal}
    say("sending every reserved name as every layer, in every signal")
    answers = send(target, forgeries(run))
    controls = [control(run, layer, signal) for layer in LAYERS for signal in Signal if layer.may_send(signal)]
    not_let_in = [answered for answered in send(target, controls) if answered.answer != ACCEPTED]
    if not_let_in:
        raise OpsError(f"what is not forged was answered {not_let_in[0].answer}: {not_let_in[0].reason}")
    wrong = [answered for answered in answers if not answered.told]
    figures |= {
        "tried": len(answers),
        "by kind": by_kind(answers),
        "by layer": dict(Counter(answered.forgery.layer for answered in answers)),
        "not told as it must be": len(wrong),
    }
    problems = [
        f"{answered.forgery.layer}, {answered.forgery.signal.value}, {answered.forgery.kind.value}, "
        f"{answered.forgery.name!r}: answered {answered.answer} {answered.reason}"
        for answered in wrong[:_MOST_NAMED]
    ]
    let_in = [answered.forgery for answered in answers if answered.answer == ACCEPTED]
    refused = [answered.forgery for answered in answers if answered.answer != ACCEPTED]
    stores: Mapping[str, Callable[[], list[str]]] = {
        "Kafka": lambda: in_kafka(context, run, start, len(let_in) + len(controls)),
        "Prometheus": lambda: in_prometheus(context, run),
        "traces": lambda: in_traces(context, controls, let_in, refused),
        "logs": lambda: in_logs(context, run),
    }
    for name, look in stores.items():
        say(f"looking for what arrived in {name}")
        kept = look()
        figures[f"in {name} under a reserved meaning"] = len(kept)
        problems += [f"{name}: {what}" for what in kept[:_MOST_NAMED]]
    return problems


def in_kafka(context: Context, run: str, start: Mapping[Signal, Mapping[int, int]], resources: int) -> list[str]:
    """What of a run is under a reserved meaning in Kafka, once everything that was let in is there."""
    positions = {signal: dict(offsets) for signal, offsets in start.items()}
    kept: list[str] = []
    arrived = 0

    def whole() -> bool:
        nonlocal arrived
        for signal, topic in TOPIC_OF_SIGNAL.items():
            for record in context.kafka.read(topic, positions[signal], 10.0):
                positions[signal][record.partition()] = record.offset() + 1
                for arrival in arrivals(signal, record.value(), run):
                    arrived += 1
                    kept.extend(f"{signal.value}: {wrong.kind.value}: {wrong.what}" for wrong in arrival.violations)
        return arrived >= resources

    wait_until(whole, ARRIVAL_S, f"{resources} resources in Kafka", 1.0)
    return kept


def in_prometheus(context: Context, run: str) -> list[str]:
    """What of a run is under a reserved meaning at the read address, once each layer's point is there."""
    thanos = context.thanos
    wanted = {marker(run, layer.name) for layer in LAYERS}

    def whole() -> bool:
        series = thanos.instant(f'{KNOWN_METRIC}{{instance=~"{MARKER}{run}-.+"}}')
        return {sample.labels["instance"] for sample in series} >= wanted

    wait_until(whole, ARRIVAL_S, "a series of every layer", 2.0)
    kept = []
    for sample in thanos.instant(f'{{instance=~"{MARKER}{run}-.+"}}'):
        kept += series_problems(sample.labels, run)
    for label in REGISTRY.reserved.labels:
        kept += [
            f"{label}={VALUE}{run} in {_named(sample.labels)}"
            for sample in thanos.instant(f'{{{label}=~".*{VALUE}{run}.*"}}')
        ]
    firing = thanos.instant(f'ALERTS{{alertname="{_ALERT}",alertstate="firing"}}')
    return [*kept, *(f"{_ALERT} fires" for _ in firing)]


def series_problems(labels: Mapping[str, str], run: str) -> list[str]:
    """What of a series of this drill is under a reserved meaning."""
    name, sender = labels.get("__name__", ""), layer_of(labels.get("instance", ""))
    problems = []
    # Prometheus makes `target_info` itself, one for each resource.
    if name != _TARGET_INFO and metric_reserved(name, REGISTRY.reserved.metrics):
        problems.append(f"the metric {name}")
    if labels.get(LAYER) != sender:
        problems.append(f"{sender} speaks as layer {labels.get(LAYER)}")
    if service_reserved(labels.get("job", ""), REGISTRY.reserved.services) or labels.get("job") != SERVICE:
        problems.append(f"{sender} speaks as job {labels.get('job')}")
    problems += [f"{key}={value} in {_named(labels)}" for key, value in labels.items() if f"{VALUE}{run}" in value]
    return problems


def _named(labels: Mapping[str, str]) -> str:
    return f"{labels.get('__name__', '')} of {labels.get('instance', 'no instance')}"


def in_traces(
    context: Context, controls: Sequence[Forgery], let_in: Sequence[Forgery], refused: Sequence[Forgery]
) -> list[str]:
    """What of a run is under a reserved meaning in Jaeger, once the spans that are not forged are there."""
    wanted = {forgery.trace for forgery in controls if forgery.trace}

    def whole() -> bool:
        return {str(trace["traceID"]).zfill(32) for trace in _traces(context, wanted)} >= wanted

    wait_until(whole, ARRIVAL_S, "the spans that are not forged", 2.0)
    kept = [f"the refused trace {trace['traceID']}" for trace in _traces(context, _ids(refused))]
    for trace in _traces(context, _ids(let_in)):
        kept += trace_problems(trace)
    return kept


def trace_problems(trace: Mapping[str, Any]) -> list[str]:
    """What of a trace of this drill is under a reserved meaning, as Jaeger answers it."""
    problems = []
    for process in trace["processes"].values():
        tags = {tag["key"]: str(tag["value"]) for tag in process.get("tags", ())}
        sender = layer_of(tags.get("service.instance.id", ""))
        if tags.get(LAYER) != sender:
            problems.append(f"{sender or 'nobody'} speaks as layer {tags.get(LAYER)}")
        if process["serviceName"] != SERVICE:
            problems.append(f"{sender} speaks as service {process['serviceName']}")
        problems += [f"{key} of the resource" for key, value in tags.items() if VALUE in value]
    for span in trace["spans"]:
        problems += [
            f"{tag['key']} of a span" for tag in span["tags"] if tag["key"] == LAYER or tag["key"].startswith("__")
        ]
    return problems


def _ids(attempts: Iterable[Forgery]) -> list[str]:
    return [forgery.trace for forgery in attempts if forgery.trace]


def _traces(context: Context, ids: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Traces as the query with the highest clearance answers them."""
    platform, wanted = context.platform, list(ids)
    headers = {"Authorization": f"Bearer {fetch_token(context.web, platform)}"}
    for start in range(0, len(wanted), _TRACES_AT_ONCE):
        named = "&".join(f"traceID={trace}" for trace in wanted[start : start + _TRACES_AT_ONCE])
        url = f"{platform.trace_query_urls[CLASSES[-1]]}/api/traces?{named}"
        with context.web.call("GET", url, headers=headers) as response:
            if response.status_code not in (200, 404):
                raise OpsError(f"Jaeger answered {response.status_code} when asked for traces")
            yield from response.json().get("data") or []


def in_logs(context: Context, run: str) -> list[str]:
    """What of a run is under a reserved meaning in the index of logs, once each layer's record is there."""
    login = context.platform.log_reader
    if login is None:
        raise OpsError("the stack has no reader of logs")
    url = context.tunnels.url(context.kube.ready_pod(SEARCH).name, SEARCH_PORT)
    reader = LogReader(context.web, url, login.pair)
    body = {
        "size": 5000,
        "query": {
            "bool": {
                "filter": [{"range": {"@timestamp": {"gte": int((time.time() - 3600) * 1000)}}}],
                "must": [{"match": {"body": {"query": f"forgery {run}", "operator": "and"}}}],
            }
        },
    }
    senders = {layer.name for layer in LAYERS if layer.may_send(Signal.LOGS)}
    documents: list[Mapping[str, Any]] = []

    def whole() -> bool:
        hits = reader.search(body)["hits"]
        settled = len(hits) == len(documents)
        documents[:] = [hit["_source"] for hit in hits]
        return settled and {str(document.get(LAYER)) for document in documents} >= senders

    wait_until(whole, ARRIVAL_S, "a log record of every layer", 5.0)
    return [problem for document in documents for problem in log_problems(document)]


def log_problems(document: Mapping[str, Any]) -> list[str]:
    """What of a document of this drill is under a reserved meaning."""
    own = document.get("resource") or {}
    sender = layer_of(str(own.get("service.instance.id", "")))
    problems = []
    if document.get(LAYER) != sender:
        problems.append(f"{sender or 'nobody'} speaks as layer {document.get(LAYER)}")
    if document.get("service") != SERVICE:
        problems.append(f"{sender} speaks as service {document.get('service')}")
    problems += [f"{key} of the resource" for key, value in own.items() if VALUE in json.dumps(value)]
    # What the resource is searched by.
    for element in document.get("origin") or []:
        key, _, value = str(element).partition("=")
        if VALUE in value or (key == LAYER and value != sender):
            problems.append(f"{key} of the origin")
    problems += [
        f"{key} of a record" for key in document.get("attributes") or {} if key == LAYER or key.startswith("__")
    ]
    return problems
