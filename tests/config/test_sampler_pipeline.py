"""The sampler with real servers: a Kafka broker and the collector; a gRPC server with mutual TLS stands for Jaeger."""

from __future__ import annotations

import itertools
import re
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_bytes

import pytest
import requests
from confluent_kafka import Consumer, Producer, TopicPartition
from opentelemetry.proto.trace.v1.trace_pb2 import Status, TracesData

from components.collector.config import rendered
from components.collector.pods import htpasswd
from components.sampler import MEMBER_VARIABLE, SamplerConfig, SamplingPolicy, sampler_config
from lab.toolchain import tools
from ops.drills.tools.span_load import SPANS_PER_TRACE, TOPIC, Sent, Sort, Traffic
from tests.config.gateway_process import SCRAPE, kafka_user, move_own_metrics
from tests.config.pki import write_certificates
from tests.config.servers import eventually, running
from tests.support import kafka_broker
from tests.support.kafka_broker import Broker
from tests.support.traces import KeptTraces, jaeger, produce

pytestmark = pytest.mark.timed

WITHIN_S = 15
PARTITIONS = 8


@dataclass(frozen=True)
class SamplerProcess:
    """A running sampler."""

    folder: Path
    metrics_port: int

    def scrape(self, accept: str = "text/plain") -> str:
        """Its metrics."""
        answer = requests.get(
            f"https://localhost:{self.metrics_port}/metrics",
            auth=SCRAPE,
            verify=str(self.folder / "ca.crt"),
            headers={"Accept": accept},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
        return answer.text

    def value(self, metric: str, **labels: str) -> float:
        """Sum of a metric's series that carry these labels."""
        total = 0.0
        for line in self.scrape().splitlines():
            match = re.match(r"(\w+)\{(.*?)\} (\S+)", line)
            if match and match[1] == metric and all(f'{key}="{value}"' in match[2] for key, value in labels.items()):
                total += float(match[3])
        return total


@dataclass(frozen=True)
class Harness:
    """What is around the sampler."""

    folder: Path
    broker: Broker
    client: dict[str, str]
    kept: KeptTraces
    jaeger_port: int


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    folder = tmp_path_factory.mktemp("sampler")
    (folder / "kafka").mkdir()
    write_certificates(folder)
    (folder / "scrape").write_text(htpasswd(dict([SCRAPE])))
    with kafka_broker.running(folder / "kafka") as broker, jaeger(folder) as (kept, port):
        broker.create_topics([TOPIC], PARTITIONS)
        yield Harness(folder, broker, broker.client(), kept, port)


@contextmanager
def sampler(path: Harness, policy: SamplingPolicy, *, kill: bool = False) -> Iterator[SamplerProcess]:
    folder = path.folder
    config = sampler_config(
        SamplerConfig(
            kafka=kafka_user(folder, path.broker),
            traces=f"127.0.0.1:{path.jaeger_port}",
            traces_name="localhost",
            policy=policy,
            tls_directory=str(folder),
            scrape_htpasswd=str(folder / "scrape"),
        )
    )
    port = move_own_metrics(config)
    file = folder / "config.yaml"
    file.write_text(rendered(config))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MEMBER_VARIABLE, "sampler-0")
        command = [str(tools.path("otelcol")), f"--config={file}"]
        with running(command, folder / "otelcol.log", port, kill=kill):
            yield SamplerProcess(folder, port)


def decided(process: SamplerProcess) -> float:
    """Traces that were decided about."""
    return process.value("otelcol_processor_tail_sampling_global_count_traces_sampled_total")


def share(kept: KeptTraces, sent: Sent) -> float:
    """Share of the plain traces that were kept."""
    plain = sent.of(Sort.PLAIN)
    return len(kept.whole(plain)) / len(plain)


def kept_whole(path: Harness, sent: Sent) -> None:
    """Wait until all failed and slow traces are in Jaeger, whole and once."""
    for sort in (Sort.FAILED, Sort.SLOW):
        wanted = sent.of(sort)
        assert len(wanted) > 50
        eventually(lambda wanted=wanted: path.kept.whole(wanted) == wanted, 10, f"{sort} traces are in Jaeger")  # type: ignore[misc]


def committed(path: Harness) -> bool:
    """Whether the sampler has committed everything that is in its topic."""
    reader = Consumer({**path.client, "group.id": path.broker.username})
    try:
        positions = reader.committed([TopicPartition(TOPIC, number) for number in range(PARTITIONS)], timeout=60)
        return all(at.offset == reader.get_watermark_offsets(at, timeout=60)[1] for at in positions)
    finally:
        reader.close()


