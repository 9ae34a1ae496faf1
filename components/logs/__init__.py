"""The log indexer: pods that write every log record to the search cluster (requirement O5, L2-L5 logs)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pulumi

from components.contracts import KafkaEndpoint, ScrapeTarget, SearchEndpoint
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
from components.telemetry.layers import TOPIC_OF_SIGNAL, Signal
from services.log_indexer import LogIndexerSettings
from services.runtime.settings import KafkaTopic, SearchIndex

TOKEN = "obs:logs:LogIndexer"  # noqa: S105  (a type token)
WORKLOAD = "log-indexer"
PORT = 8080
_AUTH = auth_folder(WORKLOAD)


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
            group=WORKLOAD,
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
        kafka, search = args.kafka, args.search
        service = PythonService(
            self,
            context,
            PythonServiceArgs(
                program=Program(module="log_indexer", container="indexer", resources=args.resources),
                scrape=self.scrape,
                settings=indexer_settings(args, self.scrape.credential.username),
                secrets={
                    "kafka-password": kafka.users[WORKLOAD].password,
                    "search-password": once(search.users[WORKLOAD].password, search.ready),
                },
                egress=[
                    Allow(peers=[workload_pods("kafka")], ports=[kafka.port]),
                    Allow(peers=[workload_pods(search.workload)], ports=[search.port]),
                ],
                access=[kafka.access_label, search.access_label],
                replicas=args.replicas,
                grace_s=60,
                after=search.after,
            ),
        )
        self.register_outputs({"pods": service.pods.id, "group": WORKLOAD})
