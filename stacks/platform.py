"""The platform: its components in the order of the data flow, each handed the endpoints that it uses."""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as k8s

from components import naming
from components.agent.component import WORKLOAD as AGENT
from components.agent.component import Agent, AgentArgs
from components.consumers.component import MetricsConsumer, MetricsConsumerArgs, consumer_name, consumer_scrape
from components.contracts import ScrapeTarget
from components.gateway.component import WORKLOAD as GATEWAY
from components.gateway.component import Gateway, GatewayArgs
from components.gateway.config import GRPC_PORT as GATEWAY_GRPC_PORT
from components.k8s import CertificatePolicy, DeploymentContext, default_deny
from components.kafka.access import Topic
from components.kafka.component import ExternalAddress, Kafka, KafkaArgs
from components.kafka.lag import WORKLOAD as KAFKA_LAG
from components.kafka.lag import KafkaLag, KafkaLagArgs
from components.kafka.nodes import NodeSize
from components.prometheus.component import Prometheus, PrometheusArgs, workload_name
from components.prometheus.query import ThanosQuery, ThanosQueryArgs, query_scrape
from components.telemetry.layers import TOPIC_OF_SIGNAL
from components.telemetry.topics import TOPICS
from components.tls.component import Authority, trust_bundle
from components.versions import ImageCatalogue
from stacks import kafka_users, rules
from stacks.alerting import Alerting
from stacks.probes import probes
from stacks.recovery import ENCRYPTION, Recovery
from stacks.regions import Regions
from stacks.settings import Role, Settings
from stacks.sizing import PROFILES, Java, Sizing
from stacks.traces import Traces
from stacks.visualization import Visualization

TOKEN = "obs:platform:Platform"  # noqa: S105  (a type token)
_ISSUER = "platform"
_DAY_MS = 24 * 60 * 60 * 1000


