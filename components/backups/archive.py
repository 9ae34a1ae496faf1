"""The archive's pods: they read every topic as one consumer group and store what they read, minute by minute.

Two of them share the partitions. They keep nothing of their own: what one that ends had not stored yet, the other
reads again, so that a lost node costs seconds and not the minutes until its pod runs elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components import naming
from components.backups import config
from components.backups.config import ARCHIVE_USER, IMAGE, Archiving, BackupTarget
from components.backups.jobs import backup_volumes
from components.backups.sources import KAFKA, once
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
    deployment,
    headless_service,
    network_policy,
    own_scrape,
    to_storage,
    with_access,
    workload_pods,
)
from components.telemetry.topics import TOPIC_NAMES

WORKLOAD = "kafka-archive"
PORT = 8080
REPLICAS = 2
_FOLDER = "/etc/kafka-archive"
_GRACE_S = 60
"""The program stores what it holds within 30 s of SIGTERM."""


@dataclass(frozen=True, kw_only=True)
class ArchiveArgs:
    """What the archive needs.

    Attributes:
        context: Deployment context.
        scrape: Its metrics endpoint.
        target: Where segments go.
        kafka: Where records are; ``archive`` is one of its users and the consumer group.
        archiving: How records are gathered.
        resources: Of each pod.
    """

    context: DeploymentContext
    scrape: ScrapeTarget
    target: BackupTarget
    kafka: KafkaEndpoint
    archiving: Archiving
    resources: Resources


def archive_scrape(parent: pulumi.Resource, context: DeploymentContext) -> ScrapeTarget:
    """The archive's metrics endpoint: made before it, since Prometheus has to know its password."""
    return own_scrape(parent, context, WORKLOAD, PORT)


def archive(parent: pulumi.Resource, args: ArchiveArgs) -> k8s.apps.v1.Deployment:
    """Make the archive."""
    context = args.context
    headless_service(parent, context, workload=WORKLOAD, ports={naming.METRICS_PORT: PORT})
    network_policy(
        parent,
        context,
        workload=WORKLOAD,
        ingress=[Allow(peers=[with_access(naming.METRICS_ACCESS)], ports=[PORT])],
        egress=[
            Allow(peers=[workload_pods(KAFKA)], ports=[args.kafka.port]),
            to_storage(args.target.storage),
        ],
    )
    return deployment(
        parent,
        context,
        Workload(
            name=WORKLOAD,
            replicas=REPLICAS,
            containers=[_container(args.resources)],
            volumes=_volumes(parent, args),
            tls=certificate(parent, context, workload=WORKLOAD),
            access=[args.kafka.access_label],
            grace_s=_GRACE_S,
        ),
    )


def _volumes(parent: pulumi.Resource, args: ArchiveArgs) -> list[Volume]:
    target, kafka, scraper = args.target, args.kafka, args.scrape.credential
    return backup_volumes(
        parent,
        args.context,
        workload=WORKLOAD,
        storage=target.storage,
        volume_source=lambda private: config.archive_config(
            target, kafka, args.archiving, TOPIC_NAMES, port=PORT, scraper=scraper.username, private=private
        ),
        passwords={
            config.KAFKA_PASSWORD: once(kafka.users[ARCHIVE_USER].password, kafka.ready),
            config.SCRAPE_PASSWORD: scraper.password,
        },
    )


def _container(resources: Resources) -> Container:
    return Container(
        name="archive",
        image=IMAGE,
        command=["/usr/bin/python3", "-m", "services.kafka_archive", "--config", f"{_FOLDER}/config.yaml"],
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        resources=resources,
        ports={naming.METRICS_PORT: PORT},
        mounts=[Mount(volume="config", path=_FOLDER), Mount(volume="auth", path=config.AUTH_FOLDER)],
        startup=Probe(http="/healthz", port=PORT, https=True, period_s=3, failures=40),
        readiness=Probe(http="/healthz", port=PORT, https=True, period_s=5),
        liveness=Probe(http="/healthz", port=PORT, https=True, period_s=20, failures=6),
    )
