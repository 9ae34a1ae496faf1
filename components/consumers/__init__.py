"""A metrics consumer (requirement O5): Kafka to one Prometheus, at least once; one pod per Prometheus at a time.

The consumers of a replica are one group: each reads the partitions of its shard (ADR 65). Two members for one
Prometheus would not make it faster, and a single member's restart is covered by Kafka.

A record's offset is marked only after Prometheus has answered. Nothing in between acknowledges earlier: no batch
processor and no sending queue. The receiver hands records over undecoded, as log records; ``otlprecords`` sends their
bytes, those of waiting records together, and answers each with what became of its request. What Prometheus refuses for
good (HTTP 400, e.g. a sample too old) it halves until the culprit is alone: that is passed over and counted, and the
rest of its record arrives; a 500 counts as such only where Prometheus takes other points meanwhile. After any other
answer the receiver tries the record again, without end.

Its memory is bounded by what it asks for at once. A memory limiter would refuse what is held already, which frees
nothing, and a backlog would stand still (ADR 57).

**Why the session is so long.** A lost session ends what is under way, and it is read again; so the session outlives
every outage of Kafka that the platform is made for. Nobody waits for it to end: the group has one member, whose static
membership lets it carry on at once after a restart.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components import naming
from components.collector.config import (
    METRICS_PORT,
    ONLY_SHARD,
    READER,
    SCRAPE_HTPASSWD,
    TLS_DIRECTORY,
    Data,
    KafkaClient,
    Shard,
    kafka_consumer,
    merged,
    own_metrics,
    rendered,
)
from components.collector.pods import collector_container, htpasswd
from components.contracts import KafkaEndpoint, PrometheusEndpoint, ScrapeTarget
from components.k8s import (
    Allow,
    DeploymentContext,
    Resources,
    Volume,
    Workload,
    certificate,
    config_files,
    deployment,
    headless_service,
    network_policy,
    secret_files,
    with_access,
    workload_pods,
)
from components.telemetry.layers import TOPIC_OF_SIGNAL, Signal

WRITER_PASSWORD = "/etc/otelcol-auth/writer-password"  # noqa: S105  (a path)
WRITER_AUTH = "basicauth/writer"
EXPORTER = "otlprecords/prometheus"
REQUESTS = 500
"""Most requests that one refused record may cost; what is still together then is given up together."""
JOINED_BYTES = 2 * 2**20
"""Bytes of one request: records of all partitions that wait while others are under way are sent together."""


@dataclass(frozen=True, kw_only=True)
class MetricsConsumerConfig:
    """What a metrics consumer's configuration depends on.

    Attributes:
        kafka: Client settings for Kafka.
        prometheus_url: Address of the Prometheus to fill, ``https://host:port``.
        writer: User name there.
        group: Consumer group, with the consumers of the replica's other shards; the client's name if empty.
        shard: The part of the partitions that it reads.
        tls_directory: Folder with ``tls.crt``, ``tls.key`` and ``ca.crt``.
        writer_password: File with the password.
        scrape_htpasswd: Password file of the metrics endpoint.
    """

    kafka: KafkaClient
    prometheus_url: str
    writer: str
    group: str = ""
    shard: Shard = ONLY_SHARD
    tls_directory: str = TLS_DIRECTORY
    writer_password: str = WRITER_PASSWORD
    scrape_htpasswd: str = SCRAPE_HTPASSWD


def metrics_consumer_config(settings: MetricsConsumerConfig) -> Data:
    """The complete configuration of a metrics consumer."""
    return merged(
        own_metrics(tls_directory=settings.tls_directory, htpasswd=settings.scrape_htpasswd),
        {
            "extensions": {
                WRITER_AUTH: {"client_auth": {"username": settings.writer, "password_file": settings.writer_password}}
            },
            "receivers": {READER: _receiver(settings)},
            "exporters": {EXPORTER: _exporter(settings)},
            "service": {
                "extensions": [WRITER_AUTH],
                "pipelines": {
                    "logs/records": {"receivers": [READER], "exporters": [EXPORTER]},
                },
            },
        },
    )


def _receiver(settings: MetricsConsumerConfig) -> Data:
    return kafka_consumer(
        settings.kafka,
        member=settings.kafka.name,
        topic=TOPIC_OF_SIGNAL[Signal.METRICS],
        signal=Signal.LOGS.value,
        encoding="raw",
        retries=("500ms", "10s"),
        group=settings.group,
        shard=settings.shard,
    )


def _exporter(settings: MetricsConsumerConfig) -> Data:
    return {
        "endpoint": f"{settings.prometheus_url}/api/v1/otlp/v1/metrics",
        "max_requests": REQUESTS,
        "joined_bytes": JOINED_BYTES,
        "linger": "10ms",
        "tls": {"ca_file": f"{settings.tls_directory}/ca.crt", "min_version": "1.2", "reload_interval": "5m"},
        "auth": {"authenticator": WRITER_AUTH},
        "timeout": "30s",
        # One connection with large requests: there is nothing for HTTP/2 to interleave.
        "force_attempt_http2": False,
    }


TOKEN = "obs:consumers:MetricsConsumer"  # noqa: S105  (a type token)


@dataclass(frozen=True, kw_only=True)
class MetricsConsumerArgs:
    """What a metrics consumer needs.

    Attributes:
        context: Deployment context.
        kafka: Where metrics come from.
        prometheus: Where they go.
        shards: How many shards there are.
        scrape: The consumer's own metrics.
        resources: Of the pod.
    """

    context: DeploymentContext
    kafka: KafkaEndpoint
    prometheus: PrometheusEndpoint
    shards: int
    scrape: ScrapeTarget
    resources: Resources


def consumer_name(server: str) -> str:
    """Workload of the consumer that feeds a Prometheus server; of a replica's name, also SCRAM user and group."""
    return f"metrics-consumer-{server}"