class Platform(pulumi.ComponentResource):
    """One region's monitoring platform.

    Attributes:
        settings: What the stack file says.
        role: What this region is at present.
        kafka: Telemetry hub.
        gateway: Where telemetry comes in.
        agent: Where programs inside the cluster send to.
        consumers: One per Prometheus.
        prometheus: The Prometheus replicas.
        traces: Samplers, Jaeger, dependency map, search cluster.
        alerting: Alertmanager, and alert events in Kafka.
        probes: Looks at certificates and endpoints.
        query: Where metrics are read.
        visualization: Dashboards and reports.
        recovery: Backups, and metrics in the object storage.
        regions: The other region, and which of the two is active.
        scrapes: Metrics endpoint of every workload.
    """

    def __init__(self, name: str, settings: Settings, role: Role) -> None:
        super().__init__(TOKEN, name, None, pulumi.ResourceOptions(providers=_providers(settings)))
        self.settings, self.role = settings, role
        sizing = PROFILES[settings.profile]
        context = self._context()
        self.regions = Regions(self, settings, sizing, context, role)
        life = settings.certificates.authority
        Authority(
            "authority",
            context,
            duration=life.duration,
            renew_before=life.renew_before,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.kafka = self._kafka(context, sizing)
        trust_bundle(self, context, self.kafka.authority)
        lag = self._lag(context, sizing)
        self.gateway = self._gateway(context, sizing)
        self.agent = self._agent(context, sizing)
        self.traces = Traces(self, settings, sizing, context, self.kafka.endpoint)
        self.alerting = Alerting(self, settings, sizing, context, self.kafka.endpoint)
        self.regions.connect(kafka=self.kafka.endpoint, alertmanager=self.alerting.alertmanager.endpoint)
        self.visualization = Visualization(self, settings, sizing, context, suspended=role is Role.STANDBY)
        self.recovery = Recovery(self, settings, sizing, context)
        replicas = settings.prometheus.replicas
        consumer_scrapes = {replica: consumer_scrape(self, context, replica) for replica in replicas}
        of_query = query_scrape(self, context)
        scrapes = (
            *self.kafka.scrapes,
            lag.scrape,
            self.gateway.scrape,
            self.agent.scrape,
            *self.traces.scrapes,
            *self.alerting.scrapes,
            *self.visualization.scrapes,
            *self.recovery.scrapes,
            *self.regions.scrapes,
            *consumer_scrapes.values(),
            of_query,
        )
        self.probes = probes(
            self,
            settings,
            sizing,
            context,
            kafka=self.kafka.endpoint,
            search=self.traces.search.endpoint,
            scrapes=scrapes,
            replicas=[workload_name(replica) for replica in replicas],
        )
        scrapes = (*scrapes, self.probes.scrape)
        self.prometheus = self._prometheus(context, sizing, scrapes)
        self.consumers = tuple(
            MetricsConsumer(
                consumer_name(replica),
                MetricsConsumerArgs(
                    context=context,
                    kafka=self.kafka.endpoint,
                    prometheus=self.prometheus.endpoints[replica],
                    scrape=consumer_scrapes[replica],
                    resources=sizing.consumer,
                    max_message_bytes=sizing.max_message_bytes,
                ),
                pulumi.ResourceOptions(parent=self),
            )
            for replica in replicas
        )
        self.query = self._query(context, sizing, of_query)
        self.visualization.connect(
            kafka=self.kafka.endpoint,
            query=self.query.endpoint,
            alerting=self.alerting,
            search=self.traces.search.endpoint,
            traces=self.traces.reader,
            authority=self.kafka.authority,
        )
        self.recovery.connect(
            kafka=self.kafka.endpoint,
            database=self.visualization.database,
            grafana=self.visualization.grafana.endpoint,
            search=self.traces.search.endpoint,
        )
        self.scrapes = (*scrapes, *self.prometheus.scrapes)
        self.register_outputs({"namespace": context.namespace})

    def _context(self) -> DeploymentContext:
        """The namespace (Pod Security "restricted", everything denied) and the context of its components."""
        settings = self.settings
        namespace = k8s.core.v1.Namespace(
            settings.namespace,
            metadata=k8s.meta.v1.ObjectMetaArgs(
                name=settings.namespace,
                labels={
                    "app.kubernetes.io/part-of": naming.PART_OF,
                    "app.kubernetes.io/managed-by": "pulumi",
                    **{f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")},
                },
            ),
            opts=pulumi.ResourceOptions(parent=self, protect=settings.protect),
        )
        context = DeploymentContext(
            platform=settings.platform,
            region=settings.region,
            namespace=settings.namespace,
            # Unknown until the namespace exists, so that a preview does not look for objects in it.
            namespace_ref=namespace.id.apply(lambda _: settings.namespace),
            cluster_domain=settings.cluster.domain,
            issuer=_ISSUER,
            images=ImageCatalogue(registry=settings.images.registry, digests=settings.images.digests),
            certificates=CertificatePolicy(
                duration=settings.certificates.workloads.duration,
                renew_before=settings.certificates.workloads.renew_before,
            ),
            storage_class=settings.storage.storage_class,
        )
        default_deny(self, context)
        return context

    def _kafka(self, context: DeploymentContext, sizing: Sizing) -> Kafka:
        """Brokers, topics, one user per client."""
        settings = self.settings
        return Kafka(
            "kafka",
            KafkaArgs(
                context=context,
                brokers=[
                    ExternalAddress(host=broker.host, address=broker.address) for broker in settings.kafka.brokers
                ],
                controllers=sizing.controllers,
                client_cidrs=settings.kafka.client_cidrs,
                load_balancer_annotations=settings.kafka.load_balancer_annotations,
                broker_size=_node_size(sizing.broker, settings.storage.kafka),
                controller_size=_node_size(sizing.controller, settings.storage.kafka_controller),
                replication_factor=sizing.replication_factor,
                min_insync_replicas=sizing.min_insync_replicas,
                max_message_bytes=sizing.max_message_bytes,
                internal_partitions=sizing.internal_partitions,
                network_threads=sizing.network_threads,
                io_threads=sizing.io_threads,
                topics=[
                    Topic(
                        name=topic.name,
                        partitions=settings.topics[topic.name].partitions,
                        retention_ms=settings.topics[topic.name].retention_days * _DAY_MS,
                    )
                    for topic in TOPICS
                ],
                users=[*kafka_users.own_users(settings), *self.regions.users()],
                protect=settings.protect,
            ),
            pulumi.ResourceOptions(parent=self),
        )

    def _lag(self, context: DeploymentContext, sizing: Sizing) -> KafkaLag:
        """Lag of every consumer group."""
        return KafkaLag(
            KAFKA_LAG,
            KafkaLagArgs(
                context=context,
                kafka=self.kafka.endpoint,
                groups=kafka_users.groups(self.settings),
                topics=[topic.name for topic in TOPICS],
                interval_s=sizing.lag_interval_s,
                resources=sizing.lag,
            ),
            pulumi.ResourceOptions(parent=self),
        )

    def _gateway(self, context: DeploymentContext, sizing: Sizing) -> Gateway:
        """Where the layers send to."""
        external_endpoint = self.settings.gateway
        return Gateway(
            GATEWAY,
            GatewayArgs(
                context=context,
                kafka=self.kafka.endpoint,
                replicas=sizing.gateway_replicas,
                resources=sizing.gateway,
                storage=self.settings.storage.gateway,
                max_message_bytes=sizing.max_message_bytes,
                partitions={signal: self.settings.topics[name].partitions for signal, name in TOPIC_OF_SIGNAL.items()},
                fsync=sizing.gateway_fsync,
                address=external_endpoint.address,
                client_cidrs=external_endpoint.client_cidrs,
                hosts=[external_endpoint.host, *self.regions.names],
                open_layers=external_endpoint.open_layers,
                autoscale=sizing.gateway_autoscale,
                credentials=self.regions.credentials,
            ),
            pulumi.ResourceOptions(parent=self),
        )

    def _agent(self, context: DeploymentContext, sizing: Sizing) -> Agent:
        """One collector on every node, for programs inside the cluster."""
        return Agent(
            AGENT,
            AgentArgs(
                context=context,
                gateway=GATEWAY,
                gateway_port=GATEWAY_GRPC_PORT,
                login=self.gateway.agent,
                layers=self.gateway.endpoint.credentials,
                request_limit=self.gateway.request_limit,
                queue_bytes=2 * self.gateway.request_limit,
                resources=sizing.traces.agent,
            ),
            pulumi.ResourceOptions(parent=self),
        )

    def _prometheus(self, context: DeploymentContext, sizing: Sizing, scrapes: tuple[ScrapeTarget, ...]) -> Prometheus:
        """The replicas, each with all data."""
        settings = self.settings
        own = [workload_name(replica) for replica in settings.prometheus.replicas]
        return Prometheus(
            "prometheus",
            PrometheusArgs(
                context=context,
                replicas=settings.prometheus.replicas,
                scrapes=scrapes,
                alert_receivers=self.alerting.receivers,
                probes=self.probes.jobs,
                rule_groups=rules.groups(
                    [*(scrape.job for scrape in scrapes), *own], settings, sizing, mirrored=self.regions.mirrored
                ),
                runbook_base=settings.runbook_base,
                resources=sizing.prometheus,
                sidecar_resources=sizing.sidecar,
                storage=settings.storage.prometheus,
                retention_time=settings.prometheus.retention_time,
                retention_size=settings.prometheus.retention_size,
                out_of_order_window=sizing.out_of_order_window,
                scrape_interval=sizing.scrape_interval,
                block_duration=settings.backups.metrics_block,
                objects=self.recovery.objects,
                encryption=ENCRYPTION,
            ),
            # Where another region is active, no alert comes in before this one's failover agent keeps it silent.
            pulumi.ResourceOptions(
                parent=self, depends_on=[self.regions.failover_agent] if self.regions.mirrored else []
            ),
        )

    def _query(self, context: DeploymentContext, sizing: Sizing, scrape: ScrapeTarget) -> ThanosQuery:
        """The one read address."""
        external_endpoint = self.settings.query
        return ThanosQuery(
            "thanos-query",
            ThanosQueryArgs(
                context=context,
                stores=list(self.prometheus.endpoints.values()),
                gateways=self.recovery.gateways,
                scrape=scrape,
                replicas=sizing.query_replicas,
                resources=sizing.query,
                address=external_endpoint.address,
                client_cidrs=external_endpoint.client_cidrs,
                hosts=[external_endpoint.host],
            ),
            pulumi.ResourceOptions(parent=self),
        )


def _providers(settings: Settings) -> list[pulumi.ProviderResource]:
    """The provider for the context that the stack file names, else for the current one.

    ConfigMaps and Secrets are changed in place. Pulumi's default replaces them, and with them (their name being fixed)
    the StatefulSets that mount them: one changed file would stop all brokers at once instead of rolling them.
    """
    return [
        k8s.Provider(
            "cluster",
            context=settings.cluster.context,
            enable_config_map_mutable=True,
            enable_secret_mutable=True,
        )
    ]


def _node_size(java: Java, storage: str) -> NodeSize:
    return NodeSize(
        resources=java.resources, heap=java.heap, jvm_flags=java.flags, storage=storage, grace_s=java.grace_s
    )
