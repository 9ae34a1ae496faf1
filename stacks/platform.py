"""The platform: its components in the order of the data flow, each handed its neighbours' endpoints."""

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
from components.k8s import CertificatePolicy, Site, default_deny
from components.kafka.access import Topic
from components.kafka.component import ExternalAddress, Kafka, KafkaArgs
from components.kafka.lag import WORKLOAD as KAFKA_LAG
from components.kafka.lag import KafkaLag, KafkaLagArgs
from components.kafka.nodes import NodeSize
from components.prometheus.component import Prometheus, PrometheusArgs, workload_name
from components.prometheus.query import ThanosQuery, ThanosQueryArgs, query_scrape
from components.telemetry.topics import TOPICS
from components.tls.component import Authority, trust_bundle
from components.versions import ImageCatalogue
from stacks import kafka_users, rules
from stacks.alerting import Alerting
from stacks.probes import probes
from stacks.profile import PROFILES, Java, Profile
from stacks.reading import Reading
from stacks.recovery import ENCRYPTION, Recovery
from stacks.regions import Regions
from stacks.settings import Role, Settings
from stacks.traces import Traces

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
        probes: Looks at certificates and entrances.
        query: Where metrics are read.
        reading: Dashboards and reports.
        recovery: Backups, and metrics in the object storage.
        regions: The other region, and who of both tells people.
        scrapes: Metrics endpoint of every workload.
    """

    def __init__(self, name: str, settings: Settings, role: Role) -> None:
        super().__init__(TOKEN, name, None, pulumi.ResourceOptions(providers=_providers(settings)))
        self.settings, self.role = settings, role
        sizes = PROFILES[settings.profile.of(role)]
        site = self._site()
        self.regions = Regions(self, settings, sizes, site, role)
        life = settings.certificates.authority
        Authority(
            "authority",
            site,
            duration=life.duration,
            renew_before=life.renew_before,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.kafka = self._kafka(site, sizes)
        trust_bundle(self, site, self.kafka.authority)
        lag = self._lag(site, sizes)
        self.gateway = self._gateway(site, sizes)
        self.agent = self._agent(site, sizes)
        self.traces = Traces(self, settings, sizes, site, self.kafka.endpoint)
        self.alerting = Alerting(self, settings, sizes, site, self.kafka.endpoint, mirrored=self.regions.mirrored)
        self.regions.connect(kafka=self.kafka.endpoint, alertmanager=self.alerting.alertmanager.endpoint)
        self.reading = Reading(self, settings, sizes, site, suspended=role is Role.STANDBY)
        self.recovery = Recovery(self, settings, sizes, site)
        replicas = settings.prometheus.replicas
        consumer_scrapes = {replica: consumer_scrape(self, site, replica) for replica in replicas}
        of_query = query_scrape(self, site)
        scrapes = (
            *self.kafka.scrapes,
            lag.scrape,
            self.gateway.scrape,
            self.agent.scrape,
            *self.traces.scrapes,
            *self.alerting.scrapes,
            *self.reading.scrapes,
            *self.recovery.scrapes,
            *self.regions.scrapes,
            *consumer_scrapes.values(),
            of_query,
        )
        self.probes = probes(
            self,
            settings,
            sizes,
            site,
            kafka=self.kafka.endpoint,
            search=self.traces.search.endpoint,
            scrapes=scrapes,
            replicas=[workload_name(replica) for replica in replicas],
        )
        scrapes = (*scrapes, self.probes.scrape)
        self.prometheus = self._prometheus(site, sizes, scrapes)
        self.consumers = tuple(
            MetricsConsumer(
                consumer_name(replica),
                MetricsConsumerArgs(
                    site=site,
                    kafka=self.kafka.endpoint,
                    prometheus=self.prometheus.endpoints[replica],
                    scrape=consumer_scrapes[replica],
                    resources=sizes.consumer,
                    max_message_bytes=sizes.max_message_bytes,
                ),
                pulumi.ResourceOptions(parent=self),
            )
            for replica in replicas
        )
        self.query = self._query(site, sizes, of_query)
        self.reading.connect(
            kafka=self.kafka.endpoint,
            query=self.query.endpoint,
            alerting=self.alerting,
            search=self.traces.search.endpoint,
            traces=self.traces.reader,
            authority=self.kafka.authority,
        )
        self.recovery.connect(
            kafka=self.kafka.endpoint,
            database=self.reading.database,
            grafana=self.reading.grafana.endpoint,
            search=self.traces.search.endpoint,
        )
        self.scrapes = (*scrapes, *self.prometheus.scrapes)
        self.register_outputs({"namespace": site.namespace})

    def _site(self) -> Site:
        """The namespace (Pod Security "restricted", everything denied) and what is known of the surroundings."""
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
        site = Site(
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
        default_deny(self, site)
        return site

    def _kafka(self, site: Site, sizes: Profile) -> Kafka:
        """Brokers, topics, one user per client."""
        settings = self.settings
        return Kafka(
            "kafka",
            KafkaArgs(
                site=site,
                brokers=[
                    ExternalAddress(host=broker.host, address=broker.address) for broker in settings.kafka.brokers
                ],
                controllers=sizes.controllers,
                client_cidrs=settings.kafka.client_cidrs,
                load_balancer_annotations=settings.kafka.load_balancer_annotations,
                broker_size=_node_size(sizes.broker, settings.storage.kafka),
                controller_size=_node_size(sizes.controller, settings.storage.kafka_controller),
                replication_factor=sizes.replication_factor,
                min_insync_replicas=sizes.min_insync_replicas,
                max_message_bytes=sizes.max_message_bytes,
                internal_partitions=sizes.internal_partitions,
                network_threads=sizes.network_threads,
                io_threads=sizes.io_threads,
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

    def _lag(self, site: Site, sizes: Profile) -> KafkaLag:
        """Lag of every consumer group."""
        return KafkaLag(
            KAFKA_LAG,
            KafkaLagArgs(
                site=site,
                kafka=self.kafka.endpoint,
                groups=kafka_users.groups(self.settings),
                topics=[topic.name for topic in TOPICS],
                interval_s=sizes.lag_interval_s,
                resources=sizes.lag,
            ),
            pulumi.ResourceOptions(parent=self),
        )

    def _gateway(self, site: Site, sizes: Profile) -> Gateway:
        """Where the layers send to."""
        entrance = self.settings.gateway
        return Gateway(
            GATEWAY,
            GatewayArgs(
                site=site,
                kafka=self.kafka.endpoint,
                replicas=sizes.gateway_replicas,
                resources=sizes.gateway,
                storage=self.settings.storage.gateway,
                max_message_bytes=sizes.max_message_bytes,
                fsync=sizes.gateway_fsync,
                address=entrance.address,
                client_cidrs=entrance.client_cidrs,
                hosts=[entrance.host, *self.regions.names],
                autoscale=sizes.gateway_autoscale,
                logins=self.regions.logins,
            ),
            pulumi.ResourceOptions(parent=self),
        )

    def _agent(self, site: Site, sizes: Profile) -> Agent:
        """One collector on every node, for programs inside the cluster."""
        return Agent(
            AGENT,
            AgentArgs(
                site=site,
                gateway=GATEWAY,
                gateway_port=GATEWAY_GRPC_PORT,
                login=self.gateway.agent,
                layers=self.gateway.endpoint.credentials,
                request_limit=self.gateway.request_limit,
                queue_bytes=2 * self.gateway.request_limit,
                resources=sizes.traces.agent,
            ),
            pulumi.ResourceOptions(parent=self),
        )

    def _prometheus(self, site: Site, sizes: Profile, scrapes: tuple[ScrapeTarget, ...]) -> Prometheus:
        """The replicas, each with all data."""
        settings = self.settings
        own = [workload_name(replica) for replica in settings.prometheus.replicas]
        return Prometheus(
            "prometheus",
            PrometheusArgs(
                site=site,
                replicas=settings.prometheus.replicas,
                scrapes=scrapes,
                alert_receivers=self.alerting.receivers,
                probes=self.probes.jobs,
                rule_groups=rules.groups(
                    [*(scrape.job for scrape in scrapes), *own], settings, sizes, mirrored=self.regions.mirrored
                ),
                runbook_base=settings.runbook_base,
                resources=sizes.prometheus,
                sidecar_resources=sizes.sidecar,
                storage=settings.storage.prometheus,
                retention_time=settings.prometheus.retention_time,
                retention_size=settings.prometheus.retention_size,
                out_of_order_window=sizes.out_of_order_window,
                scrape_interval=sizes.scrape_interval,
                block_duration=settings.backups.metrics_block,
                objects=self.recovery.objects,
                encryption=ENCRYPTION,
            ),
            # Where another region tells people, no alert comes in before this one's guard keeps it silent.
            pulumi.ResourceOptions(parent=self, depends_on=[self.regions.guard] if self.regions.mirrored else []),
        )

    def _query(self, site: Site, sizes: Profile, scrape: ScrapeTarget) -> ThanosQuery:
        """The one read address."""
        entrance = self.settings.query
        return ThanosQuery(
            "thanos-query",
            ThanosQueryArgs(
                site=site,
                stores=list(self.prometheus.endpoints.values()),
                gateways=self.recovery.gateways,
                scrape=scrape,
                replicas=sizes.query_replicas,
                resources=sizes.query,
                address=entrance.address,
                client_cidrs=entrance.client_cidrs,
                hosts=[entrance.host],
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
