"""The lag exporter: how far each consumer group is behind, and whether replicas are in sync (requirement O5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi
import yaml

from components import naming
from components.contracts import KafkaEndpoint, ScrapeTarget
from components.k8s import (
    Allow,
    Container,
    DeploymentContext,
    Mount,
    Probe,
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
from components.k8s.programs import CA_FILE, served
from services.kafka_lag.settings import KafkaLagSettings, Selection

TOKEN = "obs:kafka:KafkaLag"  # noqa: S105  (a type token)
WORKLOAD = "kafka-lag"
PORT = 8080
_CONFIG = "/etc/kafka-lag"
_AUTH = "/etc/kafka-lag-auth"


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
        public = config_files(
            self,
            context,
            name=WORKLOAD,
            workload=WORKLOAD,
            files={"config.yaml": yaml.safe_dump(settings.content(), sort_keys=True)},
        )
        secret = secret_files(
            self,
            context,
            name=f"{WORKLOAD}-auth",
            workload=WORKLOAD,
            files={
                # Known only when topics, users and permissions exist.
                "kafka-password": pulumi.Output.all(user.password, args.kafka.ready).apply(lambda both: str(both[0])),
                "scrape-password": self.scrape.credential.password,
            },
        )
        headless_service(self, context, workload=WORKLOAD, ports={naming.METRICS_PORT: PORT})
        network_policy(
            self,
            context,
            workload=WORKLOAD,
            ingress=[Allow(peers=[with_access(naming.METRICS_ACCESS)], ports=[PORT])],
            egress=[Allow(peers=[workload_pods("kafka")], ports=[args.kafka.port])],
        )
        pods = deployment(
            self,
            context,
            Workload(
                name=WORKLOAD,
                replicas=1,
                containers=[_container(args.resources)],
                volumes=[Volume(name="config", files=public), Volume(name="auth", files=secret)],
                tls=certificate(self, context, workload=WORKLOAD),
                access=[args.kafka.access_label],
            ),
        )
        self.register_outputs({"pods": pods.id})


def _container(resources: Resources) -> Container:
    """The exporter's process."""
    return Container(
        name="exporter",
        image="services",
        command=["/usr/bin/python3", "-m", "services.kafka_lag", "--config", f"{_CONFIG}/config.yaml"],
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        resources=resources,
        ports={naming.METRICS_PORT: PORT},
        mounts=[Mount(volume="config", path=_CONFIG), Mount(volume="auth", path=_AUTH)],
        readiness=Probe(tcp=PORT, period_s=5),
        liveness=Probe(tcp=PORT, period_s=20, failures=6),
        startup=Probe(tcp=PORT, period_s=3, failures=40),
    )
