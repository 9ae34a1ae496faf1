"""The report server's pods: they show the stored reports to who has the password, and Prometheus how old they are."""

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
    DeploymentContext,
    Mount,
    Probe,
    Resources,
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
from components.reports.config import report_server_settings
from components.reports.schedule import Kind, Schedule

WORKLOAD = "report-server"
PORT = 8443
REPLICAS = 2
"""What is stored is read by either of them."""
_FOLDER = "/etc/report-server"


@dataclass(frozen=True, kw_only=True)
class ReportServerArgs:
    """What the report server needs.

    Attributes:
        context: Deployment context.
        scrape: Its metrics endpoint.
        image: Short name of the image.
        storage: Where reports are stored.
        schedules: How old the newest report of each kind may get.
        time_zone: In which days begin.
        resources: Of each pod.
    """

    context: DeploymentContext
    scrape: ScrapeTarget
    image: str
    storage: ObjectStorage
    schedules: Mapping[Kind, Schedule]
    time_zone: str
    resources: Resources


def report_server_scrape(parent: pulumi.Resource, context: DeploymentContext) -> ScrapeTarget:
    """The report server's metrics endpoint: made before it, since Prometheus has to know its password."""
    return own_scrape(parent, context, WORKLOAD, PORT)


class ReportServer:
    """The report server's objects, which belong to the component of the reports.

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

    def __init__(self, parent: pulumi.Resource, args: ReportServerArgs) -> None:
        context = args.context
        self.access_label = naming.access_label(WORKLOAD)
        self.reader = credential(parent, name=f"{WORKLOAD}-reader", username="reader")
        self.scrape = args.scrape
        self.tls = certificate(parent, context, workload=WORKLOAD)
        headless_service(parent, context, workload=WORKLOAD, ports={naming.METRICS_PORT: PORT})
        cluster_service(parent, context, workload=WORKLOAD, ports={"https": PORT})
        network_policy(
            parent,
            context,
            workload=WORKLOAD,
            ingress=[Allow(peers=[with_access(self.access_label), with_access(naming.METRICS_ACCESS)], ports=[PORT])],
            egress=[to_storage(args.storage)],
        )
        self.pods = deployment(
            parent,
            context,
            Workload(
                name=WORKLOAD,
                replicas=REPLICAS,
                containers=[_container(args)],
                volumes=self._volumes(parent, args),
                tls=self.tls,
            ),
        )

    def _volumes(self, parent: pulumi.Resource, args: ReportServerArgs) -> list[Volume]:
        storage = args.storage

        def written(private: bool) -> str:
            settings = report_server_settings(
                storage,
                args.schedules,
                time_zone=args.time_zone,
                port=PORT,
                reader=self.reader.username,
                scraper=self.scrape.credential.username,
                private_storage=private,
            )
            return yaml.safe_dump(settings.content(), sort_keys=True)

        settings = pulumi.Output.unsecret(storage.authority.apply(bool)).apply(written)
        public = config_files(parent, args.context, name=WORKLOAD, workload=WORKLOAD, files={"config.yaml": settings})
        secret = secret_files(
            parent,
            args.context,
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


def _container(args: ReportServerArgs) -> Container:
    return Container(
        name="report-server",
        image=args.image,
        command=["/usr/bin/python3", "-m", "services.report_server", "--config", f"{_FOLDER}/config.yaml"],
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        resources=args.resources,
        ports={naming.METRICS_PORT: PORT},
        mounts=[Mount(volume="config", path=_FOLDER), Mount(volume="auth", path=names.SERVER_AUTH_FOLDER)],
        startup=Probe(http="/healthz", port=PORT, https=True, period_s=2, failures=60),
        readiness=Probe(http="/readyz", port=PORT, https=True, period_s=5, failures=2),
        liveness=Probe(http="/healthz", port=PORT, https=True, period_s=20, failures=6),
        pre_stop_sleep_s=2,
    )
