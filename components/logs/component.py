"""The log indexer: pods that write every log record to the search cluster (requirement O5, L2-L5 logs)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pulumi
import yaml

from components import naming
from components.contracts import KafkaEndpoint, ScrapeTarget, SearchEndpoint
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
from components.telemetry.layers import TOPIC_OF_SIGNAL, Signal
from services.log_indexer.settings import LogIndexerSettings
from services.runtime.settings import KafkaTopic, SearchIndex

TOKEN = "obs:logs:LogIndexer"  # noqa: S105  (a type token)
WORKLOAD = "log-indexer"
PORT = 8080
_CONFIG = "/etc/log-indexer"
_AUTH = "/etc/log-indexer-auth"


@dataclass(frozen=True, kw_only=True)
class LogIndexerArgs:
    """What the indexer needs.

    Attributes:
        context: Deployment context.
        scrape: Its metrics endpoint.
        kafka: Where the logs are; ``log-indexer`` is one of its users and the consumer group.
        search: Where they go; ``log-indexer`` is one of its users.
        index: Alias that it writes to.
        replicas: Pods; they share the topic's partitions.
        resources: Of each pod.
        batch_records: Kafka records that are read before they are written.
        batch_bytes: Size of one bulk request, about.
    """

    context: DeploymentContext
    scrape: ScrapeTarget
    kafka: KafkaEndpoint
    search: SearchEndpoint
    index: str
    replicas: int
    resources: Resources
    batch_records: int = 500
    batch_bytes: int = 5_000_000


def indexer_settings(args: LogIndexerArgs, scrape_user: str) -> LogIndexerSettings:
    """The settings of ``services.log_indexer``."""
    kafka, search = args.kafka, args.search
    return LogIndexerSettings(
        kafka=KafkaTopic(
            bootstrap=kafka.bootstrap,
            topic=TOPIC_OF_SIGNAL[Signal.LOGS],
            ca_file=CA_FILE,
            username=kafka.users[WORKLOAD].username,
            password_file=Path(f"{_AUTH}/kafka-password"),
        ),
        search=SearchIndex(
            url=search.url,
            server_name=search.server_name,
            index=args.index,
            ca_file=CA_FILE,
            username=search.users[WORKLOAD].username,
            password_file=Path(f"{_AUTH}/search-password"),
        ),
        batch_records=args.batch_records,
        batch_bytes=args.batch_bytes,
        **served(PORT, scrape_user, _AUTH),
    )


class LogIndexer(pulumi.ComponentResource):
    """Pods that read the logs of all layers and write them to the search cluster.

    Attributes:
        group: Consumer group.
        scrape: Its metrics.
    """

    group: str
    scrape: ScrapeTarget

    def __init__(self, name: str, args: LogIndexerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        context = args.context
        self.group = WORKLOAD
        self.scrape = args.scrape
        headless_service(self, context, workload=WORKLOAD, ports={naming.METRICS_PORT: PORT})
        network_policy(
            self,
            context,
            workload=WORKLOAD,
            ingress=[Allow(peers=[with_access(naming.METRICS_ACCESS)], ports=[PORT])],
            egress=[
                Allow(peers=[workload_pods("kafka")], ports=[args.kafka.port]),
                Allow(peers=[workload_pods(args.search.workload)], ports=[args.search.port]),
            ],
        )
        pods = deployment(
            self,
            context,
            Workload(
                name=WORKLOAD,
                replicas=args.replicas,
                containers=[_container(args.resources)],
                volumes=self._volumes(args),
                tls=certificate(self, context, workload=WORKLOAD),
                access=[args.kafka.access_label, args.search.access_label],
                grace_s=60,
            ),
            after=args.search.after,
        )
        self.register_outputs({"pods": pods.id, "group": WORKLOAD})

    def _volumes(self, args: LogIndexerArgs) -> list[Volume]:
        content = indexer_settings(args, self.scrape.credential.username).content()
        public = config_files(
            self,
            args.context,
            name=WORKLOAD,
            workload=WORKLOAD,
            files={"config.yaml": yaml.safe_dump(content, sort_keys=True)},
        )
        kafka, search = args.kafka.users[WORKLOAD], args.search.users[WORKLOAD]
        secret = secret_files(
            self,
            args.context,
            name=f"{WORKLOAD}-auth",
            workload=WORKLOAD,
            files={
                # Known only when topics, users and permissions exist, and aliases and users of the search cluster.
                "kafka-password": _once(kafka.password, args.kafka.ready),
                "search-password": _once(search.password, args.search.ready),
                "scrape-password": self.scrape.credential.password,
            },
        )
        return [Volume(name="config", files=public), Volume(name="auth", files=secret)]


def _once(password: pulumi.Output[str], ready: pulumi.Output[bool]) -> pulumi.Output[str]:
    return pulumi.Output.all(password, ready).apply(lambda both: str(both[0]))


def _container(resources: Resources) -> Container:
    return Container(
        name="indexer",
        image="services",
        command=["/usr/bin/python3", "-m", "services.log_indexer", "--config", f"{_CONFIG}/config.yaml"],
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        resources=resources,
        ports={naming.METRICS_PORT: PORT},
        mounts=[Mount(volume="config", path=_CONFIG), Mount(volume="auth", path=_AUTH)],
        startup=Probe(http="/healthz", port=PORT, https=True, period_s=3, failures=40),
        readiness=Probe(http="/healthz", port=PORT, https=True, period_s=5),
        liveness=Probe(http="/healthz", port=PORT, https=True, period_s=20, failures=6),
    )
