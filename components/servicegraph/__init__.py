"""The pod that works the dependency map out: one, since spans of one trace and of linked traces must meet."""

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
from services.service_graph import ServiceGraphSettings

TOKEN = "obs:servicegraph:ServiceGraph"  # noqa: S105  (a type token)
WORKLOAD = "service-graph"
"""Workload, SCRAM user, consumer group, and user of the search cluster."""
PORT = 8080
_AUTH = auth_folder(WORKLOAD)


@dataclass(frozen=True, kw_only=True)
class ServiceGraphArgs:
    """What the service graph needs.

    Attributes:
        context: Deployment context.
        scrape: Its metrics endpoint.
        kafka: Where spans come from.
        search: Where Jaeger's documents go.
        index: Alias there that Jaeger's dependencies are written through.
        resources: Of the pod; half of the memory is for `most_spans`.
        interval_s: Seconds between documents.
        window_s: Seconds within which a span and its parent have to come.
        most_spans: Spans remembered per window, and callers that they wait for.
        most_edges: Edges that are told apart.
    """

    context: DeploymentContext
    scrape: ScrapeTarget
    kafka: KafkaEndpoint
    search: SearchEndpoint
    index: str
    resources: Resources
    interval_s: int = 60
    window_s: int = 30
    most_spans: int = 200_000
    most_edges: int = 500


def graph_settings(args: ServiceGraphArgs, scrape_user: str) -> ServiceGraphSettings:
    """The settings of ``services.service_graph``."""
    return ServiceGraphSettings(
        kafka=kafka_topic(args.kafka, WORKLOAD, TOPIC_OF_SIGNAL[Signal.TRACES]),
        search=search_index(args.search, WORKLOAD, args.index),
        interval_s=args.interval_s,
        window_s=args.window_s,
        most_spans=args.most_spans,
        most_edges=args.most_edges,
        **served(PORT, scrape_user, _AUTH),
    )


class ServiceGraph(pulumi.ComponentResource):
    """One pod that reads all spans.

    Attributes:
        group: Consumer group.
        scrape: Its metrics, the map among them.
    """

    group: str
    scrape: ScrapeTarget

    def __init__(self, name: str, args: ServiceGraphArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        context = args.context
        self.group = WORKLOAD
        self.scrape = args.scrape
        kafka, search = args.kafka, args.search
        service = PythonService(
            self,
            context,
            PythonServiceArgs(
                program=Program(module="service_graph", container="graph", resources=args.resources),
                scrape=self.scrape,
                settings=graph_settings(args, self.scrape.credential.username),
                secrets={
                    KAFKA_PASSWORD: kafka.users[WORKLOAD].password,
                    SEARCH_PASSWORD: once(search.users[WORKLOAD].password, search.ready),
                },
                egress=[
                    Allow(peers=[workload_pods("kafka")], ports=[kafka.port]),
                    Allow(peers=[workload_pods(search.workload)], ports=[search.port]),
                ],
                access=[kafka.access_label, search.access_label],
                recreate=True,
                grace_s=45,
                after=search.after,
            ),
        )
        self.register_outputs({"pods": service.pods.id, "group": WORKLOAD})
