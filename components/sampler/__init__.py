"""The samplers: configuration as data, and pods (requirements O3, J2).

They are a StatefulSet, since each is a member of the consumer group under a name that stays.

Kafka keys spans by trace id, so one sampler sees a whole trace. What it reads goes two ways:

* to the span metrics: rate, errors and latency of *every* span, before any decision;
* to the decision, `decision_wait_s` after the first span of a trace arrived. The policies are tried in this order, and
  the first that takes a trace ends the matter (``sample_on_first_match``), so that errors and slow traces use nothing
  of the base rate's budget:

  1. ``errors``: a span's status is an error;
  2. ``slow``: a span lasted longer than its service's limit (`components.telemetry.services`);
  3. ``base``: a hash of the trace id is in the lowest `base_percent`, *and* this second's budget of
     `base_spans_per_s` is not used up. The hash is the same in every sampler; the budget makes the rate fall with load.

**Nothing is dropped for want of room.** ``block_on_overflow`` waits where the processor would throw the oldest trace
out undecided; the exporter's queue waits where Jaeger is slow. Waiting reaches back to Kafka, which keeps the rest. It
needs both decision caches: without them, decided traces would count as waiting for ever.

**Spans that come after the decision**, as those do that last longer than `decision_wait_s`, follow it where the trace
is kept. Where it is not, they are decided about anew, so that a call that failed by a timeout is kept, with what comes
beside it: of such decisions only the newest one is remembered.

**What a crash loses** (ADR 0008): the receiver marks a record when the processor has taken it, so traces that wait for
their decision and spans in the exporter's queue are lost: at most `decision_wait_s` + 1 seconds of one sampler.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pulumi

from components import naming
from components.collector.config import (
    METRICS_PORT,
    READER,
    SCRAPE_HTPASSWD,
    SELF_EXPORTER,
    TLS_DIRECTORY,
    Data,
    KafkaClient,
    kafka_consumer,
    memory_limiter,
    merged,
    own_metrics,
    rendered,
)
from components.collector.pods import collector_container, htpasswd
from components.contracts import KafkaEndpoint, ScrapeTarget, TracesEndpoint
from components.k8s import (
    Allow,
    DeploymentContext,
    Resources,
    Volume,
    Workload,
    certificate,
    config_files,
    headless_service,
    network_policy,
    secret_files,
    stateful_set,
    with_access,
    workload_pods,
)
from components.telemetry.layers import TOPIC_OF_SIGNAL, Signal
from components.telemetry.services import DEFAULT_LATENCY_LIMIT_MS, LATENCY_LIMITS_MS

SPAN_METRICS = "spanmetrics"
DECIDE = "forward/decide"
SAMPLING = "tail_sampling"
EXPORTER = "otlp/jaeger"
ERRORS, SLOW, BASE = "errors", "slow", "base"
POLICIES: tuple[str, ...] = (ERRORS, SLOW, BASE)

MEMBER_VARIABLE = "POD_NAME"

LATENCY_BUCKETS_S: tuple[float, ...] = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30)
SERIES_PER_SERVICE = 100
SERVICES = 25
"""Span metrics of more services, or more operations of one, are not told apart: `SERVICES` x `SERIES_PER_SERVICE`
histograms stay under the scrape's limit of 50,000 samples."""

_MIB = 1024 * 1024
_NS_PER_MS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class SamplingPolicy:
    """What is kept.

    Attributes:
        base_percent: Share of the traces that are neither failed nor slow.
        base_spans_per_s: Spans per second that one sampler keeps of these at most; above, the share falls.
        decision_wait_s: Seconds from a trace's first span to the decision.
        max_traces: Traces of one sampler that may wait for their decision; more wait in Kafka.
        max_trace_bytes: A larger trace is dropped undecided, and counted.
        limits_ms: ``service.name`` -> latency above which a span is slow.
        default_limit_ms: The same for all other services.
    """

    base_percent: float = 10.0
    base_spans_per_s: int = 250
    decision_wait_s: int = 8
    max_traces: int = 20_000
    max_trace_bytes: int = 8 * _MIB
    limits_ms: Mapping[str, int] = field(default_factory=lambda: dict(LATENCY_LIMITS_MS))
    default_limit_ms: int = DEFAULT_LATENCY_LIMIT_MS

    def __post_init__(self) -> None:
        ranges: tuple[tuple[str, float, float], ...] = (
            ("base_percent", 0, 100),
            ("base_spans_per_s", 1, 1_000_000),
            ("decision_wait_s", 1, 60),
            ("max_traces", 100, 1_000_000),
            ("max_trace_bytes", _MIB, 1024 * _MIB),
            ("default_limit_ms", 1, 3_600_000),
        )
        for name, lowest, highest in ranges:
            value = getattr(self, name)
            if not lowest <= value <= highest:
                raise ValueError(f"sampling: {name} is {value}, must be from {lowest:g} to {highest:g}")
        for service, limit in self.limits_ms.items():
            if limit < 1:
                raise ValueError(f"sampling: limit of service {service!r} is {limit} ms, must be at least 1")


