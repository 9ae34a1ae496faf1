"""A metrics consumer's pod (requirement O5): one per Prometheus, and one at a time.

Two members in one group would not make one Prometheus faster, and a single member's restart is covered by Kafka.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components import naming
from components.collector.config import METRICS_PORT, KafkaClient, rendered
from components.collector.passwords import htpasswd
from components.collector.pods import collector_container
from components.consumers.config import MetricsConsumerConfig, metrics_consumer_config
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

TOKEN = "obs:consumers:MetricsConsumer"  # noqa: S105  (a type token)


@dataclass(frozen=True, kw_only=True)
class MetricsConsumerArgs:
    """What a metrics consumer needs.

    Attributes:
        context: Deployment context.
        kafka: Where metrics come from.
        prometheus: Where they go.
        scrape: The consumer's own metrics.
        resources: Of the pod.
        max_message_bytes: Largest record of the topic.
    """

    context: DeploymentContext
    kafka: KafkaEndpoint
    prometheus: PrometheusEndpoint
    scrape: ScrapeTarget
    resources: Resources
    max_message_bytes: int


def consumer_name(replica: str) -> str:
    """Workload, SCRAM user and consumer group of the consumer that feeds Prometheus ``replica``."""
    return f"metrics-consumer-{replica}"


class MetricsConsumer(pulumi.ComponentResource):
    """Moves metrics from Kafka to one Prometheus, at least once.

    Attributes:
        group: Consumer group.
        scrape: The consumer's own metrics.
    """

    group: str
    scrape: ScrapeTarget

    def __init__(self, name: str, args: MetricsConsumerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        context = args.context
        workload = consumer_name(args.prometheus.replica)
        self.group = workload
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
        self.register_outputs({"pods": pods.id, "group": workload})


def _volumes(parent: pulumi.Resource, args: MetricsConsumerArgs, workload: str) -> list[Volume]:
    user = args.kafka.users[workload]
    config = metrics_consumer_config(
        MetricsConsumerConfig(
            kafka=KafkaClient(brokers=(args.kafka.bootstrap,), user=user.username),
            prometheus_url=args.prometheus.url,
            writer=args.prometheus.writer.username,
            max_message_bytes=args.max_message_bytes,
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
            # Known only when topics, users and ACLs exist.
            "kafka-password": pulumi.Output.all(user.password, args.kafka.ready).apply(lambda both: str(both[0])),
        },
    )
    return [Volume(name="config", files=public), Volume(name="auth", files=secret)]
