"""The samplers' pods: a StatefulSet, since each is a member of the consumer group under a name that stays."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pulumi

from components import naming
from components.collector.config import METRICS_PORT, KafkaClient, rendered
from components.collector.passwords import htpasswd
from components.collector.pods import collector_container
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
from components.sampler.config import MEMBER_VARIABLE, SamplerConfig, SamplingPolicy, sampler_config

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
        max_message_bytes: Largest record of the topic.
        policy: What is kept.
    """

    context: DeploymentContext
    scrape: ScrapeTarget
    kafka: KafkaEndpoint
    traces: TracesEndpoint
    replicas: int
    resources: Resources
    max_message_bytes: int
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
                kafka=KafkaClient(brokers=(args.kafka.bootstrap,), user=user.username),
                traces=args.traces.grpc,
                traces_name=args.traces.server_name,
                max_message_bytes=args.max_message_bytes,
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
                # Known only when topics, users and ACLs exist.
                "kafka-password": pulumi.Output.all(user.password, args.kafka.ready).apply(lambda both: str(both[0])),
            },
        )
        return [Volume(name="config", files=public), Volume(name="auth", files=secret)]