@dataclass(frozen=True, kw_only=True)
class SamplerConfig:
    """What a sampler's configuration depends on.

    Attributes:
        kafka: Client settings for Kafka.
        traces: ``host:port`` of Jaeger's OTLP over gRPC.
        traces_name: Name to verify in its certificate.
        policy: What is kept.
        tls_directory: Folder with ``tls.crt``, ``tls.key`` and ``ca.crt``.
        scrape_htpasswd: Password file of the metrics endpoint.
    """

    kafka: KafkaClient
    traces: str
    traces_name: str
    policy: SamplingPolicy = field(default_factory=SamplingPolicy)
    tls_directory: str = TLS_DIRECTORY
    scrape_htpasswd: str = SCRAPE_HTPASSWD


def sampler_config(settings: SamplerConfig) -> Data:
    """The complete configuration of a sampler."""
    return merged(
        own_metrics(tls_directory=settings.tls_directory, htpasswd=settings.scrape_htpasswd),
        {
            "receivers": {READER: _receiver(settings)},
            "processors": {"memory_limiter": memory_limiter(), SAMPLING: _sampling(settings.policy)},
            "connectors": {SPAN_METRICS: _span_metrics(), DECIDE: {}},
            # Exemplars, which lead from a slow bucket to a trace, exist in this format only.
            "exporters": {EXPORTER: _exporter(settings), SELF_EXPORTER: {"enable_open_metrics": True}},
            "service": {
                "pipelines": {
                    "traces/in": {
                        "receivers": [READER],
                        "processors": ["memory_limiter"],
                        "exporters": [SPAN_METRICS, DECIDE],
                    },
                    "traces/kept": {"receivers": [DECIDE], "processors": [SAMPLING], "exporters": [EXPORTER]},
                    "metrics/spans": {"receivers": [SPAN_METRICS], "exporters": [SELF_EXPORTER]},
                },
            },
        },
    )


def _receiver(settings: SamplerConfig) -> Data:
    return kafka_consumer(
        settings.kafka,
        member=f"${{env:{MEMBER_VARIABLE}}}",
        topic=TOPIC_OF_SIGNAL[Signal.TRACES],
        signal=Signal.TRACES.value,
        retries=("200ms", "5s"),
    )


def _span_metrics() -> Data:
    return {
        "namespace": "traces.span.metrics",
        "dimensions": [{"name": "layer"}],
        # Instances and releases of a service must not make series of the same labels.
        "resource_metrics_key_attributes": ["service.name", "layer"],
        "resource_metrics_cache_size": SERVICES,
        "aggregation_cardinality_limit": SERIES_PER_SERVICE,
        "aggregation_temporality": "AGGREGATION_TEMPORALITY_CUMULATIVE",
        "histogram": {"unit": "s", "explicit": {"buckets": [f"{bound:g}s" for bound in LATENCY_BUCKETS_S]}},
        "exemplars": {"enabled": True, "max_per_data_point": 3},
        "metrics_flush_interval": "15s",
        "metrics_expiration": "1h",
    }


