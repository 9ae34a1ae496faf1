"""The log indexer: pods that write every log record to the search cluster (requirement O5, L2-L5 logs)."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.contracts import KafkaEndpoint, ScrapeTarget, SearchEndpoint
from components.k8s import Allow, DeploymentContext, Resources, workload_pods
from components.k8s.programs import (
    KAFKA_PASSWORD,
    SEARCH_PASSWORD,
    Program,
    PythonService,
    PythonServiceArgs,
    auth_folder,
    kafka_topic,
    once,
    search_index,
    served,
)
from components.telemetry.layers import TOPIC_OF_SIGNAL, Signal
from services.log_indexer import LogIndexerSettings

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
    return LogIndexerSettings(
        kafka=kafka_topic(args.kafka, WORKLOAD, TOPIC_OF_SIGNAL[Signal.LOGS]),
        search=search_index(args.search, WORKLOAD, args.index),
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
                    KAFKA_PASSWORD: kafka.users[WORKLOAD].password,
                    SEARCH_PASSWORD: once(search.users[WORKLOAD].password, search.ready),
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
