"""The compactor: merges blocks in the object storage into longer ones, and removes what is too old (requirement D1)."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components import naming
from components.contracts import ObjectStorage, ScrapeTarget
from components.k8s import (
    Allow,
    Container,
    DeploymentContext,
    Mount,
    Probe,
    Resources,
    StorageClaim,
    Volume,
    Workload,
    certificate,
    headless_service,
    network_policy,
    secret_files,
    stateful_set,
    to_storage,
    with_access,
)
from components.prometheus.config import WEB_DIRECTORY
from components.prometheus.credentials import web_file
from components.prometheus.objects import Encryption, objects_files, objects_mount, objects_volume
from components.prometheus.thanos import STORE_DIRECTORY, STORE_HTTP_PORT, compact_command

TOKEN = "obs:prometheus:Compactor"  # noqa: S105  (a type token)
WORKLOAD = "thanos-compact"


@dataclass(frozen=True, kw_only=True)
class CompactorArgs:
    """What the compactor needs.

    Attributes:
        context: Deployment context.
        objects: Where the blocks are.
        encryption: As it is given to the Prometheus replicas.
        scrape: Its own metrics.
        resources: Of the pod.
        storage: Size of its volume: three times the blocks that one replica ships in two weeks. Can be lost.
        keep_days: Age at which samples go from the object storage.
    """

    context: DeploymentContext
    objects: ObjectStorage
    encryption: Encryption | None
    scrape: ScrapeTarget
    resources: Resources
    storage: str
    keep_days: int


class Compactor(pulumi.ComponentResource):
    """Thanos Compact, once.

    Two at work on one bucket would destroy blocks. So it is a StatefulSet: no pod starts before the one of the same
    name is known to have ended, also when a node is lost.

    Attributes:
        scrape: Its own metrics.
    """

    scrape: ScrapeTarget

    def __init__(self, name: str, args: CompactorArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        context = args.context
        self.scrape = args.scrape
        tls = certificate(self, context, workload=WORKLOAD)
        headless_service(self, context, workload=WORKLOAD, ports={naming.METRICS_PORT: STORE_HTTP_PORT})
        network_policy(
            self,
            context,
            workload=WORKLOAD,
            ingress=[Allow(peers=[with_access(naming.METRICS_ACCESS)], ports=[STORE_HTTP_PORT])],
            egress=[to_storage(args.objects)],
        )
        objects = objects_files(self, context, workload=WORKLOAD, storage=args.objects, encryption=args.encryption)
        web = secret_files(
            self,
            context,
            name=f"{WORKLOAD}-web",
            workload=WORKLOAD,
            files={"web.yml": web_file([args.scrape.credential])},
        )
        pods = stateful_set(
            self,
            context,
            Workload(
                name=WORKLOAD,
                replicas=1,
                containers=[_container(args)],
                volumes=[Volume(name="web", files=web), objects_volume(objects)],
                tls=tls,
                grace_s=120,
            ),
            claims=[StorageClaim(name="data", size=args.storage)],
        )
        self.register_outputs({"pods": pods.id})


def _container(args: CompactorArgs) -> Container:
    return Container(
        name=WORKLOAD,
        image="thanos",
        command=compact_command(keep_days=args.keep_days),
        resources=args.resources,
        ports={naming.METRICS_PORT: STORE_HTTP_PORT},
        mounts=[
            Mount(volume="web", path=WEB_DIRECTORY),
            Mount(volume="data", path=STORE_DIRECTORY, writable=True),
            objects_mount(),
        ],
        startup=Probe(tcp=STORE_HTTP_PORT, period_s=2, failures=60),
        liveness=Probe(tcp=STORE_HTTP_PORT, period_s=15, failures=6),
        readiness=Probe(tcp=STORE_HTTP_PORT, period_s=10),
        working_dir=STORE_DIRECTORY,
    )
