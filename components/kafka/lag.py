"""The lag exporter: how far each consumer group is behind, and whether replicas are in sync (requirement O5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi

from components.contracts import KafkaEndpoint, ScrapeTarget
from components.k8s import Allow, DeploymentContext, Resources, workload_pods
from components.k8s.programs import (
    CA_FILE,
    Program,
    PythonService,
    PythonServiceArgs,
    auth_folder,
    once,
    served,
)
from services.kafka_lag.settings import KafkaLagSettings, Selection

TOKEN = "obs:kafka:KafkaLag"  # noqa: S105  (a type token)
WORKLOAD = "kafka-lag"
PORT = 8080
_AUTH = auth_folder(WORKLOAD)


@dataclass(frozen=True, kw_only=True)
class KafkaLagArgs:
    """What the exporter needs.

    Attributes:
        context: Deployment context.
        scrape: Its metrics endpoint.
        kafka: The cluster that it watches; ``kafka-lag`` is one of its users.
        groups: Consumer groups to report.
        topics: Topics to report.
        interval_s: Seconds between polls.
        resources: Of the pod.
    """

    context: DeploymentContext
    scrape: ScrapeTarget
    kafka: KafkaEndpoint
    groups: Sequence[str]
    topics: Sequence[str]
    interval_s: int
    resources: Resources


class KafkaLag(pulumi.ComponentResource):
    """One exporter pod.

    Attributes:
        scrape: Its metrics.
    """

    scrape: ScrapeTarget

    def __init__(self, name: str, args: KafkaLagArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        context, user = args.context, args.kafka.users[WORKLOAD]
        self.scrape = args.scrape
        settings = KafkaLagSettings(
            bootstrap=args.kafka.bootstrap,
            ca_file=CA_FILE,
            username=user.username,
            password_file=Path(f"{_AUTH}/kafka-password"),
            groups=Selection(tuple(args.groups)),
            topics=Selection(tuple(args.topics)),
            interval_s=args.interval_s,
            **served(PORT, self.scrape.credential.username, _AUTH),
        )
        service = PythonService(
            self,
            context,
            PythonServiceArgs(
                program=Program(module="kafka_lag", container="exporter", resources=args.resources),
                scrape=self.scrape,
                settings=settings,
                secrets={"kafka-password": once(user.password, args.kafka.ready)},
                egress=[Allow(peers=[workload_pods("kafka")], ports=[args.kafka.port])],
                access=[args.kafka.access_label],
            ),
        )
        self.register_outputs({"pods": service.pods.id})
