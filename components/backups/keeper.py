"""The keeper's pods: they look into the object storage and tell Prometheus how old, large and whole backups are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components import naming
from components.backups import config
from components.backups.config import IMAGE, Blocks
from components.backups.jobs import vault_volumes
from components.contracts import ObjectStorage, ScrapeTarget, TlsIdentity
from components.k8s import (
    Allow,
    Container,
    Mount,
    Probe,
    Resources,
    Site,
    Volume,
    Workload,
    deployment,
    headless_service,
    network_policy,
    own_scrape,
    to_storage,
    with_access,
)

WORKLOAD = "backup-keeper"
PORT = 8443
REPLICAS = 2
"""Both see the same; an alert is raised when both say so."""
_FOLDER = "/etc/backup-keeper"


@dataclass(frozen=True, kw_only=True)
class KeeperArgs:
    """What the keeper needs.

    Attributes:
        site: Surroundings.
        scrape: Its metrics endpoint.
        storage: Where backups are.
        most_age_s: Kind -> how old its newest run may get, in seconds.
        blocks: Blocks of metrics in the same bucket, or None.
        tls: Its certificate.
        resources: Of each pod.
    """

    site: Site
    scrape: ScrapeTarget
    storage: ObjectStorage
    most_age_s: Mapping[str, int]
    blocks: Blocks | None
    tls: TlsIdentity
    resources: Resources


def keeper_scrape(parent: pulumi.Resource, site: Site) -> ScrapeTarget:
    """The keeper's metrics endpoint: made before it, since Prometheus has to know its password."""
    return own_scrape(parent, site, WORKLOAD, PORT)


def keeper(parent: pulumi.Resource, args: KeeperArgs) -> k8s.apps.v1.Deployment:
    """Make the keeper."""
    site = args.site
    headless_service(parent, site, workload=WORKLOAD, ports={naming.METRICS_PORT: PORT})
    network_policy(
        parent,
        site,
        workload=WORKLOAD,
        ingress=[Allow(peers=[with_access(naming.METRICS_ACCESS)], ports=[PORT])],
        egress=[to_storage(args.storage)],
    )
    return deployment(
        parent,
        site,
        Workload(
            name=WORKLOAD,
            replicas=REPLICAS,
            containers=[_container(args.resources)],
            volumes=_volumes(parent, args),
            tls=args.tls,
        ),
    )


def _volumes(parent: pulumi.Resource, args: KeeperArgs) -> list[Volume]:
    scraper = args.scrape.credential
    return vault_volumes(
        parent,
        args.site,
        workload=WORKLOAD,
        storage=args.storage,
        made=lambda private: config.keeper_config(
            args.storage, args.most_age_s, args.blocks, port=PORT, scraper=scraper.username, private=private
        ),
        passwords={config.SCRAPE_PASSWORD: scraper.password},
    )


def _container(resources: Resources) -> Container:
    return Container(
        name="keeper",
        image=IMAGE,
        command=["/usr/bin/python3", "-m", "services.backup_keeper", "--config", f"{_FOLDER}/config.yaml"],
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        resources=resources,
        ports={naming.METRICS_PORT: PORT},
        mounts=[Mount(volume="config", path=_FOLDER), Mount(volume="auth", path=config.AUTH_FOLDER)],
        startup=Probe(http="/healthz", port=PORT, https=True, period_s=2, failures=60),
        readiness=Probe(http="/readyz", port=PORT, https=True, period_s=5, failures=2),
        liveness=Probe(http="/healthz", port=PORT, https=True, period_s=20, failures=6),
    )
