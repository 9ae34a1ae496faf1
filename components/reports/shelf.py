"""The shelf's pods: they show the stored reports to who has the password, and Prometheus how old they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s
import yaml

from components import naming
from components.contracts import Credential, ObjectStorage, ScrapeTarget, TlsIdentity
from components.k8s import (
    Allow,
    Container,
    Mount,
    Probe,
    Resources,
    Site,
    Volume,
    Workload,
    certificate,
    cluster_service,
    config_files,
    credential,
    deployment,
    headless_service,
    network_policy,
    own_scrape,
    secret_files,
    to_storage,
    with_access,
)
from components.reports import config as names
from components.reports.config import shelf_config
from components.reports.schedule import Kind, Schedule

WORKLOAD = "report-shelf"
PORT = 8443
REPLICAS = 2
"""What is stored is read by either of them."""
_FOLDER = "/etc/report-shelf"


@dataclass(frozen=True, kw_only=True)
class ShelfArgs:
    """What the shelf needs.

    Attributes:
        site: Surroundings.
        scrape: Its metrics endpoint.
        image: Short name of the image.
        storage: Where reports are stored.
        schedules: How old the newest report of each kind may get.
        time_zone: In which days begin.
        resources: Of each pod.
    """

    site: Site
    scrape: ScrapeTarget
    image: str
    storage: ObjectStorage
    schedules: Mapping[Kind, Schedule]
    time_zone: str
    resources: Resources


def shelf_scrape(parent: pulumi.Resource, site: Site) -> ScrapeTarget:
    """The shelf's metrics endpoint: made before it, since Prometheus has to know its password."""
    return own_scrape(parent, site, WORKLOAD, PORT)


class Shelf:
    """The shelf's objects, which belong to the component of the reports.

    Attributes:
        reader: May read reports.
        scrape: Its metrics.
        tls: Its certificate.
        access_label: Label that a client pod needs.
        pods: Its Deployment.
    """

    reader: Credential
    scrape: ScrapeTarget
    tls: TlsIdentity
    access_label: str
    pods: k8s.apps.v1.Deployment

    def __init__(self, parent: pulumi.Resource, args: ShelfArgs) -> None:
        site = args.site
        self.access_label = naming.access_label(WORKLOAD)
        self.reader = credential(parent, name=f"{WORKLOAD}-reader", username="reader")
        self.scrape = args.scrape
        self.tls = certificate(parent, site, workload=WORKLOAD)
        headless_service(parent, site, workload=WORKLOAD, ports={naming.METRICS_PORT: PORT})
        cluster_service(parent, site, workload=WORKLOAD, ports={"https": PORT})
        network_policy(
            parent,
            site,
            workload=WORKLOAD,
            ingress=[Allow(peers=[with_access(self.access_label), with_access(naming.METRICS_ACCESS)], ports=[PORT])],
            egress=[to_storage(args.storage)],
        )
        self.pods = deployment(
            parent,
            site,
            Workload(
                name=WORKLOAD,
                replicas=REPLICAS,
                containers=[_container(args)],
                volumes=self._volumes(parent, args),
                tls=self.tls,
            ),
        )

    def _volumes(self, parent: pulumi.Resource, args: ShelfArgs) -> list[Volume]:
        storage = args.storage

        def written(private: bool) -> str:
            content = shelf_config(
                storage,
                args.schedules,
                time_zone=args.time_zone,
                port=PORT,
                reader=self.reader.username,
                scraper=self.scrape.credential.username,
                private_storage=private,
            )
            return yaml.safe_dump(content, sort_keys=True)

        settings = pulumi.Output.unsecret(storage.authority.apply(bool)).apply(written)
        public = config_files(parent, args.site, name=WORKLOAD, workload=WORKLOAD, files={"config.yaml": settings})
        secret = secret_files(
            parent,
            args.site,
            name=f"{WORKLOAD}-auth",
            workload=WORKLOAD,
            files={
                names.KEY_ID: storage.access_key_id,
                names.SECRET_KEY: storage.secret_access_key,
                names.STORAGE_AUTHORITY: storage.authority,
                names.READER_PASSWORD: self.reader.password,
                names.SCRAPE_PASSWORD: self.scrape.credential.password,
            },
        )
        return [Volume(name="config", files=public), Volume(name="auth", files=secret)]


def _container(args: ShelfArgs) -> Container:
    return Container(
        name="report-shelf",
        image=args.image,
        command=["/usr/bin/python3", "-m", "services.report_shelf", "--config", f"{_FOLDER}/config.yaml"],
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        resources=args.resources,
        ports={naming.METRICS_PORT: PORT},
        mounts=[Mount(volume="config", path=_FOLDER), Mount(volume="auth", path=names.SHELF_AUTH_FOLDER)],
        startup=Probe(http="/healthz", port=PORT, https=True, period_s=2, failures=60),
        readiness=Probe(http="/readyz", port=PORT, https=True, period_s=5, failures=2),
        liveness=Probe(http="/healthz", port=PORT, https=True, period_s=20, failures=6),
        pre_stop_sleep_s=2,
    )
