"""Dirty records through the live gateway: what must not be readable is readable nowhere behind it."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from components.telemetry.attributes import CLASSES
from components.telemetry.layers import TOPIC_OF_SIGNAL, Signal
from ops.core.context import Context
from ops.core.kube import wait_until
from ops.drills.tools.search_client import SearchClient, stored_logs, stored_spans
from ops.telemetry.traces import fetch_token
from tests.support.dirty.records import CASE, DIRTY_FILES, LAYER, Record, Request, load, requests
from tests.support.dirty.records_by_case import Arrived, by_case, readable
from tests.support.exposure import pod_logs
from tests.support.results import recorded

ARRIVAL_SECONDS = 60
_OWN = {"traceID", "spanID", "trace_id", "span_id", "startTime", "startTimeMillis", "duration", "timestamp"}
_OWN |= {"@timestamp", "observed_timestamp", "references", "processID", "_id", "_index"}
"""Ids and times, in whose digits a short secret could stand by chance."""
LONG = 8
"""Shorter secrets are looked for in their own records only: in a log of a pod they stand by chance."""


class Text(Arrived):
    """A document of a store."""

    def __init__(self, document: Any) -> None:
        super().__init__(None, None, document)

    @property
    def text(self) -> str:
        """Everything that can be read in it."""
        return json.dumps(self.record, ensure_ascii=False)


@dataclass
class Sent:
    """The corpus as it was sent."""

    records: tuple[Record, ...]
    clean: tuple[Record, ...]
    begun: float = field(default_factory=time.time)
    before: dict[str, Arrived] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    offsets: dict[Signal, dict[int, int]] = field(default_factory=dict)
    traces: list[str] = field(default_factory=list)

    def of(self, *signals: Signal) -> list[Record]:
        """Dirty records that these signals carry."""
        return [record for record in self.records if record.signal in signals]


@pytest.fixture(scope="module")
def sent(context: Context) -> Sent:
    """The whole corpus, sent through the gateway."""
    dirty = tuple(record for name in DIRTY_FILES for record in load(name))
    sent_records = Sent(dirty, load("clean"))
    sent_records.offsets = {signal: context.kafka.end_offsets(TOPIC_OF_SIGNAL[signal]) for signal in Signal}
    for signal, bodies in requests((*sent_records.records, *sent_records.clean)).items():
        for body in bodies:
            _date(body, sent_records)
        parts = [body.SerializeToString() for body in bodies]
        # Messages that are written one after the other are one message with all their lists. Metrics go one by one:
        # what stands in a name or a label may be refused, and then its client is told.
        for raw in parts if signal is Signal.METRICS else [b"".join(parts)]:
            held = undated(by_case(signal, [raw]))
            status, answer = context.otlp.post(signal.value, raw, context.otlp.login(LAYER))
            if status == 400 and signal is Signal.METRICS:
                sent_records.refused |= {name: answer.decode(errors="replace") for name in held}
                continue
            assert status == 200, f"the gateway answered {status} to {signal}"
            sent_records.before |= held
    assert not [record.id for record in sent_records.clean if record.id in sent_records.refused]
    assert not [
        record.id
        for record in sent_records.records
        if any(secret in sent_records.refused.get(record.id, "") for secret in record.secrets)
    ], "an answer tells a secret"
    sent_records.records = tuple(record for record in dirty if record.id not in sent_records.refused)
    return sent_records


def _date(body: Request, sent: Sent) -> None:
    """Give a record the time of now, and a span a trace of its own, which fails: so it is kept."""
    now = time.time_ns()
    for resource in getattr(body, "resource_logs", ()):
        for scope in resource.scope_logs:
            for record in scope.log_records:
                record.time_unix_nano = record.observed_time_unix_nano = now
    for resource in getattr(body, "resource_metrics", ()):
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                metric.gauge.data_points[0].time_unix_nano = now
    for resource in getattr(body, "resource_spans", ()):
        for scope in resource.scope_spans:
            for span in scope.spans:
                span.trace_id, span.span_id = secrets.token_bytes(16), secrets.token_bytes(8)
                span.start_time_unix_nano, span.end_time_unix_nano = now - 1_000_000, now
                span.status.code = Status.STATUS_CODE_ERROR
                for event in span.events:
                    event.time_unix_nano = now
                sent.traces.append(span.trace_id.hex())


def undated(arrived: dict[str, Arrived]) -> dict[str, Arrived]:
    """The same without ids and times, in whose digits a short secret could stand by chance."""
    for arrival in arrived.values():
        record = arrival.record
        names = {field.name for field in record.DESCRIPTOR.fields}
        for name in names & {"trace_id", "span_id", "time_unix_nano", "observed_time_unix_nano"}:
            record.ClearField(name)
        for name in names & {"start_time_unix_nano", "end_time_unix_nano"}:
            record.ClearField(name)
        for inner in (*getattr(record, "events", ()), *(record.gauge.data_points if "gauge" in names else ())):
            inner.ClearField("time_unix_nano")
    return arrived


@pytest.fixture(scope="module")
def in_kafka(context: Context, sent: Sent) -> dict[str, Arrived]:
    """What of the corpus stands in Kafka, by record."""
    arrived: dict[str, Arrived] = {}
    positions = {signal: dict(start) for signal, start in sent.offsets.items()}

    def whole() -> bool:
        for signal, topic in TOPIC_OF_SIGNAL.items():
            for record in context.kafka.read(topic, positions[signal], 10.0):
                positions[signal][record.partition()] = record.offset() + 1
                arrived.update(undated(by_case(signal, [record.value()])))
        return set(arrived) >= set(sent.before)

    wait_until(whole, ARRIVAL_SECONDS, "the corpus in Kafka", 1.0)
    return arrived


@pytest.mark.timeout(180)
def test_no_secret_is_readable_in_kafka_and_clean_records_are_unharmed(
    context: Context, sent: Sent, in_kafka: Mapping[str, Arrived]
) -> None:
    with recorded("masking-kafka", context.kube) as figures:
        leaks = {record.id: cases for record in sent.records if (cases := readable(record, in_kafka))}
        changed = [record.id for record in sent.clean if _own(in_kafka[record.id]) != _own(sent.before[record.id])]
        figures |= {
            "dirty records": len(sent.records) + len(sent.refused),
            "refused": len(sent.refused),
            "readable": len(leaks),
            "clean look-alikes": len(sent.clean),
            "harmed": len(changed),
        }
        assert sorted(leaks) == []
        assert changed == []


def _own(arrived: Arrived) -> bytes:
    return bytes(arrived.record.SerializeToString(deterministic=True))


@pytest.mark.timeout(240)
def test_no_secret_is_readable_in_indices_jaeger_prometheus_or_logs_of_our_pods(
    context: Context, sent: Sent, in_kafka: Mapping[str, Arrived]
) -> None:
    spans, logs = sent.of(Signal.TRACES), sent.of(Signal.LOGS)
    with recorded("masking-stores", context.kube) as figures:
        stores = {
            "index of spans": (_documents(stored_spans(context), sent, _spans_query(sent), spans), spans),
            "index of logs": (_documents(stored_logs(context), sent, _logs_query(sent), logs), logs),
            "Jaeger's API": (_in_jaeger(context, sent), spans),
            "Prometheus": (_in_prometheus(context, sent), sent.of(Signal.METRICS)),
        }
        leaks: dict[str, list[str]] = {}
        for name, (texts, records) in stores.items():
            figures[f"{name}: records"] = f"{sum(record.id in texts for record in records)} of {len(records)}"
            leaks[name] = [record.id for record in records if record.id in texts and readable(record, texts)]
        said = list(pod_logs(context.kube))
        long = {secret for record in sent.records for secret in record.secrets if len(secret) >= LONG}
        leaks["logs of our pods"] = [place for place, text in said if any(secret in text for secret in long)]
        figures |= {f"{name}: readable": len(leak) for name, leak in leaks.items()}
        figures["logs of our pods: containers"] = len(said)
        for name, (texts, records) in stores.items():
            if name != "Prometheus":
                assert {record.id for record in records} <= set(texts), f"{name} lacks records"
        assert {name: leak for name, leak in leaks.items() if leak} == {}


def _spans_query(sent: Sent) -> dict[str, Any]:
    return {"terms": {"traceID": sent.traces}}


def _logs_query(sent: Sent) -> dict[str, Any]:
    return {
        "bool": {
            "filter": [{"term": {"service": "recorder"}}, {"range": {"@timestamp": {"gte": int(sent.begun * 1000)}}}]
        }
    }


def _documents(
    search: SearchClient, sent: Sent, query: Mapping[str, Any], records: Iterable[Record]
) -> dict[str, Text]:
    """Whole documents by record; waits until each of these records has its own."""
    wanted, documents = {record.id for record in records}, dict[str, Text]()

    def complete() -> bool:
        documents.update(_by_case(search.hits(query), sent))
        return wanted <= documents.keys()

    wait_until(complete, ARRIVAL_SECONDS, "the corpus in the index", 2.0)
    return documents


def _by_case(documents: Iterable[Any], sent: Sent) -> dict[str, Text]:
    """Documents by the record whose id they hold."""
    return {
        name: Text(_stripped(document)) for document in documents for name in _cases(document) if name in sent.before
    }


def _stripped(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _stripped(value) for key, value in content.items() if key not in _OWN}
    return [_stripped(nested) for nested in content] if isinstance(content, list) else content


def _cases(content: Any) -> Iterable[str]:
    """Every value of the attribute `CASE` in a document, whichever way it writes attributes."""
    if isinstance(content, dict):
        if content.get("key") == CASE:
            yield str(content.get("value"))
        for key, value in content.items():
            if key == CASE and isinstance(value, str):
                yield value
            else:
                yield from _cases(value)
    elif isinstance(content, list):
        for nested in content:
            yield from _cases(nested)


def _in_jaeger(context: Context, sent: Sent) -> dict[str, Text]:
    """Traces as the API answers them to somebody who may see everything."""
    url = f"{context.platform.trace_query_urls[CLASSES[-1]]}/api/traces"
    headers = {"Authorization": f"Bearer {fetch_token(context.web, context.platform)}"}
    traces: list[Any] = []
    for start in range(0, len(sent.traces), 40):
        ids = "&".join(f"traceID={trace}" for trace in sent.traces[start : start + 40])
        with context.web.call("GET", f"{url}?{ids}", headers=headers) as response:
            assert response.status_code == 200, f"Jaeger answered {response.status_code}"
            traces += response.json()["data"]
    return _by_case(traces, sent)


def _in_prometheus(context: Context, sent: Sent) -> dict[str, Text]:
    """Labels of the corpus' series, names and values."""
    wait_until(lambda: bool(context.thanos.instant(f'{{{CASE}=~"clean-.+"}}')), ARRIVAL_SECONDS, "the corpus' series")
    series = context.thanos.instant(f'{{{CASE}!=""}}')
    return {sample.labels[CASE]: Text(dict(sample.labels)) for sample in series if sample.labels[CASE] in sent.before}