def _sampling(policy: SamplingPolicy) -> Data:
    return {
        "sampling_strategy": "trace-complete",
        "decision_wait": f"{policy.decision_wait_s}s",
        "num_traces": policy.max_traces,
        "block_on_overflow": True,
        "maximum_trace_size_bytes": policy.max_trace_bytes,
        "expected_new_traces_per_sec": max(1, policy.max_traces // (policy.decision_wait_s + 1)),
        "decision_cache": {
            "sampled_cache_size": 5 * policy.max_traces,
            "non_sampled_cache_size": 1,
        },
        "sample_on_first_match": True,
        "drop_pending_traces_on_shutdown": False,
        "policies": [
            {"name": ERRORS, "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
            {
                "name": SLOW,
                "type": "ottl_condition",
                "ottl_condition": {"error_mode": "ignore", "span": [slow_condition(policy)]},
            },
            {"name": BASE, "type": "and", "and": {"and_sub_policy": _base(policy)}},
        ],
    }


def _base(policy: SamplingPolicy) -> list[Data]:
    """The hash first: a trace that it does not choose must not use the budget up."""
    return [
        {
            "name": "hash",
            "type": "probabilistic",
            "probabilistic": {"sampling_percentage": policy.base_percent, "hash_salt": "obs-base"},
        },
        {"name": "budget", "type": "rate_limiting", "rate_limiting": {"spans_per_second": policy.base_spans_per_s}},
    ]


def slow_condition(policy: SamplingPolicy) -> str:
    """Condition of a span that is slow for its service.

    The tightest limit comes first: nearly all spans are faster, and no service has to be compared for them.
    """
    duration = "(span.end_time_unix_nano - span.start_time_unix_nano)"
    service = 'resource.attributes["service.name"]'
    by_limit: dict[int, list[str]] = {}
    for name, limit in sorted(policy.limits_ms.items()):
        by_limit.setdefault(limit, []).append(name)
    listed = " and ".join(f"{service} != {_quoted(name)}" for name in sorted(policy.limits_ms))
    groups = [
        f"({duration} > {limit * _NS_PER_MS} and ({' or '.join(f'{service} == {_quoted(name)}' for name in names)}))"
        for limit, names in sorted(by_limit.items())
    ]
    other = f"{duration} > {policy.default_limit_ms * _NS_PER_MS}"
    groups.append(f"({other} and {listed})" if listed else f"({other})")
    tightest = min([policy.default_limit_ms, *by_limit])
    return f"{duration} > {tightest * _NS_PER_MS} and ({' or '.join(groups)})"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _exporter(settings: SamplerConfig) -> Data:
    tls = settings.tls_directory
    return {
        "endpoint": settings.traces,
        "tls": {
            "ca_file": f"{tls}/ca.crt",
            "cert_file": f"{tls}/tls.crt",
            "key_file": f"{tls}/tls.key",
            "server_name_override": settings.traces_name,
            "min_version": "1.2",
            "reload_interval": "5m",
        },
        "compression": "none",
        "timeout": "20s",
        "keepalive": {"time": "20s", "timeout": "10s", "permit_without_stream": True},
        "retry_on_failure": {
            "enabled": True,
            "initial_interval": "200ms",
            "max_interval": "5s",
            "max_elapsed_time": 0,
        },
        "sending_queue": {
            "enabled": True,
            "sizer": "bytes",
            # A trace that is larger than the whole queue would be refused for good.
            "queue_size": max(16 * _MIB, 2 * settings.policy.max_trace_bytes),
            "block_on_overflow": True,
            "num_consumers": 4,
            "batch": {"sizer": "bytes", "flush_timeout": "200ms", "min_size": _MIB // 4, "max_size": 2 * _MIB},
        },
    }


TOKEN = "obs:sampler:Sampler"  # noqa: S105  (a type token)
WORKLOAD = "sampler"
"""Workload, SCRAM user and consumer group."""


@dataclass(frozen=True, kw_only=True)
class SamplerArgs:
    """What the samplers need.

    Attributes:
        context: Deployment context.
        scrape: Its metrics endpoint.
        kafka: Where spans come from.
        traces: Where the kept ones go.
        replicas: Number of samplers; at most the topic's partitions are busy. See ADR 0008 before lowering it.
        resources: Of a pod.
        policy: What is kept.
    """

    context: DeploymentContext
    scrape: ScrapeTarget
    kafka: KafkaEndpoint
    traces: TracesEndpoint
    replicas: int
    resources: Resources
    policy: SamplingPolicy = field(default_factory=SamplingPolicy)


class Sampler(pulumi.ComponentResource):
    """Reads all spans from Kafka, measures them, and sends the traces that matter to Jaeger.

    Attributes:
        group: Consumer group.
        scrape: Its own metrics, and the span metrics.
    """

    group: str
    scrape: ScrapeTarget

    def __init__(self, name: str, args: SamplerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        context = args.context
        self.group = WORKLOAD
        self.scrape = args.scrape
        tls = certificate(self, context, workload=WORKLOAD)
        headless_service(self, context, workload=WORKLOAD, ports={naming.METRICS_PORT: METRICS_PORT})
        network_policy(
            self,
            context,
            workload=WORKLOAD,
            ingress=[Allow(peers=[with_access(naming.METRICS_ACCESS)], ports=[METRICS_PORT])],
            egress=[
                Allow(peers=[workload_pods("kafka")], ports=[args.kafka.port]),
                Allow(peers=[workload_pods(args.traces.workload)], ports=[args.traces.port]),
            ],
        )
        pods = stateful_set(
            self,
            context,
            Workload(
                name=WORKLOAD,
                replicas=args.replicas,
                containers=[
                    replace(collector_container(args.resources), env_fields={MEMBER_VARIABLE: "metadata.name"})
                ],
                volumes=self._volumes(args),
                tls=tls,
                access=[args.kafka.access_label, args.traces.access_label],
                # At its end a sampler decides what it holds and sends what is kept.
                grace_s=60,
            ),
        )
        self.register_outputs({"pods": pods.id, "group": WORKLOAD})

    def _volumes(self, args: SamplerArgs) -> list[Volume]:
        user = args.kafka.users[WORKLOAD]
        config = sampler_config(
            SamplerConfig(
                kafka=KafkaClient(brokers=(args.kafka.bootstrap,), user=user.username, name=WORKLOAD),
                traces=args.traces.grpc,
                traces_name=args.traces.server_name,
                policy=args.policy,
            )
        )
        public = config_files(
            self, args.context, name=WORKLOAD, workload=WORKLOAD, files={"config.yaml": rendered(config)}
        )
        scrape = self.scrape.credential
        secret = secret_files(
            self,
            args.context,
            name=f"{WORKLOAD}-auth",
            workload=WORKLOAD,
            files={
                "scrape.htpasswd": pulumi.Output.all(**{scrape.username: scrape.password}).apply(htpasswd),
                "kafka-password": user.password,
            },
        )
        return [Volume(name="config", files=public), Volume(name="auth", files=secret)]
