"""The pod that works the dependency map out: one, since spans of one trace and of linked traces must meet."""

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
from services.runtime.settings import KafkaTopic, SearchIndex
from services.service_graph.settings import ServiceGraphSettings

TOKEN = "obs:servicegraph:ServiceGraph"  # noqa: S105  (a type token)
WORKLOAD = "service-graph"
"""Workload, SCRAM user, consumer group, and user of the search cluster."""
PORT = 8080
_CONFIG = "/etc/service-graph"
_AUTH = "/etc/service-graph-auth"


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
        most_spans: Spans remembered per window.
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
    kafka, search = args.kafka, args.search
    return ServiceGraphSettings(
        kafka=KafkaTopic(
            bootstrap=kafka.bootstrap,
            topic=TOPIC_OF_SIGNAL[Signal.TRACES],
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
                replicas=1,
                containers=[_container(args.resources)],
                volumes=self._volumes(args),
                tls=certificate(self, context, workload=WORKLOAD),
                access=[args.kafka.access_label, args.search.access_label],
                grace_s=45,
            ),
            recreate=True,
            after=args.search.after,
        )
        self.register_outputs({"pods": pods.id, "group": WORKLOAD})

    def _volumes(self, args: ServiceGraphArgs) -> list[Volume]:
        content = graph_settings(args, self.scrape.credential.username).content()
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
        name="graph",
        image="services",
        command=["/usr/bin/python3", "-m", "services.service_graph", "--config", f"{_CONFIG}/config.yaml"],
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        resources=resources,
        ports={naming.METRICS_PORT: PORT},
        mounts=[Mount(volume="config", path=_CONFIG), Mount(volume="auth", path=_AUTH)],
        startup=Probe(http="/healthz", port=PORT, https=True, period_s=3, failures=40),
        readiness=Probe(http="/healthz", port=PORT, https=True, period_s=5),
        liveness=Probe(http="/healthz", port=PORT, https=True, period_s=20, failures=6),
    )