class MetricsConsumer(pulumi.ComponentResource):
    """Moves metrics from Kafka to one Prometheus, at least once.

    Attributes:
        group: Consumer group.
        shard: Part of the layers' series that its Prometheus holds.
        scrape: The consumer's own metrics.
    """

    group: str
    shard: int
    scrape: ScrapeTarget

    def __init__(self, name: str, args: MetricsConsumerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        context = args.context
        workload = consumer_name(args.prometheus.server)
        self.group = consumer_name(args.prometheus.replica)
        self.shard = args.prometheus.shard
        self.scrape = args.scrape
        tls = certificate(self, context, workload=workload)
        headless_service(self, context, workload=workload, ports={naming.METRICS_PORT: METRICS_PORT})
        network_policy(
            self,
            context,
            workload=workload,
            ingress=[Allow(peers=[with_access(naming.METRICS_ACCESS)], ports=[METRICS_PORT])],
            egress=[
                Allow(peers=[workload_pods("kafka")], ports=[args.kafka.port]),
                Allow(peers=[workload_pods(args.prometheus.workload)], ports=[args.prometheus.port]),
            ],
        )
        pods = deployment(
            self,
            context,
            Workload(
                name=workload,
                replicas=1,
                containers=[collector_container(args.resources)],
                volumes=_volumes(self, args, workload),
                tls=tls,
                access=[args.kafka.access_label, args.prometheus.access_label],
                grace_s=45,
            ),
            recreate=True,
        )
        self.register_outputs({"pods": pods.id, "group": self.group})


def _volumes(parent: pulumi.Resource, args: MetricsConsumerArgs, workload: str) -> list[Volume]:
    group, prometheus = consumer_name(args.prometheus.replica), args.prometheus
    user = args.kafka.users[group]
    config = metrics_consumer_config(
        MetricsConsumerConfig(
            kafka=KafkaClient(brokers=(args.kafka.bootstrap,), user=user.username, name=workload),
            group=group,
            shard=Shard(index=prometheus.shard, count=args.shards),
            prometheus_url=prometheus.url,
            writer=prometheus.writer.username,
        )
    )
    public = config_files(
        parent, args.context, name=workload, workload=workload, files={"config.yaml": rendered(config)}
    )
    scrape = args.scrape.credential
    secret = secret_files(
        parent,
        args.context,
        name=f"{workload}-auth",
        workload=workload,
        files={
            "scrape.htpasswd": pulumi.Output.all(**{scrape.username: scrape.password}).apply(htpasswd),
            "writer-password": args.prometheus.writer.password,
            "kafka-password": user.password,
        },
    )
    return [Volume(name="config", files=public), Volume(name="auth", files=secret)]
