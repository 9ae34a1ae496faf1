"""The backup exporter's pods: they poll the object storage and export how old, large and whole backups are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components import naming
from components.backups import config
from components.backups.config import IMAGE, Blocks
from components.backups.jobs import backup_volumes
from components.contracts import ObjectStorage, ScrapeTarget, TlsIdentity
from components.k8s import (
    Allow,
    Container,
    DeploymentContext,
    Mount,
    Probe,
    Resources,
    Volume,
    Workload,
    deployment,
    headless_service,
    network_policy,
    own_scrape,
    to_storage,
    with_access,
)

WORKLOAD = "backup-exporter"
PORT = 8443
REPLICAS = 2
"""Both see the same; an alert is raised when both say so."""
_FOLDER = "/etc/backup-exporter"


@dataclass(frozen=True, kw_only=True)
class BackupExporterArgs:
    """What the backup exporter needs.

    Attributes:
        context: Deployment context.
        scrape: Its metrics endpoint.
        storage: Where backups are.
        most_age_s: Kind -> how old its newest run may get, in seconds.
        blocks: Blocks of metrics in the same bucket, or None.
        tls: Its certificate.
        resources: Of each pod.
    """

    context: DeploymentContext
    scrape: ScrapeTarget
    storage: ObjectStorage
    most_age_s: Mapping[str, int]
    blocks: Blocks | None
    tls: TlsIdentity
    resources: Resources


def exporter_scrape(parent: pulumi.Resource, context: DeploymentContext) -> ScrapeTarget:
    """The backup exporter's metrics endpoint: made before it, since Prometheus has to know its password."""
    return own_scrape(parent, context, WORKLOAD, PORT)


def exporter(parent: pulumi.Resource, args: BackupExporterArgs) -> k8s.apps.v1.Deployment:
    """Make the backup exporter."""
    context = args.context
    headless_service(parent, context, workload=WORKLOAD, ports={naming.METRICS_PORT: PORT})
    network_policy(
        parent,
        context,
        workload=WORKLOAD,
        ingress=[Allow(peers=[with_access(naming.METRICS_ACCESS)], ports=[PORT])],
        egress=[to_storage(args.storage)],
    )
    return deployment(
        parent,
        context,
        Workload(
            name=WORKLOAD,
            replicas=REPLICAS,
            containers=[_container(args.resources)],
            volumes=_volumes(parent, args),
            tls=args.tls,
        ),
    )


def _volumes(parent: pulumi.Resource, args: BackupExporterArgs) -> list[Volume]:
    scraper = args.scrape.credential
    return backup_volumes(
        parent,
        args.context,
        workload=WORKLOAD,
        storage=args.storage,
        volume_source=lambda private: config.exporter_settings(
            args.storage, args.most_age_s, args.blocks, port=PORT, scraper=scraper.username, private=private
        ).content(),
        passwords={config.SCRAPE_PASSWORD: scraper.password},
    )


def _container(resources: Resources) -> Container:
    return Container(
        name="exporter",
        image=IMAGE,
        command=["/usr/bin/python3", "-m", "services.backup_exporter", "--config", f"{_FOLDER}/config.yaml"],
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        resources=resources,
        ports={naming.METRICS_PORT: PORT},
        mounts=[Mount(volume="config", path=_FOLDER), Mount(volume="auth", path=config.AUTH_FOLDER)],
        startup=Probe(http="/healthz", port=PORT, https=True, period_s=2, failures=60),
        readiness=Probe(http="/readyz", port=PORT, https=True, period_s=5, failures=2),
        liveness=Probe(http="/healthz", port=PORT, https=True, period_s=20, failures=6),
    )