def test_errors_and_slow_traces_are_kept_whole_and_a_tenth_of_the_rest_soon_after_their_end(path: Harness) -> None:
    count = 6000
    roomy = SamplingPolicy(base_spans_per_s=100_000, max_traces=40_000)
    with sampler(path, roomy) as process:
        sent = produce(path.client, Traffic(1), count=count, per_second=1250)
        eventually(lambda: decided(process) >= count, 60, "all traces are decided about")
        kept_whole(path, sent)
        plain = sent.of(Sort.PLAIN)
        eventually(lambda: path.kept.any(plain) == path.kept.whole(plain), 10, "kept traces are whole, and came once")
        base = share(path.kept, sent)
        assert 0.09 <= base <= 0.11
        waits = [path.kept.times[trace_id] - sent.times[trace_id] for trace_id in path.kept.whole(set(sent.sorts))]
        usual = statistics.median(waits)
        assert roomy.decision_wait_s <= usual < WITHIN_S
        spans = count * SPANS_PER_TRACE
        eventually(
            lambda: process.value("traces_span_metrics_calls_total") >= spans, 20, "span metrics count all spans"
        )
        assert process.value("traces_span_metrics_calls_total") == spans
        failed = process.value("traces_span_metrics_calls_total", status_code="STATUS_CODE_ERROR")
        assert failed == len(sent.of(Sort.FAILED))
        print(
            f"kept: failed {len(sent.of(Sort.FAILED))} of as many, slow {len(sent.of(Sort.SLOW))} of as many, "
            f"rest {base:.2%} of {len(plain)}; usually {usual:.1f} s after the last span, {max(waits):.1f} s at most"
        )


def test_records_of_many_traces_are_decided_about_trace_by_trace(path: Harness) -> None:
    count = 3000
    policy = SamplingPolicy(base_spans_per_s=100_000, decision_wait_s=2)
    with sampler(path, policy) as process:
        before = decided(process)
        sent = produce(path.client, Traffic(11, failed=0.05, slow=0.05), count=count, per_second=1500, together=40)
        eventually(lambda: decided(process) >= before + count, 40, "all traces are decided about")
        kept_whole(path, sent)
        assert 0.05 <= share(path.kept, sent) <= 0.15


def test_a_load_above_the_limit_lowers_the_base_rate_errors_stay_whole_and_the_rate_returns(path: Harness) -> None:
    """Quiet phases are at a quarter of the limit, so that a machine that stands still for a while changes nothing."""
    limit, quiet_per_second, loaded_per_second = 120, 100, 1000
    policy = SamplingPolicy(base_spans_per_s=limit, decision_wait_s=2)
    shares: list[float] = []
    failed: set[bytes] = set()
    with sampler(path, policy) as process:
        for seed, per_second, together in (
            (2, quiet_per_second, 1),
            (3, loaded_per_second, 10),
            (4, quiet_per_second, 1),
        ):
            before = decided(process)
            traffic, count = Traffic(seed, failed=0.02, slow=0), 8 * per_second
            sent = produce(path.client, traffic, count=count, per_second=per_second, together=together)
            wanted = before + len(sent.sorts)
            eventually(lambda wanted=wanted: decided(process) >= wanted, 15, "the phase is decided about")
            time.sleep(2)
            shares.append(share(path.kept, sent))
            failed |= sent.of(Sort.FAILED)
        assert path.kept.whole(failed) == failed, "load must not touch failed traces"
    quiet, loaded, after = shares
    print(f"base rate {quiet:.1%} -> {loaded:.1%} above the limit -> {after:.1%}")
    assert 0.07 < quiet < 0.13
    assert loaded < 0.6 * quiet
    assert 0.07 < after < 0.13


def test_failed_and_slow_spans_that_end_after_the_decision_are_kept_and_others_are_not(path: Harness) -> None:
    """A call that ends with a timeout comes long after its children, for whose sake the trace was not kept."""
    policy = SamplingPolicy(base_percent=0, decision_wait_s=1)
    traces = {late: [token_bytes(16) for _ in range(20)] for late in ("failed", "slow", "plain")}
    producer = Producer(path.client)

    def send(trace_id: bytes, **span: int) -> None:
        producer.produce(TOPIC, one_span(trace_id, **span), key=trace_id.hex())

    with sampler(path, policy) as process:
        for trace_id in itertools.chain(*traces.values()):
            send(trace_id)
        assert producer.flush(60) == 0
        eventually(lambda: decided(process) >= 60, 20, "all are decided about")
        # The decision about the newest trace is remembered.
        send(token_bytes(16))
        assert producer.flush(60) == 0
        eventually(lambda: decided(process) >= 61, 20, "another one is decided about")
        for trace_id in traces["failed"]:
            send(trace_id, code=Status.STATUS_CODE_ERROR)
        for trace_id in traces["slow"]:
            send(trace_id, lasts_s=30)
        for trace_id in traces["plain"]:
            send(trace_id)
        assert producer.flush(60) == 0
        wanted = {*traces["failed"], *traces["slow"]}
        eventually(lambda: path.kept.any(wanted) == wanted, 20, "the late spans are in Jaeger")
        eventually(lambda: decided(process) >= 121, 20, "the other ones are decided about")
        assert not path.kept.any({*traces["plain"]})


def one_span(trace_id: bytes, *, code: int = 0, lasts_s: int = 0) -> bytes:
    """A record with one span."""
    data = TracesData()
    resource = data.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "streaming"
    start = time.time_ns()
    span = resource.scope_spans.add().spans.add(
        trace_id=trace_id, span_id=token_bytes(8), name="call", start_time_unix_nano=start
    )
    span.end_time_unix_nano = start + 1_000_000 + lasts_s * 1_000_000_000
    span.status.code = code
    return data.SerializeToString()


def test_while_jaeger_is_away_nothing_is_lost(path: Harness) -> None:
    policy = SamplingPolicy(base_percent=100, base_spans_per_s=1_000_000, decision_wait_s=1)
    with sampler(path, policy) as process:
        path.kept.refuse = True
        sent = produce(path.client, Traffic(5), count=2000, per_second=1000)
        eventually(lambda: decided(process) >= len(sent.sorts), 15, "all are decided about")
        assert not path.kept.any(set(sent.sorts))
        path.kept.refuse = False
        eventually(lambda: path.kept.whole(set(sent.sorts)) == set(sent.sorts), 30, "all traces are in Jaeger")


def test_a_sampler_that_ends_decides_what_it_holds_first(path: Harness) -> None:
    policy = SamplingPolicy(base_percent=100, base_spans_per_s=1_000_000, decision_wait_s=30)
    with sampler(path, policy) as process:
        sent = produce(path.client, Traffic(6), count=500, per_second=1000)
        name = "otelcol_processor_tail_sampling_new_trace_id_received_total"
        eventually(lambda: process.value(name) >= 500, 20, "all traces wait for their decision")
        assert decided(process) == 0
    assert path.kept.whole(set(sent.sorts)) == set(sent.sorts)


def test_what_a_killed_sampler_held_is_lost_and_its_last_metrics_say_how_much(path: Harness) -> None:
    policy = SamplingPolicy(base_percent=100, base_spans_per_s=1_000_000, decision_wait_s=1)
    # So long that nothing is decided before the kill, however busy the machine is.
    with sampler(path, replace(policy, decision_wait_s=60), kill=True) as process:
        first = produce(path.client, Traffic(7), count=500, per_second=1000)
        in_memory = "otelcol_processor_tail_sampling_sampling_traces_on_memory"
        eventually(lambda: process.value(in_memory) >= 500, 20, "all traces wait for their decision")
        eventually(lambda: committed(path), 20, "their offsets are committed")
        held = process.value(in_memory)
    with sampler(path, policy) as process:
        second = produce(path.client, Traffic(8), count=500, per_second=1000)
        eventually(lambda: path.kept.whole(set(second.sorts)) == set(second.sorts), 30, "the next traces arrive")
        lost = len(first.sorts) - len(path.kept.whole(set(first.sorts)))
    print(f"lost {lost} traces; {held:.0f} were reported as waiting")
    assert 0 < lost <= held


def test_slow_buckets_lead_to_traces(path: Harness) -> None:
    with sampler(path, SamplingPolicy()) as process:
        sent = produce(path.client, Traffic(9), count=200, per_second=1000)

        def exemplars() -> list[str]:
            text = process.scrape("application/openmetrics-text; version=1.0.0")
            return re.findall(
                r'^traces_span_metrics_duration_seconds_bucket.*# \{.*trace_id="(\w+)"', text, re.MULTILINE
            )

        eventually(lambda: bool(exemplars()), 40, "an exemplar is offered")
        assert {bytes.fromhex(exemplar) for exemplar in exemplars()} <= set(sent.sorts)


RULE_METRICS = (
    'otelcol_receiver_accepted_spans_total{.*receiver="kafkarecords"',
    'otelcol_exporter_sent_spans_total{.*exporter="otlp/jaeger"',
    'otelcol_exporter_queue_size{.*exporter="otlp/jaeger"',
    'otelcol_exporter_queue_capacity{.*exporter="otlp/jaeger"',
    'otelcol_processor_tail_sampling_global_count_traces_sampled_total{.*sampled="true"',
    'otelcol_processor_tail_sampling_count_traces_sampled_total{.*policy="base".*sampled="true"',
    "otelcol_processor_tail_sampling_sampling_trace_dropped_too_early_total{",
    "otelcol_processor_tail_sampling_sampling_traces_on_memory{",
    'traces_span_metrics_calls_total{.*layer="streaming".*service_name="streaming".*span_kind="SPAN_KIND_SERVER"',
    'traces_span_metrics_calls_total{.*status_code="STATUS_CODE_ERROR"',
    'traces_span_metrics_duration_seconds_bucket{.*le="0.5"',
)


def test_what_the_rules_ask_for_exists_under_these_names(path: Harness) -> None:
    with sampler(path, SamplingPolicy(decision_wait_s=1)) as process:
        produce(path.client, Traffic(10, failed=0.1), count=500, per_second=1000)

        def missing() -> list[str]:
            text = process.scrape()
            return [name for name in RULE_METRICS if not re.search(f"^{name}", text, re.MULTILINE)]

        eventually(lambda: not missing(), 40, f"all are there; missing at first: {missing()}")
